"""Panels to judge models on: a simulated retailer with its truth, and FreshRetailNet.

What belongs here: laying both out without a store. What does not: judging anything.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel, assemble_panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.ingestion.batch import Batch
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer
from forecast_assets.sources.freshretailnet_hours import DEMAND_SHARE, HOURLY_FILE, with_demand_share

KEY = ["store_id", "sku_id"]
LEVELS = ("management_group_id", "first_category_id", "second_category_id", "third_category_id")


@dataclass(frozen=True)
class Retailer:
    """A retailer up to a cutoff, and what came after it.

    Attributes:
        panel: n series, T days of history, H ahead.
        hierarchy: Of the same series.
        sales: [n, H] units sold after the cutoff.
        demand: [n, H] expected demand after it by the simulator's law; None where nobody knows.
        empty_share: [n, H] share of the day that the shelf was empty; 1 where only that it was is known.
        missed_share: [n, H] share of a usual day's sales in that time, where the hours are known; else `empty_share`.
    """

    panel: Panel
    hierarchy: Hierarchy
    sales: Floats
    demand: Floats | None
    empty_share: Floats
    missed_share: Floats


def simulated_retailer(settings: SimulatorSettings, horizon: int) -> Retailer:
    """Play a retailer and hide its last days; only series that had begun before them are kept."""
    made = simulate_retailer(settings)
    cutoff = settings.end - timedelta(days=horizon)
    begun = made.truth.filter(pl.col("event_date") <= cutoff).select(KEY).unique()
    truth = made.truth.filter(pl.col("event_date") <= settings.end).join(begun, on=KEY, how="semi")
    feeds = {
        "sales": truth.lazy(),
        "inventory_positions": truth.lazy(),
        **{name: _newest(made.batches, name) for name in ("prices", "events")},
    }
    if any(batch.feed == "covariates" for batch in made.batches):
        # What a day says at its end is known to the cutoff of that day.
        since = pl.col("known_at").dt.date() - timedelta(days=1)
        feeds["covariates"] = _said(made.batches, "covariates").with_columns(since=since)
    stores = _newest(made.batches, "store_hierarchy").collect()
    whole = assemble_panel(
        begun, feeds, cutoff=settings.end, history_days=settings.days, horizon_days=horizon, store_nodes=stores
    )
    ahead = truth.filter(pl.col("event_date") > cutoff).sort(*KEY, "event_date")
    demand, lost = (
        ahead[name].cast(pl.Float64).to_numpy().reshape(-1, horizon) for name in ("mean_demand_units", "lost_units")
    )
    # Plans as they came: how far ahead a retailer plans is not what models are judged by.
    panel = whole.as_of(horizon)
    panel = replace(panel, has_plan=np.ones_like(panel.has_plan))
    products = _newest(made.batches, "product_hierarchy").collect()
    hierarchy = Hierarchy.build(panel.series, products, stores)
    empty = (lost > 0).astype(np.float64)
    return Retailer(panel, hierarchy, whole.sales[:, -horizon:], demand, empty, empty)


def _said(batches: tuple[Batch, ...], feed: str) -> pl.LazyFrame:
    """All that was said of a feed, the newest last."""
    return pl.concat([batch.frame for batch in batches if batch.feed == feed]).sort("known_at").lazy()


def _newest(batches: tuple[Batch, ...], feed: str) -> pl.LazyFrame:
    frame = _said(batches, feed).collect()
    key = [name for name in frame.columns if name in (*KEY, "event_name", "store_node", "event_date", "depth")]
    return frame.unique(key, keep="last", maintain_order=True).lazy()


def fresh_retailer(file: Path, horizon: int) -> Retailer:
    """Read FreshRetailNet's days, with the hours beside them if they are there, and hide the last ones."""
    hours = file.parent / HOURLY_FILE
    rows = pl.read_parquet(file)
    rows = (with_demand_share(rows, hours) if hours.is_file() else rows).rename({"product_id": "sku_id"})
    rows = rows.with_columns(pl.col("city_id", *KEY, *LEVELS).cast(pl.String)).sort(*KEY, "dt")
    series = rows.select(KEY).unique().sort(KEY)
    days = rows.height // series.height

    def matrix(column: str) -> Floats:
        return rows[column].to_numpy().astype(np.float64).reshape(-1, days)

    sales, share = matrix("sale_amount"), matrix("stock_hour6_22_cnt") / 16
    missed = matrix(DEMAND_SHARE) if DEMAND_SHARE in rows.columns else share
    known = days - horizon
    panel = Panel(
        series=series,
        first_date=rows["dt"].min(),
        history_days=known,
        horizon_days=horizon,
        sales=sales[:, :known],
        is_censored=share[:, :known] > 0,
        out_of_stock_share=share[:, :known],
        missed_share=missed[:, :known],
        price_ratio=matrix("discount"),
        is_promotion=matrix("activity_flag") > 0,
        has_plan=np.ones((series.height, horizon), dtype=np.bool_),
        event_names=("holiday",),
        event_days=matrix("holiday_flag")[:1] > 0,
        event_series=np.ones((1, series.height), dtype=np.bool_),
        is_closed=np.zeros((series.height, days), dtype=np.bool_),
    )
    hierarchy = _fresh_hierarchy(rows, series)
    return Retailer(panel, hierarchy, sales[:, known:], None, share[:, known:], missed[:, known:])


def _fresh_hierarchy(rows: pl.DataFrame, series: pl.DataFrame) -> Hierarchy:
    members = rows.select("sku_id", *LEVELS).unique()
    products = [
        members.select("sku_id", pl.lit(i + 1, pl.Int32).alias("depth"), pl.lit(n).alias("level_name"), node_id=n)
        for i, n in enumerate(LEVELS)
    ]
    city = [pl.lit(1, pl.Int32).alias("depth"), pl.lit("city").alias("level_name")]
    return Hierarchy.build(series, pl.concat(products), rows.select("store_id", *city, node_id="city_id").unique())

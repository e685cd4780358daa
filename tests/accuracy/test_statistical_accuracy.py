"""How good the statistical family is on real days that it has not seen, against stored figures and seasonal naive."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import QUANTILES
from forecast_assets.features.panel import Floats, Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.demand import usual_lost_share
from forecast_assets.models.series import clean
from forecast_assets.models.statistical import forecast_nodes, forecast_series, train_statistical
from forecast_assets.reconciliation.reconciling import reconcile
from tests.forecast_cases import panel_of

DAYS, HORIZON = 62, 14
FIRST = date(2024, 3, 28)
LEVELS = ("management_group_id", "first_category_id", "second_category_id", "third_category_id")
KEY = ["store_id", "sku_id"]

# WAPE of expected sales on 2024-05-29..06-11, and how far it may rise before someone has to explain it.
STORED_WAPE = 0.3424
TOLERANCE = 0.005


def _rows(folder: Path) -> pl.DataFrame:
    rows = pl.read_parquet(folder / "sample_890_series_daily.parquet").rename({"product_id": "sku_id"})
    names = ["city_id", *KEY, *LEVELS]
    return rows.with_columns(pl.col(names).cast(pl.String)).sort(*KEY, "dt")


def _hierarchy(rows: pl.DataFrame) -> Hierarchy:
    members = rows.select("sku_id", *LEVELS).unique()
    products = [
        members.select("sku_id", pl.lit(i + 1, pl.Int32).alias("depth"), pl.lit(n).alias("level_name"), node_id=n)
        for i, n in enumerate(LEVELS)
    ]
    stores = rows.select(
        "store_id", pl.lit(1, pl.Int32).alias("depth"), pl.lit("city").alias("level_name"), node_id="city_id"
    )
    return Hierarchy.build(rows.select(KEY).unique().sort(KEY), pl.concat(products), stores.unique())


def _panel(rows: pl.DataFrame, days: int) -> Panel:
    """What was known after so many days, with the plan of the days after them."""

    def matrix(column: str) -> Floats:
        return rows[column].to_numpy().astype(np.float64).reshape(-1, DAYS + HORIZON)

    share = matrix("stock_hour6_22_cnt")[:, :days] / 16
    return panel_of(
        matrix("sale_amount")[:, :days],
        DAYS + HORIZON - days,
        first_date=FIRST,
        series=rows.select(KEY).unique(maintain_order=True),
        is_censored=share > 0,
        out_of_stock_share=share,
        price_ratio=matrix("discount"),
        is_promotion=matrix("activity_flag") > 0,
        event_names=("holiday",),
        event_days=matrix("holiday_flag")[:1] > 0,
    )


@pytest.mark.real_data
def test_errors_on_real_days_are_those_stored(real_data_dir: Path) -> None:
    rows = _rows(real_data_dir)
    panel, later, hierarchy = _panel(rows, DAYS), _panel(rows, DAYS + HORIZON), _hierarchy(rows)
    sold, groups = later.sales[:, DAYS:], hierarchy.product_groups()
    artifact = train_statistical(panel, groups, horizon=HORIZON, workers=1)
    series = forecast_series(panel, artifact, groups)
    nodes = forecast_nodes(panel, series, hierarchy, artifact)
    kept = 1.0 - usual_lost_share(panel, series.history.demand)[:, None]
    reconciled = reconcile(series.mean, nodes.mean, hierarchy) * kept
    naive = panel.sales[:, -7:][:, np.arange(HORIZON) % 7]
    base, ours, theirs = (float(np.abs(x - sold).sum() / sold.sum()) for x in (series.mean * kept, reconciled, naive))
    assert ours < STORED_WAPE + TOLERANCE
    assert base < STORED_WAPE + TOLERANCE
    assert ours < 0.85 * theirs
    assert abs(reconciled.sum() / sold.sum() - 1.0) < 0.03
    assert not series.is_fallback.any()
    demand = clean(later, artifact.effects, groups).demand[:, DAYS:]
    within = (demand[..., None] <= series.quantiles).mean(axis=(0, 1))
    # One fortnight in which all of demand moves together: coverage holds over many, and to this much over one.
    assert within == pytest.approx(QUANTILES, abs=0.08)

"""What a run would publish: forecasts with expected sales, and their sums over every pair of levels.

What belongs here: assembly in exact decimals. What does not: the commit, or any change of a number.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts import AGGREGATE_FORECASTS, FORECASTS, NODE_KEY, SERIES_STEP_KEY
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.keys import RunKey
from forecast_assets.quantities import from_units, to_units
from forecast_assets.rows import rows_per_step

_KEY: Final = list(SERIES_STEP_KEY)


def forecasts_frame(base: pl.DataFrame, reconciled: pl.DataFrame, explanations: pl.DataFrame) -> pl.DataFrame:
    """Assemble the published forecasts.

    Args:
        base: `base_forecasts`: class and model of each series.
        reconciled: `reconciled_forecasts` of the same rows.
        explanations: `forecast_explanations` of the same rows: forecast and expected sales.

    Returns:
        `forecasts` as its contract says, sorted by store, SKU and step.
    """
    described = base.select(*_KEY, "demand_class", "model_used", "is_fallback")
    numbers = explanations.select(*_KEY, "forecast_units", "expected_sales_units")
    joined = reconciled.join(described, on=_KEY, how="left", validate="1:1").join(
        numbers, on=_KEY, how="left", validate="1:1"
    )
    return FORECASTS.conform(joined.sort("store_id", "sku_id", "step"))


def aggregate_frame(key: RunKey, forecasts: pl.DataFrame, hierarchy: Hierarchy) -> pl.DataFrame:
    """Sum forecasts over every node above SKU-store, exactly.

    Args:
        key: The run.
        forecasts: `forecasts`, sorted by store, SKU and step, with every step of every series.
        hierarchy: The crossed hierarchy of the same series.

    Returns:
        `aggregate_forecasts` as its contract says, sorted by node and step.
    """
    shape = (forecasts.height // key.forecast_horizon, key.forecast_horizon)
    sums = {
        name: hierarchy.aggregate(from_units(forecasts[name]).reshape(shape))
        for name in ("forecast_units", "expected_sales_units")
    }
    nodes = hierarchy.nodes.select(*NODE_KEY, pl.col("series_count").cast(pl.Int32))
    rows = rows_per_step(key, nodes).with_columns(to_units(values.ravel(), name) for name, values in sums.items())
    return AGGREGATE_FORECASTS.conform(rows)


def telling_series(forecasts: pl.DataFrame, risks: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Choose a few series to look at: the largest, the most at risk, and the largest that sells on few days.

    Args:
        forecasts: `forecasts`.
        risks: `stockout_risks` of the same rows.

    Returns:
        Store and SKU by why they were chosen; a kind of which there is no series is left out. Of equals the first by
        store and SKU is taken.
    """
    key = ["store_id", "sku_id"]
    sizes = forecasts.group_by(*key, "demand_class").agg(units=pl.col("forecast_units").sum())
    lost = risks.group_by(key).agg(units=pl.col("expected_lost_units").sum())
    ranked = {
        "largest_series": sizes,
        "most_at_risk": lost,
        "largest_intermittent": sizes.filter(pl.col("demand_class").is_in(["intermittent", "lumpy"])),
    }
    chosen = {name: rows.filter(pl.col("units") > 0) for name, rows in ranked.items()}
    ordered = {name: rows.sort("units", *key, descending=[True, False, False]) for name, rows in chosen.items()}
    return {name: rows.select(key).row(0) for name, rows in ordered.items() if rows.height}

"""What a run would publish: forecasts with expected sales, and their sums over every pair of levels.

What belongs here: assembly in exact decimals. What does not: the commit, or any change of a number.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts import AGGREGATE_FORECASTS, FORECASTS, NODE_KEY, SERIES_STEP_KEY
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.keys import RunKey
from forecast_assets.quantities import from_units, to_units

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
    steps = pl.DataFrame({"step": pl.int_range(1, key.forecast_horizon + 1, dtype=pl.Int32, eager=True)})
    rows = nodes.join(steps, how="cross", maintain_order="left_right").with_columns(
        *(to_units(values.ravel(), name) for name, values in sums.items()), *run_columns(key)
    )
    return AGGREGATE_FORECASTS.conform(rows.with_columns(target_date=target_date()))


def run_columns(key: RunKey) -> list[pl.Expr]:
    """Return the columns that identify the run."""
    return [
        pl.lit(key.cadence).alias("cadence"),
        pl.lit(key.prediction_date, pl.Date).alias("prediction_date"),
        pl.lit(key.model_version).alias("model_version"),
        pl.lit(key.forecast_horizon, pl.Int32).alias("forecast_horizon"),
        pl.lit(key.revision, pl.Int32).alias("revision"),
    ]


def target_date() -> pl.Expr:
    """Return the day that a step forecasts: prediction date plus step."""
    return pl.col("prediction_date") + pl.duration(days=pl.col("step"))

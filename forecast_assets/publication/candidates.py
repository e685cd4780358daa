"""What a run would publish: forecasts with expected sales, and their sums over every pair of levels.

What belongs here: assembly in exact decimals. What does not: the commit, or any change of a number.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts import AGGREGATE_FORECASTS, FORECASTS, NODE_KEY, QUANTILE_COLUMNS, SERIES_STEP_KEY
from forecast_assets.core.arrays import Floats
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, from_units, publish, to_units
from forecast_assets.core.rows import are_same_rows, rows_per_step
from forecast_assets.hierarchy import Hierarchy

_KEY: Final = list(SERIES_STEP_KEY)
_ORDER: Final = ("store_id", "sku_id", "step")
QUALITY: Final = ("out_of_distribution_score", "quality_flags")
# All that is read of base forecasts here, and of explanations: quantiles and words are most of their bytes.
DESCRIBED: Final = (*SERIES_STEP_KEY, "demand_class", "model_used", "is_fallback", *QUALITY)
EXPLAINED: Final = (*SERIES_STEP_KEY, "forecast_units", "expected_sales_units")


def forecasts_frame(base: pl.DataFrame, reconciled: pl.DataFrame, explanations: pl.DataFrame) -> pl.DataFrame:
    """Assemble the published forecasts.

    Args:
        base: `DESCRIBED` of `base_forecasts`: class and model of each series.
        reconciled: `reconciled_forecasts` as `overridden`, the same rows in the same order.
        explanations: `EXPLAINED` of `forecast_explanations`, the same rows in the same order.

    Returns:
        `forecasts` as its contract says, sorted by store, SKU and step.

    Raises:
        InputError: If the three frames do not have the same rows in the same order.
    """
    # Lined up rather than joined: products are sorted alike, and comparing keys costs a tenth of two joins.
    for other in (base, explanations):
        _require_same_rows(reconciled, other)
    described = [base[name] for name in ("demand_class", "model_used", "is_fallback", *QUALITY)]
    numbers = [explanations["forecast_units"], explanations["expected_sales_units"]]
    joined = reconciled.drop("forecast_units").hstack([*described, *numbers])
    # Products are written in this order; telling so takes a fraction of sorting all columns once more.
    is_sorted = joined.select(pl.struct(_ORDER).is_sorted()).item()
    return FORECASTS.conform(joined if is_sorted else joined.sort(_ORDER))


def _require_same_rows(one: pl.DataFrame, other: pl.DataFrame) -> None:
    if are_same_rows(one, other, _KEY):
        return
    differing = one.select(_KEY).join(other, on=_KEY, how="anti")
    raise InputError(
        f"Products of {one.height} and {other.height} rows are not the same rows in the same order; first only in one: "
        f"{first_ten(differing.rows()) or 'none'}.",
        remedy="Assemble products of one run, each sorted by store, SKU and step.",
    )


def aggregate_frame(
    key: RunKey, forecasts: pl.DataFrame, hierarchy: Hierarchy, quantiles: Floats | None = None
) -> pl.DataFrame:
    """Sum forecasts over every node above SKU-store, exactly.

    Args:
        key: The run.
        forecasts: `forecasts`, sorted by store, SKU and step, with every step of every series.
        hierarchy: The crossed hierarchy of the same series.
        quantiles: [m, H, 13] units of its nodes, at the levels `contracts.QUANTILES`; None where nobody knows them.

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
    return AGGREGATE_FORECASTS.conform(rows.with_columns(_quantile_columns(quantiles)))


def _quantile_columns(quantiles: Floats | None) -> list[pl.Series | pl.Expr]:
    if quantiles is None:
        return [pl.lit(None, UNITS).alias(name) for name in QUANTILE_COLUMNS]
    return [publish(quantiles[:, :, at], name) for at, name in enumerate(QUANTILE_COLUMNS)]

"""The frame of explanations: drivers that add up to the forecast and to expected sales, exactly.

What belongs here: the arithmetic, in whole millionths of a unit. What does not: the words (wording), or any estimate.
"""

from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import COMPONENTS, FORECAST_EXPLANATIONS, SERIES_STEP_KEY
from forecast_assets.errors import InputError, first_ten
from forecast_assets.explanations.wording import WORD_INPUTS, forecast_reason, risk_reason
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.quantities import SCALE, UNITS, Millionths, from_units, to_units

# What the words tell of a series besides its numbers; a snapshot without one of them leaves its phrase out.
SERIES_FACTS: Final = ("on_hand_units", "lead_time_days", "days_out_of_stock_28d_share")


def explanation_frame(
    base: pl.DataFrame, reconciled: pl.DataFrame, risks: pl.DataFrame, features: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Account for every forecast and risk of a run.

    Args:
        base: Contract `base_forecasts`.
        reconciled: Contract `reconciled_forecasts`, the same rows in the same order.
        risks: Contract `stockout_risks`, the same rows in the same order.
        features: One row per series (`store_id, sku_id`) with any of `SERIES_FACTS`, for the words.

    Returns:
        Contract `forecast_explanations`, the same rows in the same order. Drivers add up to `forecast_units`, and
        with `stock_units` to `expected_sales_units`, exactly; unknown losses count as none.

    Raises:
        InputError: If the three frames do not have the same rows in the same order.
    """
    _require_same_rows(base, reconciled, "reconciled forecasts")
    _require_same_rows(base, risks, "stock-out risks")
    drivers = _drivers(base, reconciled, risks)
    exact = base.select(*SERIES_STEP_KEY, "target_date", *(to_units(m, name) for name, m in drivers.items()))
    words = _words(exact, risks, drivers, features)
    return FORECAST_EXPLANATIONS.conform(pl.concat([exact, words], how="horizontal"))


def _require_same_rows(base: pl.DataFrame, other: pl.DataFrame, name: str) -> None:
    key = list(SERIES_STEP_KEY)
    if base.select(key).equals(other.select(key)):
        return
    differing = base.select(key).join(other, on=key, how="anti")
    raise InputError(
        f"The base forecasts ({base.height} rows) and the {name} ({other.height} rows) are not the same rows in the "
        f"same order; only in the base forecasts: {first_ten(differing.rows()) or 'none'}.",
        remedy="Explain products of one run, each sorted by store, SKU and step.",
    )


def _drivers(base: pl.DataFrame, reconciled: pl.DataFrame, risks: pl.DataFrame) -> dict[str, Millionths]:
    forecast = from_units(reconciled["reconciled_units"])
    lost = from_units(risks["expected_lost_units"].fill_null(0).cast(UNITS))
    return {
        **{name: from_units(base[name]) for name in COMPONENTS},
        "reconciliation_units": forecast - from_units(base["base_units"]),
        "override_units": np.zeros_like(forecast),
        "forecast_units": forecast,
        "stock_units": -lost,
        "expected_sales_units": forecast - lost,
    }


def _words(
    exact: pl.DataFrame, risks: pl.DataFrame, drivers: dict[str, Millionths], features: pl.DataFrame | None
) -> pl.DataFrame:
    series = exact.select(SERIES_KEY)
    told = pl.DataFrame({name: millionths / SCALE for name, millionths in drivers.items()})
    told = told.with_columns(
        exact["target_date"],
        risks["risk_method"],
        *(risks[name].cast(pl.Float64) for name in WORD_INPUTS),
        *_series_facts(series, features).get_columns(),
    )
    return told.select(
        forecast_reason().alias("forecast_reason"), risk_reason().alias("risk_reason"), pl.lit("").alias("not_computed")
    )


def _series_facts(series: pl.DataFrame, features: pl.DataFrame | None) -> pl.DataFrame:
    found = pl.DataFrame(schema=series.schema) if features is None else features
    missing = [pl.lit(None, pl.Float64).alias(name) for name in SERIES_FACTS if name not in found.columns]
    facts = found.with_columns(missing).select(*SERIES_KEY, *(pl.col(name).cast(pl.Float64) for name in SERIES_FACTS))
    return series.join(facts, on=SERIES_KEY, how="left", maintain_order="left").select(SERIES_FACTS)

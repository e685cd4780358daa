"""The frame of explanations: drivers that add up to the forecast and to expected sales, exactly.

What belongs here: the arithmetic, in whole millionths of a unit. What does not: the words (forecast_wording,
risk_wording, not_computed), or any estimate.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts import COMPONENTS, FORECAST_EXPLANATIONS, SERIES_STEP_KEY
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.core.quantities import SCALE, Millionths, from_units, known_or_zero, to_units
from forecast_assets.core.rows import are_same_rows
from forecast_assets.explanations.explanation_context import ExplanationContext
from forecast_assets.explanations.forecast_wording import forecast_reason, worth_saying
from forecast_assets.explanations.not_computed import not_computed
from forecast_assets.explanations.phrases import capitalised, sells_many
from forecast_assets.explanations.risk_wording import RISK_NUMBERS, risk_reason

# All that is read here of each product: quantiles and parts of probabilities are most of their bytes.
OF_BASE: Final = (*SERIES_STEP_KEY, "target_date", "demand_class", "model_used", "base_units", *COMPONENTS)
OF_RECONCILED: Final = (*SERIES_STEP_KEY, "reconciled_units")
OF_RISKS: Final = (*SERIES_STEP_KEY, "risk_method", "expected_lost_units", *RISK_NUMBERS)
_DESCRIBED: Final = ("store_id", "sku_id", "step", "target_date", "demand_class", "model_version", "model_used")
# So few are written sooner than they are shared out.
_FEW_ROWS: Final = 5_000


def explanation_frame(
    base: pl.DataFrame,
    forecasts: pl.DataFrame,
    risks: pl.DataFrame,
    context: ExplanationContext | None = None,
) -> pl.DataFrame:
    """Account for every forecast and risk of a run.

    Args:
        base: `OF_BASE` of `base_forecasts`.
        forecasts: `OF_RECONCILED` of `reconciled_forecasts` as `overridden`, the same rows in the same order.
        risks: `OF_RISKS` of `stockout_risks`, the same rows in the same order.
        context: What the words tell besides the numbers; what is left out is not spoken of.

    Returns:
        Contract `forecast_explanations`, the same rows in the same order. Drivers add up to `forecast_units`, and
        with `stock_units` to `expected_sales_units`, exactly; unknown losses count as none.

    Raises:
        InputError: If the three frames do not have the same rows in the same order.
    """
    _require_same_rows(base, forecasts, "reconciled forecasts")
    _require_same_rows(base, risks, "stock-out risks")
    drivers = _drivers(base, forecasts, risks)
    words = _words(base, risks, drivers, context or ExplanationContext())
    rows = [base[name] for name in (*SERIES_STEP_KEY, "target_date")]
    exact = [to_units(millionths, name) for name, millionths in drivers.items()]
    return FORECAST_EXPLANATIONS.conform(pl.DataFrame([*rows, *exact, *words.get_columns()]))


def _require_same_rows(base: pl.DataFrame, other: pl.DataFrame, name: str) -> None:
    key = list(SERIES_STEP_KEY)
    if are_same_rows(base, other, key):
        return
    differing = base.select(key).join(other, on=key, how="anti")
    raise InputError(
        f"The base forecasts ({base.height} rows) and the {name} ({other.height} rows) are not the same rows in the "
        f"same order; only in the base forecasts: {first_ten(differing.rows()) or 'none'}.",
        remedy="Explain products of one run, each sorted by store, SKU and step.",
    )


def _drivers(base: pl.DataFrame, forecasts: pl.DataFrame, risks: pl.DataFrame) -> dict[str, Millionths]:
    model, forecast = (from_units(forecasts[name]) for name in ("reconciled_units", "forecast_units"))
    lost = from_units(known_or_zero(risks["expected_lost_units"]))
    return {
        **{name: from_units(base[name]) for name in COMPONENTS},
        "reconciliation_units": model - from_units(base["base_units"]),
        "override_units": forecast - model,
        "forecast_units": forecast,
        "stock_units": -lost,
        "expected_sales_units": forecast - lost,
    }


def _words(
    base: pl.DataFrame, risks: pl.DataFrame, drivers: dict[str, Millionths], context: ExplanationContext
) -> pl.DataFrame:
    facts = context.row_facts(base[list(_DESCRIBED)])
    units = {name: millionths / SCALE for name, millionths in drivers.items()}
    said = worth_saying(units)
    told = pl.DataFrame(
        [
            *(pl.Series(name, values) for name, values in units.items()),
            *said.values(),
            sells_many(units["level_units"]),
            base["target_date"],
            risks["risk_method"],
            *(risks[name].cast(pl.Float64) for name in RISK_NUMBERS),
            *facts.get_columns(),
        ]
    )
    classes, methods = (frozenset(found.unique()) for found in (base["demand_class"], risks["risk_method"]))
    words = (
        told.lazy()
        .select(
            forecast_reason(frozenset(said), classes).alias("forecast_reason"),
            risk_reason(methods).alias("risk_reason"),
            not_computed(context.feeds, context.longest_history_days, methods).alias("not_computed"),
        )
        # A step of its own: capitalising reads its text twice, and Polars would make the whole sentence twice for it.
        .with_columns(capitalised(pl.col("forecast_reason")))
    )
    if told.height <= _FEW_ROWS:
        return words.collect(engine="in-memory")
    # By the streaming engine, which takes rows in portions that fit the processor's cache and shares them out over its
    # cores.
    return words.collect(engine="streaming")

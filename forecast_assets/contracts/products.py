"""Products: what runs make, and what is published of them.

What belongs here: the contract of each product. What does not: how it is computed or stored.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import polars as pl

from forecast_assets.contracts.columns import (
    DEMAND_CLASSES,
    NODE_STEP_KEY,
    QUANTILE_COLUMNS,
    QUANTILES,
    RISK_BANDS,
    RISK_METHODS,
    SERIES_STEP_KEY,
    quality_columns,
    quantile_columns,
    run_columns,
    series_columns,
    step_columns,
    sum_quantile_columns,
    units_column,
)
from forecast_assets.contracts.reports import AT_MOST_COLUMNS, FORECAST_ACCURACY
from forecast_assets.contracts.schema import Column, Contract

# The last takes up what rounding the others to millionths leaves over, so that they add up exactly.
COMPONENTS: Final = (
    "level_units", "trend_units", "weekday_units", "payday_units", "time_of_month_units", "season_units", "price_units",
    "promotion_units", "event_units", "covariates_units", "relatives_units", "availability_units", "rounding_units",
)  # fmt: skip

BASE_FORECASTS = Contract(
    name="base_forecasts",
    grain="one SKU, one store, one step of a run",
    description="Demand forecast of each series by itself, with its components.",
    columns=(
        *series_columns(),
        *step_columns(),
        Column("demand_class", pl.String, "how the series behaves", one_of=DEMAND_CLASSES),
        Column("model_used", pl.String, "the model that made the mean"),
        Column("is_fallback", pl.Boolean, "whether another model stands in for the chosen one, which failed"),
        units_column("base_units", "expected demand before reconciliation"),
        units_column("level_units", "the series' recent level, cleaned of all else", signed=True),
        units_column("trend_units", "drift of the level up to this step", signed=True),
        units_column("weekday_units", "effect of the day of the week", signed=True),
        units_column("payday_units", "effect of paydays and other recurring events", signed=True),
        units_column("time_of_month_units", "effect of the time of month", signed=True),
        units_column("season_units", "effect of the time of year", signed=True),
        units_column("price_units", "effect of the planned price against list price", signed=True),
        units_column("promotion_units", "effect of a planned promotion", signed=True),
        units_column("event_units", "effect of a calendar event", signed=True),
        units_column("covariates_units", "effect of covariates, such as the weather", signed=True),
        units_column(
            "relatives_units", "what the product elsewhere, and its store and category, sold lately", signed=True
        ),
        units_column("availability_units", "effect of recent days without stock", signed=True),
        units_column("rounding_units", "what rounding the other components to millionths leaves over", signed=True),
        *quantile_columns(),
        Column(
            "lost_share",
            pl.Float64,
            "share of demand expected to meet an empty shelf; null where the family does not forecast it",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
        *quality_columns(),
    ),
    key=SERIES_STEP_KEY,
    promises=(
        "The components add up to base_units, exactly.",
        "Quantiles rise with their probability.",
        "Where a chosen model failed, is_fallback is true and model_used names its substitute.",
    ),
)

BASE_NODE_FORECASTS = Contract(
    name="base_node_forecasts",
    grain="one node above SKU-store, one step of a run",
    description="Demand forecast of upper nodes by themselves; what reconciliation borrows strength from.",
    columns=(
        *run_columns(),
        Column("product_level", pl.String, "`total`, a level of the product hierarchy, or `sku`"),
        Column("product_node", pl.String, "node of that level"),
        Column("store_level", pl.String, "`total`, a level of the store hierarchy, or `store`"),
        Column("store_node", pl.String, "node of that level"),
        *step_columns(),
        Column("model_used", pl.String, "the model that made the mean"),
        Column("is_fallback", pl.Boolean, "whether another model stands in for the chosen one, which failed"),
        units_column("base_units", "expected demand before reconciliation"),
        Column(
            "variance_ratio",
            pl.Float64,
            "variance of the errors of such forecasts over that of the sums of their series', as past cutoffs showed; "
            "reconciliation listens to a node the more the smaller it is; null where nobody measured it, for 1",
            nullable=True,
            at_least=0,
        ),
    ),
    key=NODE_STEP_KEY,
)

RECONCILED_FORECASTS = Contract(
    name="reconciled_forecasts",
    grain="one SKU, one store, one step of a run",
    description="Demand forecasts that add up over the crossed product and store hierarchies.",
    columns=(
        *series_columns(),
        *step_columns(),
        units_column("base_units", "expected demand before reconciliation"),
        units_column("reconciled_units", "expected demand after reconciliation"),
        *quantile_columns(),
    ),
    key=SERIES_STEP_KEY,
    promises=("Every aggregate is the sum of these rows, exactly.", "No value is negative."),
    limits=("Quantiles follow the mean: they are scaled by reconciled over base.",),
)

FORECAST_OVERRIDES = Contract(
    name="forecast_overrides",
    grain="one SKU, one store, one step of a run, one override or rule that is about it",
    description="What planners and rules made of the model's forecasts: each application by itself, in its order.",
    columns=(
        *series_columns(),
        *step_columns(),
        Column("application", pl.Int32, "place among those of the row, in the order in which they act", at_least=1),
        Column("override_id", pl.String, "which override of `audit.planner_overrides`; or what rule of the policy"),
        Column("is_rule", pl.Boolean, "whether a rule of the policy did it, and no planner"),
        Column("scope", pl.String, "node that it is made for, in words"),
        Column("form", pl.String, "`units`, `percent`, `add`, `floor`, `cap` or `zero`"),
        Column("value", pl.String, "units a day of the node, or percent; empty of `zero`", may_be_empty=True),
        units_column("model_units", "the untouched forecast: `reconciled_units` of the row"),
        units_column("before_units", "forecast before this application"),
        units_column("after_units", "forecast after it"),
        Column(
            "superseded_by",
            pl.String,
            "the override that had moved the row already, so that this one did not; empty where it acted",
            may_be_empty=True,
        ),
        Column("by", pl.String, "who said so; `policy` of rules"),
        Column("reason", pl.String, "code of the reason, or name of the rule"),
        Column("note", pl.String, "free words; empty if none", may_be_empty=True),
    ),
    key=(*SERIES_STEP_KEY, "application"),
    promises=(
        "Applications of a row go on from one another: from model_units to the published forecast_units.",
        "Units of a node are shared out over its rows in proportion to their forecasts, exactly.",
    ),
    limits=("Rows that nobody has overridden are not here.",),
    may_have_no_rows=True,
)

STOCKOUT_RISKS = Contract(
    name="stockout_risks",
    grain="one SKU, one store, one step of a run",
    description="How likely demand goes unmet on each day, and what it would cost in units.",
    columns=(
        *series_columns(),
        *step_columns(),
        units_column(
            "stockout_probability",
            "probability of any unmet demand that day (inventory_position), or of any out-of-stock trading hour "
            "(stock_status); null where supply is unknown",
            nullable=True,
        ),
        units_column("expected_lost_units", "expected unmet demand that day", nullable=True),
        units_column(
            "days_of_cover",
            "days the stock on hand lasts at the expected demand; null without positions or when "
            "it outlasts the horizon",
            nullable=True,
        ),
        Column("risk_band", pl.String, "band of the probability by the version's thresholds", one_of=RISK_BANDS),
        Column("risk_method", pl.String, "what the probability rests on", one_of=RISK_METHODS),
        units_column(
            "demand_probability",
            "probability of unmet demand with no stock at all",
            nullable=True,
            signed=True,
        ),
        units_column("on_hand_probability", "what the stock on hand takes away", nullable=True, signed=True),
        units_column("on_order_probability", "what orders on the way take away", nullable=True, signed=True),
        units_column(
            "replenishment_probability",
            "what the declared policy's further orders take away",
            nullable=True,
            signed=True,
        ),
        units_column(
            "usual_probability",
            "stock_status: the usual rate of this kind of series",
            nullable=True,
            signed=True,
        ),
        units_column(
            "series_probability",
            "stock_status: what this series' own record adds",
            nullable=True,
            signed=True,
        ),
    ),
    key=SERIES_STEP_KEY,
    promises=(
        "Probabilities lie in [0, 1]; lost units never exceed the forecast.",
        "The probability's parts add up to it, exactly.",
    ),
    limits=(
        "Without a declared policy no further orders are assumed, and the risk is unknown after lead time plus review.",
    ),
)

FORECAST_EXPLANATIONS = Contract(
    name="forecast_explanations",
    grain="one SKU, one store, one step of a run",
    description="Why each number is what it is: drivers that add up to the published number, and the same in words.",
    columns=(
        *series_columns(),
        *step_columns(),
        *(units_column(name, f"driver: {name.removesuffix('_units')}", signed=True) for name in COMPONENTS),
        units_column("reconciliation_units", "driver: adding up with the other levels", signed=True),
        units_column("override_units", "driver: rule or planner override", signed=True),
        units_column("forecast_units", "the published demand forecast"),
        units_column("stock_units", "driver: expected lost sales for want of stock", signed=True),
        units_column("expected_sales_units", "the published expected sales"),
        Column("forecast_reason", pl.String, "the largest drivers of the forecast, in words"),
        Column("risk_reason", pl.String, "the largest drivers of the stock-out risk, in words"),
        Column(
            "not_computed",
            pl.String,
            "what could not be computed for want of a feed, in words; empty if nothing",
            may_be_empty=True,
        ),
    ),
    key=SERIES_STEP_KEY,
    promises=(
        "The components, reconciliation and override add up to forecast_units, exactly.",
        "forecast_units + stock_units = expected_sales_units, exactly.",
    ),
)

FORECASTS = Contract(
    name="forecasts",
    grain="one SKU, one store, one step of a run",
    description="The published forecast: expected demand, expected sales, and the quantiles of demand.",
    columns=(
        *series_columns(),
        *step_columns(),
        Column("demand_class", pl.String, "how the series behaves", one_of=DEMAND_CLASSES),
        Column("model_used", pl.String, "the model that made the mean"),
        Column("is_fallback", pl.Boolean, "whether another model stands in for the chosen one, which failed"),
        units_column("base_units", "expected demand before reconciliation"),
        units_column("reconciled_units", "expected demand after reconciliation"),
        units_column("forecast_units", "expected demand, published: what would sell if stock never ran out"),
        units_column("expected_sales_units", "expected observed sales, stock-outs included"),
        *quantile_columns(),
        *quality_columns(),
    ),
    key=SERIES_STEP_KEY,
    promises=("Sums over any level equal aggregate_forecasts, exactly.", "No value is negative."),
    limits=(
        "Quantiles are of one day's demand; they do not add up over days.",
        "Where the stock-out risk is unknown, no loss is assumed: expected_sales_units equals forecast_units.",
    ),
)

AGGREGATE_FORECASTS = Contract(
    name="aggregate_forecasts",
    grain="one node above SKU-store, one step of a run",
    description="Published forecasts summed over every pair of product and store levels.",
    columns=(
        *run_columns(),
        Column("product_level", pl.String, "`total`, a level of the product hierarchy, or `sku`"),
        Column("product_node", pl.String, "node of that level"),
        Column("store_level", pl.String, "`total`, a level of the store hierarchy, or `store`"),
        Column("store_node", pl.String, "node of that level"),
        *step_columns(),
        Column("series_count", pl.Int32, "SKU-store series below the node", at_least=1),
        units_column("forecast_units", "expected demand"),
        units_column("expected_sales_units", "expected observed sales"),
        *sum_quantile_columns(),
    ),
    key=NODE_STEP_KEY,
    promises=("Each mean is the exact sum of the forecasts below it.", "Quantiles rise with their probability."),
    limits=(
        "Quantiles are of demand on one day, by 500 joint sample paths; they add up neither over nodes nor over days.",
        "External versions, and those trained before sample paths, have no quantiles here.",
        "Series whose stock-out risk is unknown enter expected_sales_units with their demand.",
    ),
)

# Numbers of first days whose demand is added up; the horizon is always one more.
FIRST_DAYS: Final = (7, 14, 28)
PERIODS: Final = ("lead_time", "lead_time_and_review", *(f"first_{days}_days" for days in FIRST_DAYS), "horizon")
COVERED_PERCENT: Final = (90, 95, 98, 99)
COVERING_COLUMNS: Final = tuple(f"covering_{percent}_units" for percent in COVERED_PERCENT)

CUMULATIVE_FORECASTS = Contract(
    name="cumulative_forecasts",
    grain="one SKU, one store, one period of a run that begins on its first day",
    description="Demand of each series over its lead time and over the first days, all together.",
    columns=(
        *series_columns(),
        Column(
            "period",
            pl.String,
            "`lead_time`, from order to arrival; `lead_time_and_review`, until what the next review orders arrives; "
            "`first_7_days`, ...; `horizon`, all days of the run",
            one_of=PERIODS,
        ),
        units_column("period_days", "days of the period, not units; of a random lead time their mean"),
        units_column("forecast_units", "expected demand"),
        *sum_quantile_columns(),
        *(
            units_column(
                name,
                f"the fewest units that cover demand in {percent}% of sample paths, whole where the series sells by "
                "the piece; null for versions without them",
                nullable=True,
            )
            for percent, name in zip(COVERED_PERCENT, COVERING_COLUMNS, strict=True)
        ),
    ),
    key=(*SERIES_STEP_KEY[:-1], "period"),
    promises=(
        "forecast_units is the exact sum of the forecasts, except over a lead time that varies.",
        "Quantiles rise with their probability.",
    ),
    limits=(
        "A period that may last beyond the horizon is not there.",
        "Lead times are those of inventory positions at the prediction date; without one there is none.",
        "Without a declared review period it is one day.",
        "Lead times are normal, rounded to whole days, at least 1, and know nothing of demand.",
        "What covers demand says nothing of stock on hand or on its way: it is no order.",
        "External versions, and those trained before sample paths, have no quantiles here.",
    ),
)

EXTERNAL_FORECASTS = Contract(
    name="external_forecasts",
    grain="one SKU, one store, one step of a run",
    description="External forecasts, as their file says them; what a run of an external version is made from.",
    columns=(
        *series_columns(),
        *step_columns(),
        units_column("forecast_units", "expected demand"),
        *(
            units_column(
                name,
                f"demand is at most this with probability {level}; null where the file has no such column",
                nullable=True,
            )
            for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
        ),
        Column("is_missing", pl.Boolean, "whether the file lacks the series, so that zero stands in for it"),
    ),
    key=SERIES_STEP_KEY,
    promises=(
        "The manifest names the file and its SHA-256.",
        "Every series of the snapshot has every step; what the file lacks is zero and says so.",
        "Quantiles rise with their probability.",
    ),
    limits=("What the external model knew when it made them cannot be seen from here.",),
)  # fmt: skip

PRODUCTS: Final = {
    contract.name: contract
    for contract in (
        BASE_FORECASTS,
        BASE_NODE_FORECASTS,
        RECONCILED_FORECASTS,
        FORECAST_OVERRIDES,
        STOCKOUT_RISKS,
        FORECAST_EXPLANATIONS,
        FORECASTS,
        AGGREGATE_FORECASTS,
        CUMULATIVE_FORECASTS,
    )
}
# Runs of earlier releases may lack the last two.
PUBLISHED: Final = (
    "forecasts", "aggregate_forecasts", "stockout_risks", "forecast_explanations", "cumulative_forecasts",
    "forecast_overrides",
)  # fmt: skip

# Products whose columns have grown: by the fingerprint of their contract then, the columns that it lacked and what
# readers see in their place. The first of each product is what releases wrote that did not name a fingerprint.
_EARLIER: Final[Mapping[str, Mapping[str, Mapping[str, int | None]]]] = {
    FORECAST_ACCURACY.name: {
        "b5733f7f8985430e4fd15db5cb4651d619fff904568ce7a048d09b1c8545840e": dict.fromkeys(
            (*AT_MOST_COLUMNS, "crps_units")
        ),
    },
    BASE_FORECASTS.name: {
        "58e6403e05b62740e4f13196e6fee0f390d3c07ff73eb83547b45507c4552676": {
            "payday_units": 0, "time_of_month_units": 0, "covariates_units": 0,
        },
    },
    BASE_NODE_FORECASTS.name: {
        "3fa1b665d553e2f683dcdc5048d03cdb7f4656aa84c4c80a90ec50a81a2a50e3": {"variance_ratio": None},
    },
    FORECASTS.name: {
        "381a80291b6029cc558f97203f0769529038a7bb9546b499ef6bcc89fd7ecbf9": {
            "out_of_distribution_score": None, "quality_flags": None,
        },
    },
    AGGREGATE_FORECASTS.name: {
        "60fd80ce4523621d87c441880e565d3e6a14ceafa18e3e97cad8494e63b18bea": dict.fromkeys(QUANTILE_COLUMNS),
    },
    FORECAST_EXPLANATIONS.name: {
        # The models of then had no such drivers, so that what they add is nothing, not unknown.
        "337115f70bf8e9970883a41c4e8d09273640590aa123f487ca7fb810bf60abea": {
            "payday_units": 0, "time_of_month_units": 0, "covariates_units": 0,
            "relatives_units": 0, "availability_units": 0,
        },
        "06ae81e2d58839a8df039b4c463335bc3fd256a81b8b4d8ce3dff15f8d199b19": {
            "payday_units": 0, "time_of_month_units": 0, "covariates_units": 0,
        },
    },
}  # fmt: skip


def earlier_fingerprints(product: str) -> tuple[str, ...]:
    """Return the fingerprints of a product's contract in earlier releases, oldest first.

    Example:
        >>> len(earlier_fingerprints("stockout_risks"))
        0
    """
    return tuple(_EARLIER.get(product, {}))


def absent_columns(product: str, fingerprint: str | None) -> Mapping[str, int | None]:
    """Return the columns that files of an earlier release lack, with the value to show in their place.

    Args:
        product: A product of a run, or `forecast_accuracy`.
        fingerprint: Of the contract that the files keep; None where a release recorded none. One that is not known is
            of a later release, which lacks nothing.

    Example:
        >>> absent_columns("forecasts", None)
        {'out_of_distribution_score': None, 'quality_flags': None}
        >>> absent_columns("forecasts", FORECASTS.fingerprint)
        {}
    """
    earlier = _EARLIER.get(product, {})
    return next(iter(earlier.values()), {}) if fingerprint is None else earlier.get(fingerprint, {})


def contract_then(product: str, fingerprint: str | None) -> Contract:
    """Return the contract that files of an earlier release keep; today's for any other fingerprint.

    Args:
        product: A product of a run.
        fingerprint: As for ``absent_columns``.

    Example:
        >>> contract_then("forecasts", FORECASTS.fingerprint) == FORECASTS
        True
        >>> "quality_flags" in contract_then("forecasts", None).names
        False
    """
    contract, absent = PRODUCTS[product], absent_columns(product, fingerprint)
    return replace(contract, columns=tuple(column for column in contract.columns if column.name not in absent))

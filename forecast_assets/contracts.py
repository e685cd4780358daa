"""One schema of record per frame: columns, types, units, bounds, keys, and what is promised and not promised.

What belongs here: what a frame must be. What does not: how it is made, where it is stored, who reads it.

From a contract follow the Pandera schema that every frame passes before it is written, the fingerprint in the
manifest, the columns that the Dagster UI shows and the tables in the documentation.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from forecast_assets.errors import FIRST, ContractError
from forecast_assets.numbering import has_repeated_keys
from forecast_assets.quantities import UNITS

QUANTILES: Final = (0.005, 0.025, 0.05, 0.1, 0.165, 0.25, 0.5, 0.75, 0.835, 0.9, 0.95, 0.975, 0.995)
QUANTILE_COLUMNS: Final = tuple(f"q{round(level * 1000):03d}_units" for level in QUANTILES)

TIMESTAMP: Final = pl.Datetime("us", "UTC")
SQUARED_UNITS: Final = pl.Decimal(38, 6)


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means with its unit, and the bounds that every value keeps.

    Text is never empty unless `may_be_empty` says so.
    """

    name: str
    dtype: Any
    description: str
    nullable: bool = False
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] | None = None
    may_be_empty: bool = False


@dataclass(frozen=True)
class Contract:
    """What a frame promises.

    Attributes:
        name: The product or feed.
        grain: What one row is.
        description: What it is for.
        columns: In order.
        key: Columns that identify a row.
        promises: Sentences that are true of every stored frame.
        limits: What it does not say.
    """

    name: str
    grain: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    promises: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """Column names to Polars types, in order."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over names, types, bounds and key: it changes when the meaning of a stored file could."""
        facts = [
            [c.name, str(c.dtype), c.nullable, c.at_least, c.at_most, c.one_of, c.name in self.key]
            for c in self.columns
        ]
        return hashlib.sha256(json.dumps([self.name, facts]).encode()).hexdigest()

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the contract's columns in order; extra columns go, missing ones are the contract's failure."""
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise ContractError(
                self.name,
                [f"lacks the columns {missing}; found {frame.columns}"],
                remedy=f"Add them: `{self.name}` needs {self.names}.",
            )
        return frame.select(self.names)

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return ``frame`` if it keeps the contract.

        Args:
            frame: Any number of rows; columns and their order exactly as in the contract.

        Raises:
            ContractError: Naming each broken promise with its first failing rows. An empty frame also breaks it.
        """
        from pandera.errors import SchemaErrors

        if frame.is_empty():
            raise ContractError(self.name, ["it has no rows"], remedy="Check the source and the date range.")
        try:
            self.pandera().validate(frame, lazy=True)
        except SchemaErrors as error:
            raise ContractError(self.name, _describe(error, frame)) from error
        self._require_unique_keys(frame)
        return frame

    def pandera(self) -> Any:
        """Build the Pandera schema; exact columns, types and bounds, nothing coerced."""
        import pandera.polars as pa

        return pa.DataFrameSchema(
            {column.name: _pandera_column(column) for column in self.columns},
            strict=True,
            ordered=True,
            coerce=False,
            name=self.name,
        )

    def _require_unique_keys(self, frame: pl.DataFrame) -> None:
        # Pandera's own uniqueness check is many times slower than this on millions of rows.
        keys = list(self.key)
        if not has_repeated_keys(frame, keys):
            return
        duplicated = frame.group_by(keys).len().filter(pl.col("len") > 1).sort(keys)
        rows = [
            f"{dict(zip(keys, row[:-1], strict=True))} x{row[-1]}"
            for row in duplicated.head(FIRST).select(pl.all().cast(pl.String)).iter_rows()
        ]
        raise ContractError(self.name, [f"{duplicated.height} duplicate keys {keys}: {', '.join(rows)}"])


def _pandera_column(column: Column) -> Any:
    import pandera.polars as pa

    checks = []
    if column.at_least is not None:
        checks.append(pa.Check.ge(column.at_least))
    if column.at_most is not None:
        checks.append(pa.Check.le(column.at_most))
    if column.one_of is not None:
        checks.append(pa.Check.isin(column.one_of))
    if column.dtype in (pl.Float64, pl.Float32):
        checks.append(pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_finite()), name="is_finite"))
    return pa.Column(column.dtype, checks=checks, nullable=column.nullable)


def _describe(error: Any, frame: pl.DataFrame) -> list[str]:
    lines = []
    for failure in error.schema_errors:
        column = getattr(failure.schema, "name", None)
        check = getattr(failure.check, "error", None) or getattr(failure.check, "name", None) or str(failure.check)
        values = _failing_values(failure, column, frame)
        lines.append(f"column `{column}` fails {check}{values}" if column in frame.columns else str(failure))
    return lines


def _failing_values(failure: Any, column: str | None, frame: pl.DataFrame) -> str:
    output = getattr(failure, "check_output", None)
    if column not in frame.columns or not isinstance(output, pl.DataFrame) or output.height != frame.height:
        return f" (type {frame.schema[column]})" if column in frame.columns else ""
    failing = frame.filter(~output.to_series(-1).fill_null(value=False))
    shown = [str(row) for row in failing.head(3).select(pl.all().cast(pl.String)).rows(named=True)]
    return f" in {failing.height} rows, first: {'; '.join(shown)}"


def _sku() -> Column:
    return Column("sku_id", pl.String, "stock-keeping unit, as in the source")


def _store() -> Column:
    return Column("store_id", pl.String, "store or fulfilment node, as in the source")


def _known_at() -> Column:
    return Column("known_at", TIMESTAMP, "when this became known; a later row for the same key is a restatement")


def _event_date(meaning: str) -> Column:
    return Column("event_date", pl.Date, meaning)


# Beyond this a quantity of one SKU, store and day is an error of the source; sums of many still fit DECIMAL(18, 6).
LARGEST_UNITS: Final = 1e9

# --- Feeds: what sources say ---------------------------------------------------------------------------------------

SALES = Contract(
    name="sales",
    grain="one SKU, one store, one day, as known at one moment",
    description="Units sold per day. Days without a sale are rows with zero, so that a missing row is a gap.",
    columns=(
        _sku(),
        _store(),
        _event_date("day of the sales"),
        _known_at(),
        Column("sales_units", pl.Float64, "units sold that day", at_least=0, at_most=LARGEST_UNITS),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
    promises=("Each series has a row for every day between its first and its last.",),
    limits=("Sales are not demand: on days without stock they are a lower bound of it.",),
)

STOCK_STATUS = Contract(
    name="stock_status",
    grain="one SKU, one store, one day, as known at one moment",
    description="Hours out of stock within trading hours, for sources that do not know quantities on hand.",
    columns=(
        _sku(),
        _store(),
        _event_date("day of the status"),
        _known_at(),
        Column("out_of_stock_hours", pl.Float64, "trading hours without stock", at_least=0, at_most=24),
        Column("trading_hours", pl.Float64, "trading hours of the day", at_least=1, at_most=24),
        Column(
            "out_of_stock_demand_share",
            pl.Float64,
            "share of a usual day's sales that falls into the hours without stock; null where no hours of sales are "
            "known",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
)

INVENTORY_POSITIONS = Contract(
    name="inventory_positions",
    grain="one SKU, one store, one day (at its end), as known at one moment",
    description="Stock on hand and the declared replenishment terms.",
    columns=(
        _sku(),
        _store(),
        _event_date("day at whose end the position was taken"),
        _known_at(),
        Column("on_hand_units", pl.Float64, "units on hand at the end of the day", at_least=0, at_most=LARGEST_UNITS),
        Column("lead_time_days", pl.Float64, "mean days from order to arrival", at_least=0),
        Column("lead_time_deviation_days", pl.Float64, "standard deviation of the lead time", at_least=0),
        Column("review_period_days", pl.Int32, "days between replenishment reviews", nullable=True, at_least=1),
        Column(
            "reorder_point_units",
            pl.Float64,
            "s of the (s, S) policy: order when on hand plus on order is at or below; null without a policy",
            nullable=True,
            at_least=0,
            at_most=LARGEST_UNITS,
        ),
        Column(
            "order_up_to_units",
            pl.Float64,
            "S of the (s, S) policy",
            nullable=True,
            at_least=0,
            at_most=LARGEST_UNITS,
        ),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
)

# An order that has not come for so long will not; a run reads no further back, so that its cost stays bounded.
OPEN_ORDER_DAYS: Final = 364

PURCHASE_ORDERS = Contract(
    name="purchase_orders",
    grain="one order, as known at one moment",
    description="Replenishment orders; the receipt is a later row of the same order with `received_date`.",
    columns=(
        Column("order_id", pl.String, "order, as in the source"),
        _sku(),
        _store(),
        _event_date("day at whose end the order was placed"),
        _known_at(),
        Column("ordered_units", pl.Float64, "units ordered", at_least=0, at_most=LARGEST_UNITS),
        Column(
            "received_date",
            pl.Date,
            "day whose opening stock includes the order; null while open",
            nullable=True,
        ),
    ),
    key=("order_id", "known_at"),
    limits=(f"An order that is older than {OPEN_ORDER_DAYS} days is not read: it counts as lost, not as on its way.",),
)

PRICES = Contract(
    name="prices",
    grain="one SKU, one store, one day, as known at one moment",
    description="Prices and promotions: the past, and the plan ahead (rows known before their day).",
    columns=(
        _sku(),
        _store(),
        _event_date("day of the price"),
        _known_at(),
        Column(
            "unit_price",
            pl.Float64,
            "price per unit; null where the source has ratios only",
            nullable=True,
            at_least=0,
        ),
        Column("price_ratio", pl.Float64, "price over list price (1 = list price)", at_least=0, at_most=10),
        Column("is_promotion", pl.Boolean, "whether a promotion is on"),
    ),
    key=("sku_id", "store_id", "event_date", "known_at"),
)

# What limits an event to no store in particular.
ALL_STORES: Final = "all"

EVENTS = Contract(
    name="events",
    grain="one named event on one day, for all stores or some",
    description="Calendar events: holidays, festivals, sports, paydays.",
    columns=(
        Column("event_name", pl.String, "name of the event"),
        Column("store_node", pl.String, "`all`, or the store or the node of a store level that it is limited to"),
        _event_date("day of the event"),
        _known_at(),
    ),
    key=("event_name", "store_node", "event_date", "known_at"),
)

PRODUCT_HIERARCHY = Contract(
    name="product_hierarchy",
    grain="one SKU and one level above it",
    description="Which node of each product level a SKU belongs to; level 1 is the widest below the total.",
    columns=(
        _sku(),
        _event_date("day from which the membership holds"),
        _known_at(),
        Column("depth", pl.Int32, "1 for the widest level, rising towards the SKU", at_least=1),
        Column("level_name", pl.String, "name of the level, for example `category`"),
        Column("node_id", pl.String, "node of that level"),
    ),
    key=("sku_id", "depth", "event_date", "known_at"),
)

STORE_HIERARCHY = Contract(
    name="store_hierarchy",
    grain="one store and one level above it",
    description="Which node of each store level a store belongs to; level 1 is the widest below the total.",
    columns=(
        _store(),
        _event_date("day from which the membership holds"),
        _known_at(),
        Column("depth", pl.Int32, "1 for the widest level, rising towards the store", at_least=1),
        Column("level_name", pl.String, "name of the level, for example `region`"),
        Column("node_id", pl.String, "node of that level"),
    ),
    key=("store_id", "depth", "event_date", "known_at"),
)

FEEDS: Final = {
    contract.name: contract
    for contract in (
        SALES,
        STOCK_STATUS,
        INVENTORY_POSITIONS,
        PURCHASE_ORDERS,
        PRICES,
        EVENTS,
        PRODUCT_HIERARCHY,
        STORE_HIERARCHY,
    )
}

# --- Products: what the runs make ----------------------------------------------------------------------------------

DEMAND_CLASSES: Final = ("smooth", "erratic", "intermittent", "lumpy", "seasonal", "new", "dead", "ended")
RISK_BANDS: Final = ("low", "moderate", "high", "critical", "unknown")
RISK_METHODS: Final = ("inventory_position", "stock_status", "none")


def _run_columns() -> tuple[Column, ...]:
    return (
        Column("cadence", pl.String, "rhythm of the run", one_of=("daily", "weekly")),
        Column("prediction_date", pl.Date, "last observed day; step 1 is the next"),
        Column("model_version", pl.String, "the model version that the reader names"),
        Column("forecast_horizon", pl.Int32, "horizon of the run in days", at_least=1),
        Column("revision", pl.Int32, "0, or the number of the correction", at_least=0),
    )


def _series_columns() -> tuple[Column, ...]:
    return (*_run_columns(), _sku(), _store())


def _step_columns() -> tuple[Column, ...]:
    return (
        Column("step", pl.Int32, "days after the prediction date, from 1", at_least=1),
        Column("target_date", pl.Date, "prediction_date + step"),
    )


def _units(name: str, description: str, *, nullable: bool = False, signed: bool = False) -> Column:
    return Column(name, UNITS, description, nullable=nullable, at_least=None if signed else 0)


def _quantile_columns() -> tuple[Column, ...]:
    return tuple(
        _units(name, f"demand is at most this with probability {level}")
        for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
    )


# What may be said of a forecast beside its number; several are joined with `;` in this order.
QUALITY_FLAGS: Final = (
    "fallback", "out_of_distribution", "new_series", "short_history", "mostly_out_of_stock", "no_plan",
)  # fmt: skip


def _quality_columns() -> tuple[Column, ...]:
    return (
        Column(
            "out_of_distribution_score",
            pl.Float64,
            "how unlike the days that the version was trained on its inputs are, 0 to 1: the share of training rows "
            "that were less unusual; null where the version was registered before this was recorded",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
        Column(
            "quality_flags",
            pl.String,
            f"why to look twice, joined with `;`; empty if nothing: {', '.join(f'`{flag}`' for flag in QUALITY_FLAGS)}"
            "; null in runs that were published before this was recorded",
            may_be_empty=True,
        ),
    )


SERIES_STEP_KEY: Final = (
    "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", "store_id", "sku_id", "step",
)  # fmt: skip
NODE_KEY: Final = ("product_level", "product_node", "store_level", "store_node")
NODE_STEP_KEY: Final = (
    "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", *NODE_KEY, "step",
)  # fmt: skip

# The last takes up what rounding the others to millionths leaves over, so that they add up exactly.
COMPONENTS: Final = (
    "level_units", "trend_units", "weekday_units", "season_units", "price_units", "promotion_units", "event_units",
    "relatives_units", "availability_units", "rounding_units",
)  # fmt: skip

BASE_FORECASTS = Contract(
    name="base_forecasts",
    grain="one SKU, one store, one step of a run",
    description="Demand forecast of each series by itself, with its components.",
    columns=(
        *_series_columns(),
        *_step_columns(),
        Column("demand_class", pl.String, "how the series behaves", one_of=DEMAND_CLASSES),
        Column("model_used", pl.String, "the model that made the mean"),
        Column("is_fallback", pl.Boolean, "whether another model stands in for the chosen one, which failed"),
        _units("base_units", "expected demand before reconciliation"),
        _units("level_units", "the series' recent level, cleaned of all else", signed=True),
        _units("trend_units", "drift of the level up to this step", signed=True),
        _units("weekday_units", "effect of the day of the week", signed=True),
        _units("season_units", "effect of the time of year", signed=True),
        _units("price_units", "effect of the planned price against list price", signed=True),
        _units("promotion_units", "effect of a planned promotion", signed=True),
        _units("event_units", "effect of a calendar event", signed=True),
        _units("relatives_units", "what the product elsewhere, and its store and category, sold lately", signed=True),
        _units("availability_units", "effect of recent days without stock", signed=True),
        _units("rounding_units", "what rounding the other components to millionths leaves over", signed=True),
        *_quantile_columns(),
        Column(
            "lost_share",
            pl.Float64,
            "share of demand expected to meet an empty shelf; null where the family does not forecast it",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
        *_quality_columns(),
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
        *_run_columns(),
        Column("product_level", pl.String, "`total`, a level of the product hierarchy, or `sku`"),
        Column("product_node", pl.String, "node of that level"),
        Column("store_level", pl.String, "`total`, a level of the store hierarchy, or `store`"),
        Column("store_node", pl.String, "node of that level"),
        *_step_columns(),
        Column("model_used", pl.String, "the model that made the mean"),
        Column("is_fallback", pl.Boolean, "whether another model stands in for the chosen one, which failed"),
        _units("base_units", "expected demand before reconciliation"),
    ),
    key=NODE_STEP_KEY,
)

RECONCILED_FORECASTS = Contract(
    name="reconciled_forecasts",
    grain="one SKU, one store, one step of a run",
    description="Demand forecasts that add up over the crossed product and store hierarchies.",
    columns=(
        *_series_columns(),
        *_step_columns(),
        _units("base_units", "expected demand before reconciliation"),
        _units("reconciled_units", "expected demand after reconciliation"),
        *_quantile_columns(),
    ),
    key=SERIES_STEP_KEY,
    promises=("Every aggregate is the sum of these rows, exactly.", "No value is negative."),
    limits=("Quantiles follow the mean: they are scaled by reconciled over base.",),
)

STOCKOUT_RISKS = Contract(
    name="stockout_risks",
    grain="one SKU, one store, one step of a run",
    description="How likely demand goes unmet on each day, and what it would cost in units.",
    columns=(
        *_series_columns(),
        *_step_columns(),
        _units(
            "stockout_probability",
            "probability of any unmet demand that day (inventory_position), or of any out-of-stock trading hour "
            "(stock_status); null where supply is unknown",
            nullable=True,
        ),
        _units("expected_lost_units", "expected unmet demand that day", nullable=True),
        _units(
            "days_of_cover",
            "days the stock on hand lasts at the expected demand; null without positions or when "
            "it outlasts the horizon",
            nullable=True,
        ),
        Column("risk_band", pl.String, "band of the probability by the version's thresholds", one_of=RISK_BANDS),
        Column("risk_method", pl.String, "what the probability rests on", one_of=RISK_METHODS),
        _units(
            "demand_probability",
            "probability of unmet demand with no stock at all",
            nullable=True,
            signed=True,
        ),
        _units("on_hand_probability", "what the stock on hand takes away", nullable=True, signed=True),
        _units("on_order_probability", "what orders on the way take away", nullable=True, signed=True),
        _units(
            "replenishment_probability",
            "what the declared policy's further orders take away",
            nullable=True,
            signed=True,
        ),
        _units(
            "usual_probability",
            "stock_status: the usual rate of this kind of series",
            nullable=True,
            signed=True,
        ),
        _units(
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
        *_series_columns(),
        *_step_columns(),
        *(_units(name, f"driver: {name.removesuffix('_units')}", signed=True) for name in COMPONENTS),
        _units("reconciliation_units", "driver: adding up with the other levels", signed=True),
        _units("override_units", "driver: rule or planner override", signed=True),
        _units("forecast_units", "the published demand forecast"),
        _units("stock_units", "driver: expected lost sales for want of stock", signed=True),
        _units("expected_sales_units", "the published expected sales"),
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
        *_series_columns(),
        *_step_columns(),
        Column("demand_class", pl.String, "how the series behaves", one_of=DEMAND_CLASSES),
        Column("model_used", pl.String, "the model that made the mean"),
        Column("is_fallback", pl.Boolean, "whether another model stands in for the chosen one, which failed"),
        _units("base_units", "expected demand before reconciliation"),
        _units("reconciled_units", "expected demand after reconciliation"),
        _units("forecast_units", "expected demand, published: what would sell if stock never ran out"),
        _units("expected_sales_units", "expected observed sales, stock-outs included"),
        *_quantile_columns(),
        *_quality_columns(),
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
        *_run_columns(),
        Column("product_level", pl.String, "`total`, a level of the product hierarchy, or `sku`"),
        Column("product_node", pl.String, "node of that level"),
        Column("store_level", pl.String, "`total`, a level of the store hierarchy, or `store`"),
        Column("store_node", pl.String, "node of that level"),
        *_step_columns(),
        Column("series_count", pl.Int32, "SKU-store series below the node", at_least=1),
        _units("forecast_units", "expected demand"),
        _units("expected_sales_units", "expected observed sales"),
    ),
    key=NODE_STEP_KEY,
    promises=("Each value is the exact sum of the forecasts below it.",),
    limits=(
        "No quantiles: quantiles do not add up, and joint paths do not exist yet.",
        "Series whose stock-out risk is unknown enter expected_sales_units with their demand.",
    ),
)

EVALUATION_REPORTS = Contract(
    name="evaluation_reports",
    grain="one metric of one segment",
    description="How a model version did on days that it had not seen, beside seasonal naive on the same days.",
    columns=(
        Column(
            "segment_kind",
            pl.String,
            "`all`, `demand_class`, `step` (weeks ahead), `day_ahead`, `product_node` and `store_node` (the widest "
            "level below the total, where it has few nodes), or `level` (sums at a pair of levels)",
        ),
        Column("segment", pl.String, "which one; a level as `category x store`"),
        Column("metric", pl.String, "name of the metric"),
        Column("value", pl.Float64, "of the model version; null where nothing was sold", nullable=True),
        Column(
            "baseline_value",
            pl.Float64,
            "of seasonal naive, of `brier` that of the share of days with a stock-out; null where there is none",
            nullable=True,
        ),
        Column("rows", pl.Int64, "rows measured; of scaled errors series or nodes", at_least=1),
    ),
    key=("segment_kind", "segment", "metric"),
    promises=("Measured by rolling origin on days after each fit, by the code path of the daily run.",),
)

# What forecasts of a day are summed by, at the level of SKU and store.
ACCURACY_SEGMENTS: Final = ("all", "demand_class", "store", "product_node", "risk_band")

FORECAST_ACCURACY = Contract(
    name="forecast_accuracy",
    grain="one published run, one target date, one pair of levels, one segment",
    description="How published forecasts of a day did against its sales, as sums that add up over any period.",
    columns=(
        *_run_columns(),
        *_step_columns(),
        Column("product_level", pl.String, "level of the forecasts judged: `total`, a level between, or `sku`"),
        Column("store_level", pl.String, "level of the forecasts judged: `total`, a level between, or `store`"),
        Column(
            "segment_kind",
            pl.String,
            "what the rows are divided by; `product_node` is the widest product level; above SKU and store only `all`",
            one_of=ACCURACY_SEGMENTS,
        ),
        Column("segment", pl.String, "which class, store, node or band; `all`"),
        Column("rows", pl.Int64, "forecasts (series, or nodes above them) that could be judged", at_least=0),
        Column("rows_without_actual", pl.Int64, "forecasts that could not: no sales are known below them", at_least=0),
        Column("series", pl.Int64, "SKU-store series that enter the sums", at_least=0),
        Column("series_without_actual", pl.Int64, "SKU-store series left out of both sides: late rows", at_least=0),
        _units("sales_units", "units sold"),
        _units("expected_sales_units", "expected sales, published"),
        _units("forecast_units", "expected demand, published"),
        _units("error_units", "expected sales less sales", signed=True),
        _units("absolute_error_units", "absolute differences of expected sales and sales"),
        Column("squared_error_units2", SQUARED_UNITS, "squared differences, in units squared", at_least=0),
        _units("naive_absolute_error_units", "absolute differences of seasonal naive and sales, same rows"),
        Column("quantile_rows", pl.Int64, "rows whose day is not known to have had a stock-out", at_least=0),
        _units("pinball_loss_units", "pinball loss of demand quantiles, summed over all 13, on quantile_rows"),
        *(
            Column(f"inside_{percent}_rows", UNITS, f"quantile_rows inside the central {percent}%", at_least=0)
            for percent in (50, 80, 95)
        ),
        Column("risk_rows", pl.Int64, "rows with a probability, whose stock-out or none is known", at_least=0),
        Column("stockout_rows", pl.Int64, "of those, how many had a stock-out", at_least=0),
        Column("expected_stockout_rows", UNITS, "sum of their stockout_probability", at_least=0),
        Column("brier_loss", UNITS, "sum of (probability less outcome) squared", at_least=0),
    ),
    key=(
        "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", "target_date",
        "product_level", "store_level", "segment_kind", "segment",
    ),
    promises=(
        "Sums over the segments of a kind, and over SKU and store, equal the sums of every level above, exactly.",
        "A day without a row of sales is counted as such, never as a day without sales.",
    ),
    limits=(
        (
            "Errors are of expected sales, on all days. On in-stock days alone even a perfect forecast of demand looks "
            "too high, since high demand is what empties the shelf; so read coverage and pinball loss with care where "
            "stock-outs are many."
        ),
        "A count that ties with a quantile lies inside an interval by the share of its probability that does.",
        "Seasonal naive is the last same weekday known at the prediction date, of four weeks; unknown counts as none.",
        (
            "Stock-outs are days with out-of-stock hours, else with nothing on hand at their end. Unmet demand itself "
            "is not observed: of slow movers shelves are empty more often than demand goes unmet, so probabilities "
            "from positions look too low."
        ),
    ),
)  # fmt: skip

# What a backtest report calls the version that it is of, whatever its name.
OWN_METHOD: Final = "version"

BACKTEST_REPORTS = Contract(
    name="backtest_reports",
    grain="one metric of one segment, of one method, at one past cutoff or all together",
    description="How a model version did at past cutoffs, as of what was known then, beside other methods on the same "
    "days.",
    columns=(
        Column("model_version", pl.String, "the version that the report is of"),
        Column("cutoff", pl.Date, "last day that forecasts could know; null for all cutoffs together", nullable=True),
        Column("method", pl.String, f"`{OWN_METHOD}` for the version itself, or what it is compared with"),
        Column("segment_kind", pl.String, "what rows are divided by, such as `all`, `level`, `step`"),
        Column("segment", pl.String, "which one"),
        Column("metric", pl.String, "name of the metric"),
        Column("value", pl.Float64, "its value; null where nothing was sold or nothing is known", nullable=True),
        Column("rows", pl.Int64, "rows measured", at_least=1),
    ),
    key=("model_version", "cutoff", "method", "segment_kind", "segment", "metric"),
    promises=(
        "Made by the code of the daily run on what was known by each cutoff; nothing of it is published as a forecast.",
        "The manifest says what each method was at each cutoff: a version, or one trained anew as of the cutoff.",
    ),
    limits=("Days whose sales are not known yet are left out, as many as there are.",),
)

EXTERNAL_FORECASTS = Contract(
    name="external_forecasts",
    grain="one SKU, one store, one step of a run",
    description="Forecasts made elsewhere, as their file says them; what a run of an external version is made from.",
    columns=(
        *_series_columns(),
        *_step_columns(),
        _units("forecast_units", "expected demand"),
        *(
            _units(name, f"demand is at most this with probability {level}; null where the file has no such column",
                   nullable=True)
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
    limits=("What the outside model knew when it made them cannot be seen from here.",),
)  # fmt: skip

PRODUCTS: Final = {
    contract.name: contract
    for contract in (
        BASE_FORECASTS,
        BASE_NODE_FORECASTS,
        RECONCILED_FORECASTS,
        STOCKOUT_RISKS,
        FORECAST_EXPLANATIONS,
        FORECASTS,
        AGGREGATE_FORECASTS,
    )
}
PUBLISHED: Final = ("forecasts", "aggregate_forecasts", "stockout_risks", "forecast_explanations")

# Published products whose columns have grown: by the fingerprint of their contract then, the columns that it lacked and
# what readers see in their place. The first of each product is what releases wrote that did not name a fingerprint.
_EARLIER: Final[Mapping[str, Mapping[str, Mapping[str, int | None]]]] = {
    FORECASTS.name: {
        "381a80291b6029cc558f97203f0769529038a7bb9546b499ef6bcc89fd7ecbf9": {
            "out_of_distribution_score": None, "quality_flags": None,
        },
    },
    FORECAST_EXPLANATIONS.name: {
        # The models of then had no such drivers, so that what they add is nothing, not unknown.
        "337115f70bf8e9970883a41c4e8d09273640590aa123f487ca7fb810bf60abea": {
            "relatives_units": 0, "availability_units": 0,
        },
    },
}  # fmt: skip


def absent_columns(product: str, fingerprint: str | None) -> Mapping[str, int | None]:
    """Return the columns that files of an earlier release lack, with the value to show in their place.

    Args:
        product: A published product.
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

"""Reports: how versions and published forecasts did.

What belongs here: the contract of each report. What does not: a metric.
"""

from typing import Final

import polars as pl

from forecast_assets.contracts.columns import (
    DEMAND_CLASSES,
    QUANTILE_COLUMNS,
    QUANTILES,
    run_columns,
    step_columns,
    units_column,
)
from forecast_assets.contracts.schema import SQUARED_UNITS, Column, Contract
from forecast_assets.core.quantities import UNITS

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
        Column(
            "gate_margin",
            pl.Float64,
            "how far chance may move the value to one side, in 19 of 20 backtests: what gates allow for; of `wape` how "
            "far its difference from seasonal naive; null where no gate asks, where it cannot be told, and in reports "
            "of earlier releases, which lack the column",
            nullable=True,
            at_least=0,
        ),
    ),
    key=("segment_kind", "segment", "metric"),
    promises=("Measured by rolling origin on days after each fit, by the code path of the daily run.",),
)

# What forecasts of a day are summed by, at the level of SKU and store.
ACCURACY_SEGMENTS: Final = ("all", "demand_class", "store", "product_node", "risk_band")


def _at_most(quantile_column: str) -> str:
    """Name of the column that counts what lay at or below a quantile."""
    return f"at_most_{quantile_column.removesuffix('_units')}_rows"


AT_MOST_COLUMNS: Final = tuple(_at_most(name) for name in QUANTILE_COLUMNS)

FORECAST_ACCURACY = Contract(
    name="forecast_accuracy",
    grain="one published run, one target date, one pair of levels, one segment",
    description="How published forecasts of a day did against its sales, as sums that add up over any period.",
    columns=(
        *run_columns(),
        *step_columns(),
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
        units_column("sales_units", "units sold"),
        units_column("expected_sales_units", "expected sales, published"),
        units_column("forecast_units", "expected demand, published"),
        units_column("error_units", "expected sales less sales", signed=True),
        units_column("absolute_error_units", "absolute differences of expected sales and sales"),
        Column("squared_error_units2", SQUARED_UNITS, "squared differences, in units squared", at_least=0),
        units_column("naive_absolute_error_units", "absolute differences of seasonal naive and sales, same rows"),
        Column("quantile_rows", pl.Int64, "rows whose day is not known to have had a stock-out", at_least=0),
        units_column("pinball_loss_units", "pinball loss of demand quantiles, summed over all 13, on quantile_rows"),
        *(
            Column(f"inside_{percent}_rows", UNITS, f"quantile_rows inside the central {percent}%", at_least=0)
            for percent in (50, 80, 95)
        ),
        Column("risk_rows", pl.Int64, "rows with a probability, whose stock-out or none is known", at_least=0),
        Column("stockout_rows", pl.Int64, "of those, how many had a stock-out", at_least=0),
        Column("expected_stockout_rows", UNITS, "sum of their stockout_probability", at_least=0),
        Column("brier_loss", UNITS, "sum of (probability less outcome) squared", at_least=0),
        *(
            Column(
                _at_most(name),
                UNITS,
                f"quantile_rows at or below the quantile of {level}; null in measurements of earlier releases",
                at_least=0,
            )
            for name, level in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
        ),
        units_column(
            "crps_units",
            "continuous ranked probability score of demand, summed over quantile_rows; null in measurements of earlier "
            "releases",
        ),
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
        (
            "A count that ties with a quantile lies inside an interval, or at or below a quantile, by the share of its "
            "probability that does."
        ),
        "Seasonal naive is the last same weekday known at the prediction date, of four weeks; unknown counts as none.",
        (
            "Stock-outs are days with out-of-stock hours, else with nothing on hand at their end. Unmet demand itself "
            "is not observed: of slow movers shelves are empty more often than demand goes unmet, so probabilities "
            "from positions look too low."
        ),
    ),
)  # fmt: skip

# Forecasts that the value of an override is told by, in the order in which they are made: `rules` is the forecast that
# planners found (after the policy's rules that act before them), `override` the published one.
VALUE_STAGES: Final = ("seasonal_naive", "base", "reconciled", "rules", "override")
DIRECTIONS: Final = ("up", "down", "none")
# By how much of the forecast that was found it is moved: below a tenth, up to three tenths, more.
CHANGE_SIZES: Final = ("small", "medium", "large", "none")

_STAGE_MEANINGS: Final = {
    "seasonal_naive": "the last same weekday known at the prediction date",
    "base": "base_units",
    "reconciled": "reconciled_units, the model's untouched forecast",
    "rules": "the forecast that planners found, after rules of the policy that act before them; the published one of "
    "rows that rules alone moved",
    "override": "forecast_units, as published",
}

FORECAST_VALUE_ADDED = Contract(
    name="forecast_value_added",
    grain="one published run, one target date, one override or rule, one direction, size and demand class",
    description="What overrides were worth: errors of every stage of the same overridden forecasts, side by side, as "
    "sums that add up over any period.",
    columns=(
        *run_columns(),
        *step_columns(),
        Column("override_id", pl.String, "the override that moved the rows, of several the last; or the rule"),
        Column("planner", pl.String, "whose override it is; `policy` of rules"),
        Column("reason", pl.String, "code of the reason, or name of the rule"),
        Column("is_rule", pl.Boolean, "whether rules of the policy alone moved the rows, and no planner"),
        Column(
            "direction",
            pl.String,
            "whether planners (of rules: the rules) raised the forecast or lowered it, all of them together; `none` "
            "where they asked for what was there",
            one_of=DIRECTIONS,
        ),
        Column(
            "size",
            pl.String,
            "by how much of the forecast that they found: `small` below 10%, `medium` up to 30%, `large` more, or "
            "anything where it was zero; rounded to a tenth of a percent before",
            one_of=CHANGE_SIZES,
        ),
        Column("demand_class", pl.String, "class of the series", one_of=DEMAND_CLASSES),
        Column("rows", pl.Int64, "forecasts judged: sales are known, and no empty shelf is", at_least=0),
        Column("rows_without_actual", pl.Int64, "forecasts not judged: no sales are known yet", at_least=0),
        Column("rows_left_out", pl.Int64, "forecasts not judged: the shelf is known to have been empty", at_least=0),
        units_column("sales_units", "units sold of the rows judged"),
        *(
            column
            for stage, meaning in _STAGE_MEANINGS.items()
            for column in (
                units_column(f"{stage}_absolute_error_units", f"absolute differences of forecast and sales: {meaning}"),
                units_column(f"{stage}_error_units", "the same with their signs: forecast less sales", signed=True),
            )
        ),
        Column("moved_squared_units2", SQUARED_UNITS, "squares of what overrides moved, in units squared", at_least=0),
        Column(
            "moved_times_needed_units2",
            SQUARED_UNITS,
            "what overrides moved times what was to be moved (sales less the forecast that they found); divided by "
            "the column before, the share of moves that came true, by least squares",
        ),
    ),
    key=(
        "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", "target_date",
        "override_id", "direction", "size", "demand_class",
    ),
    promises=(
        "Every overridden forecast of a measured day is counted in one row, judged or not.",
        "All stages of a row are judged by the same sales of the same series.",
    ),
    limits=(
        (
            "Forecasts are of demand, so days whose shelf is known to have been empty are left out. High demand is "
            "what empties shelves, so that on what is left a forecast that was raised looks worse than it was."
        ),
        "Where several planners moved a row, the whole move counts for the last one whose override changed it.",
        (
            "An override moves the runs of many days: the same sales judge each of them, so that rows of several runs "
            "hang together."
        ),
        "Seasonal naive is the last same weekday known at the prediction date, of four weeks; unknown counts as none.",
    ),
)  # fmt: skip

# What a backtest report calls the version that it is of, whatever its name.
BACKTESTED_METHOD: Final = "version"

BACKTEST_REPORTS = Contract(
    name="backtest_reports",
    grain="one metric of one segment, of one method, at one past cutoff or all together",
    description="How a model version did at past cutoffs, as of what was known then, beside other methods on the same "
    "days.",
    columns=(
        Column("model_version", pl.String, "the version that the report is of"),
        Column("cutoff", pl.Date, "last day that forecasts could know; null for all cutoffs together", nullable=True),
        Column("method", pl.String, f"`{BACKTESTED_METHOD}` for the version itself, or what it is compared with"),
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

CALIBRATION = Contract(
    name="calibration",
    grain="one metric of one segment, at one pair of levels, of single days or of a sum of days",
    description="How often what a model version gives a probability came, on days that no part of it had seen.",
    columns=(
        Column("level", pl.String, "sums at a pair of levels, as `category x store`; `sku x store` are the series"),
        Column("days", pl.Int32, "1 for single days; else how many first days ahead are summed", at_least=1),
        Column(
            "segment_kind",
            pl.String,
            "what rows are divided by: `all`, `step` (days ahead), of series also `demand_class`, `size` (units a day) "
            "and all three together, of stock-out risk `risk_band` and `day_ahead`",
        ),
        Column("segment", pl.String, "which one"),
        Column(
            "metric",
            pl.String,
            "`coverage_...` of a central interval, `at_most_...` of an upper quantile, `pit` (between neighbouring "
            "quantiles), `crps` in units, `wspl`; of stock-out risk `reliability` (days by what was said), `brier` "
            "with its parts, `roc_auc`, `calibration_error`",
        ),
        Column("bin", pl.Int32, "of `pit` and `reliability` which stretch of probability, from 1; else 0", at_least=0),
        Column("low", pl.Float64, "probability from which on; null of scores", nullable=True, at_least=0, at_most=1),
        Column("high", pl.Float64, "probability up to which; null of scores", nullable=True, at_least=0, at_most=1),
        Column("value", pl.Float64, "share of what came in between, or the score; null if unknown", nullable=True),
        Column("expected", pl.Float64, "share that was said; null of scores", nullable=True),
        Column("rows", pl.Int64, "pairs of a series or node and a day, or a sum of days", at_least=1),
        Column("effective_rows", pl.Int64, "of these, without days that several cutoffs judged", at_least=0),
        Column("dates", pl.Int64, "days, or sums of days, that do not overlap", at_least=0),
    ),
    key=("level", "days", "segment_kind", "segment", "metric", "bin"),
    promises=(
        "Measured at past cutoffs by versions that were trained, calibration included, on what was known by then.",
        "Quantiles are those that would have been published: reconciled, and of sums those of joint sample paths.",
        "A count that ties with quantiles is spread over the probability that it covers: a randomised PIT, expected.",
    ),
    limits=(
        "Of each pair of levels at most 300 nodes are judged, evenly spread; of sums of days 2,000 series.",
        "Rows of which less than 0.001 units a day is expected have no distribution and are left out.",
        "Demand of days without stock is judged by its estimate, as everywhere; sums are of the series that are known.",
        "Errors of one day hang together: of wide levels `dates` says more than `rows` of how much was seen.",
        "crps is that of the 13 quantiles, joined by lines in the normal score as sample paths join them.",
    ),
)

# What of a version is judged: whether what was recorded of it holds, or how good it is.
GATE_KINDS: Final = ("soundness", "merit")
GATE_VERDICTS: Final = ("met", "failed", "not_measured")

PROMOTION_GATES = Contract(
    name="promotion_gates",
    grain="one gate of one model version, of one segment",
    description="What a version shows at each gate that a channel asks for, beside the bounds of the policy.",
    columns=(
        Column("model_version", pl.String, "the version that is judged"),
        Column("cadence", pl.String, "rhythm of the runs whose channel it is judged for"),
        Column("gate", pl.String, "a sentence that is true where it is met"),
        Column(
            "kind",
            pl.String,
            "`soundness` (whether what is recorded of it holds; never overridden) or `merit` (how good it is)",
            one_of=GATE_KINDS,
        ),
        Column("segment_kind", pl.String, "what is judged: `all`, a kind of segment of its report, or `level`"),
        Column("segment", pl.String, "which one; a level as `category x store`"),
        Column("figure", pl.Float64, "what was measured; null where nothing was", nullable=True),
        Column(
            "margin", pl.Float64, "how far chance may move it; null where that is not told", nullable=True, at_least=0
        ),
        Column("lowest", pl.Float64, "least that the policy allows; null where there is no such bound", nullable=True),
        Column("highest", pl.Float64, "most that the policy allows; null where there is no such bound", nullable=True),
        Column(
            "verdict",
            pl.String,
            "`not_measured` closes no channel: there is nothing yet, or no longer, to judge it by",
            one_of=GATE_VERDICTS,
        ),
        Column("is_overridable", pl.Boolean, "whether the policy allows to override it, with name and reason"),
        Column("measured_on", pl.String, "what the figure is of, or why there is none"),
        Column("policy", pl.String, "version of the policy that the bounds are of"),
    ),
    key=("model_version", "cadence", "gate", "segment_kind", "segment"),
    promises=(
        "Figures are of the version's own reports and published runs, and of the champion's on the same days only.",
        "A gate is failed only where its figure lies beyond its bound by more than the margin, but for that of skill.",
    ),
    limits=("Differences from the champion, stability and risk have no margin: their bounds allow for chance.",),
)

# What is watched: figures of feeds, features of a snapshot, errors of published forecasts.
DRIFT_SUBJECTS: Final = ("feed", "feature", "forecast")
AS_USUAL: Final = "as usual"
CHANGED: Final = "changed"
BROKEN: Final = "broken"
TOO_LITTLE_HISTORY: Final = "too little history"
DRIFT_VERDICTS: Final = (AS_USUAL, CHANGED, BROKEN, TOO_LITTLE_HISTORY)


def _told(name: str, description: str) -> Column:
    return Column(name, pl.Float64, f"{description}; null where it is not known", nullable=True)


DRIFT_REPORTS = Contract(
    name="drift_reports",
    grain="one figure of one feed, feature or kind of forecast, in one store or over all, on one prediction date",
    description="What moved in inputs and in the errors of forecasts, weekday, events and season allowed for.",
    columns=(
        Column("prediction_date", pl.Date, "the day that is judged"),
        Column("subject", pl.String, "what kind of thing is watched", one_of=DRIFT_SUBJECTS),
        Column("name", pl.String, "which feed or feature; of forecasts cadence and model version"),
        Column("figure", pl.String, "which figure of it, such as `sales_units`, `rows`, `promotion_share`, `bias`"),
        Column("scope", pl.String, "`all`, or the store"),
        Column(
            "verdict",
            pl.String,
            "`changed` by cumulative sums over days, `broken` on this very day, `as usual`, or `too little history`",
            one_of=DRIFT_VERDICTS,
        ),
        Column("scale", pl.String, "`log` (value, expected and deviation are logarithms), `share`, `psi` or `gain`"),
        _told("value", "the figure"),
        _told("expected", "what was to be expected of it"),
        _told("deviation", "value less expected"),
        _told("spread", "usual standard deviation of the deviation of a day"),
        _told("statistic", "what the detector says"),
        _told("threshold", "from which on it tells a change"),
        Column("since", pl.Date, "first day of what is told; null where nothing is", nullable=True),
        _told("size", "mean deviation from that day on"),
    ),
    key=("prediction_date", "subject", "name", "figure", "scope"),
    promises=(
        (
            "Follows from the snapshot's batches as known at its moment, and from the measurements that the manifest "
            "names: made again, it is the same."
        ),
        "No single day makes a change: two at least have to agree. Only what broke is told on its first day.",
    ),
    limits=(
        "A store counts from its seventieth day on; what cannot be judged says so and is no signal.",
        "A change that stays is the new level after some weeks, and is told no more.",
    ),
)

"""What overrides of one published run were worth on one day: errors of every stage of the same rows, as exact sums.

What belongs here: whose a moved row is, what it was moved from, and what is compared with what. What does not: reading
stores (run_days), or adding up days (value_added).

Forecasts are of demand, so rows are judged as quantiles are: where sales are known and the shelf is not known to have
been empty. What is left out is counted.
"""

from datetime import date
from typing import Final

import polars as pl

from forecast_assets.accuracy.measuring import SERIES, DayActuals, run_and_day
from forecast_assets.contracts import FORECAST_VALUE_ADDED, SQUARED_UNITS, VALUE_STAGES
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, publish

# What is read of the two products, besides the names of the series.
READ_OF_OVERRIDES: Final = (
    "application", "override_id", "is_rule", "by", "reason", "before_units", "after_units", "superseded_by",
)  # fmt: skip
READ_OF_OVERRIDDEN: Final = ("demand_class", "base_units", "reconciled_units", "forecast_units")

_SMALL: Final = 0.1
_MEDIUM: Final = 0.3
# Shares are rounded before they are told apart: a change of 10% stays one where units of a node are shared out.
_DECIMALS: Final = 3
_GROUP: Final = ("override_id", "planner", "reason", "is_rule", "direction", "size", "demand_class")
_COLUMN_OF: Final = {
    "seasonal_naive": "naive_units",
    "base": "base_units",
    "reconciled": "reconciled_units",
    "rules": "rules_units",
    "override": "forecast_units",
}


def value_of_run(
    key: RunKey,
    target_date: date,
    overrides: pl.DataFrame,
    forecasts: pl.DataFrame,
    naive: pl.DataFrame,
    actuals: DayActuals,
) -> pl.DataFrame:
    """Judge every stage of the overridden forecasts of a run on one day.

    Args:
        key: The run.
        target_date: The day; within the run's horizon.
        overrides: Rows of contract `forecast_overrides` on that day.
        forecasts: Rows of contract `forecasts` on that day; those that nobody has overridden are left out.
        naive: `store_id, sku_id, naive_units`: seasonal naive forecast; a series without a row counts as none sold.
        actuals: What came on that day.

    Returns:
        The rows of contract `forecast_value_added` of the run and day, unsorted; none where nothing was overridden.
    """
    rows = _joined(moved_rows(overrides), forecasts, naive, actuals)
    known = pl.col("sales_units").is_not_null()
    is_judged = known & ~pl.col("is_stockout").fill_null(value=False)
    flags = {
        "rows": is_judged,
        "rows_without_actual": ~known,
        "rows_left_out": known & ~is_judged,
    }
    scored = rows.select(
        *_GROUP,
        *(flag.cast(pl.Int64).alias(name) for name, flag in flags.items()),
        *(
            pl.when(is_judged).then(figure).otherwise(pl.lit(0).cast(SQUARED_UNITS)).alias(name)
            for name, figure in _figures().items()
        ),
    )
    sums = scored.group_by(_GROUP).agg(pl.col(*flags, *_figures()).sum())
    narrow = pl.col(*(name for name in _figures() if not name.endswith("units2"))).cast(UNITS)
    return FORECAST_VALUE_ADDED.conform(sums.with_columns(narrow, *run_and_day(key, target_date)))


def moved_rows(overrides: pl.DataFrame) -> pl.DataFrame:
    """Return whose each overridden row is, what it was moved from, and by how much.

    A row is that of the planner whose application changed it last; of the last that acted where none changed it. Rules
    have those that no planner spoke of. What acts after planners (minimum presentation) is theirs neither: it is in the
    published forecast only.

    Args:
        overrides: Rows of contract `forecast_overrides` of one day.

    Returns:
        One row per series: `store_id, sku_id, override_id, planner, reason, is_rule, found_units` (what planners found,
        of rules the model's), `moved_units` (by planners, else by rules), `rules_units` (after the rules that planners
        found; after all of them where there was no planner), `direction` and `size`.

    Example:
        >>> from decimal import Decimal
        >>> one = {"store_id": "S", "sku_id": "A", "application": 1, "override_id": "o1-1", "is_rule": False}
        >>> one |= {"by": "ana", "reason": "event", "before_units": Decimal(10), "after_units": Decimal(12)}
        >>> moved_rows(pl.DataFrame([one | {"superseded_by": ""}])).select("planner", "direction", "size").row(0)
        ('ana', 'up', 'medium')
    """
    wide = overrides.with_columns(pl.col("before_units", "after_units").cast(SQUARED_UNITS))
    by_planner = wide.with_columns(has_planner=(~pl.col("is_rule")).any().over(SERIES))
    own = by_planner.filter(pl.col("is_rule") != pl.col("has_planner"))
    moved = (pl.col("after_units") - pl.col("before_units")).alias("moved")
    ordered = own.with_columns(moved, acted=pl.col("superseded_by") == "").sort(
        *SERIES, pl.col("moved") != 0, "acted", "application"
    )
    last = ordered.group_by(SERIES, maintain_order=True).agg(
        pl.col("override_id", "is_rule", "reason").last(),
        pl.col("by").last().alias("planner"),
        pl.col("moved").sum().alias("moved_units"),
        pl.col("before_units").sort_by("application").first().alias("found_units"),
        pl.col("after_units").sort_by("application").last().alias("after_rules"),
    )
    share = (pl.col("moved_units").cast(pl.Float64).abs() / pl.col("found_units").cast(pl.Float64)).round(_DECIMALS)
    return last.select(
        *SERIES, "override_id", "planner", "reason", "is_rule", "found_units", "moved_units",
        pl.when("is_rule").then("after_rules").otherwise("found_units").alias("rules_units"),
        pl.when(pl.col("moved_units") > 0).then(pl.lit("up")).when(pl.col("moved_units") < 0).then(pl.lit("down"))
        .otherwise(pl.lit("none")).alias("direction"),
        pl.when(pl.col("moved_units") == 0).then(pl.lit("none")).when(pl.col("found_units") == 0)
        .then(pl.lit("large")).when(share < _SMALL).then(pl.lit("small")).when(share <= _MEDIUM)
        .then(pl.lit("medium")).otherwise(pl.lit("large")).alias("size"),
    )  # fmt: skip


def _joined(moved: pl.DataFrame, forecasts: pl.DataFrame, naive: pl.DataFrame, actuals: DayActuals) -> pl.DataFrame:
    """One row per overridden series: what each stage said, and what came (null where unknown)."""
    sales = actuals.sales.select(*SERIES, publish(actuals.sales["sales_units"].to_numpy(), "sales_units"))
    repeated = naive.select(*SERIES, publish(naive["naive_units"].to_numpy(), "naive_units"))
    said, empty = forecasts.select(*SERIES, *READ_OF_OVERRIDDEN), actuals.stockouts.select(*SERIES, "is_stockout")
    rows = moved
    for other in (said, sales, repeated, empty):
        rows = rows.join(other, on=SERIES, how="left", validate="1:1", maintain_order="left")
    # 18 digits would overflow in squares and in sums.
    return rows.with_columns(pl.col("naive_units").fill_null(0)).with_columns(
        pl.col("sales_units", *_COLUMN_OF.values()).cast(SQUARED_UNITS)
    )


def _figures() -> dict[str, pl.Expr]:
    """What is summed over the rows that are judged."""
    sales, moved = pl.col("sales_units"), pl.col("moved_units")
    figures = {"sales_units": sales}
    for stage in VALUE_STAGES:
        error = pl.col(_COLUMN_OF[stage]) - sales
        figures |= {f"{stage}_absolute_error_units": error.abs(), f"{stage}_error_units": error}
    needed = sales - pl.col("found_units")
    return {**figures, "moved_squared_units2": moved * moved, "moved_times_needed_units2": moved * needed}

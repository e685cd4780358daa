"""What overrides were worth, added up over runs and days: errors of every stage, what was gained, how much is known.

What belongs here: from rows of contract `forecast_value_added` to one line per planner, reason, direction or size. What
does not: judging a run (overridden), or which days are read.

Value is added to the forecast that was found: planners find the model's after the rules of the policy that act before
them, rules find the model's. Points are percent of the units sold: 100 (WAPE found - WAPE published), above zero where
the override was better. See Gilliland, The Business Forecasting Deal (2010), on forecast value added.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from forecast_assets.contracts import VALUE_STAGES

# Below these a figure is marked: that few days are as likely luck as skill.
LEAST_ROW_DAYS: Final = 30
LEAST_OVERRIDES: Final = 5

_RUN: Final = ("cadence", "prediction_date", "model_version", "forecast_horizon")
_COUNTS: Final = ("rows", "rows_without_actual", "rows_left_out")


def value_by(rows: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return what overrides were worth, one line per group.

    Where several revisions of a run have an override, only the newest of them counts for it; that it was withdrawn
    later does not take it out of the record.

    Args:
        rows: Contract `forecast_value_added`, of the newest measurements, any number of days.
        by: Columns of it; none for one line. Lines of rules need `is_rule` among them.

    Returns:
        Sorted by `by`: these columns, `overrides` (how many), `row_days` (SKU, store and day, however many runs look at
        it), `rows` (with those of several runs), `rows_without_actual`, `rows_left_out`, `sales_units` of the rows,
        `STAGE_wape` of each stage (null where nothing was sold), `value_added_points`, `moves_that_came_true` (share of
        what was moved that turned out right, by least squares; null where nothing was moved) and `is_small_sample`.
    """
    counted = _counted_once(rows)
    units = ["sales_units", *(f"{stage}_absolute_error_units" for stage in VALUE_STAGES)]
    squares = ["moved_squared_units2", "moved_times_needed_units2"]
    groups = ["all", *by]
    sums = (
        counted.with_columns(all=pl.lit(1))
        .group_by(groups)
        .agg(
            pl.col("override_id").n_unique().cast(pl.Int64).alias("overrides"),
            pl.col(*_COUNTS).sum(),
            pl.col(*units, *squares).sum().cast(pl.Float64),
        )
        .join(_row_days(counted, by), on=groups, nulls_equal=True)
    )
    wapes = {f"{stage}_wape": _share(f"{stage}_absolute_error_units", "sales_units") for stage in VALUE_STAGES}
    is_rule = pl.col("is_rule") if "is_rule" in by else pl.lit(value=False)
    found = pl.when(is_rule).then("reconciled_wape").otherwise("rules_wape")
    return (
        sums.with_columns(**wapes, moves_that_came_true=_share(squares[1], squares[0]))
        .select(
            *by, "overrides", "row_days", *_COUNTS, "sales_units", *wapes,
            (100 * (found - pl.col("override_wape"))).alias("value_added_points"),
            "moves_that_came_true",
            ((pl.col("row_days") < LEAST_ROW_DAYS) | (pl.col("overrides") < LEAST_OVERRIDES)).alias("is_small_sample"),
        )
        .sort(by or "rows")
    )  # fmt: skip


def _counted_once(rows: pl.DataFrame) -> pl.DataFrame:
    newest = pl.col("revision").max().over(*_RUN, "target_date", "override_id")
    return rows.filter(pl.col("revision") == newest)


def _row_days(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Count rows of an override and day by the run that has most of them: the others look at the same ones."""
    of_run = rows.with_columns(all=pl.lit(1)).group_by("all", *by, "override_id", "target_date", *_RUN)
    most = of_run.agg(pl.col("rows").sum()).group_by("all", *by, "override_id", "target_date").agg(pl.col("rows").max())
    return most.group_by("all", *by).agg(pl.col("rows").sum().alias("row_days"))


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))

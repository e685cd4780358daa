"""Errors and coverage of published forecasts of the next day: bias and intervals that fail are told."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from forecast_assets.contracts import AS_USUAL, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.drift.forecast_errors import COLUMNS, judge_forecasts

LAST = date(2025, 6, 30)
DAYS = 120


def measured(
    days: int = DAYS, *, biased: int = 0, uncovered: int = 0, step: int = 1, last: date = LAST
) -> pl.DataFrame:
    random = np.random.default_rng(5)
    rows = []
    for back in reversed(range(days)):
        sales = 1000.0 * np.exp(random.normal(0.0, 0.05)) * (1.25 if back < biased else 1.0)
        inside = 800.0 + random.normal(0.0, 20.0) - (300.0 if back < uncovered else 0.0)
        target = last - timedelta(days=back)
        run = ("daily", target - timedelta(days=step), "stat-1", 28, 0)
        rows.append((*run, target, step, "sku", "store", "all", sales, 1000.0, 1000.0, inside))
    return pl.DataFrame(rows, schema=[*COLUMNS], orient="row")


def verdicts(rows: pl.DataFrame) -> dict[str, str]:
    found = judge_forecasts(rows, since=LAST - timedelta(days=181), until=LAST)
    return {each.figure: each.verdict for each in found}


def test_forecasts_that_go_on_as_before_are_as_usual_on_every_day() -> None:
    for back in range(0, 60, 4):
        rows = measured().filter(pl.col("target_date") <= LAST - timedelta(days=back))
        found = judge_forecasts(rows, since=LAST - timedelta(days=181), until=LAST - timedelta(days=back))
        assert {each.verdict for each in found} == {AS_USUAL}


def test_a_bias_is_told_within_a_week() -> None:
    assert verdicts(measured(biased=7)) == {"bias": CHANGED, "coverage_80": AS_USUAL}
    assert verdicts(measured(biased=1)) == {"bias": AS_USUAL, "coverage_80": AS_USUAL}


def test_intervals_that_hold_less_than_they_say_are_told() -> None:
    assert verdicts(measured(uncovered=7)) == {"bias": AS_USUAL, "coverage_80": CHANGED}


def test_few_days_and_other_steps_tell_nothing() -> None:
    assert set(verdicts(measured(20, biased=20)).values()) == {TOO_LITTLE_HISTORY}
    assert verdicts(measured(step=2, biased=30)) == {}


def test_a_version_that_publishes_no_more_is_not_judged() -> None:
    assert verdicts(measured(last=LAST - timedelta(days=30), biased=10)) == {}


def test_of_several_revisions_the_last_counts() -> None:
    first, second = measured(biased=30), measured().with_columns(pl.col("revision") + 1)
    assert verdicts(pl.concat([first, second]))["bias"] == (AS_USUAL)

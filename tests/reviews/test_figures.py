"""Figures of a week: what each is, which run counts, what chance and bounds say."""

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any

import polars as pl
import pytest

from forecast_assets.core.policy import Policy
from forecast_assets.reviews.figures import ReviewedWeek, bounds_of, newest_runs, review_rows, shift_and_chance
from tests.support.review_cases import DAYS, FIRST_DAY, SUNDAY
from tests.support.trial_cases import CHALLENGER, CHAMPION, Said, both, rows_of_days

WEEK = ReviewedWeek("daily", SUNDAY, CHAMPION)


def figures(
    rows: pl.DataFrame, kpi: str, role: str = "champion", kind: str = "all", segment: str = "all"
) -> dict[str, Any]:
    (row,) = rows.filter(kpi=kpi, role=role, segment_kind=kind, segment=segment).to_dicts()
    return row


def weeks(said: Callable[[int], Said]) -> pl.DataFrame:
    days = [FIRST_DAY + timedelta(days=at) for at in range(DAYS)]
    return rows_of_days({day: {(CHAMPION, 1): said(at // 7)} for at, day in enumerate(days)})


def test_figures_are_quotients_of_sums_and_shifts_are_from_the_mean_of_four_weeks() -> None:
    rows = review_rows(WEEK, weeks(lambda week: Said(100.0 + 10 * week, error=5.0 * week, inside=0.7)), Policy())
    wape = figures(rows, "wape")
    assert [wape[name] for name in ("figure", "figure_1_before", "figure_4_before")] == [0.14, 0.13, 0.1]
    assert wape["shift"] == pytest.approx(0.14 - 0.115)
    assert (wape["days"], wape["rows"], wape["week"], wape["is_beyond_bound"]) == (7, 1400, "2025-W06", None)
    assert figures(rows, "bias")["figure"] == 0.02
    coverage = figures(rows, "coverage_80")
    assert (coverage["figure"], coverage["lowest"], coverage["highest"]) == (0.7, 0.7, 0.9)
    assert coverage["is_beyond_bound"] is False, "a bound may be reached"
    assert figures(rows, "wape", kind="store", segment="N")["figure"] == 0.14


def test_a_figure_outside_of_the_policy_is_beyond_its_bound() -> None:
    rows = review_rows(WEEK, weeks(lambda _: Said(error=120.0)), Policy())
    assert figures(rows, "bias")["is_beyond_bound"]
    eased = review_rows(WEEK, weeks(lambda _: Said(error=120.0)), Policy().with_changes({"gates.largest_bias": 0.2}))
    assert not figures(eased, "bias")["is_beyond_bound"]
    assert bounds_of("bias", "store", "N", Policy()) == (None, None)
    assert bounds_of("stockout_rate", "risk_band", "unknown", Policy()) == (None, None)


def test_a_jump_is_beyond_chance_and_a_week_like_the_others_is_not() -> None:
    noise = (-4.0, 3.0, 1.0, -1.0)
    jump = review_rows(WEEK, weeks(lambda week: Said(100.0 + (noise[week] if week < 4 else 60.0))), Policy())
    usual = review_rows(WEEK, weeks(lambda week: Said(100.0 + (noise[week] if week < 4 else 2.0))), Policy())
    assert figures(jump, "wape")["is_beyond_chance"] is True
    assert figures(usual, "wape")["is_beyond_chance"] is False


def test_without_four_weeks_before_nobody_says_what_chance_does() -> None:
    days = rows_of_days({SUNDAY - timedelta(days=back): {(CHAMPION, 1): Said()} for back in range(14)})
    wape = figures(review_rows(WEEK, days, Policy()), "wape")
    assert (wape["shift"], wape["chance"], wape["is_beyond_chance"], wape["figure_2_before"]) == (0.0, None, None, None)


def test_weeks_that_differ_by_chance_alone_are_told_once_in_a_hundred() -> None:
    random = Random(7)
    told = 0
    for _ in range(6_000):
        figure, *before = (random.gauss(0.2, 0.03) for _ in range(5))
        shift, chance = shift_and_chance(figure, before)
        told += shift is not None and chance is not None and abs(shift) > chance
    assert 0.006 < told / 6_000 < 0.014


def test_each_day_counts_once_by_the_newest_run_that_had_forecast_it() -> None:
    said = {(CHAMPION, 1): Said(100.0), (CHAMPION, 7): Said(900.0)}
    rows = rows_of_days({SUNDAY: said, SUNDAY - timedelta(days=1): {(CHAMPION, 7): Said(300.0)}})
    chosen = newest_runs(rows, CHAMPION).filter(segment_kind="all")
    assert sorted(chosen["step"]) == [1, 7]
    assert figures(review_rows(WEEK, rows, Policy()), "wape")["figure"] == 0.2


def test_champion_and_challenger_are_compared_on_days_of_both() -> None:
    week = ReviewedWeek("daily", SUNDAY, CHAMPION, CHALLENGER)
    days = {SUNDAY: both(Said(100.0), Said(80.0), (1,)), SUNDAY - timedelta(days=1): {(CHAMPION, 1): Said(500.0)}}
    rows = review_rows(week, rows_of_days(days), Policy())
    assert figures(rows, "wape")["figure"] == 0.3
    assert figures(rows, "wape", role="champion_same_days")["figure"] == 0.1
    challenger = figures(rows, "wape", role="challenger")
    assert (challenger["figure"], challenger["days"], challenger["model_version"]) == (0.08, 1, CHALLENGER)


def test_weeks_are_named_by_the_iso_calendar() -> None:
    assert ReviewedWeek("daily", date(2026, 1, 4), CHAMPION).name == "2026-W01"
    assert WEEK.days(1) == (date(2025, 1, 27), date(2025, 2, 2))

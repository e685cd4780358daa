"""What is told of figures of stores, and what is not: changes, seasons, events, stores that come and go."""

from datetime import timedelta

import numpy as np
import pytest

from forecast_assets.contracts import AS_USUAL, BROKEN, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.drift.detectors import _of_short_breaks
from forecast_assets.drift.expectations import LEAST_HISTORY, KnownDays
from forecast_assets.drift.judging import figure_days, judge_figures
from tests.support.drift_cases import LAST, calendar, figure, judged, logs


def verdicts(values: np.ndarray, back: int) -> list[str]:
    """The verdict over all stores on each of the last days."""
    return [judged(values[:, : values.shape[1] - left])["all"].verdict for left in reversed(range(back))]


@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_a_change_of_a_fifth_is_told_within_a_week_and_not_on_its_first_day(factor: float) -> None:
    values = logs()
    values[:, -7:] += np.log(factor)
    told = verdicts(values, 8)
    assert told[:2] == [AS_USUAL, AS_USUAL], "one day proves nothing"
    assert told[-1] == CHANGED
    assert judged(values)["all"].since is not None
    assert abs((judged(values)["all"].since - (LAST - timedelta(days=6))).days) <= 3


def test_one_strange_day_is_no_change() -> None:
    values = logs()
    values[:, -4] += np.log(1.9)
    assert set(verdicts(values, 4)) == {AS_USUAL}


def test_a_strong_season_is_no_change_with_and_without_a_year_of_history() -> None:
    for days in (200, 500):
        values = logs(days, season=0.5)
        assert set(verdicts(values, 40)) == {AS_USUAL}, days


def test_nothing_is_told_of_a_quarter_in_which_nothing_happens() -> None:
    told = verdicts(logs(560), 91)
    assert set(told) == {AS_USUAL}


def test_units_times_ten_are_told_on_the_same_day_in_one_store_and_in_all() -> None:
    values = logs()
    values[1, -1] += np.log(10)
    found = judged(values)
    assert (found["S1"].verdict, found["S0"].verdict, found["all"].verdict) == (BROKEN, AS_USUAL, AS_USUAL)
    values[:, -1] = logs()[:, -1] + np.log(10)
    assert judged(values)["all"].verdict == BROKEN


def test_a_column_that_is_all_zeros_is_told_on_the_same_day_and_one_that_always_was_is_not() -> None:
    random = np.random.default_rng(1)
    values = random.uniform(0.2, 0.4, (4, 300))
    values[:, -1] = 1.0
    assert judged(values, "on_hand_units_zero_share", "share")["all"].verdict == BROKEN
    values[:, :] = 1.0
    assert judged(values, "on_hand_units_zero_share", "share")["all"].verdict == AS_USUAL


@pytest.mark.parametrize("days", [2, 8, 40])
def test_a_column_that_stays_all_zeros_is_broken_until_the_day_on_which_it_is_not(days: int) -> None:
    random = np.random.default_rng(1)
    values = random.uniform(0.2, 0.4, (4, 300))
    values[:, -days:] = 1.0
    found = judged(values, "on_hand_units_zero_share", "share")
    assert {each.verdict for each in found.values()} == {BROKEN}
    assert {each.since for each in found.values()} == {LAST - timedelta(days=days - 1)}
    values[:, -1] = 0.3
    assert BROKEN not in {each.verdict for each in judged(values, "on_hand_units_zero_share", "share").values()}


@pytest.mark.parametrize("days", [1, 3, 8])
@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_the_end_of_some_broken_days_is_no_change(days: int, factor: float) -> None:
    values = logs()
    values[:, -(days + 14) : -14] += np.log(factor)
    assert verdicts(values, days + 15) == [AS_USUAL, *[BROKEN] * days, *[AS_USUAL] * 14]


def test_the_end_of_a_column_of_zeros_is_no_change() -> None:
    values = np.random.default_rng(1).uniform(0.2, 0.4, (4, 300))
    values[:, -22:-14] = 1.0
    found = [judged(values[:, : 300 - left], "on_hand_units_zero_share", "share")["all"].verdict for left in (14, 7, 0)]
    assert found == [BROKEN, AS_USUAL, AS_USUAL]


def test_what_looks_broken_for_weeks_is_told_as_a_change_once_it_is_the_level() -> None:
    values = logs()
    values[:, -28:] += np.log(10.0)
    assert verdicts(values, 28)[0] == BROKEN
    found = judged(values)["all"]
    assert (found.verdict, found.since) == (CHANGED, LAST - timedelta(days=27))


def test_days_without_rows_do_not_end_what_is_broken_nor_begin_it() -> None:
    values = np.random.default_rng(1).uniform(0.2, 0.4, (4, 300))
    values[:, -9:] = 1.0
    values[:, [-9, -4]] = np.nan
    found = judged(values, "on_hand_units_zero_share", "share")["all"]
    assert (found.verdict, found.since) == (BROKEN, LAST - timedelta(days=7))


def test_what_has_been_all_zeros_for_longer_than_eight_weeks_is_what_the_column_is() -> None:
    values = np.random.default_rng(1).uniform(0.2, 0.4, (4, 300))
    values[:, -57:] = 1.0
    assert judged(values, "on_hand_units_zero_share", "share")["all"].verdict != BROKEN
    values[:, -57] = 0.3
    assert judged(values, "on_hand_units_zero_share", "share")["all"].verdict == BROKEN


def test_a_share_of_promotions_that_rises_by_20_points_is_told_within_a_week() -> None:
    random = np.random.default_rng(1)
    values = 0.1 + random.normal(0.0, 0.02, (4, 300))
    values[:, -7:] += 0.2
    assert judged(values, "promotion_share", "share")["all"].verdict == CHANGED


def test_a_store_that_opens_or_closes_changes_nothing_over_all() -> None:
    values = logs()
    values[3, :-30] = np.nan
    found = judged(values)
    assert (found["S3"].verdict, found["all"].verdict) == (TOO_LITTLE_HISTORY, AS_USUAL)
    values = logs()
    values[3, -20:] = np.nan
    assert judged(values)["all"].verdict == AS_USUAL


def test_days_that_are_missing_are_neither_zeros_nor_a_change() -> None:
    values = logs()
    values[:, -40:-33] = np.nan
    values[:, -3] = np.nan
    assert judged(values)["all"].verdict == AS_USUAL


def test_too_little_history_says_so() -> None:
    values = logs(LEAST_HISTORY - 1)
    values[:, -1] += np.log(10)
    assert {each.verdict for each in judged(values).values()} == {TOO_LITTLE_HISTORY}


def test_days_around_an_event_that_was_never_seen_tell_nothing_but_what_no_event_does() -> None:
    values, days = logs(), 500
    is_on = np.zeros((4, days), dtype=bool)
    is_on[:, -2:] = True
    values[:, -3:] += np.log(1.8)
    made = figure(values)
    with_event = KnownDays(calendar(days).weekday, {"feast": is_on})
    assert {each.verdict for each in judge_figures([made], {made.store_ids: with_event})} == {AS_USUAL}
    values[:, -1] += np.log(10)
    made = figure(values)
    assert judge_figures([made], {made.store_ids: with_event})[0].verdict == BROKEN


def test_the_picture_has_the_days_that_were_judged() -> None:
    made = figure(logs())
    days = figure_days(made, calendar(500), 30)
    assert days["event_date"].to_list() == [LAST - timedelta(days=back) for back in reversed(range(30))]
    apart = (days["value"] - days["expected"]).abs()
    assert 0.0 < float(str(apart.mean())) < 0.1


def test_a_break_that_goes_on_over_closed_sundays_is_as_long_as_it_is() -> None:
    days = np.arange(60)
    is_unknown = (days % 7 == 6)[None]
    shifted, short = ((days >= 20) & (days < last) for last in (60, 30))
    for broken_days, is_short in ((shifted, False), (short, True)):
        is_broken = broken_days[None] & ~is_unknown
        found = _of_short_breaks(is_broken, is_unknown)
        assert found[is_broken].all() == found.any() == is_short
    assert not _of_short_breaks(is_unknown & False, is_unknown).any()

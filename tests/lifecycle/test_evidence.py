"""Evidence by hand, what it may never do, and how often it is wrong."""

from datetime import date, timedelta
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.core.arrays import Floats
from forecast_assets.lifecycle.evidence import bounded_differences, observations, weigh

DIFFERENCES = st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=60).map(np.array)


def test_wealth_by_hand() -> None:
    # Nothing is staked at first; then the mean is drawn to 0 and the variance to a quarter, as one observation's worth.
    weighed = weigh(np.array([0.4, 0.2, -0.6]))
    mean_then = [0.4 / 2, 0.6 / 3]
    second = (0.4 / 2) / ((0.25 + (0.4 - mean_then[0]) ** 2) / 2 + (0.4 / 2) ** 2)
    third = (0.6 / 3) / ((0.25 + (0.4 - mean_then[0]) ** 2 + (0.2 - mean_then[1]) ** 2) / 3 + (0.6 / 3) ** 2)
    stakes = [0.0, min(second, 0.9), min(third, 0.9)]
    expected = [prod(1 + stake * x for stake, x in zip(stakes[:n], (0.4, 0.2, -0.6), strict=False)) for n in (1, 2, 3)]
    np.testing.assert_allclose(weighed.wealth, expected, rtol=1e-12)
    np.testing.assert_allclose(weighed.mean, [0.4, 0.3, 0.0], atol=1e-12)


@given(DIFFERENCES, st.data())
def test_the_past_does_not_change_and_nobody_loses_all(differences: Floats, data: st.DataObject) -> None:
    whole = weigh(differences)
    end = data.draw(st.integers(1, len(differences)))
    then = weigh(differences[:end])
    for name in ("wealth", "mean", "lower", "upper"):
        np.testing.assert_array_equal(getattr(whole, name)[:end], getattr(then, name))
    assert (whole.wealth > 0).all()
    assert (np.diff(whole.lower) >= 0).all()
    assert (np.diff(whole.upper) <= 0).all()


@given(DIFFERENCES, st.data())
def test_observations_that_are_not_known_leave_all_as_it_was(differences: Floats, data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.integers(0, len(differences)), max_size=10))
    whole, gappy = weigh(differences), weigh(np.insert(differences, gaps, np.nan))
    assert gappy.wealth[-1] == whole.wealth[-1]
    assert gappy.count[-1] == len(differences)
    assert (gappy.lower[-1], gappy.upper[-1]) == (whole.lower[-1], whole.upper[-1])


def test_before_the_first_observation_nothing_is_known() -> None:
    nothing = weigh(np.array([np.nan, np.nan]))
    assert nothing.wealth.tolist() == [1.0, 1.0]
    assert np.isnan(nothing.mean).all()
    assert (nothing.lower.tolist(), nothing.upper.tolist()) == ([-1.0, -1.0], [1.0, 1.0])
    assert not nothing.is_significant.any()
    assert weigh(np.array([])).wealth.size == 0


def test_what_was_significant_stays_so() -> None:
    weighed = weigh(np.concatenate([np.full(60, 0.5), np.full(200, -0.9)]))
    first = int(np.argmax(weighed.is_significant))
    assert 0 < first < 60
    assert weighed.is_significant[first:].all()
    assert weighed.wealth[-1] < 1.0


@pytest.mark.parametrize("spread", ["coin", "normal", "rare"])
def test_wrong_at_most_as_often_as_stated_with_daily_looks_for_a_year(spread: str) -> None:
    random = np.random.default_rng(7)
    draws = {
        "coin": lambda: random.choice([-1.0, 1.0], 365),
        "normal": lambda: np.clip(random.normal(0.0, 0.3, 365), -1.0, 1.0),
        # Mostly a little better, seldom much worse, and 0 on average.
        "rare": lambda: np.where(random.random(365) < 0.05, -0.95, 0.05),
    }[spread]
    years = [weigh(draws()) for _ in range(600)]
    wrong = np.mean([year.is_significant[-1] for year in years])
    outside = np.mean([(year.lower > 0).any() or (year.upper < 0).any() for year in years])
    # Three standard errors of 600 draws at 5%.
    assert wrong <= 0.05 + 0.027
    assert outside <= 0.05 + 0.027


def test_a_better_challenger_is_found_and_lies_within_its_limits() -> None:
    random = np.random.default_rng(7)
    years = [weigh(np.clip(random.normal(0.3, 0.5, 120), -1.0, 1.0)) for _ in range(200)]
    assert np.mean([year.is_significant[-1] for year in years]) > 0.95
    truth = float(np.clip(random.normal(0.3, 0.5, 200_000), -1.0, 1.0).mean())
    assert np.mean([(year.lower <= truth).all() and (truth <= year.upper).all() for year in years]) >= 0.95


def test_overlapping_days_deceive_and_one_in_seven_does_not() -> None:
    # Errors seven days ahead are shared by seven days in a row; there is nothing to be found.
    random, start = np.random.default_rng(7), date(2025, 1, 1)
    days = [start + timedelta(days=day) for day in range(365)]
    daily, declared = [], []
    for _ in range(300):
        differences = np.clip(np.convolve(random.normal(0.0, 0.15, 371), np.ones(7), mode="valid"), -1.0, 1.0)
        daily.append(weigh(differences).is_significant[-1])
        declared.append(weigh(observations(days, differences, 7, start)[1]).is_significant[-1])
    assert np.mean(daily) > 0.15
    # Three standard errors of 300 draws at 5%.
    assert np.mean(declared) <= 0.05 + 0.038


def test_a_week_is_one_observation_however_many_of_its_days_are_known() -> None:
    first = date(2025, 1, 6)
    days = [first + timedelta(days=day) for day in (-1, 0, 1, 2, 3, 5, 6, 7, 20)]
    differences = np.array([0.9, 0.1, 0.2, np.nan, 0.3, 0.4, 0.5, -1.0, -0.2])
    ends, means = observations(days, differences, 1, first)
    assert ends == [first + timedelta(days=day) for day in (6, 13, 20)]
    np.testing.assert_allclose(means, [0.3, -1.0, -0.2])
    ends, last = observations(days, differences, 7, first)
    np.testing.assert_allclose(last, [0.5, np.nan, -0.2])
    ends, last = observations(days, differences, 14, first)
    assert ends == [first + timedelta(days=13)]
    assert np.isnan(last).all()


@pytest.mark.parametrize("apart", [-3, 0, 5])
def test_a_week_that_has_not_ended_is_none(apart: int) -> None:
    first = date(2025, 1, 6)
    assert observations([first + timedelta(days=apart)], np.array([0.5]), 1, first)[0] == []
    assert observations([], np.array([]), 1, first)[0] == []


def test_differences_are_of_losses_on_both_sides() -> None:
    champion, challenger = np.array([10.0, np.nan, 0.0, 5.0]), np.array([9.8, 1.0, 0.0, 0.0])
    found = bounded_differences(champion, challenger, bound=0.1)
    np.testing.assert_allclose(found, [0.2 / 9.9 / 0.1, np.nan, 0.0, 1.0])
    np.testing.assert_allclose(bounded_differences(challenger, champion, bound=0.1), -found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: weigh(np.array([1.5])), "divide them by the bound"),
        (lambda: weigh(np.array([0.5]), level=1.0), "not between 0 and 1"),
        (lambda: bounded_differences(np.ones(1), np.ones(1), bound=0.0), "not between 0 and 2"),
    ],
)
def test_what_has_no_meaning_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()  # type: ignore[operator]

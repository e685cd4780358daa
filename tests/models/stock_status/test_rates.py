"""The rate of all series: what it is by day, and how it goes on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.models.stock_status.rates import log_odds, rates_ahead, rates_by_day

WEEKDAY = np.arange(120) % 7


def test_a_rate_is_of_the_series_whose_status_is_known() -> None:
    out = np.array([[True, False, True], [True, False, False], [False, False, False]])
    known = np.array([[True, True, False], [True, True, False], [False, True, False]])
    np.testing.assert_array_equal(rates_by_day(out, known), [1.0, 0.0, np.nan])


def test_weekdays_keep_their_habits() -> None:
    rates = np.where(WEEKDAY[:84] == 6, 0.6, 0.3)
    ahead = rates_ahead(rates, WEEKDAY, 7)
    assert ahead[6] > 0.5
    assert ahead[:6].max() < 0.36


def test_a_rate_that_has_long_been_falling_is_not_taken_for_the_mean_of_the_last_days() -> None:
    rates = np.linspace(0.6, 0.3, 63)
    lately = rates[-14:].mean()
    came = 0.3 - (0.3 / 62) * np.arange(1, 15).mean()
    ahead = rates_ahead(rates, WEEKDAY, 14).mean()
    assert abs(ahead - came) < 0.4 * abs(lately - came)


def test_days_of_which_nothing_is_known_count_for_nothing() -> None:
    rates = np.full(40, 0.4)
    rates[-5:] = np.nan
    np.testing.assert_allclose(rates_ahead(rates, WEEKDAY, 3), 0.4)


@given(st.lists(st.one_of(st.floats(0.0, 1.0), st.just(float("nan"))), min_size=1, max_size=60), st.integers(1, 28))
def test_rates_ahead_are_probabilities_whatever_came(rates: list[float], horizon: int) -> None:
    ahead = rates_ahead(np.array(rates), WEEKDAY, horizon)
    assert ahead.shape == (horizon,)
    assert ((ahead > 0.0) & (ahead < 1.0)).all()


@pytest.mark.parametrize(("rate", "odds"), [(0.5, 0.0), (0.75, np.log(3.0)), (0.0, np.log(0.005 / 0.995))])
def test_log_odds_of_rates(rate: float, odds: float) -> None:
    assert log_odds(np.array([rate]))[0] == pytest.approx(odds)

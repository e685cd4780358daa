"""How far days are from usual: in standard deviations, the same in every unit, and unknown where little is known."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.features.deviations import from_usual, lately

DAYS = 100
WAVE = np.tile([1.0, 3.0], DAYS // 2)
ORIGIN = 95


def test_distances_are_from_four_weeks_in_deviations_of_a_quarter() -> None:
    values = np.stack([WAVE, np.where(np.arange(DAYS) >= ORIGIN - 27, WAVE + 2.0, WAVE)])
    found = from_usual(values, ORIGIN, np.array([96, 97]))
    np.testing.assert_allclose(found[0], [-1.0, 1.0], rtol=1e-3)
    quarter = values[1, ORIGIN - 90 : ORIGIN + 1]
    np.testing.assert_allclose(found[1], (values[1, 96:98] - 4.0) / quarter.std())


def test_the_last_days_are_held_against_four_weeks() -> None:
    values = WAVE.copy()[None]
    values[:, ORIGIN - 6 : ORIGIN + 1] = 5.0
    base, quarter = values[0, ORIGIN - 27 : ORIGIN + 1], values[0, ORIGIN - 90 : ORIGIN + 1]
    np.testing.assert_allclose(lately(values, ORIGIN, 7), [[(5.0 - base.mean()) / quarter.std()]])


def test_nothing_is_said_where_the_day_or_what_is_usual_is_not_known_or_nothing_changes() -> None:
    short, gone, steady = np.full(DAYS, np.nan), WAVE.copy(), np.full(DAYS, 0.1)
    short[ORIGIN - 5 : ORIGIN + 3] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    gone[ORIGIN + 1 :] = np.nan
    values = np.stack([short, gone, steady])
    assert np.isnan(from_usual(values, ORIGIN, np.array([96]))).all()
    assert np.isnan(lately(values, ORIGIN, 7)).ravel().tolist() == [True, False, True]


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(-1000, 1000))
def test_units_and_what_comes_later_do_not_matter(seed: int, scale: float, shift: float) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(2, DAYS))
    later = values.copy()
    later[:, 97:] = random.normal(size=(2, DAYS - 97))
    targets = np.array([96])
    usual = from_usual(values, ORIGIN, targets)
    np.testing.assert_array_equal(usual, from_usual(later, ORIGIN, targets))
    np.testing.assert_allclose(usual, from_usual(values * scale + shift, ORIGIN, targets), atol=1e-6)

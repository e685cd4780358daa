"""How far backtests reach on a short history, and how much wider is what lies beyond."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.core.errors import InputError
from forecast_assets.models.selection import backtest_origins, backtested_days, require_trainable
from forecast_assets.models.short_history import ShortHistory
from tests.support.forecast_cases import panel_of


@pytest.mark.parametrize(
    ("days", "horizon", "reach", "origins"),
    [
        (14, 28, 7, [7]),
        (20, 28, 7, [7]),
        (21, 28, 7, [7, 14]),
        (35, 28, 7, [7, 14, 21]),
        (36, 7, 7, [7]),
        (56, 28, 14, [14, 28]),
        (57, 28, 28, [28]),
        (100, 28, 28, [28, 56]),
        (118, 90, 35, [35, 70]),
        (119, 90, 90, [90]),
        (364, 28, 28, [28, 56, 84]),
        (7, 28, 2, [2, 4]),
    ],
)
def test_backtests_reach_as_far_as_a_history_allows(days: int, horizon: int, reach: int, origins: list[int]) -> None:
    assert backtested_days(days, horizon) == reach
    assert backtest_origins(panel_of(np.ones((1, days)), horizon), horizon) == origins


@given(st.integers(7, 500), st.integers(1, 90))
def test_every_backtest_has_a_past_and_days_to_look_at(days: int, horizon: int) -> None:
    reach = backtested_days(days, horizon)
    assert 1 <= reach <= horizon
    origins = backtest_origins(panel_of(np.ones((1, days)), horizon), horizon)
    assert origins
    assert all(days - origin >= min(7, days // 2) for origin in origins)
    assert all(origin >= reach for origin in origins)


@pytest.mark.parametrize(("days", "horizon"), [(13, 7), (13, 28), (55, 31), (55, 90)])
def test_a_history_that_is_too_short_for_anything_is_refused(days: int, horizon: int) -> None:
    with pytest.raises(InputError, match=f"{days} days of sales"):
        require_trainable(days, horizon)
    require_trainable(days + 1, horizon)


def test_a_panel_that_looks_less_far_ahead_than_it_should_is_refused() -> None:
    with pytest.raises(InputError, match="with 7 ahead are too few to backtest 14"):
        backtest_origins(panel_of(np.ones((1, 100)), 7), 14)


def test_the_spread_grows_with_the_square_root_of_days_ahead() -> None:
    short = ShortHistory(known_days=20, backtested_days=7)
    quantiles = np.tile(np.array([0.0, 2.0, 4.0, 6.0, 10.0]), (1, 28, 1))
    wide = short.widened(quantiles, np.full((1, 28), 4.0))
    assert wide[0, 6].tolist() == [0.0, 2.0, 4.0, 6.0, 10.0]
    assert wide[0, 27].tolist() == [0.0, 0.0, 4.0, 8.0, 16.0]
    assert wide[0, 13] == pytest.approx([0.0, 4 - 2 * 2**0.5, 4.0, 4 + 2 * 2**0.5, 4 + 6 * 2**0.5])


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 90), st.lists(st.floats(0, 1e6), min_size=2, max_size=13), st.floats(0, 1e6))
def test_what_is_widened_stays_in_order_and_above_zero(
    reach: int, horizon: int, quantiles: list[float], mean: float
) -> None:
    said = np.tile(np.sort(quantiles), (1, horizon, 1))
    wide = ShortHistory(known_days=100, backtested_days=reach).widened(said, np.full((1, horizon), mean))
    assert (wide >= 0).all()
    assert (np.diff(wide, axis=2) >= 0).all()
    high, low = said[0, 0] >= mean, said[0, 0] <= mean
    assert (np.diff(wide[0][:, high], axis=0) >= -1e-9 * mean).all()
    assert (np.diff(wide[0][:, low], axis=0) <= 1e-9 * mean).all()

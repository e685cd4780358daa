"""As of which days versions with trees are trained, and how few days are enough."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.core.errors import InputError
from forecast_assets.features.demand_class import NEW_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted.cutoffs import LEAST_LEARNED_DAYS, chain_of, least_history, tree_origins
from tests.support.forecast_cases import panel_of


def panel(days: int, horizon: int) -> Panel:
    return panel_of(np.ones((1, days)), horizon)


@pytest.mark.parametrize(
    ("days", "horizon", "judged", "chain"),
    [
        (35, 14, [7], [0, 7]),
        (41, 14, [13], [0, 13]),
        (42, 14, [14], [0, 14]),
        (44, 14, [14], [0, 14]),
        (45, 14, [14], [0, 14]),
        (62, 14, [14, 28], [0, 14]),
        (100, 14, [14, 28, 42], [0, 14]),
        (43, 28, [15], [0, 15]),
        (105, 90, [77], [0, 77]),
        (35, 7, [7], [0, 7]),
        (29, 1, [1], [0, 1]),
    ],
)
def test_a_version_is_calibrated_by_one_that_knows_four_weeks(
    days: int, horizon: int, judged: list[int], chain: list[int]
) -> None:
    assert tree_origins(panel(days, horizon), horizon) == judged
    assert chain_of(panel(days, horizon), horizon, 0) == chain


@pytest.mark.parametrize(
    ("days", "oldest", "chain"),
    [
        # What judges is calibrated too, by as many days as leave four weeks, and by one where there are none.
        (41, 13, [0, 13, 14]),
        (48, 14, [0, 14, 20]),
        (58, 14, [0, 14, 28]),
        (62, 28, [0, 14, 28, 34]),
        (100, 28, [0, 14, 28, 42]),
    ],
)
def test_versions_that_judge_are_calibrated_too(days: int, oldest: int, chain: list[int]) -> None:
    assert chain_of(panel(days, 14), 14, oldest) == chain


@given(st.integers(1, 90), st.integers(0, 400))
def test_trees_have_seen_each_day_ahead_and_those_that_calibrate_serve_series(horizon: int, more: int) -> None:
    days = least_history(horizon) + more
    chain = chain_of(panel(days, horizon), horizon, 0)
    assert days - LEAST_LEARNED_DAYS - 1 >= horizon
    assert days - chain[1] >= NEW_DAYS
    assert min(horizon, 7) <= chain[1] <= horizon


@pytest.mark.parametrize("horizon", [1, 7, 14, 28, 90])
def test_a_day_less_than_it_takes_is_refused_with_how_many_it_takes(horizon: int) -> None:
    least = least_history(horizon)
    with pytest.raises(InputError, match=f"for {horizon} days ahead: it takes {least} or more") as refused:
        tree_origins(panel(least - 1, horizon), horizon)
    assert "--family statistical" in str(refused.value.remedy)
    assert tree_origins(panel(least, horizon), horizon)

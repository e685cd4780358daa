"""How sure sums are said to be: losses and coverage against plain loops, and the ways beside one another."""

import numpy as np
import pytest

from bench.cases import Case, m5_cases, m5_levels
from bench.m5_shaped import Shape
from bench.sample_paths import (
    AS_ONE,
    INDEPENDENT,
    LEARNED,
    SAME_DATES,
    Judged,
    SharedDates,
    coverage_table,
    goals_of,
    judged,
)
from forecast_assets.models.sample_paths.dependence import Dependence
from forecast_assets.models.sample_paths.marginals import Marginals


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    (made,) = m5_cases(Shape(items=10, days=190, seed=4), tmp_path_factory.mktemp("m5"), [160], 150)
    return made


@pytest.fixture(scope="module")
def found(case: Case) -> dict[str, Judged]:
    return judged(case, "statistical", workers=1)


def test_every_level_and_window_is_judged(case: Case, found: dict[str, Judged]) -> None:
    assert list(found) == [LEARNED, INDEPENDENT, AS_ONE, SAME_DATES]
    for each in found.values():
        assert list(each.losses) == list(m5_levels(case))
        assert set(each.held) == {(level, days) for level in m5_levels(case) for days in (1, 7, 14, 28)}
        assert all(0 <= held.mean[0] <= held.mean[2] <= 1 for held in each.held.values())
        assert {len(held.shares) for (_, days), held in each.held.items() if days == 1} == {28}


def test_sums_that_move_as_one_are_wider_than_independent_ones(found: dict[str, Judged]) -> None:
    total = ("total x total", 28)
    assert found[INDEPENDENT].held[total].mean[2] <= found[AS_ONE].held[total].mean[2] == 1.0
    bottom = "sku x store"
    assert found[LEARNED].losses[bottom] == pytest.approx(found[INDEPENDENT].losses[bottom])


def test_past_dates_keep_marginals_and_what_came_together(found: dict[str, Judged]) -> None:
    assert found[SAME_DATES].losses["sku x store"] == pytest.approx(found[LEARNED].losses["sku x store"], rel=0.05)
    marginals = Marginals(np.full((2, 2), 5.0), np.tile(np.arange(13.0), (2, 2, 1)), np.zeros(2, dtype=np.bool_))
    errors = np.array([[3.0, 1.0, 2.0, 9.0], [30.0, 10.0, 20.0, 0.0]])
    paths = SharedDates(marginals, Dependence.none(), np.zeros(2, dtype=np.uint64), {}, errors=errors).of_all_dates()
    first, second = paths.steps()
    # Three days begin a horizon of two: both series are high in the first and low in the second.
    assert [units.argsort().tolist() for units in (first[0], first[1])] == [[1, 2, 0]] * 2
    assert [units.argsort().tolist() for units in (second[0], second[1])] == [[0, 1, 2], [2, 0, 1]]
    assert np.sort(first, axis=1).tolist() == marginals.outcomes(0, 3).tolist()


def test_goals_are_ratios_of_mean_losses(found: dict[str, Judged]) -> None:
    goals = goals_of([found], fixed=2.0)
    assert goals[0].reached == pytest.approx(found[LEARNED].wspl / found[INDEPENDENT].wspl)
    assert goals[2].reached == pytest.approx(found[LEARNED].wspl / found[SAME_DATES].wspl)
    assert goals[-1].reached == pytest.approx(found[LEARNED].seconds / 2.0)
    assert "first 28" in coverage_table([found])

"""How sure sums are said to be: losses and coverage against plain loops, and the ways beside one another."""

import numpy as np
import pytest

from bench import sample_paths
from bench.cases import Case, m5_cases, m5_levels
from bench.m5_shaped import Shape
from bench.sample_paths import AS_ONE, INDEPENDENT, LEARNED, Judged, coverage_table, goals_of, judged


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    (made,) = m5_cases(Shape(items=10, days=190, seed=4), tmp_path_factory.mktemp("m5"), [160], 150)
    return made


@pytest.fixture(scope="module")
def found(case: Case) -> dict[str, Judged]:
    return judged(case, "statistical", workers=1)


def test_every_level_and_window_is_judged(case: Case, found: dict[str, Judged]) -> None:
    assert list(found) == [LEARNED, INDEPENDENT, AS_ONE]
    for each in found.values():
        assert list(each.losses) == list(m5_levels(case))
        assert set(each.inside) == {(level, days) for level in m5_levels(case) for days in (1, 7, 14, 28)}
        assert all(0 <= low <= high <= 1 for shares in each.inside.values() for low, high in [shares[::2]])


def test_sums_that_move_as_one_are_wider_than_independent_ones(found: dict[str, Judged]) -> None:
    total = ("total x total", 28)
    assert found[INDEPENDENT].inside[total][2] <= found[AS_ONE].inside[total][2] == 1.0
    bottom = "sku x store"
    assert found[LEARNED].losses[bottom] == pytest.approx(found[INDEPENDENT].losses[bottom])


def test_ties_with_an_end_count_half() -> None:
    quantiles = np.array([[[0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7.0]]])
    assert sample_paths._inside(np.array([[0.0]]), quantiles) == [0.5, 0.5, 0.5]
    assert sample_paths._inside(np.array([[3.0]]), quantiles) == [0.0, 1.0, 1.0]


def test_goals_are_ratios_of_mean_losses(found: dict[str, Judged]) -> None:
    goals = goals_of([found], fixed=2.0)
    assert goals[0].reached == pytest.approx(found[LEARNED].wspl / found[INDEPENDENT].wspl)
    assert goals[2].reached == pytest.approx(found[LEARNED].seconds / 2.0)
    assert "first 28" in coverage_table([found])

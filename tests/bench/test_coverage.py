"""How often intervals held, and how many observations that is worth, on tables written by hand."""

import numpy as np
import pytest

from bench.coverage import NOMINAL, IntervalsHeld, coverage, joined, unexplained, worst_off

QUANTILES = np.array([0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7.0])


@pytest.mark.parametrize(
    ("came", "shares"),
    [
        (0.0, [0.5, 0.5, 0.5, 1.0, 1.0]),
        (3.0, [0.0, 1.0, 1.0, 1.0, 1.0]),
        (6.0, [0.0, 0.0, 0.5, 0.5, 1.0]),
        (8.0, [0.0, 0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_ties_with_an_end_count_half(came: float, shares: list[float]) -> None:
    assert coverage(np.array([[came]]), QUANTILES[None, None]).mean.tolist() == shares


def test_nodes_and_dates_are_counted() -> None:
    found = coverage(np.array([[1.0, 1.0], [1.0, 9.0]]), np.tile(QUANTILES, (2, 2, 1)))
    assert (found.nodes, found.pairs) == (2, 4)
    assert found.shares[:, 2].tolist() == [1.0, 0.5]
    assert joined([found, found]).pairs == 8


def of_dates(share: float, spread: float, dates: int, nodes: int) -> IntervalsHeld:
    at = share + spread * np.resize([-1.0, 1.0], dates)
    return IntervalsHeld(np.repeat(at[:, None], len(NOMINAL), axis=1), nodes)


def test_nodes_that_miss_together_are_worth_few_observations() -> None:
    together, apart = of_dates(0.5, 0.5, 40, 100), of_dates(0.5, 0.005, 40, 100)
    # Of each date all nodes hold or none does: forty dates are forty observations.
    assert together.effective[0] == pytest.approx(40, rel=0.05)
    assert apart.effective[0] == apart.pairs
    assert of_dates(0.5, 0.0, 1, 100).effective.tolist() == [1.0] * 5


def test_a_share_is_judged_by_itself_or_by_its_number() -> None:
    few, many = of_dates(0.8, 0.3, 10, 3), of_dates(0.8, 0.3, 10, 50)
    assert worst_off([few, many]) == pytest.approx(0.3)
    assert np.isnan(worst_off([few]))
    # Half of the time they should hold, and did eight times in ten: three dates in ten may be chance, not 0.3 of 200.
    assert unexplained([of_dates(0.5, 0.3, 10, 3)]) == 1, "95% intervals that hold half of the time are not chance"
    exact = IntervalsHeld(np.tile(np.array(NOMINAL), (10, 1)) + np.resize([-0.02, 0.02], 10)[:, None], 3)
    assert unexplained([exact, many]) == 0

"""How often intervals held, and how many observations that is worth, on tables written by hand."""

import numpy as np
import pytest

from bench.coverage import NOMINAL, IntervalsHeld, coverage, joined, unexplained, worst_off
from forecast_assets.contracts import QUANTILES as PUBLISHED_LEVELS

QUANTILES = np.array([0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7.0])


# A zero ties with the six levels up to .25, and the next is .5: it reaches half of the way there.
@pytest.mark.parametrize(
    ("came", "shares"),
    [
        (0.5, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (2.5, [0.0, 1.0, 1.0, 1.0, 1.0]),
        (5.5, [0.0, 0.0, 1.0, 1.0, 1.0]),
        (6.5, [0.0, 0.0, 0.0, 0.0, 1.0]),
        (8.0, [0.0, 0.0, 0.0, 0.0, 0.0]),
        # From .0025 to .375: .125 of it from .25 on, .275 from .1 on, .35 from .025 on.
        (0.0, [0.125 / 0.3725, 0.275 / 0.3725, 0.35 / 0.3725, 1.0, 1.0]),
        # From .9625 to .985.
        (6.0, [0.0, 0.0, 0.0125 / 0.0225, 0.0125 / 0.0225, 1.0]),
    ],
)
def test_ties_are_spread_over_their_probabilities(came: float, shares: list[float]) -> None:
    assert coverage(np.array([[came]]), QUANTILES[None, None]).mean.tolist() == pytest.approx(shares)


def test_counts_that_come_as_they_were_said_hold_as_often_as_they_should() -> None:
    random = np.random.default_rng(7)
    said = np.quantile(random.poisson(0.6, 500), PUBLISHED_LEVELS, method="hazen")
    found = coverage(random.poisson(0.6, (4000, 5)).astype(float), np.tile(said, (4000, 5, 1)))
    assert found.mean == pytest.approx(NOMINAL, abs=0.05)


def test_nodes_and_dates_are_counted() -> None:
    found = coverage(np.array([[1.0, 1.0], [1.0, 9.0]]), np.tile(QUANTILES, (2, 2, 1)))
    assert (found.nodes, found.pairs) == (2, 4)
    assert found.shares[:, 2].tolist() == pytest.approx([1.0, 0.5])
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

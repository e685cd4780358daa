"""Risks from stock positions against simulated truth: what is summed up, where outcomes lie, and what is told."""

import numpy as np
import pytest

from bench.positions import judged, over_lead_times, position_goals, randomised_places
from forecast_assets.simulation.simulator import SimulatorSettings


def test_demand_is_summed_up_over_each_series_own_lead_time() -> None:
    draws = np.arange(24.0).reshape(2, 4, 3)
    summed = over_lead_times(draws, np.array([1.0, 9.0]))
    np.testing.assert_array_equal(summed, [draws[0, 0], draws[1].sum(axis=0)])


@pytest.mark.parametrize("mean", [0.3, 3.0, 300.0])
def test_outcomes_of_the_forecast_distribution_lie_evenly_whatever_the_counts(mean: float) -> None:
    random = np.random.default_rng(2)
    places = randomised_places(random.poisson(mean, (60, 500)), random.poisson(mean, (60, 200)))
    for level in (0.5, 0.8, 0.95):
        assert (np.abs(places - 0.5) < level / 2).mean() == pytest.approx(level, abs=0.02)


def test_too_narrow_a_forecast_is_seen() -> None:
    random = np.random.default_rng(3)
    places = randomised_places(random.normal(50.0, 5.0, (60, 500)), random.normal(50.0, 10.0, (60, 200)))
    assert (np.abs(places - 0.5) < 0.4).mean() < 0.6


def test_a_retailer_is_judged_and_told() -> None:
    reached = judged(SimulatorSettings(skus=8, stores=3, days=120, seed=2), "statistical")
    goals = {goal.what: goal for goal in position_goals([reached, reached])}
    assert all(np.isfinite(value) for value in reached.values())
    assert goals["stock positions, 2 retailers: calibration error, mean size"].at_least == 0.02
    assert goals["stock positions, 2 retailers: bias of expected lost units, mean size"].reached == pytest.approx(
        abs(reached["bias of expected lost units"])
    )
    assert reached["calibration error"] < 0.05

"""Promotions under daily looks: losses by hand, and a sample of what the full measurement tells."""

import numpy as np
import pytest

from bench.cases import SIMULATED_HORIZON, Case
from bench.evidence import DailyLosses, daily_losses, goals_of, looked_at
from bench.panels import simulated_retailer
from forecast_assets.simulation.simulator import SimulatorSettings


def _losses(spread: float, kept: float, days: int = 60) -> DailyLosses:
    """Two equally good versions whose errors go on from day to day."""
    random = np.random.default_rng(3)
    log = random.normal(0.0, spread, (2, days))
    for day in range(1, days):
        log[:, day] += kept * log[:, day - 1]
    champion, challenger = 1000.0 * np.exp(log)
    return DailyLosses(champion, challenger)


def test_a_challenger_is_made_no_better_and_then_5_percent_better() -> None:
    losses = DailyLosses(np.array([100.0, 90.0, 110.0]), np.array([90.0, 85.0, 95.0]))
    assert losses.differences.mean() > 0.5
    nothing = losses.without_difference()
    assert nothing.differences.mean() == pytest.approx(0.0, abs=1e-6)
    assert nothing.scaled(0.95).differences.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("step", [1, 7])
def test_no_more_than_5_percent_of_years_are_wrong_where_a_t_test_often_is(step: int) -> None:
    found = looked_at(_losses(0.03, 0.4), step, years=150)
    assert found.wrong <= 0.05 + 0.053
    assert found.wrong_by_t > 0.15
    assert found.found >= 0.8
    goals = goals_of("made up", step, found)
    assert [goal.verdict for goal in goals] == ["reached", "reached", "", ""]


def test_losses_are_those_of_the_days_that_came() -> None:
    made = simulated_retailer(SimulatorSettings(skus=6, stores=2, days=150), SIMULATED_HORIZON)
    case = Case("simulator", made.panel, made.hierarchy, made.sales, None, np.zeros(len(made.sales)))
    losses = daily_losses(case, made.panel.history_days - 9)
    # Nine days after training, the last of them known, and as many as lie seven days on.
    assert {step: len(each.champion) for step, each in losses.items()} == {1: 9, 7: 3}
    assert all((each.champion > 0).all() and (each.challenger > 0).all() for each in losses.values())
    assert not np.allclose(losses[1].champion, losses[1].challenger)

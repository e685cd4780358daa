"""Promotions under daily looks: losses by hand, and a sample of what the full measurement tells."""

from datetime import timedelta

import numpy as np
import pytest

from bench.cases import SIMULATED_HORIZON, Case
from bench.evidence import (
    LINKED,
    WAYS,
    WEEKS,
    DailyLosses,
    daily_losses,
    goals_of,
    looked_at,
    promoted,
    with_the_next,
)
from bench.panels import simulated_retailer
from forecast_assets.lifecycle.evidence import observations, weigh
from forecast_assets.lifecycle.judging import decision
from forecast_assets.simulation.simulator import SimulatorSettings
from resources.ledger.entries.weigh import BETTER
from tests.support.trial_cases import trial


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
    assert found.wrong[WEEKS] <= 0.05 + 0.053
    assert found.wrong_by_t > 0.15
    assert found.found[WEEKS] >= 0.8
    verdicts = [goal.verdict for goal in goals_of("made up", step, found)]
    assert (verdicts[0], verdicts[3], {*verdicts[4:]}) == ("reached", "reached", {""})
    assert [count for _, count in found.alike.values()] == [60, 8]


@pytest.mark.parametrize(("step", "better"), [(1, 0.08), (1, 0.0), (7, 0.08), (1, -0.06)])
def test_it_promotes_on_the_days_on_which_the_rule_does(step: int, better: float) -> None:
    random = np.random.default_rng(5)
    told = trial(rules={"deciding_step": step})
    for _ in range(6):
        differences = np.clip(random.normal(better * 5, 0.4, 120), -1.0, 1.0)
        days = [told.first_day + timedelta(days=at) for at in range(len(differences))]
        looks = [
            decision(
                told,
                weigh(observations(days[:known], differences[:known], step, told.first_day)[1]),
                (),
                days[known - 1],
            )
            for known in range(1, len(days) + 1)
        ]
        assert promoted(differences, step) == (BETTER in looks)


def test_each_day_is_drawn_as_often_and_weeks_are_alike_as_asked() -> None:
    differences = _losses(0.05, 0.0, days=140).differences
    for way, draws in WAYS.items():
        years = np.array(list(draws(differences, 400)))
        assert years.shape == (400, 365)
        drawn = np.bincount(years.ravel(), minlength=140) / years.size
        assert np.abs(drawn * 140 - 1.0).max() < 0.25, way
        assert (np.diff(years, axis=1) % 140 == 1).mean() > 0.8, "days in a row"
    weeks = [differences[days][: 52 * 7].reshape(52, 7).mean(axis=1) for days in WAYS[LINKED](differences, 100)]
    apart = [differences[days][: 52 * 7].reshape(52, 7).mean(axis=1) for days in WAYS[WEEKS](differences, 100)]
    linked, free = (np.mean([with_the_next(each)[0] for each in some]) for some in (weeks, apart))
    assert linked - free > 0.25


def test_losses_are_those_of_the_days_that_came() -> None:
    made = simulated_retailer(SimulatorSettings(skus=6, stores=2, days=150), SIMULATED_HORIZON)
    case = Case("simulator", made.panel, made.hierarchy, made.sales, None, np.zeros(len(made.sales)))
    losses = daily_losses(case, made.panel.history_days - 9)
    # Nine days after training, the last of them known, and as many as lie seven days on.
    assert {step: len(each.champion) for step, each in losses.items()} == {1: 9, 7: 3}
    assert all((each.champion > 0).all() and (each.challenger > 0).all() for each in losses.values())
    assert not np.allclose(losses[1].champion, losses[1].challenger)

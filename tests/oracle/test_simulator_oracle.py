"""The simulator's truth against theory: its law of demand, its lead times, its stock-out probabilities."""

import numpy as np
import pytest
from scipy.stats import nbinom

from forecast_assets.simulation.assortment import SimulatorSettings, make_assortment
from forecast_assets.simulation.demand_law import DemandLaw, draw, make_law, make_offers
from forecast_assets.simulation.replenishment import (
    PATHS,
    ReplenishmentTerms,
    draw_remaining_lead_times,
    make_terms,
    simulate_supply,
    true_probabilities,
)


def test_demand_has_the_moments_of_a_thinned_negative_binomial() -> None:
    law = DemandLaw(np.array([[3.0], [0.5], [8.0]]), np.array([1.0, 0.3, 0.8]), np.array([2.0, 0.9, 40.0]))
    drawn = draw(np.random.default_rng(1), law, 0, 200_000)
    mean, activity = law.mean_units[:, 0], law.activity
    variance = mean + mean**2 / activity * (1 + 1 / law.dispersion) - mean**2
    assert drawn.mean(axis=1) == pytest.approx(mean, rel=0.03)
    assert drawn.var(axis=1) == pytest.approx(variance, rel=0.05)


def test_remaining_lead_times_are_those_of_orders_that_have_not_arrived() -> None:
    """Inverting the truncated distribution equals throwing away the orders that arrived earlier."""
    random = np.random.default_rng(2)
    mean, deviation, elapsed = 4.0, 1.5, 4
    drawn = np.clip(np.rint(random.normal(mean, deviation, 400_000)), 1, 40)
    kept = drawn[drawn > elapsed]
    terms = ReplenishmentTerms(np.array([mean]), np.array([deviation]), np.array([0]), np.array([1]))
    remaining = draw_remaining_lead_times(random, terms, np.array([elapsed]), 100_000)[0]
    for days in range(1, 12):
        assert (remaining == days).mean() == pytest.approx((kept == days).mean(), abs=0.01)


@pytest.mark.parametrize("elapsed", [0, 2, 3])
def test_a_lead_time_without_deviation_is_certain(elapsed: int) -> None:
    terms = ReplenishmentTerms(np.array([4.0]), np.array([0.0]), np.array([0]), np.array([1]))
    drawn = draw_remaining_lead_times(np.random.default_rng(3), terms, np.array([elapsed]), 50)
    assert set(drawn.ravel().tolist()) == {4}


def test_the_first_days_probability_is_the_tail_of_demand_beyond_the_stock() -> None:
    """Where nothing is on the way, tomorrow's stock is today's: P(unmet) is a negative binomial tail."""
    settings = SimulatorSettings(skus=60, stores=3, days=150, horizon=1)
    assortment = make_assortment(settings)
    law = make_law(settings, assortment, make_offers(settings, assortment))
    terms = make_terms(settings, law)
    supply = simulate_supply(settings, law, terms, assortment.launch[assortment.sku_of_series])
    found = true_probabilities(settings, law, terms, supply, lambda _what, _share: None)[:, 0]
    last = settings.days - 1
    waits = np.zeros(settings.series, dtype=bool)
    waits[supply.orders.open_after(last).series] = True
    mean = law.mean_units[:, settings.days] / law.activity
    tail = nbinom.sf(supply.on_hand[:, last], law.dispersion, law.dispersion / (law.dispersion + mean))
    expected = law.activity * tail
    error = np.sqrt(np.maximum(expected * (1 - expected), 0.25 / PATHS) / PATHS)
    apart = (np.abs(found - expected) / error)[~waits]
    assert (~waits).sum() > 30
    assert apart.max() < 4.5
    assert expected[~waits].max() > 0.02

"""The vectorised simulation against a plain loop over one path, one day, one order at a time, on the same draws."""

import numpy as np
import pytest
from scipy.stats import norm

from forecast_assets.contracts import QUANTILES
from forecast_assets.stockout_risk import inventory
from forecast_assets.stockout_risk.inventory import Demand, Supply, simulate_stock
from tests.support.risk_cases import poisson_demand, supply

PATHS, HORIZON = 60, 12


def _demand_draws(demand: Demand, series: int) -> list[list[float]]:
    """[H][paths]: each quantile function walked by hand."""
    scores = inventory._scores(float(demand.rho[series]), HORIZON, PATHS)
    knots = norm.ppf(QUANTILES)
    days = []
    for day in range(HORIZON):
        values = demand.quantiles[series, day]
        raw = []
        for score in scores[day]:
            place = next((k for k in range(11) if score < knots[k + 1]), 11)
            slope = (values[place + 1] - values[place]) / (knots[place + 1] - knots[place])
            raw.append(max(values[place] + slope * (score - knots[place]), 0.0))
        scale = demand.mean[series, day] / (sum(raw) / PATHS)
        shift = inventory._strata(inventory._ROUNDING, day, PATHS)
        days.append([float(np.floor(x * scale + v)) for x, v in zip(raw, shift, strict=True)])
    return days


def _one_path(draws: list[float], stock: float, due: dict[int, float], terms: Supply, leads: list[int]) -> list[bool]:
    """Walk one path: whether demand went unmet on each day. `due` maps a day (from 1) to units arriving."""
    due, short = dict(due), []
    for day, asked in enumerate(draws, start=1):
        stock += due.pop(day, 0.0)
        short.append(asked > stock)
        stock = max(stock - asked, 0.0)
        position = stock + sum(due.values())
        if day % terms.review_days[0] == 0 and position <= terms.reorder_point[0]:
            arrival = day + leads[day - 1]
            due[arrival] = due.get(arrival, 0.0) + terms.order_up_to[0] - position
    return short


@pytest.mark.parametrize(("rho", "review", "deviation"), [(0.0, 1.0, 0.0), (0.3, 1.0, 1.2), (0.15, 4.0, 0.8)])
def test_a_plain_loop_finds_the_same_probabilities(rho: float, review: float, deviation: float) -> None:
    mean = np.random.default_rng(5).uniform(1.0, 4.0, (1, HORIZON))
    demand = poisson_demand(mean, rho)
    orders = [(0, 2, 6.0), (0, 0, 4.0)]
    terms = supply([5.0], lead=3.0, deviation=deviation, review=review, policy=(8.0, 20.0), orders=orders)
    draws = _demand_draws(demand, 0)
    short = []
    for path in range(PATHS):
        due: dict[int, float] = {}
        for slot, (_, elapsed, units) in enumerate(orders):
            lead = _conditional_lead(deviation, elapsed, inventory._strata(inventory._OPEN_ORDER, slot, PATHS)[path])
            due[lead - elapsed] = due.get(lead - elapsed, 0.0) + units
        leads = [_lead(deviation, inventory._strata(inventory._LEAD_TIME, day, PATHS)[path]) for day in range(HORIZON)]
        short.append(_one_path([day[path] for day in draws], 5.0, due, terms, leads))
    assert simulate_stock(demand, terms, paths=PATHS).probability[0] == pytest.approx(np.mean(short, axis=0), abs=1e-12)


def _lead(deviation: float, uniform: float) -> int:
    return max(round(3.0 + deviation * float(norm.ppf(uniform))), 1)


def _conditional_lead(deviation: float, elapsed: int, uniform: float) -> int:
    """Walk the whole days above `elapsed` until the probability left over falls below that of the draw."""
    if deviation == 0:
        return max(3, elapsed + 1)
    later = 1.0 if elapsed == 0 else norm.sf((elapsed + 0.5 - 3.0) / deviation)
    lead = elapsed + 1
    while norm.sf((lead + 0.5 - 3.0) / deviation) > uniform * later:
        lead += 1
    return lead

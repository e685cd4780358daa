"""What holds for every demand and supply."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecast_assets.stockout_risk import inventory
from forecast_assets.stockout_risk.inventory import simulate_stock
from tests.support.risk_cases import poisson_demand, supply

HORIZON, PATHS = 6, 50
means = arrays(np.float64, (2, HORIZON), elements=st.floats(0.0, 20.0).map(lambda x: round(x, 3)))
order_lists = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.floats(0.0, 30.0)), max_size=4)
policies = st.sampled_from([(np.nan, np.nan), (5.0, 12.0), (0.0, 3.0)])
stocks = st.floats(0.0, 60.0)
Means = npt.NDArray[np.float64]
Orders = list[tuple[int, int, float]]


@settings(max_examples=40, deadline=None)
@given(mean=means, stock=stocks, more=stocks, orders=order_lists, rho=st.floats(0.0, 1.0))
def test_more_stock_never_raises_the_risk(mean: Means, stock: float, more: float, orders: Orders, rho: float) -> None:
    """Without a policy: with one, more stock can put an order off."""
    demand = poisson_demand(mean, rho)
    less = simulate_stock(demand, supply([stock] * 2, lead=9, deviation=1, orders=orders), PATHS)
    richer = simulate_stock(demand, supply([stock + more] * 2, lead=9, deviation=1, orders=orders), PATHS)
    assert (richer.stages <= less.stages).all()
    assert (richer.lost_units <= less.lost_units + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(mean=means, stock=stocks, orders=order_lists, policy=policies)
def test_each_supply_takes_risk_away_and_losses_stay_below_demand(
    mean: Means, stock: float, orders: Orders, policy: tuple[float, float]
) -> None:
    demand = poisson_demand(mean)
    risk = simulate_stock(demand, supply([stock] * 2, lead=9, deviation=1, policy=policy, orders=orders), PATHS)
    assert (np.diff(risk.stages, axis=0) <= 0).all()
    assert ((risk.stages >= 0) & (risk.stages <= 1)).all()
    assert (risk.lost_units <= demand.mean).all()
    assert ((risk.lost_units > 0) <= (risk.probability > 0)).all()


@settings(max_examples=40, deadline=None)
@given(mean=means, stock=stocks, orders=order_lists)
def test_every_unit_is_sold_lost_or_still_there(mean: Means, stock: float, orders: Orders) -> None:
    terms = supply([stock] * 2, lead=3, deviation=1, orders=orders)
    draws = inventory._draw(poisson_demand(mean), inventory._scores(0.0, HORIZON, PATHS))
    arrivals = inventory._open_order_arrivals(terms, HORIZON, PATHS)
    _, lost = inventory._walk(draws, arrivals, terms.on_hand)
    sold = draws.sum(axis=(0, 2)) - lost.sum(axis=1)
    available = terms.on_hand * PATHS + arrivals.sum(axis=(0, 2))
    assert (sold <= available + 1e-6).all()
    ordered = np.bincount(terms.order_series, weights=terms.order_units, minlength=2)
    assert (arrivals.sum(axis=(0, 2)) <= ordered * PATHS + 1e-6).all()
    plenty = supply([1e9] * 2, orders=orders)
    assert not inventory._walk(draws, arrivals, plenty.on_hand)[1].any()

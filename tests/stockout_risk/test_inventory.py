"""Stock-out risk from inventory positions: cases whose answer is known without simulating."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm, poisson

from forecast_assets.contracts import INVENTORY_POSITIONS, PURCHASE_ORDERS
from forecast_assets.stockout_risk import inventory
from forecast_assets.stockout_risk.inventory import Demand, days_of_cover, remaining_days, simulate_stock, supply_at
from tests.support.risk_cases import certain_demand, poisson_demand, supply


def test_certain_demand_runs_out_on_the_day_that_arithmetic_says() -> None:
    risk = simulate_stock(certain_demand([[2.0] * 5]), supply([5.0], lead=9))
    assert risk.probability.tolist() == [[0, 0, 1, 1, 1]]
    assert risk.lost_units.tolist() == [[0, 0, 1, 2, 2]]
    assert risk.days_of_cover.tolist() == [2.5]


def test_an_open_order_arrives_at_the_opening_of_its_day() -> None:
    """Placed 2 days ago with a lead of 4: in the opening stock of day 2."""
    risk = simulate_stock(certain_demand([[2.0] * 4]), supply([2.0], lead=4, orders=[(0, 2, 3.0)]))
    assert risk.stages[1].tolist() == [[0, 1, 1, 1]]
    assert risk.stages[2].tolist() == [[0, 0, 1, 1]]
    assert risk.lost_units.tolist() == [[0, 0, 1, 2]]


def test_an_order_that_is_known_to_arrive_comes_on_its_day_whatever_its_lead_time() -> None:
    known = supply([0.0], lead=9.0, deviation=1.0, policy=(0.0, 0.0))
    late = known.with_orders(np.array([0]), np.array([9.0]), np.array([4]))
    risk = simulate_stock(certain_demand([[1.0] * 6]), late).probability[0]
    assert risk.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_orders_besides_change_no_draw_of_the_others() -> None:
    demand = poisson_demand(np.full((2, 8), 3.0))
    known = supply([2.0, 2.0], lead=4.0, deviation=1.5, orders=[(0, 1, 9.0), (1, 1, 9.0)])
    besides = known.with_orders(np.array([1]), np.array([5.0]), np.array([2]))
    before, after = simulate_stock(demand, known), simulate_stock(demand, besides)
    assert after.stages[:, 0].tobytes() == before.stages[:, 0].tobytes()
    assert (after.lost_units[1][:4] <= before.lost_units[1][:4]).all()
    assert after.lost_units[1].tolist() != before.lost_units[1].tolist()


def test_a_series_that_is_there_twice_keeps_its_orders_and_its_risk() -> None:
    known = supply([2.0, 5.0, 1.0], lead=4.0, deviation=1.5, orders=[(0, 1, 9.0), (2, 1, 4.0), (2, 2, 3.0)])
    demand = poisson_demand(np.full((3, 6), 2.0))
    rows = np.array([2, 2, 0])
    found = simulate_stock(demand.take(rows), known.take(rows))
    assert found.stages.tobytes() == simulate_stock(demand, known).stages[:, rows].tobytes()


def test_an_overdue_order_is_expected_at_the_next_opening() -> None:
    risk = simulate_stock(certain_demand([[2.0] * 3]), supply([0.0], lead=3, orders=[(0, 11, 4.0)]))
    assert risk.probability.tolist() == [[0, 0, 1]]


def test_the_declared_policy_orders_at_the_end_of_the_day_and_receives_after_its_lead_time() -> None:
    """Day 1 leaves 3, at s: orders 7, open on day 3 after day 2 left 1 (lost 0). Then 8 - 2 = 6, 4, 2 at s: 8 ..."""
    risk = simulate_stock(certain_demand([[2.0, 2, 2, 2, 2, 2]]), supply([5.0], lead=2, policy=(3.0, 10.0)))
    assert risk.stages[2].tolist() == [[0, 0, 1, 1, 1, 1]]
    assert risk.stages[3].tolist() == [[0, 0, 0, 0, 0, 0]]


def test_orders_wait_for_the_review_day() -> None:
    """Reviews at the end of days 3 and 6; the order of day 3 arrives on day 4."""
    risk = simulate_stock(certain_demand([[1.0] * 5]), supply([1.0], lead=1, review=3, policy=(5.0, 9.0)))
    assert risk.probability.tolist() == [[0, 1, 1, 0, 0]]


def test_units_on_order_count_towards_the_reorder_point() -> None:
    """9 units on order keep the position above s, so that nothing more is ordered before they arrive."""
    on_order = supply([1.0], lead=3, policy=(4.0, 9.0), orders=[(0, 0, 9.0)])
    risk = simulate_stock(certain_demand([[1.0] * 12]), on_order)
    assert risk.probability[0, :3].tolist() == [0, 1, 0]
    assert np.array_equal(risk.probability[0], np.eye(12)[1])


def test_without_a_policy_the_risk_ends_at_lead_time_plus_review() -> None:
    risk = simulate_stock(certain_demand([[1.0] * 6]), supply([9.0], lead=2.4, review=2))
    assert np.isnan(risk.probability[0]).tolist() == [False] * 5 + [True]
    assert np.isnan(risk.lost_units[0]).tolist() == [False] * 5 + [True]
    undeclared = simulate_stock(certain_demand([[1.0] * 6]), supply([9.0], lead=2.4, review=np.nan))
    assert np.isnan(undeclared.probability[0]).tolist() == [False] * 4 + [True] * 2


def test_cover_is_interpolated_and_open_where_stock_outlasts_the_horizon() -> None:
    mean = np.array([[2.0, 4.0], [2.0, 4.0], [2.0, 4.0], [0.0, 0.0]])
    assert days_of_cover(np.array([0.0, 4.0, 6.0, 0.0]), mean)[:2].tolist() == [0.0, 1.5]
    assert np.isnan(days_of_cover(np.array([0.0, 4.0, 6.0, 0.0]), mean)[2:]).all()


def test_nothing_asked_for_is_nothing_lost() -> None:
    risk = simulate_stock(certain_demand([[0.0, 0.0]]), supply([0.0]))
    assert not risk.stages.any()
    assert not risk.lost_units.any()


def test_a_series_risk_does_not_depend_on_the_other_series_nor_on_the_chunk() -> None:
    mean = np.random.default_rng(1).uniform(0.2, 6.0, (7, 9))
    demand = poisson_demand(mean, rho=0.3)
    stock = supply(
        (mean[:, 0] * 3).tolist(), deviation=1.0, policy=(4.0, 12.0), orders=[(4, 1, 5.0), (2, 0, 3.0), (4, 3, 2.0)]
    )
    together = simulate_stock(demand, stock, paths=100)
    apart = simulate_stock(demand, stock, paths=100, chunk=2)
    rows = np.array([4, 2])
    alone = simulate_stock(demand.take(rows), stock.take(rows), paths=100)
    assert np.array_equal(together.stages, apart.stages)
    assert np.array_equal(together.lost_units, apart.lost_units)
    assert np.array_equal(together.stages[:, rows], alone.stages)
    assert np.array_equal(together.lost_units[rows], alone.lost_units)


def test_a_longer_horizon_does_not_change_the_days_before_it() -> None:
    mean = np.full((1, 12), 2.0)
    long = simulate_stock(poisson_demand(mean, 0.2), supply([5.0], deviation=1.0, policy=(4.0, 9.0)))
    short = simulate_stock(poisson_demand(mean[:, :5], 0.2), supply([5.0], deviation=1.0, policy=(4.0, 9.0)))
    assert np.array_equal(long.probability[:, :5], short.probability)


@pytest.mark.parametrize("mean", [0.05, 0.4, 2.0, 15.0])
def test_first_day_reproduces_the_poisson_distribution(mean: float) -> None:
    """A stock of k fails on the first day with probability P(demand > k)."""
    stocks = np.arange(int(mean * 2) + 3)
    risk = simulate_stock(poisson_demand(np.full((len(stocks), 1), mean)), supply(stocks.tolist()), paths=500)
    assert np.abs(risk.probability[:, 0] - poisson.sf(stocks, mean)).max() < 0.04
    expected_lost = [sum((n - k) * poisson.pmf(n, mean) for n in range(k, 60)) for k in stocks]
    assert np.abs(risk.lost_units[:, 0] - expected_lost).max() < 0.04 * max(mean, 1.0)


def test_draws_keep_the_mean_of_the_forecast_and_are_whole_where_sales_are() -> None:
    mean = np.array([[3.3, 0.7], [3.3, 0.7]])
    demand = poisson_demand(mean)
    demand = Demand(mean, demand.quantiles, demand.rho, np.array([True, False]))
    draws = inventory._draw(demand, inventory._scores(0.0, 2, 400))
    assert np.array_equal(draws[:, 0], np.rint(draws[:, 0]))
    assert draws[:, 0].mean(axis=1) == pytest.approx([3.3, 0.7], abs=0.06)
    assert draws[:, 1].mean(axis=1) == pytest.approx([3.3, 0.7], abs=1e-12)


def test_where_every_quantile_is_zero_the_mean_falls_on_the_rarest_paths() -> None:
    demand = Demand(np.array([[0.004]]), np.zeros((1, 1, 13)), np.zeros(1), np.array([False]))
    risk = simulate_stock(demand, supply([0.0]), paths=400)
    assert 0 < risk.probability[0, 0] <= 0.01
    assert risk.lost_units[0, 0] == pytest.approx(0.004)


def test_days_that_go_together_empty_the_shelf_later_or_sooner_than_independent_ones() -> None:
    """Stock above the expected total: only a run of good days empties it, and correlation makes runs."""
    mean = np.full((1, 10), 4.0)
    independent = simulate_stock(poisson_demand(mean, 0.0), supply([50.0], lead=20)).probability[0, -1]
    together = simulate_stock(poisson_demand(mean, 0.5), supply([50.0], lead=20)).probability[0, -1]
    assert together > independent + 0.02


def test_remaining_lead_times_follow_the_distribution_given_what_has_passed() -> None:
    uniform = ((np.arange(4000) + 0.5) / 4000)[None, :]
    drawn = remaining_days(np.array([4.0]), np.array([1.5]), np.array([3]), uniform)[0]
    days = np.arange(4, 12)
    mass = norm.cdf((days + 0.5 - 4) / 1.5) - norm.cdf((days - 0.5 - 4) / 1.5)
    expected = mass / norm.sf((3.5 - 4) / 1.5)
    assert drawn.min() == 1
    assert np.bincount(drawn, minlength=9)[1:9] / 4000 == pytest.approx(expected, abs=0.001)


def test_an_order_later_than_its_lead_time_can_explain_still_arrives_next_day() -> None:
    drawn = remaining_days(np.array([2.0]), np.array([0.01]), np.array([400]), np.full((1, 3), 0.5))
    assert drawn.tolist() == [[1, 1, 1]]


def test_supply_lines_up_with_the_series_and_does_not_look_past_the_cutoff() -> None:
    cutoff = date(2025, 3, 9)
    series = pl.DataFrame({"store_id": ["S", "S"], "sku_id": ["A", "B"]})
    position = {
        "sku_id": "B", "store_id": "S", "on_hand_units": 7.0, "lead_time_days": 3.0, "lead_time_deviation_days": 1.0,
        "review_period_days": None, "reorder_point_units": None, "order_up_to_units": 30.0, "known_at": None,
    }  # fmt: skip
    positions = pl.DataFrame(
        [
            {**position, "event_date": day, "on_hand_units": stock}
            for day, stock in ((cutoff, 7.0), (date(2025, 3, 8), 9.0))
        ],
        schema=INVENTORY_POSITIONS.schema,
    )
    order = {"sku_id": "B", "store_id": "S", "ordered_units": 5.0, "known_at": None}
    orders = pl.DataFrame(
        [
            {**order, "order_id": name, "event_date": placed, "received_date": received}
            for name, placed, received in (
                ("open", date(2025, 3, 7), None),
                ("received later", date(2025, 3, 9), date(2025, 3, 12)),
                ("received", date(2025, 3, 5), cutoff),
                ("of the future", date(2025, 3, 10), None),
            )
        ],
        schema=PURCHASE_ORDERS.schema,
    )  # fmt: skip
    at = supply_at(series, positions, orders, cutoff)
    assert at.has_position.tolist() == [False, True]
    assert at.on_hand[1] == 7.0
    assert not at.has_policy.any()
    assert at.order_series.tolist() == [1, 1]
    assert at.order_elapsed_days.tolist() == [2, 0]

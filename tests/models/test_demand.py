from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from forecast_assets.models.demand import (
    classify,
    mean_above_amount,
    mean_above_pieces,
    observe,
    trailing_level,
    uncensor,
    usual_lost_share,
)
from tests.support.forecast_cases import panel_of


def test_known_hours_add_their_share_of_a_typical_day() -> None:
    """Ten a day, always half of it after the shelf was empty."""
    share = np.tile([0.0, 0.5], 14)[None]
    panel = panel_of(10.0 * (1.0 - share), out_of_stock_share=share, is_censored=share > 0)
    assert uncensor(panel) == pytest.approx(10.0)
    assert usual_lost_share(panel, uncensor(panel)) == pytest.approx(0.25, abs=0.01)


def test_a_series_that_loses_nearly_all_is_not_expected_to_sell_half() -> None:
    """Ten a day each; one shelf is empty for all but a fiftieth of the day, the other never."""
    share = np.repeat([[0.98], [0.0]], 28, axis=1)
    panel = panel_of(10.0 * (1.0 - share), out_of_stock_share=share, is_censored=share > 0)
    kept = 1.0 - usual_lost_share(panel, uncensor(panel))
    assert kept == pytest.approx([np.sqrt(0.02 * 0.51), np.sqrt(0.51)], rel=0.02)


def test_what_sold_every_day_is_dead_after_three_silent_weeks_and_slow_movers_are_not() -> None:
    sales = np.ones((3, 120))
    sales[0, -21:] = 0.0
    sales[1, -20:] = 0.0
    sales[2] = np.arange(120) % 12 == 0
    sales[2, -30:] = 0.0
    assert classify(panel_of(sales)).tolist()[0] == "dead"
    assert "dead" not in classify(panel_of(sales)).tolist()[1:]


def test_a_shelf_without_stock_is_not_a_silent_one() -> None:
    sales = np.ones((1, 120))
    sales[0, -40:] = 0.0
    empty = np.zeros((1, 120))
    empty[0, -40:] = 1.0
    assert classify(panel_of(sales, out_of_stock_share=empty, is_censored=empty > 0)).tolist() != ["dead"]


def test_a_day_without_any_stock_takes_the_typical_day_with_its_factors() -> None:
    share = np.zeros((1, 28))
    share[0, -1] = 1.0
    factors = np.tile([1.0, 3.0], 14)[None]
    panel = panel_of(5.0 * factors * (1.0 - share), out_of_stock_share=share, is_censored=share > 0)
    assert uncensor(panel, factors)[0, -1] == pytest.approx(15.0)


def test_demand_is_never_below_sales_and_unknown_days_stay_unknown() -> None:
    sales = np.array([[np.nan, 3.0, 4.0, 0.0, np.nan, 5.0]])
    censored = np.array([[False, False, True, True, False, True]])
    demand = uncensor(panel_of(sales, is_censored=censored))
    assert np.isnan(demand).tolist() == np.isnan(sales).tolist()
    assert (demand[~np.isnan(sales)] >= sales[~np.isnan(sales)]).all()
    assert demand[0, 1] == 3.0


def test_a_series_that_was_never_in_stock_has_no_demand_estimate() -> None:
    panel = panel_of(np.zeros((1, 10)), is_censored=np.ones((1, 10), dtype=np.bool_))
    assert uncensor(panel).tolist() == [[0.0] * 10]


@pytest.mark.parametrize("mean", [0.3, 2.0, 15.0])
def test_stock_that_cuts_demand_off_hides_none_of_it_on_average(mean: float) -> None:
    """Poisson demand against a stock that is nothing on one day in seven and that demand empties on others."""
    random = np.random.default_rng(5)
    demand = random.poisson(mean, (400, 140)).astype(np.float64)
    stock = np.where(random.random((400, 140)) < 1 / 7, 0.0, np.ceil(0.5 * mean) + random.poisson(mean, (400, 140)))
    panel = panel_of(np.minimum(demand, stock), is_censored=stock <= demand)
    assert panel.sales.sum() < 0.85 * demand.sum()
    assert uncensor(panel).sum() == pytest.approx(demand.sum(), rel=0.04)


@pytest.mark.parametrize(("mean", "dispersion", "bound"), [(0.5, 1.5, 1.0), (2.0, 3.0, 4.0), (10.0, 2.0, 13.0)])
def test_mean_above_a_bound_is_that_of_the_distribution(mean: float, dispersion: float, bound: float) -> None:
    counts = np.arange(2000)
    weights = stats.nbinom.pmf(counts, mean / (dispersion - 1.0), 1.0 / dispersion)
    truth = (counts * weights)[counts >= bound].sum() / weights[counts >= bound].sum()
    arguments = np.array([bound]), np.array([mean]), np.array([dispersion])
    assert mean_above_pieces(*arguments)[0] == pytest.approx(truth)
    amounts = stats.gamma(mean / dispersion, scale=dispersion)
    assert mean_above_amount(*arguments)[0] == pytest.approx(amounts.expect(lambda x: x, lb=bound, conditional=True))


def test_mean_far_above_anything_typical_stays_near_its_bound() -> None:
    arguments = np.array([1e6]), np.array([1.0]), np.array([2.0])
    for mean_above in (mean_above_amount, mean_above_pieces):
        assert 1e6 <= mean_above(*arguments)[0] < 1e6 + 10


def test_trailing_level_forgets_by_its_half_life() -> None:
    units = np.array([[0.0] * 100 + [10.0] * 14])
    level = trailing_level(units, np.ones_like(units), half_life=7.0)
    assert level[0, 99] < 0.2
    assert level[0, -1] == pytest.approx(7.0, abs=0.4)


def test_exposure_is_the_share_of_the_day_that_sales_speak_for() -> None:
    share = np.array([[0.25, np.nan, 0.0]])
    panel = panel_of([[3.0, 4.0, np.nan]], out_of_stock_share=share)
    assert observe(panel).exposure.tolist() == [[0.75, 1.0, 0.0]]


def test_classes_follow_the_published_cut_points() -> None:
    days = np.arange(84)
    smooth = np.full(84, 5.0)
    erratic = np.where(days % 5 == 0, 30.0, 1.0)
    intermittent = np.where(days % 3 == 0, 4.0, 0.0)
    lumpy = np.where(days % 3 == 0, np.where(days % 2 == 0, 30.0, 1.0), 0.0)
    new = np.where(days < 60, np.nan, 5.0)
    dead = np.where(days < 20, 5.0, 0.0)
    found = classify(panel_of(np.stack([smooth, erratic, intermittent, lumpy, new, dead])))
    assert found.tolist() == ["smooth", "erratic", "intermittent", "lumpy", "new", "dead"]


def test_an_empty_shelf_is_not_a_dead_series() -> None:
    sales = np.where(np.arange(84) < 24, 5.0, 0.0)[None]
    empty = np.tile(np.arange(84) >= 24, (1, 1))
    hours = np.where(empty, 1.0, 0.0)
    assert classify(panel_of(sales, is_censored=empty)).tolist() == ["smooth"]
    assert classify(panel_of(sales, is_censored=empty, out_of_stock_share=hours)).tolist() == ["smooth"]


def test_rows_that_stopped_a_fortnight_ago_have_ended_and_a_late_store_has_not() -> None:
    sales = np.full((3, 84), 5.0)
    sales[0, -14:] = np.nan
    sales[1, -13:] = np.nan
    sales[2, :] = np.nan
    assert classify(panel_of(sales)).tolist() == ["ended", "smooth", "ended"]


def test_what_is_out_of_season_is_not_dead() -> None:
    """Nothing sold for eleven weeks: dead at any other time of year, not where those weeks never sell much."""
    sales = np.where(np.arange(364) < 287, 5.0, 0.0)[None]
    season = np.where(np.arange(364) < 287, 1.2, 0.25)[None]
    deviation = np.array([0.4])
    assert classify(panel_of(sales)).tolist() == ["dead"]
    assert classify(panel_of(sales), season, deviation).tolist() == ["seasonal"]
    assert classify(panel_of(sales), np.ones_like(season), deviation).tolist() == ["dead"]


def test_a_weak_season_is_no_class_of_its_own() -> None:
    sales = np.full((2, 84), 5.0)
    assert classify(panel_of(sales), None, np.array([0.05, 0.2])).tolist() == ["smooth", "seasonal"]


def test_share_with_stock_counts_by_the_power_of_the_panel() -> None:
    share = np.array([[0.0, 0.75, 1.0, np.nan]])
    panel = panel_of(np.array([[4.0, 2.0, 0.0, 4.0]]), out_of_stock_share=share, is_censored=share > 0)
    rooted = replace(panel, availability_power=0.5)
    assert observe(panel).exposure.tolist() == [[1.0, 0.25, 0.0, 1.0]]
    assert observe(rooted).exposure.tolist() == [[1.0, 0.5, 0.0, 1.0]]
    assert observe(rooted.as_of(1)).exposure.tolist() == [[1.0, 0.5, 0.0]]

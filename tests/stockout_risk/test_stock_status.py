"""Stock-out risk from stock status: patterns planted in a record are found, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.stockout_risk.stock_status import assess_status, spread_over_days
from tests.support.risk_cases import panel

DAYS, HORIZON = 70, 14
STORES = [f"S{store}" for store in range(10) for _ in range(30)]
SKUS = [f"K{sku:02d}" for _ in range(10) for sku in range(30)]


def _grid(rate: float | Floats, seed: int = 3) -> Panel:
    """10 stores x 30 SKUs, out for half a day with the given probability, [n, T] or one for all."""
    random = np.random.default_rng(seed)
    share = np.where(random.random((300, DAYS)) < rate, 0.5, 0.0)
    return panel(STORES, SKUS, share, HORIZON)


def test_without_any_pattern_every_series_gets_the_common_rate() -> None:
    risk = assess_status(_grid(0.3))
    assert abs(risk.probability.mean() - 0.3) < 0.02
    assert risk.probability.std() < 0.04
    assert abs(risk.out_of_stock_share.mean() - 0.15) < 0.02


def test_a_sku_that_is_often_out_is_told_apart_in_every_store() -> None:
    rate = np.where(np.array(SKUS) == "K07", 0.8, 0.2)[:, None]
    risk = assess_status(_grid(rate))
    is_sku = np.array(SKUS) == "K07"
    assert risk.usual_probability[is_sku].mean() > 0.5
    assert risk.usual_probability[~is_sku].mean() < 0.28


def test_a_store_that_is_often_out_is_told_apart() -> None:
    rate = np.where(np.array(STORES) == "S4", 0.7, 0.2)[:, None]
    risk = assess_status(_grid(rate))
    is_store = np.array(STORES) == "S4"
    assert risk.probability[is_store].mean() > risk.probability[~is_store].mean() + 0.3


def test_a_series_own_last_days_count_beyond_its_pools() -> None:
    """Half of the series are badly stocked, whatever their SKU and store."""
    is_bad = np.random.default_rng(6).random(300) < 0.5
    risk = assess_status(_grid(np.where(is_bad, 0.8, 0.1)[:, None]))
    own = risk.probability - risk.usual_probability
    assert own[is_bad].mean() > 0.15
    assert own[~is_bad].mean() < -0.15


def test_own_last_days_count_for_little_where_they_have_not_told_the_future_before() -> None:
    rate = np.full((300, DAYS), 0.2)
    rate[5, -12:] = 1.0
    risk = assess_status(_grid(rate))
    assert risk.probability[5].mean() < 0.6


def test_a_weekday_that_is_worse_everywhere_is_worse_ahead() -> None:
    is_friday = np.arange(DAYS) % 7 == 4
    risk = assess_status(_grid(np.where(is_friday, 0.6, 0.1)[None, :]))
    ahead = (np.arange(DAYS, DAYS + HORIZON) % 7) == 4
    assert risk.probability[:, ahead].mean() > risk.probability[:, ~ahead].mean() + 0.15


def test_a_planned_price_moves_the_risk_if_it_moved_it_before() -> None:
    random = np.random.default_rng(4)
    price = np.where(random.random((300, DAYS + HORIZON)) < 0.2, 0.6, 1.0)
    record = np.where(random.random((300, DAYS)) < np.where(price[:, :DAYS] < 1, 0.7, 0.1), 0.5, 0.0)
    risk = assess_status(panel(STORES, SKUS, record, HORIZON, price_ratio=price))
    is_cut = price[:, DAYS:] < 1
    assert risk.probability[is_cut].mean() > risk.probability[~is_cut].mean() + 0.3


def test_a_price_that_was_not_planned_moves_nothing() -> None:
    known = _grid(0.3)
    price = known.price_ratio.copy()
    price[:, :DAYS] = 0.7
    unplanned = replace(known, price_ratio=price, has_plan=np.zeros((300, HORIZON), dtype=np.bool_))
    assert np.array_equal(assess_status(unplanned).probability, assess_status(known).probability)


def test_days_without_a_record_count_for_nothing() -> None:
    known = _grid(0.3)
    share = known.out_of_stock_share.copy()
    share[::3] = np.nan
    share[:, 5] = np.nan
    gaps = assess_status(replace(known, out_of_stock_share=share))
    assert np.isfinite(gaps.probability).all()
    assert abs(gaps.probability.mean() - 0.3) < 0.03


def test_risks_do_not_depend_on_the_order_of_the_series() -> None:
    straight = _grid(np.linspace(0.05, 0.6, 300)[:, None])
    backwards = np.arange(299, -1, -1)
    turned = panel(
        [STORES[i] for i in backwards], [SKUS[i] for i in backwards], straight.out_of_stock_share[backwards], HORIZON
    )
    gap = assess_status(turned).probability[backwards] - assess_status(straight).probability
    assert np.abs(gap).max() < 1e-9


def test_a_single_young_series_gets_sensible_numbers() -> None:
    risk = assess_status(panel(["S"], ["K"], np.array([[0.0, 1.0, np.nan]]), 7))
    assert ((risk.probability > 0) & (risk.probability < 1)).all()
    assert ((risk.out_of_stock_share >= 0) & (risk.out_of_stock_share <= 1)).all()


def test_the_same_panel_gives_the_same_bytes() -> None:
    first, second = assess_status(_grid(0.3)), assess_status(_grid(0.3))
    assert first.probability.tobytes() == second.probability.tobytes()
    assert first.out_of_stock_share.tobytes() == second.out_of_stock_share.tobytes()


def test_lost_demand_is_spread_over_days_as_hours_without_stock_are() -> None:
    hours = np.array([[0.1, 0.3], [0.0, 0.0], [0.2, 0.8]])
    spread = spread_over_days(np.array([0.4, 0.1, 0.9]), hours)
    assert spread[0] == pytest.approx([0.2, 0.6])
    assert spread[1] == pytest.approx([0.1, 0.1])
    assert spread[2] == pytest.approx([0.36, 1.0])

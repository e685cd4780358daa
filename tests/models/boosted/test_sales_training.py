"""Training models of sales: which days they learn from, when there are none, and what they come to."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted import sales_training
from forecast_assets.models.boosted.inputs import DEFAULT_INPUTS, CutoffInputs, TreePanel
from forecast_assets.models.boosted.sales import SalesModel
from forecast_assets.models.boosted.sales_inputs import SalesCutoff
from forecast_assets.models.boosted.sales_training import (
    _cutoffs,
    _examples,
    fit_sales,
    growth_of_stores,
    sales_rounds,
)
from forecast_assets.models.boosted.training import is_live
from tests.models.boosted.test_sales_inputs import plain_factors
from tests.support.forecast_cases import one_group, panel_of

COUNT, DAYS, HORIZON = 40, 70, 7
LEVELS = np.random.default_rng(5).uniform(5.0, 40.0, (COUNT, 1))


def with_empty_shelves(chance: float = 0.5) -> Panel:
    """Half of all days, or none, have stock for half of the day; what is asked for does not change."""
    random = np.random.default_rng(6)
    share = np.where(random.random((COUNT, DAYS)) < chance, 0.5, 0.0)
    sales = random.poisson(LEVELS * np.ones((1, DAYS))) * (1.0 - share)
    return panel_of(sales, horizon=HORIZON, out_of_stock_share=share, missed_share=share, is_censored=share > 0)


def record(panel: Panel) -> TreePanel:
    return TreePanel.of(panel, plain_factors(COUNT, DAYS + HORIZON), one_group(COUNT), ("all",), 0.1)


def fitted(panel: Panel, workers: int = 1) -> SalesModel | None:
    return fit_sales(record(panel), DEFAULT_INPUTS, is_live, HORIZON, workers=workers)


@pytest.fixture(scope="module")
def model() -> SalesModel:
    made = fitted(with_empty_shelves())
    assert made is not None
    return made


def test_days_of_a_store_are_told_from_those_of_all_only_where_there_are_several() -> None:
    panel = with_empty_shelves()
    stores = pl.Series("store_id", [f"S{at % 4}" for at in range(COUNT)])
    one = fitted(replace(panel, series=panel.series.with_columns(store_id=pl.lit("S"))))
    several = fitted(replace(panel, series=panel.series.with_columns(stores)))
    assert one is not None
    assert several is not None
    assert [member.follows_store_days for member in one.members] == [True] * 2
    assert sorted(member.follows_store_days for member in several.members) == [False, False, True, True]


def test_models_of_sales_learn_what_is_sold_and_not_what_is_asked_for(model: SalesModel) -> None:
    made = record(with_empty_shelves())
    cutoff = CutoffInputs(made, DAYS - 1, np.arange(DAYS, DAYS + HORIZON))
    rows = np.arange(COUNT)
    sales = model.units(SalesCutoff(cutoff).view(rows), cutoff.inputs(DEFAULT_INPUTS, rows))
    np.testing.assert_allclose(sales.sum() / (HORIZON * LEVELS.sum()), 0.75, atol=0.04)
    assert np.corrcoef(sales.mean(axis=1), LEVELS[:, 0])[0, 1] > 0.97


def test_slow_movers_are_forecast_their_mean_and_not_their_median() -> None:
    """They sell one unit on one day in four: the median is nothing."""
    random = np.random.default_rng(7)
    share = np.where(random.random((COUNT, DAYS)) < 0.2, 0.5, 0.0)
    sales = (random.random((COUNT, DAYS)) < 0.25).astype(np.float64)
    panel = panel_of(sales, horizon=HORIZON, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    made, found = record(panel), fitted(panel)
    assert found is not None
    cutoff, rows = CutoffInputs(made, DAYS - 1, np.arange(DAYS, DAYS + HORIZON)), np.arange(COUNT)
    forecast = found.units(SalesCutoff(cutoff).view(rows), cutoff.inputs(DEFAULT_INPUTS, rows))
    assert forecast.mean() == pytest.approx(0.25, abs=0.05)


def test_the_average_is_of_unlike_models(model: SalesModel) -> None:
    kinds = {(member.link, member.follows_store_days) for member in model.members}
    assert len(kinds) == len(model.members) > 2
    assert not model.mistakes()
    model.require_whole(DEFAULT_INPUTS)
    assert sales_rounds() == sum(member.trees.booster.num_trees() for member in model.members)


def test_the_same_bytes_for_any_number_of_threads(model: SalesModel) -> None:
    again = fitted(with_empty_shelves(), workers=2)
    assert again is not None
    assert again.to_data() == model.to_data()


def test_where_no_shelf_was_ever_empty_or_nobody_knows_there_is_nothing_to_forecast_beside_demand() -> None:
    assert fitted(with_empty_shelves(chance=0.0)) is None
    told = with_empty_shelves()
    unknown = np.full_like(told.out_of_stock_share, np.nan)
    assert fitted(replace(told, out_of_stock_share=unknown, missed_share=unknown)) is None


@pytest.mark.parametrize(("days", "horizon"), [(70, 7), (46, 14), (200, 14), (120, 28), (400, 90)])
def test_cutoffs_have_the_steps_that_are_known_by_now(days: int, horizon: int) -> None:
    panel = panel_of(np.ones((3, days)), horizon=horizon)
    made = TreePanel.of(panel, plain_factors(3, days + horizon), one_group(3), ("all",), 0.1)
    cutoffs = _cutoffs(made, horizon)
    origins = [origin for origin, _, _ in cutoffs]
    assert origins == sorted(set(origins))
    assert origins[0] >= 14
    assert origins[-1] >= days - 1 - -(-horizon // 14)
    for origin, targets, every in cutoffs:
        assert targets.min() > origin
        assert targets.max() <= min(origin + horizon, days - 1)
        assert len(targets) <= 14
        assert every >= 1


def test_older_cutoffs_have_fewer_rows_and_all_together_fit_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sales_training, "_MOST_ROWS", 5_000)
    count = 300
    panel = panel_of(np.ones((count, 90)), horizon=14)
    made = TreePanel.of(panel, plain_factors(count, 104), one_group(count), ("all",), 0.1)
    cutoffs = _cutoffs(made, 14)
    every = [each for _, _, each in cutoffs]
    assert every == sorted(every, reverse=True)
    assert every[0] > 2 * every[-1]
    rows = sum(len(targets) * -(-count // each) for _, targets, each in cutoffs)
    assert 2_000 < rows < 6_000


def test_growth_of_a_store_is_what_it_sold_beyond_all_on_a_day() -> None:
    level, day, store = np.full(8_000, 2.0), np.repeat([0, 1], 4_000), np.tile(np.repeat([3, 7], 2_000), 2)
    sales = np.where(day == 0, 3.0, 1.0)
    np.testing.assert_allclose(growth_of_stores(sales, level, day, store), 1.0)
    sales[(day == 1) & (store == 3)] = 2.0
    found = growth_of_stores(sales, level, day, store)
    assert found[day == 0] == pytest.approx(1.0)
    assert found[(day == 1) & (store == 3)] == pytest.approx(2.0 / 1.5, abs=0.02)
    assert found[(day == 1) & (store == 7)] == pytest.approx(1.0 / 1.5, abs=0.02)


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_growth_of_stores_has_no_unit_and_knows_no_growth_of_all(unit: float, growth_of_all: float) -> None:
    random = np.random.default_rng(3)
    level, day, store = random.gamma(2.0, 3.0, 500), np.repeat([0, 1], 250), random.integers(0, 5, 500)
    sales = level * random.gamma(3.0, 0.3, 500)
    found = growth_of_stores(sales, level, day, store)
    np.testing.assert_allclose(growth_of_stores(unit * sales, unit * level, day, store), found, rtol=1e-9)
    same = growth_of_stores(growth_of_all * level, level, day, store)
    np.testing.assert_allclose(same, 1.0, rtol=1e-9)


def test_on_a_day_without_any_sale_no_store_has_its_own() -> None:
    found = growth_of_stores(np.zeros(4), np.ones(4), np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(found, 1.0)


def test_few_series_hardly_say_what_their_store_did() -> None:
    sales, level = np.array([30.0, 10.0]), np.array([10.0, 10.0])
    found = growth_of_stores(sales, level, np.zeros(2, dtype=np.int64), np.array([0, 1]))
    np.testing.assert_allclose(found, 1.0, atol=0.04)


def test_examples_know_their_store() -> None:
    """Stores are numbered in the order of their names; series of one sell a hundred times as much."""
    panel = with_empty_shelves()
    store = np.arange(COUNT) % 2
    series = panel.series.with_columns(store_id=pl.Series([f"S-{each}" for each in store]))
    sold = replace(panel, series=series, sales=panel.sales * np.where(store == 1, 100.0, 1.0)[:, None])
    examples = _examples(record(sold), DEFAULT_INPUTS, is_live, HORIZON)
    assert examples is not None
    np.testing.assert_array_equal(examples.store, (examples.level > 100.0).astype(int))

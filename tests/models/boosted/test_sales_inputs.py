"""Levels and inputs of sales: what they look up, nothing of what comes, the same wherever they are computed."""

from dataclasses import fields, replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats, InputMatrix
from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted.inputs import DEFAULT_INPUTS, CutoffInputs, TreePanel
from forecast_assets.models.boosted.sales_inputs import LEVEL_DAYS, SALES_INPUTS, SALES_KINDS, SalesCutoff, SalesView
from forecast_assets.models.statistical.effects import Factors
from tests.support.forecast_cases import lawful_fields, one_group, panel_of

COUNT, DAYS, HORIZON = 30, 100, 14
ORIGIN = 80
TARGETS = np.arange(ORIGIN + 1, ORIGIN + 1 + HORIZON)
ROWS = np.arange(COUNT)
NAMES = [spec.name for spec in SALES_INPUTS]


def plain_factors(count: int, width: int, weekday: Floats | None = None) -> Factors:
    ones = np.ones((count, width))
    plain = Factors(**{field.name: ones for field in fields(Factors)})
    return plain if weekday is None else replace(plain, weekday=weekday * ones)


@pytest.fixture(scope="module")
def panel() -> Panel:
    lawful, _ = lawful_fields(COUNT, DAYS, HORIZON, level=20.0, seed=3)
    made = panel_of(**lawful)
    random = np.random.default_rng(4)
    share = np.where(random.random(made.sales.shape) < 0.3, random.random(made.sales.shape), 0.0)
    sales = made.sales.copy()
    sales[5, 40:50] = np.nan
    return replace(made, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)


def record(panel: Panel, factors: Factors | None = None) -> TreePanel:
    width = panel.history_days + panel.horizon_days
    given = plain_factors(panel.series.height, width) if factors is None else factors
    return TreePanel.of(panel, given, one_group(panel.series.height), ("all",), 0.01)


def view(made: TreePanel, origin: int = ORIGIN, rows: np.ndarray = ROWS) -> SalesView:
    return SalesCutoff(CutoffInputs(made, origin, np.arange(origin + 1, origin + 1 + HORIZON))).view(rows)


def inputs(panel: Panel) -> InputMatrix:
    return view(record(panel)).inputs(SALES_INPUTS)


def of_one(sales: Floats, **changes: object) -> Panel:
    """One series that sells ``sales`` and has no other trait."""
    return panel_of(sales[None], horizon=HORIZON, **changes)


def test_there_is_a_column_for_each_input_and_a_row_for_each_day(panel: Panel) -> None:
    made = inputs(panel)
    assert made.shape == (COUNT * HORIZON, len(SALES_INPUTS))
    assert {spec.kind for spec in SALES_INPUTS} == set(SALES_KINDS)
    assert len({spec.name for spec in (*DEFAULT_INPUTS, *SALES_INPUTS)}) == len(DEFAULT_INPUTS) + len(SALES_INPUTS)
    is_ago = np.isin(NAMES, ["sales_7d_ago_over_level", "sales_14d_ago_over_level"])
    assert np.isfinite(made[:, ~is_ago]).all()


def test_no_input_is_the_same_for_all_series(panel: Panel) -> None:
    """One that is would tell which cutoff it is."""
    made = inputs(panel).reshape(COUNT, HORIZON, -1)
    assert all(len(np.unique(made[:, 0, at])) > 1 for at, spec in enumerate(SALES_INPUTS) if spec.of != "group")


def test_a_steady_series_is_at_its_level() -> None:
    made = view(record(of_one(np.full(DAYS, 7.0))), rows=np.array([0]))
    np.testing.assert_allclose(made.level, 7.0, rtol=1e-5)


def test_like_weekdays_say_most_of_the_day_ahead() -> None:
    """Saturdays sell twice as much, which no factor knows; the structure of demand takes what factors know."""
    weekday = np.where(np.arange(DAYS + HORIZON) % 7 == 5, 2.0, 1.0)
    panel = of_one(6.0 * weekday[:DAYS])
    level = view(record(panel), rows=np.array([0])).level[0]
    assert level[weekday[TARGETS] > 1.0].min() > level[weekday[TARGETS] == 1.0].max()
    made = view(record(panel, plain_factors(1, DAYS + HORIZON, weekday)), rows=np.array([0]))
    np.testing.assert_allclose(made.level[0], level, rtol=0.01)
    np.testing.assert_allclose(made.structure[0], 6.0 * weekday[TARGETS], rtol=1e-6)


def test_days_with_a_like_price_say_most_of_the_day_ahead() -> None:
    """Every fifth day is at 0.7 and sells twice as much, which no factor knows: the level of such a day does."""
    price = np.where(np.arange(DAYS + HORIZON) % 5 == 0, 0.7, 1.0)
    panel = of_one(np.where(price[:DAYS] < 1.0, 20.0, 10.0), price_ratio=price[None])
    level = view(record(panel), rows=np.array([0])).level[0]
    reduced = price[TARGETS] < 1.0
    assert level[reduced].min() > 15.0
    assert level[~reduced].max() < 11.5


def test_a_day_without_stock_is_part_of_the_level_and_an_unknown_one_is_not() -> None:
    every_other = np.arange(DAYS) % 2 == 0
    share = np.where(every_other, 1.0, 0.0)[None]
    empty = of_one(np.where(every_other, 0.0, 10.0), out_of_stock_share=share, is_censored=share > 0)
    unknown = of_one(np.where(every_other, np.nan, 10.0))
    rows = np.array([0])
    np.testing.assert_allclose(view(record(empty), rows=rows).level.mean(), 5.0, rtol=0.1)
    np.testing.assert_allclose(view(record(unknown), rows=rows).level, 10.0, rtol=1e-5)


def test_sales_and_stock_after_the_cutoff_are_not_read(panel: Panel) -> None:
    random = np.random.default_rng(1)
    ahead = np.s_[:, ORIGIN + 1 :]
    sales, share = panel.sales.copy(), panel.out_of_stock_share.copy()
    sales[ahead], share[ahead] = random.random(sales[ahead].shape) * 1e6, random.random(share[ahead].shape)
    garbled = replace(panel, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    np.testing.assert_array_equal(inputs(garbled), inputs(panel))


def test_what_is_not_known_ahead_today_was_not_known_ahead_then(panel: Panel) -> None:
    unplanned = replace(panel, has_plan=np.zeros_like(panel.has_plan))
    price, promotion = panel.price_ratio.copy(), panel.is_promotion.copy()
    price[:, ORIGIN + 1 :], promotion[:, ORIGIN + 1 :] = 0.3, True
    garbled = replace(unplanned, price_ratio=price, is_promotion=promotion)
    np.testing.assert_array_equal(inputs(garbled), inputs(unplanned))
    assert not np.array_equal(inputs(replace(garbled, has_plan=panel.has_plan)), inputs(panel))


def test_what_training_sees_of_a_past_cutoff_is_what_scoring_saw_then(panel: Panel) -> None:
    """One definition: the same bits from a panel that ended then, also if it began later."""
    then = panel.as_of(DAYS - 1 - ORIGIN)
    trained = view(record(panel))
    at_the_time = view(record(then))
    np.testing.assert_array_equal(at_the_time.inputs(SALES_INPUTS), trained.inputs(SALES_INPUTS))
    np.testing.assert_array_equal(at_the_time.level, trained.level)
    assert LEVEL_DAYS < 70 < ORIGIN
    late = view(record(then.recent(70)), origin=69)
    np.testing.assert_allclose(late.level, trained.level, rtol=0.01)


def test_some_series_have_the_inputs_that_they_have_among_all(panel: Panel) -> None:
    few = np.array([3, 17])
    whole = inputs(panel).reshape(COUNT, HORIZON, -1)
    part = view(record(panel), rows=few).inputs(SALES_INPUTS).reshape(2, HORIZON, -1)
    np.testing.assert_array_equal(part, whole[few])


def test_inputs_do_not_depend_on_units(panel: Panel) -> None:
    """Twice the units, twice the level that counts as nothing: the same inputs, and twice the level."""
    doubled = replace(record(replace(panel, sales=2.0 * panel.sales)), smallest=0.02)
    np.testing.assert_allclose(view(doubled).inputs(SALES_INPUTS), inputs(panel), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(view(doubled).level, 2.0 * view(record(panel)).level, rtol=1e-5)


def test_the_same_weekday_is_looked_up_in_the_weeks_before() -> None:
    """Sales that count the days: a week and two weeks before each day ahead, never after the cutoff."""
    made = view(record(of_one(np.arange(1.0, DAYS + 1.0))), rows=np.array([0]))
    found = made.inputs(SALES_INPUTS) * made.level.T
    for days in (7, 14):
        column = NAMES.index(f"sales_{days}d_ago_over_level")
        expected = [target + 1 - days - (7 if target > ORIGIN + 7 else 0) for target in TARGETS]
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-5)

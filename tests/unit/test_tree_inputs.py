"""Inputs of the trees: they know nothing of what comes, and are the same wherever they are computed."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.features.panel import Panel
from forecast_assets.models.series import clean
from forecast_assets.models.training import train_statistical
from forecast_assets.models.tree_inputs import DEFAULT_INPUTS, KINDS, Cutoff, Inputs, Record, inputs_version
from tests.forecast_cases import lawful_panel, one_group

COUNT, DAYS, HORIZON = 30, 120, 14
ORIGIN = 100
TARGETS = np.arange(ORIGIN + 1, ORIGIN + 1 + HORIZON)
ROWS = np.arange(COUNT)


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = lawful_panel(count=COUNT, days=DAYS, horizon=HORIZON)
    random = np.random.default_rng(4)
    share = np.where(random.random(made.sales.shape) < 0.3, random.random(made.sales.shape), 0.0)
    return replace(made, out_of_stock_share=share, missed_share=share, is_censored=share > 0)


@pytest.fixture(scope="module")
def factors(panel: Panel) -> np.ndarray:
    artifact = train_statistical(panel, one_group(COUNT), horizon=HORIZON, workers=1)
    return clean(panel, artifact.effects, one_group(COUNT)).factors.product


def record(panel: Panel, factors: np.ndarray, groups: np.ndarray | None = None) -> Record:
    return Record.of(panel, factors, one_group(COUNT) if groups is None else groups, ("all",), 0.01)


def inputs(panel: Panel, factors: np.ndarray) -> Inputs:
    return Cutoff(record(panel, factors), ORIGIN, TARGETS).inputs(DEFAULT_INPUTS, ROWS)


def test_there_is_a_column_for_each_input_and_a_row_for_each_day(panel: Panel, factors: np.ndarray) -> None:
    made = inputs(panel, factors)
    assert made.shape == (COUNT * HORIZON, len(DEFAULT_INPUTS))
    assert made.dtype == np.float32
    assert len({spec.name for spec in DEFAULT_INPUTS}) == len(DEFAULT_INPUTS)
    assert {spec.kind for spec in DEFAULT_INPUTS} == set(KINDS)
    steps = made[:HORIZON, [spec.name for spec in DEFAULT_INPUTS].index("step")]
    assert steps.tolist() == list(range(1, HORIZON + 1))


def test_sales_and_stock_after_the_cutoff_are_not_read(panel: Panel, factors: np.ndarray) -> None:
    random = np.random.default_rng(1)
    ahead = np.s_[:, ORIGIN + 1 :]
    sales, share = panel.sales.copy(), panel.out_of_stock_share.copy()
    sales[ahead], share[ahead] = random.random(sales[ahead].shape) * 1e6, random.random(share[ahead].shape)
    garbled = replace(panel, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    np.testing.assert_array_equal(inputs(garbled, factors), inputs(panel, factors))


def test_prices_beyond_the_horizon_are_not_read(panel: Panel, factors: np.ndarray) -> None:
    price = panel.price_ratio.copy()
    price[:, ORIGIN + HORIZON + 1 :] = 0.01
    near = replace(panel, horizon_days=HORIZON)
    np.testing.assert_array_equal(inputs(replace(near, price_ratio=price), factors), inputs(near, factors))


def test_what_training_sees_of_a_past_cutoff_is_what_scoring_saw_then(panel: Panel, factors: np.ndarray) -> None:
    """One definition: the same bits from a panel that ended then, also if it began later."""
    back = DAYS - 1 - ORIGIN
    then = panel.as_of(back)
    at_the_time = Cutoff(record(then, factors[:, : then.history_days + HORIZON]), ORIGIN, TARGETS)
    trained = inputs(panel, factors)
    np.testing.assert_array_equal(at_the_time.inputs(DEFAULT_INPUTS, ROWS), trained)
    late = then.recent(95)
    recent = Cutoff(
        record(late, factors[:, then.history_days - 95 : then.history_days + HORIZON]), 94, np.arange(95, 109)
    )
    np.testing.assert_array_equal(recent.inputs(DEFAULT_INPUTS, ROWS), trained)


def test_inputs_do_not_depend_on_units(panel: Panel, factors: np.ndarray) -> None:
    """Twice the units, twice the level that counts as nothing: the same inputs."""
    doubled = replace(record(panel, factors), smallest=0.02)
    doubled = replace(doubled, units=2.0 * doubled.units)
    made = Cutoff(doubled, ORIGIN, TARGETS).inputs(DEFAULT_INPUTS, ROWS)
    np.testing.assert_allclose(made, inputs(panel, factors), rtol=1e-5, atol=1e-5)


def test_some_series_have_the_inputs_that_they_have_among_all(panel: Panel, factors: np.ndarray) -> None:
    cutoff = Cutoff(record(panel, factors), ORIGIN, TARGETS)
    few = np.array([3, 17])
    whole = cutoff.inputs(DEFAULT_INPUTS, ROWS).reshape(COUNT, HORIZON, -1)
    np.testing.assert_array_equal(cutoff.inputs(DEFAULT_INPUTS, few).reshape(2, HORIZON, -1), whole[few])


def test_a_day_whose_plan_is_unknown_takes_recent_weeks(panel: Panel, factors: np.ndarray) -> None:
    unplanned = replace(panel, has_plan=np.zeros_like(panel.has_plan))
    assert not np.array_equal(unplanned.price_ratio[:, DAYS:], np.broadcast_to(0.3, (COUNT, HORIZON)))
    changed = replace(unplanned, price_ratio=np.c_[panel.price_ratio[:, :DAYS], np.full((COUNT, HORIZON), 0.3)])
    ours, theirs = (record(each, factors).price for each in (unplanned, changed))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(
        ours[:, DAYS:], panel.price_ratio[:, DAYS - 28 : DAYS].mean(axis=1, keepdims=True) + 0 * ours[:, DAYS:]
    )


def test_a_group_that_training_did_not_see_is_unknown(panel: Panel, factors: np.ndarray) -> None:
    assert np.isnan(record(panel, factors, np.full(COUNT, "other")).group).all()
    assert (record(panel, factors).group == 0).all()


def test_the_version_of_a_set_follows_from_its_definitions() -> None:
    changed = [replace(DEFAULT_INPUTS[0], days=3), *DEFAULT_INPUTS[1:]]
    assert inputs_version(DEFAULT_INPUTS) == inputs_version(list(DEFAULT_INPUTS))
    assert inputs_version(DEFAULT_INPUTS) != inputs_version(changed)

"""Inputs of the trees: they know nothing of what comes, and are the same wherever they are computed."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.core.arrays import InputMatrix
from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted.covariate_inputs import AHEAD, LATELY
from forecast_assets.models.boosted.inputs import (
    DEFAULT_INPUTS,
    KINDS,
    CutoffInputs,
    InputSpec,
    TreePanel,
    inputs_of,
    inputs_version,
)
from forecast_assets.models.statistical.effects import Factors
from forecast_assets.models.statistical.series import clean
from forecast_assets.models.statistical.training import train_statistical
from tests.support.forecast_cases import lawful_panel, one_group

COUNT, DAYS, HORIZON = 30, 120, 14
ORIGIN = 100
TARGETS = np.arange(ORIGIN + 1, ORIGIN + 1 + HORIZON)
ROWS = np.arange(COUNT)
NAMES = [spec.name for spec in DEFAULT_INPUTS]


@pytest.fixture(scope="module")
def panel() -> Panel:
    made = lawful_panel(count=COUNT, days=DAYS, horizon=HORIZON)
    random = np.random.default_rng(4)
    share = np.where(random.random(made.sales.shape) < 0.3, random.random(made.sales.shape), 0.0)
    return replace(made, out_of_stock_share=share, missed_share=share, is_censored=share > 0)


@pytest.fixture(scope="module")
def factors(panel: Panel) -> Factors:
    artifact = train_statistical(panel, one_group(COUNT), horizon=HORIZON, workers=1)
    return clean(panel, artifact.effects, one_group(COUNT)).factors


def within(factors: Factors, first: int, last: int) -> Factors:
    return Factors(**{name: values[:, first:last] for name, values in vars(factors).items()})


def record(panel: Panel, factors: Factors, groups: np.ndarray | None = None) -> TreePanel:
    return TreePanel.of(panel, factors, one_group(COUNT) if groups is None else groups, ("all",), 0.01)


def inputs(panel: Panel, factors: Factors) -> InputMatrix:
    return CutoffInputs(record(panel, factors), ORIGIN, TARGETS).inputs(DEFAULT_INPUTS, ROWS)


def test_there_is_a_column_for_each_input_and_a_row_for_each_day(panel: Panel, factors: Factors) -> None:
    made = inputs(panel, factors)
    assert made.shape == (COUNT * HORIZON, len(DEFAULT_INPUTS))
    assert made.dtype == np.float32
    specs = inputs_of(replace(panel, event_kinds=("recurring",)))
    assert len({spec.name for spec in specs}) == len(specs) > len(DEFAULT_INPUTS)
    assert {spec.kind for spec in specs} == set(KINDS) - {"event", AHEAD, LATELY}
    steps = made[:HORIZON, NAMES.index("step")]
    assert steps.tolist() == list(range(1, HORIZON + 1))


def test_sales_and_stock_after_the_cutoff_are_not_read(panel: Panel, factors: Factors) -> None:
    random = np.random.default_rng(1)
    ahead = np.s_[:, ORIGIN + 1 :]
    sales, share = panel.sales.copy(), panel.out_of_stock_share.copy()
    sales[ahead], share[ahead] = random.random(sales[ahead].shape) * 1e6, random.random(share[ahead].shape)
    garbled = replace(panel, sales=sales, out_of_stock_share=share, missed_share=share, is_censored=share > 0)
    np.testing.assert_array_equal(inputs(garbled, factors), inputs(panel, factors))


def test_prices_beyond_the_horizon_are_not_read(panel: Panel, factors: Factors) -> None:
    price = panel.price_ratio.copy()
    price[:, ORIGIN + HORIZON + 1 :] = 0.01
    near = replace(panel, horizon_days=HORIZON)
    np.testing.assert_array_equal(inputs(replace(near, price_ratio=price), factors), inputs(near, factors))


def test_what_training_sees_of_a_past_cutoff_is_what_scoring_saw_then(panel: Panel, factors: Factors) -> None:
    """One definition: the same bits from a panel that ended then, also if it began later."""
    back = DAYS - 1 - ORIGIN
    then = panel.as_of(back)
    at_the_time = CutoffInputs(record(then, within(factors, 0, then.history_days + HORIZON)), ORIGIN, TARGETS)
    trained = inputs(panel, factors)
    np.testing.assert_array_equal(at_the_time.inputs(DEFAULT_INPUTS, ROWS), trained)
    late = then.recent(95)
    recent = CutoffInputs(
        record(late, within(factors, then.history_days - 95, then.history_days + HORIZON)), 94, np.arange(95, 109)
    )
    np.testing.assert_array_equal(recent.inputs(DEFAULT_INPUTS, ROWS), trained)


def test_inputs_do_not_depend_on_units(panel: Panel, factors: Factors) -> None:
    """Twice the units, twice the level that counts as nothing: the same inputs."""
    doubled = replace(record(panel, factors), smallest=0.02)
    doubled = replace(doubled, units=2.0 * doubled.units)
    made = CutoffInputs(doubled, ORIGIN, TARGETS).inputs(DEFAULT_INPUTS, ROWS)
    np.testing.assert_allclose(made, inputs(panel, factors), rtol=1e-5, atol=1e-5)


def test_some_series_have_the_inputs_that_they_have_among_all(panel: Panel, factors: Factors) -> None:
    cutoff = CutoffInputs(record(panel, factors), ORIGIN, TARGETS)
    few = np.array([3, 17])
    whole = cutoff.inputs(DEFAULT_INPUTS, ROWS).reshape(COUNT, HORIZON, -1)
    np.testing.assert_array_equal(cutoff.inputs(DEFAULT_INPUTS, few).reshape(2, HORIZON, -1), whole[few])


def test_what_is_not_known_ahead_today_was_not_known_ahead_then(panel: Panel, factors: Factors) -> None:
    """Without a plan, prices that came after a past cutoff are not read either; recent weeks stand in."""
    unplanned = replace(panel, has_plan=np.zeros_like(panel.has_plan))
    price = panel.price_ratio.copy()
    price[:, ORIGIN + 1 :] = 0.3
    garbled = replace(unplanned, price_ratio=price, is_promotion=price < 1.0)
    garbled = replace(
        garbled, is_promotion=np.c_[panel.is_promotion[:, : ORIGIN + 1], garbled.is_promotion[:, ORIGIN + 1 :]]
    )
    np.testing.assert_array_equal(inputs(garbled, factors), inputs(unplanned, factors))
    moved = replace(factors, price=np.c_[factors.price[:, : ORIGIN + 1], 2.0 * factors.price[:, ORIGIN + 1 :]])
    ours, theirs = (
        CutoffInputs(record(unplanned, each), ORIGIN, TARGETS).log_offset(ROWS) for each in (factors, moved)
    )
    np.testing.assert_allclose(ours, theirs)
    known = inputs(panel, factors).reshape(COUNT, HORIZON, -1)[:, :, NAMES.index("price")]
    stands_in = inputs(unplanned, factors).reshape(COUNT, HORIZON, -1)[:, :, NAMES.index("price")]
    np.testing.assert_allclose(known, panel.price_ratio[:, TARGETS], rtol=1e-6)
    recent = panel.price_ratio[:, ORIGIN - 27 : ORIGIN + 1].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(stands_in, np.broadcast_to(recent, stands_in.shape), rtol=1e-6)


def test_a_group_that_training_did_not_see_is_unknown(panel: Panel, factors: Factors) -> None:
    assert np.isnan(record(panel, factors, np.full(COUNT, "other")).group).all()
    assert (record(panel, factors).group == 0).all()


def test_the_version_of_a_set_follows_from_its_definitions() -> None:
    changed = [replace(DEFAULT_INPUTS[0], days=3), *DEFAULT_INPUTS[1:]]
    assert inputs_version(DEFAULT_INPUTS) == inputs_version(list(DEFAULT_INPUTS))
    assert inputs_version(DEFAULT_INPUTS) != inputs_version(changed)


def test_only_events_that_recur_are_inputs_each_by_its_name(panel: Panel) -> None:
    assert inputs_of(replace(panel, event_kinds=("rare",))) == DEFAULT_INPUTS
    added = inputs_of(replace(panel, event_kinds=("recurring",)))[len(DEFAULT_INPUTS) :]
    assert {(spec.of, spec.driver) for spec in added} == {("fair", "payday_units")}
    assert inputs_of(replace(panel, event_kinds=("recurring",)), reads_recurring=False) == DEFAULT_INPUTS


def test_days_of_an_event_that_recurs_are_told_by_place_and_in_a_row(panel: Panel, factors: Factors) -> None:
    """In one store the event falls on three days in a row, in the other on a day of its own."""
    days = np.zeros((2, DAYS + HORIZON), dtype=np.bool_)
    days[0, [ORIGIN + 1, ORIGIN + 2, ORIGIN + 3]] = True
    days[1, ORIGIN - 2] = True
    first = panel.series["store_id"].to_numpy() == "S0"
    here = replace(panel, event_names=("pay", "pay"), event_days=days, event_series=np.stack([first, ~first]))
    specs = [
        InputSpec(kind, "payday_units", kind, of="pay") for kind in ("recurring", "recurring_place", "recurring_since")
    ]
    specs.append(InputSpec("after", "payday_units", "recurring", 1, "pay"))
    made = CutoffInputs(record(here, factors), ORIGIN, TARGETS).inputs(specs, ROWS).reshape(COUNT, HORIZON, -1)
    assert (
        made[first, :5].transpose(2, 0, 1)
        == np.array([[[1, 1, 1, 0, 0]], [[1, 2, 3, 0, 0]], [[0, 0, 0, 1, 2]], [[1, 1, 0, 0, 0]]])
    ).all()
    assert (made[~first, :3].transpose(2, 0, 1) == np.array([[[0, 0, 0]], [[0, 0, 0]], [[3, 4, 5]], [[0, 0, 0]]])).all()


def test_an_event_that_is_not_known_any_more_is_unknown(panel: Panel, factors: Factors) -> None:
    specs = [InputSpec("gone", "payday_units", "recurring", of="gone")]
    assert np.isnan(CutoffInputs(record(panel, factors), ORIGIN, TARGETS).inputs(specs, ROWS)).all()

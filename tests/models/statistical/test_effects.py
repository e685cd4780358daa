from dataclasses import asdict, replace

import numpy as np
import pytest

from forecast_assets.models.statistical.effects import Effects, GroupEffects, fit_effects, lay_out_factors
from tests.support.calendar_cases import shops
from tests.support.forecast_cases import ELASTICITY, EVENT, UPLIFT, WEEKDAY, lawful_panel, one_group, panel_of

PLAIN = Effects(GroupEffects(-1.0, 0.5, (1.0,) * 7), {}, {"fair": 2.0}, 50.0)


def test_the_law_behind_sales_is_found() -> None:
    effects = fit_effects(lawful_panel(), one_group(60))
    assert effects.pooled.price_elasticity == pytest.approx(ELASTICITY, abs=0.1)
    assert effects.pooled.promotion_uplift == pytest.approx(UPLIFT, abs=0.05)
    assert effects.pooled.weekday == pytest.approx(WEEKDAY, abs=0.05)
    assert effects.events["fair"] == pytest.approx(EVENT, rel=0.1)


def test_empty_shelves_do_not_pass_for_low_demand() -> None:
    """Saturdays sell out after half of the day; the weekday factors see through it."""
    panel = lawful_panel()
    saturday = panel.weekday[: panel.history_days] == 5
    share = np.tile(np.where(saturday, 0.5, 0.0), (60, 1))
    halved = replace(panel, sales=panel.sales * (1 - share), missed_share=share, is_censored=share > 0)
    assert fit_effects(halved, one_group(60)).pooled.weekday == pytest.approx(WEEKDAY, abs=0.05)


def test_without_any_price_change_there_is_no_price_effect() -> None:
    effects = fit_effects(panel_of(np.full((3, 60), 4.0)), one_group(3))
    assert effects.pooled.price_elasticity == 0.0
    assert effects.pooled.promotion_uplift == 0.0
    assert effects.pooled.weekday == pytest.approx([1.0] * 7)


def test_groups_differ_only_as_far_as_their_record_bears_it() -> None:
    """A group of two quiet series stays near all; one of thirty busy ones finds its own elasticity."""
    panel = lawful_panel()
    steep = np.arange(60) < 30
    sales = np.where(steep[:, None] & (panel.price_ratio[:, :112] < 1), panel.sales * 1.5, panel.sales)
    few = np.arange(60) >= 58
    sales[few] = np.round(panel.sales[few] / 40)
    groups = np.where(steep, "steep", np.where(few, "few", "plain"))
    effects = fit_effects(replace(panel, sales=sales), groups)
    found = {name: group.price_elasticity for name, group in effects.groups.items()}
    assert found["steep"] < found["plain"] - 0.5
    assert abs(found["few"] - effects.pooled.price_elasticity) < 0.7


def test_factors_are_one_on_a_plain_day_at_list_price() -> None:
    factors = lay_out_factors(panel_of(np.full((2, 28), 4.0)), PLAIN, one_group(2))
    assert factors.product == pytest.approx(1.0)


def test_factors_multiply_price_promotion_and_event_of_the_day() -> None:
    panel = panel_of(
        np.full((1, 28), 4.0),
        horizon=1,
        price_ratio=np.array([[1.0] * 28 + [0.5]]),
        is_promotion=np.array([[False] * 28 + [True]]),
        event_names=("fair", "unheard of"),
        event_days=np.array([[False] * 28 + [True]] * 2),
    )
    factors = lay_out_factors(panel, PLAIN, one_group(1))
    assert factors.price[0, -1] == pytest.approx(2.0)
    assert factors.promotion[0, -1] == pytest.approx(np.exp(0.5))
    assert factors.event[0, -1] == pytest.approx(2.0)


def test_a_day_without_a_plan_takes_the_usual_price_effect() -> None:
    panel = panel_of(
        np.full((1, 28), 4.0),
        horizon=2,
        price_ratio=np.array([[0.5] * 28 + [1.0, 1.0]]),
        has_plan=np.array([[True, False]]),
    )
    assert lay_out_factors(panel, PLAIN, one_group(1)).price[0, -2:] == pytest.approx([1.0, 2.0])


def test_factors_stay_within_their_bounds() -> None:
    wild = Effects(GroupEffects(-5.0, 0.0, (1.0,) * 7), {}, {}, 50.0)
    panel = panel_of(np.full((1, 28), 4.0), horizon=1, price_ratio=np.array([[1.0] * 28 + [0.01]]))
    assert lay_out_factors(panel, wild, one_group(1)).price.max() == 5.0


def test_a_series_with_a_pattern_of_its_own_keeps_it() -> None:
    sales = np.where(np.arange(112) % 7 == 2, 100.0, 10.0)
    factors = lay_out_factors(panel_of(np.stack([sales, np.full(112, 10.0)])), PLAIN, one_group(2))
    assert factors.weekday[0, :7].argmax() == 2
    assert factors.weekday[0, 2] > 2.5
    assert factors.weekday[1] == pytest.approx(1.0)


def test_effects_survive_json() -> None:
    effects = fit_effects(lawful_panel(count=4), one_group(4))
    assert Effects.from_data(asdict(effects)) == effects


def test_an_event_moves_only_the_series_that_it_applies_to() -> None:
    """A fair in half of the stores: its factor is learned there, and applied there."""
    inside = np.arange(60) < 30
    panel = lawful_panel(60, 112)
    quiet = np.where(panel.event_days[0, :112] & ~inside[:, None], panel.sales / EVENT, panel.sales)
    limited = replace(panel, sales=quiet, event_series=inside[None])
    effects = fit_effects(limited, one_group(60))
    assert effects.events["fair"] == pytest.approx(EVENT, rel=0.1)
    event = lay_out_factors(limited, effects, one_group(60)).event
    days = panel.event_days[0]
    assert (event[~inside] == 1.0).all()
    assert event[inside][:, days] == pytest.approx(EVENT, rel=0.1)
    assert event[inside][:, ~days] == pytest.approx(1.0, abs=0.03)
    pooled = lay_out_factors(limited, replace(effects, calendar=None), one_group(60)).event
    assert pooled[inside][:, days] == pytest.approx(effects.groups["all"].events["fair"])
    assert (pooled[inside][:, ~days] == 1.0).all()


def test_an_event_that_comes_from_two_places_counts_once() -> None:
    days = np.array([[False] * 28 + [True]] * 2)
    panel = panel_of(
        np.full((2, 28), 4.0),
        horizon=1,
        event_names=("fair", "fair"),
        event_days=days,
        event_series=np.array([[True, True], [True, False]]),
    )
    assert lay_out_factors(panel, PLAIN, one_group(2)).event[:, -1] == pytest.approx([2.0, 2.0])


def test_groups_find_their_own_event_factors_as_far_as_their_record_bears_it() -> None:
    panel = lawful_panel(60, 112)
    groups = np.where(np.arange(60) < 30, "festive", np.where(np.arange(60) < 58, "plain", "few"))
    is_plain = (np.arange(60) >= 30)[:, None] & panel.event_days[0, :112]
    sales = np.where(is_plain, panel.sales / EVENT, panel.sales)
    sales[58:] = np.round(sales[58:] / 40)
    effects = fit_effects(replace(panel, sales=sales), groups)
    found = {name: group.events["fair"] for name, group in effects.groups.items()}
    assert found["festive"] > 1.35
    assert found["plain"] < 1.1
    assert found["few"] == pytest.approx(effects.events["fair"], abs=0.1)
    assert effects.event("fair", np.array(["never seen"])).tolist() == [effects.events["fair"]]
    pooled = effects.without_event_groups()
    assert set(pooled.event("fair", groups)) == {effects.events["fair"]}
    assert (effects.event_kind, pooled.event_kind) == ("by group", "pooled")


def test_the_joint_estimate_beats_groups_on_a_trailing_level() -> None:
    """Without a calendar one factor serves all stores, and a run of paydays raises the level they are judged by."""
    made = shops(level=60.0)
    effects = fit_effects(made.panel, made.groups)
    old = lay_out_factors(made.panel, replace(effects, calendar=None), made.groups)
    new = lay_out_factors(made.panel, effects, made.groups)
    assert effects.calendar is not None
    true, on = np.log(made.payday), made.on_payday[:, :364]
    errors = []
    for factors in (old, new):
        log = np.log(factors.payday * factors.month * factors.event)[:, :364]
        found = [row[days].mean() - row[~days].mean() for row, days in zip(log, on, strict=True)]
        errors.append(float(np.abs(np.array(found) - true).mean()))
    assert errors[1] < 0.33 * errors[0]

"""Plans of one panel laid into another: the days ahead are the other's, and nothing else moves."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from forecast_assets.features.panel import Panel
from forecast_assets.features.plans import same_history, same_plans, with_plans_of
from tests.support.covariate_cases import said_of, warm_panel
from tests.support.forecast_cases import lawful_panel

PANEL = lawful_panel(6, days=100, horizon=10)
AHEAD = np.arange(100, 110)


def replanned(panel: Panel) -> Panel:
    """The same past with other plans."""
    price_ratio, is_promotion, has_plan = panel.price_ratio.copy(), panel.is_promotion.copy(), panel.has_plan.copy()
    price_ratio[2, 103], is_promotion[2, 103], has_plan[2, 3] = 0.5, True, True
    price_ratio[4, 105] = 0.9
    return replace(panel, price_ratio=price_ratio, is_promotion=is_promotion, has_plan=has_plan)


def a_day_later(panel: Panel) -> Panel:
    """A panel whose cutoff is a day later and horizon a day shorter, so that it ends on the same day."""
    sales = np.c_[panel.sales, np.full(len(panel.sales), 7.0)]
    more = {
        name: np.c_[getattr(panel, name), getattr(panel, name)[:, -1]]
        for name in ("is_censored", "out_of_stock_share", "missed_share")
    }
    return replace(
        panel, sales=sales, history_days=panel.history_days + 1, horizon_days=panel.horizon_days - 1,
        has_plan=panel.has_plan[:, 1:], **more,
    )  # fmt: skip


def test_a_panel_with_its_own_plans_is_the_same() -> None:
    mixed = with_plans_of(PANEL, PANEL)
    assert same_plans(PANEL, mixed)
    assert same_history(PANEL, mixed)
    assert mixed.event_days is PANEL.event_days


def test_other_plans_come_over_and_the_past_stays() -> None:
    other = replanned(PANEL)
    mixed = with_plans_of(PANEL, other)
    assert not same_plans(PANEL, mixed)
    assert same_plans(other, mixed)
    assert same_history(PANEL, mixed)
    assert np.array_equal(mixed.price_ratio, other.price_ratio)


def test_plans_are_lined_up_by_day_where_cutoffs_differ() -> None:
    later = a_day_later(replanned(PANEL))
    there = with_plans_of(PANEL, later)
    assert np.array_equal(there.price_ratio[:, AHEAD], later.price_ratio[:, AHEAD])
    assert there.has_plan[2, 3]
    # The day that the later one has observed counts as planned, since it plans at all.
    assert there.has_plan[:, 0].all() == later.has_plan.any()
    back = with_plans_of(later, PANEL)
    assert np.array_equal(back.price_ratio[:, 101:], PANEL.price_ratio[:, 101:])
    assert np.array_equal(back.sales, later.sales)
    assert same_plans(later, with_plans_of(back, later))


def test_where_nothing_is_planned_what_came_is_no_plan() -> None:
    later = a_day_later(replace(PANEL, has_plan=np.zeros_like(PANEL.has_plan)))
    later = replace(later, price_ratio=np.where(np.arange(110) == 100, 0.3, later.price_ratio))
    mixed = with_plans_of(PANEL, later)
    assert np.array_equal(mixed.price_ratio[:, 100], PANEL.price_ratio[:, 100])
    assert not mixed.has_plan[:, 1:].any()


def test_series_that_the_other_lacks_keep_their_plans() -> None:
    other = replanned(PANEL).take(np.array([0, 2, 3]))
    mixed = with_plans_of(PANEL, other)
    assert mixed.price_ratio[2, 103] == 0.5
    assert np.array_equal(mixed.price_ratio[4], PANEL.price_ratio[4])
    assert mixed.series.equals(PANEL.series)


@pytest.mark.parametrize("day", [101, 104])
def test_an_event_that_is_withdrawn_or_added_moves_on_its_days_alone(day: int) -> None:
    days = PANEL.event_days.copy()
    days[0, day] = ~days[0, day]
    other = replace(PANEL, event_days=days)
    mixed = with_plans_of(PANEL, other)
    assert not same_plans(PANEL, mixed)
    assert same_plans(other, with_plans_of(mixed, other))
    name = PANEL.event_names[0]
    for panel in (mixed, other):
        columns, applies = panel.occurrences(name)
        found = np.zeros((6, 110), dtype=bool)
        found[:, columns] = applies
        assert found[:, day].all() == bool(days[0, day])
    assert same_history(PANEL, mixed)


def test_events_of_series_that_the_other_lacks_stay() -> None:
    days = np.zeros_like(PANEL.event_days)
    days[0, 102] = True
    panel = replace(PANEL, event_days=PANEL.event_days | days)
    other = replace(PANEL, event_days=PANEL.event_days & ~days).take(np.array([0, 1]))
    mixed = with_plans_of(panel, other)
    columns, applies = mixed.occurrences(PANEL.event_names[0])
    at = columns.tolist().index(102)
    assert applies[:, at].tolist() == [False, False, True, True, True, True]


def test_covariates_ahead_are_the_others_plans() -> None:
    panel, _, warmth = warm_panel(count=8, days=60, horizon=7)
    one = replace(panel, covariates=said_of(panel, warmth))
    two = replace(panel, covariates=said_of(panel, warmth + np.where(np.arange(67) >= 60, 1.0, 0.0)))
    mixed = with_plans_of(one, two)
    assert not same_plans(one, mixed)
    width = 67
    for at, name in enumerate(one.covariates.names):
        del at
        found, theirs, own = (each.covariates.as_known(name, 59, width) for each in (mixed, two, one))
        assert np.array_equal(found[:, 60:], theirs[:, 60:], equal_nan=True)
        assert np.array_equal(found[:, :60], own[:, :60])
        assert not np.array_equal(found[:, 60:], own[:, 60:])
        early = [each.covariates.as_known(name, 40, 50) for each in (mixed, one)]
        assert np.array_equal(early[0], early[1], equal_nan=True)
    assert with_plans_of(one, one).covariates is one.covariates


def test_a_restated_past_is_not_the_same() -> None:
    sales = PANEL.sales.copy()
    sales[1, 50] += 1
    assert not same_history(PANEL, replace(PANEL, sales=sales))
    assert not same_history(PANEL, a_day_later(PANEL))
    assert not same_history(PANEL, replace(PANEL, first_date=PANEL.first_date - timedelta(days=1)))

"""Calendars of groups and of stores apart, where groups in stores are too small and too many to be read."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from forecast_assets.core.arrays import Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar import estimation
from forecast_assets.models.calendar.calendar import CALENDARS
from forecast_assets.models.calendar.columns import CalendarDays
from forecast_assets.models.calendar.estimation import FittedCalendar, fit_calendar
from tests.support.forecast_cases import FIRST, panel_of

GROUPS, STORES, DAYS = 50, 45, 140
PAYDAYS = (1, 2, 3, 12, 13)


@dataclass(frozen=True)
class Kiosks:
    """One slow series for each group in each store; weekdays by group and store, paydays by store."""

    panel: Panel
    groups: Groups
    weekday: Floats
    payday: Floats

    def fitted(self, before: FittedCalendar | None = None) -> FittedCalendar:
        return fit_calendar(self.panel, self.groups, self.panel.sales, np.ones_like(self.panel.sales), before)


@pytest.fixture(scope="module")
def kiosks() -> Kiosks:
    random = np.random.default_rng(4)
    store, group = np.repeat(np.arange(STORES), GROUPS), np.tile(np.arange(GROUPS), STORES)
    days = CalendarDays.since(FIRST, DAYS + 28)
    weekday = 0.2 * random.normal(size=(GROUPS, 7))[group] + 0.15 * random.normal(size=(STORES, 7))[store]
    weekday = np.exp(weekday) / np.exp(weekday).mean(axis=1, keepdims=True)
    payday = np.where(store < STORES // 2, 1.4, 1.0)
    pays = np.isin(days.day_of_month, PAYDAYS)
    usual = weekday[:, days.weekday] * np.where(pays, payday[:, None], 1.0)
    names = pl.DataFrame({"store_id": [f"S{at}" for at in store], "sku_id": [f"P{at}" for at in group]})
    panel = panel_of(
        random.poisson(1.5 * usual)[:, :DAYS],
        28,
        series=names,
        event_names=("benefit",),
        event_days=pays[None],
        event_series=np.ones((1, len(store)), dtype=np.bool_),
    )
    return Kiosks(panel, np.array([f"G{at}" for at in group]), weekday, payday)


@pytest.fixture(scope="module")
def fitted(kiosks: Kiosks) -> FittedCalendar:
    return kiosks.fitted()


def error(kiosks: Kiosks, found: FittedCalendar) -> float:
    weekday = found.calendar.factors(kiosks.panel, kiosks.groups).weekday
    return float(np.abs(weekday - kiosks.weekday).mean())


def test_groups_and_stores_have_effects_and_groups_in_stores_have_none(fitted: FittedCalendar) -> None:
    calendar = fitted.calendar
    assert calendar.kind == CALENDARS[0]
    assert (len(calendar.groups), len(calendar.stores), calendar.nodes) == (GROUPS, STORES, ())


def test_weekdays_and_paydays_are_found_on_margins(kiosks: Kiosks, fitted: FittedCalendar) -> None:
    assert error(kiosks, fitted) < 0.3 * float(np.abs(kiosks.weekday - 1).mean())
    found = fitted.calendar.factors(kiosks.panel, kiosks.groups)
    first = int(np.flatnonzero(kiosks.panel.event_days[0])[0])
    assert found.payday[kiosks.payday > 1, first].mean() == pytest.approx(1.4, rel=0.06)
    assert found.payday[kiosks.payday == 1, first].mean() == pytest.approx(1.0, abs=0.06)


def test_margins_tell_as_much_as_groups_in_stores(
    kiosks: Kiosks, fitted: FittedCalendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimation, "_MANY_NODES", 10**6)
    on_nodes = kiosks.fitted()
    assert len(on_nodes.calendar.nodes) == GROUPS * STORES
    assert error(kiosks, fitted) < 1.05 * error(kiosks, on_nodes)


def test_margins_that_go_on_with_other_prices_stay_close(kiosks: Kiosks, fitted: FittedCalendar) -> None:
    again = kiosks.fitted(fitted)
    before, after = (each.calendar.factors(kiosks.panel, kiosks.groups) for each in (fitted, again))
    assert after.weekday == pytest.approx(before.weekday, abs=0.01)
    assert after.payday == pytest.approx(before.payday, abs=0.02)


def test_what_training_did_not_see_takes_the_other_margin(kiosks: Kiosks, fitted: FittedCalendar) -> None:
    known = fitted.calendar.factors(kiosks.panel, kiosks.groups)
    moved = replace(kiosks.panel, series=kiosks.panel.series.with_columns(store_id=pl.lit("new")))
    elsewhere = fitted.calendar.factors(moved, kiosks.groups)
    assert np.unique(elsewhere.weekday, axis=0).shape == (GROUPS, 7)
    unheard = fitted.calendar.factors(kiosks.panel, np.full(len(kiosks.groups), "new"))
    assert np.unique(unheard.weekday, axis=0).shape == (STORES, 7)
    assert not np.allclose(known.weekday, elsewhere.weekday)


def test_a_few_groups_in_stores_are_read_as_they_are(kiosks: Kiosks) -> None:
    rows = np.flatnonzero(np.arange(GROUPS * STORES) % GROUPS < GROUPS // 2)
    few = replace(kiosks, panel=kiosks.panel.take(rows), groups=kiosks.groups[rows])
    assert len(few.fitted().calendar.nodes) == len(rows)

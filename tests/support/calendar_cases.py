"""Shops whose calendar is known: groups in stores with weekdays, paydays and events of their own."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Groups, Names
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.calendar import CalendarFactors
from forecast_assets.models.calendar.columns import CalendarDays
from forecast_assets.models.calendar.estimation import FittedCalendar, fit_calendar
from tests.support.forecast_cases import panel_of

FIRST = date(2025, 1, 1)
PAYDAY = "benefit"
FAIR = "fair"
# CalendarDays of the month on which the two states pay, in runs of unlike length.
PAYDAYS = ((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (2, 3, 5, 6, 7, 11, 12, 13, 14, 15))


@dataclass(frozen=True)
class Shops:
    """One series for each group in each store, by store, then group.

    Attributes:
        panel: n series.
        groups: [n] product group of each.
        weekday: [n, 7] true factors, averaging 1.
        payday: [n] true factor of a payday.
        on_payday: [n, T + H] where one falls.
    """

    panel: Panel
    groups: Groups
    weekday: Floats
    payday: Floats
    on_payday: Bools

    @property
    def stores(self) -> Names:
        """[n] store of each series."""
        return self.panel.series["store_id"].to_numpy().astype(str)

    def fitted(self, panel: Panel | None = None) -> FittedCalendar:
        """Fit a calendar, to another panel of the same series where one is given."""
        shown = self.panel if panel is None else panel
        units, exposure = np.nan_to_num(shown.sales), (~np.isnan(shown.sales)).astype(np.float64)
        return fit_calendar(shown, self.groups, units, exposure)

    def found(self, panel: Panel | None = None) -> CalendarFactors:
        """Return the factors of a calendar fitted to these shops."""
        return self.fitted(panel).calendar.factors(self.panel if panel is None else panel, self.groups)

    def found_payday(self, found: CalendarFactors) -> Floats:
        """[n] mean factor on paydays over that on other days, day of the month included."""
        both = np.log(found.payday * found.month)
        on = np.array([row[days].mean() - row[~days].mean() for row, days in zip(both, self.on_payday, strict=True)])
        return np.exp(on)


def shops(
    groups: int = 3,
    stores: int = 6,
    days: int = 364,
    *,
    level: float = 300.0,
    noise: float = 0.03,
    moved: float = 1.4,
    event: float = 1.0,
    event_days: tuple[int, ...] = (200,),
    seed: int = 0,
) -> Shops:
    """Draw shops: the first group is moved by paydays in even stores, all others not at all.

    Args:
        groups: Product groups.
        stores: Stores; the second half is in the second state.
        days: T; 28 more follow.
        level: Units a day.
        noise: Deviation of a day on the log, one shared by all and one of each.
        moved: True factor of a payday where it moves anything.
        event: True factor of a fair.
        event_days: CalendarColumns on which one falls.
        seed: Of all draws.
    """
    random, width = np.random.default_rng(seed), days + 28
    store, group = np.repeat(np.arange(stores), groups), np.tile(np.arange(groups), stores)
    calendar = CalendarDays.since(FIRST, width)
    state = (store >= stores / 2).astype(int)
    pays = np.array([np.isin(calendar.day_of_month, of_month) for of_month in PAYDAYS])
    weekday = np.exp(0.15 * random.normal(size=(len(store), 7)) + np.where(np.arange(7) >= 5, 0.2, 0.0))
    weekday /= weekday.mean(axis=1, keepdims=True)
    payday = np.where((group == 0) & (store % 2 == 0), moved, 1.0)
    fair = np.isin(np.arange(width), event_days)
    usual = weekday[:, calendar.weekday] * np.where(pays[state], payday[:, None], 1.0) * np.where(fair, event, 1.0)
    drift = np.cumsum(0.004 * random.normal(size=(len(store), width)), axis=1)
    shared = noise * random.normal(size=(1, width)) + noise * random.normal(size=(len(store), width))
    sales = random.poisson(level * usual * np.exp(drift + shared))[:, :days]
    named = [(f"S{s:02d}", f"G{g}") for s, g in zip(store, group, strict=True)]
    panel = panel_of(
        sales,
        28,
        first_date=FIRST,
        series=pl.DataFrame(named, schema=["store_id", "sku_id"], orient="row"),
        event_names=(PAYDAY, PAYDAY, FAIR),
        event_days=np.array([*pays, fair]),
        event_series=np.array([state == 0, state == 1, np.ones(len(store), dtype=np.bool_)]),
    )
    return Shops(panel, np.array([name for _, name in named]), weekday, payday, pays[state])

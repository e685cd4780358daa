"""The calendar of a version: what was found, by name, and what it makes of the days of a panel.

What belongs here: the form that artifacts keep, looking units up, factors. What does not: estimating them.

A series takes the effects of all, of its product group, of its store and of its group in its store; what training did
not see has none of its own and takes those above. Effects are kept as whole ten-thousandths of the logarithm.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Groups, Ints, Names
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.columns import DRIVERS, CalendarColumns, CalendarDays, Design, Places
from forecast_assets.models.calendar.fitting import ALL, GROUP, NODE, STORE

WEEKDAY: Final = DRIVERS[0]
# Whose calendar there is.
CALENDARS: Final = ("by group and store", "by group", "none")
SMALLEST_FACTOR: Final = 0.2
LARGEST_FACTOR: Final = 5.0
_UNITS_OF_LOG: Final = 1e-4
_MOST_UNITS: Final = 2**15 - 1
_PACKED: Final = np.dtype("<i2")
# Places of a few runs, and what-if questions that lay events into one.
_KEPT_LAYOUTS: Final = 64


@dataclass(frozen=True)
class CalendarFactors:
    """What the calendar does to n series.

    Attributes:
        weekday: [n, 7] factors, Monday first, averaging 1.
        payday: [n, W] of events that recur: today, its place in a run, and by weekday; 1 on other days.
        month: [n, W] of the day of the month; averages 1 over a month in logarithms.
        event: [n, W] of rare events, with the days before and after.
    """

    weekday: Floats
    payday: Floats
    month: Floats
    event: Floats

    def on_days(self, weekday: Ints) -> Floats:
        """[n, d] all of it together on the first d days, whose weekdays are given."""
        other = self.payday[:, : len(weekday)] * self.month[:, : len(weekday)] * self.event[:, : len(weekday)]
        return np.asarray(self.weekday[:, weekday] * other)


@dataclass(frozen=True)
class Calendar:
    """Effects of the calendar, estimated once per model version.

    Attributes:
        recurring: Events that recur, sorted.
        rare: Other events that training saw, sorted.
        groups: Product groups that training saw.
        stores: Stores that training saw; none where a calendar is by group only.
        nodes: Product group and store of each node.
        effects: By layer, text of [P, U] effects: whole ten-thousandths of the logarithm in two bytes each, lower
            first, in base 64. Rows are columns in the order of `CalendarColumns`, those of nodes only `node_columns` of
            them.
        node_columns: Which columns nodes have effects of their own for.
        has_month: Whether there are effects of days of the month.
        deviations: Standard deviation by layer and kind of column that effects were drawn by; for people.
        weekends: Rare events with an effect of their own on Saturdays and Sundays; none in versions from before.
    """

    recurring: tuple[str, ...]
    rare: tuple[str, ...]
    groups: tuple[str, ...]
    stores: tuple[str, ...]
    nodes: tuple[tuple[str, str], ...]
    effects: Mapping[str, str]
    node_columns: tuple[int, ...]
    has_month: bool
    deviations: Mapping[str, Mapping[str, float]]
    weekends: tuple[str, ...] = ()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Calendar":
        """Read the JSON form back."""
        names = {name: tuple(data[name]) for name in ("recurring", "rare", "groups", "stores", "node_columns")}
        return cls(
            **names,
            nodes=tuple((group, store) for group, store in data["nodes"]),
            effects=dict(data["effects"]),
            has_month=data.get("has_month", True),
            deviations={layer: dict(kinds) for layer, kinds in data["deviations"].items()},
            weekends=tuple(data.get("weekends", ())),
        )

    @property
    def kind(self) -> str:
        """One of `CALENDARS`."""
        return CALENDARS[0] if self.stores else CALENDARS[1]

    def by_group(self) -> "Calendar":
        """Return the calendar without what is of single stores."""
        effects = {layer: text for layer, text in self.effects.items() if layer in (ALL, GROUP)}
        return replace(self, stores=(), nodes=(), node_columns=(), effects=effects)

    def factors(self, panel: Panel, product_groups: Groups) -> CalendarFactors:
        """Lay the calendar out for every series of a panel.

        Args:
            panel: n series, W days of history and ahead.
            product_groups: [n] group of each series.
        """
        places = Places.of(panel)
        names, group = np.unique(product_groups, return_inverse=True)
        stores, store = np.unique(self._stores_of(panel), return_inverse=True)
        number = (places.code * len(stores) + store) * len(names) + group
        _, first, code = np.unique(number, return_index=True, return_inverse=True)
        logs = self._of(names[group[first]], stores[store[first]])
        width = panel.history_days + panel.horizon_days
        layouts = [self._layout(panel.first_date, width, falls) for falls in places.falls]
        daily = self._by_day(layouts, width, places.code[first], logs)
        weekday = np.exp(logs[self._columns.kind == "weekday"].T)
        weekday = clipped(weekday / weekday.mean(axis=1, keepdims=True))
        # Of a driver without columns no matrix is laid out: it would take as much room as one that says something.
        nothing = np.broadcast_to(1.0, (len(code), width))
        return CalendarFactors(
            weekday[code], *(daily[driver][code] if driver in daily else nothing for driver in DRIVERS[1:])
        )

    def _stores_of(self, panel: Panel) -> Names:
        """[n] store of each series; one for all where they do not differ."""
        ids = panel.series["store_id"].to_numpy().astype(str)
        return ids if self.stores else np.full_like(ids, "")

    def _layout(self, first: date, width: int, falls: Mapping[str, Bools]) -> "_Layout":
        columns = self._columns
        known = tuple((name, falls[name].tobytes()) for name in (*columns.recurring, *columns.rare) if name in falls)
        return _layout(columns, first, width, known)

    def _by_day(self, layouts: Sequence["_Layout"], width: int, place: GroupCodes, logs: Floats) -> dict[str, Floats]:
        """[K, W] factors by driver that there is, weekdays apart, of K nodes with [P, K] effects at given places."""
        columns = {driver: places for driver, places in self._columns.by_driver.items() if driver != WEEKDAY}
        out = {driver: np.ones((len(place), width)) for driver in columns}
        for at, layout in enumerate(layouts):
            here = np.flatnonzero(place == at)
            for driver, places in columns.items():
                out[driver][here] = clipped(np.exp(layout[driver] @ logs[np.ix_(places, here)])).T
        return out

    @cached_property
    def _columns(self) -> CalendarColumns:
        return CalendarColumns(self.recurring, self.rare, self.has_month, self.weekends)

    @cached_property
    def by_layer(self) -> dict[str, Floats]:
        """[P, U] effects on the logarithm by layer, [p, U] for nodes."""
        rows = {layer: len(self._columns.kind) for layer in self.effects} | {NODE: len(self.node_columns)}
        return {layer: _unpacked(text, rows[layer]) for layer, text in self.effects.items()}

    @cached_property
    def _places(self) -> dict[str, dict[Any, int]]:
        """Where each unit of a layer stands."""
        units: dict[str, tuple[Any, ...]] = {GROUP: self.groups, STORE: self.stores, NODE: self.nodes}
        return {layer: {unit: at for at, unit in enumerate(names)} for layer, names in units.items()}

    def _of(self, groups: Names, stores: Names) -> Floats:
        """[P, K] effects of some product groups in some stores."""
        out = np.repeat(self.by_layer[ALL], len(groups), axis=1)
        pairs = list(zip(groups.tolist(), stores.tolist(), strict=True))
        wanted: dict[str, list[Any]] = {GROUP: groups.tolist(), STORE: stores.tolist(), NODE: pairs}
        for layer, units in wanted.items():
            if layer in self.by_layer:
                place = np.array([self._places[layer].get(unit, -1) for unit in units], dtype=np.intp)
                seen = np.flatnonzero(place >= 0)
                rows = np.array(self.node_columns, dtype=np.intp) if layer == NODE else np.arange(len(out))
                out[np.ix_(rows, seen)] += self.by_layer[layer][:, place[seen]]
        return out


# By driver, its p columns of W days, sparse [W, p]: for reading alone.
_Layout = Mapping[str, Design]


@lru_cache(maxsize=_KEPT_LAYOUTS)
def _layout(columns: CalendarColumns, first: date, width: int, falls: tuple[tuple[str, bytes], ...]) -> _Layout:
    """Lay a calendar out for days of one place, where days that each event falls on are bytes of `Bools`.

    Kept, since it follows from nothing but what it is asked for, and questions about a run ask for the same.
    """
    known = {name: np.frombuffer(days, dtype=np.bool_) for name, days in falls}
    design = columns.design(CalendarDays.since(first, width), known)
    return {driver: design[:, places] for driver, places in columns.by_driver.items() if driver != WEEKDAY}


def clipped(factors: Floats) -> Floats:
    """Keep factors within what is believed of any."""
    return np.clip(factors, SMALLEST_FACTOR, LARGEST_FACTOR)


def packed(effects: Floats) -> str:
    """Return effects as artifacts keep them."""
    whole = np.clip(np.rint(effects / _UNITS_OF_LOG), -_MOST_UNITS, _MOST_UNITS)
    return base64.b64encode(whole.astype(_PACKED).tobytes()).decode()


def _unpacked(text: str, rows: int) -> Floats:
    whole = np.frombuffer(base64.b64decode(text), dtype=_PACKED).astype(np.float64)
    return np.asarray(whole.reshape(rows, -1) * _UNITS_OF_LOG)

"""Columns: what the calendar says of a day, as a regression reads it.

What belongs here: which columns there are, and laying them out by day. What does not: how large any effect is.

Days of an event that recurs (benefit days, paydays, bank holidays that come with weekends) are a kind of day: they
have an effect, one by their place in a run of such days, and one by weekday. A rare event is a name of its own, with
the days before and after it, and with its weekends where it was seen on both these and other days. Every column is 0
or 1, so that an effect is the logarithm of a factor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Ints, Names, Rows
from forecast_assets.features.panel import Panel

# A scipy.sparse matrix, which has no stubs.
Design = Any
WEEK: Final = 7
# Drivers of a forecast that the calendar tells apart, in the order in which they are laid out.
DRIVERS: Final = ("weekday", "payday", "month", "event")
# Kinds of columns, in their order, with the driver of each.
KINDS: Final[Mapping[str, str]] = {
    "weekday": "weekday",
    "month": "month",
    "payday": "payday",
    "payday_position": "payday",
    "payday_weekday": "payday",
    "event": "event",
    "event_near": "event",
    "event_weekend": "event",
}
_SATURDAY: Final = 5
_MONTH_DAYS: Final = 31
# Half a year, in which each day of the month comes six times.
_LEAST_MONTH_DAYS: Final = 182
# Places in a run of days: the first, the second, and so on; the last stands for all that follow.
_POSITIONS: Final = 6
# Days before the first day of an event and after its last that it may move.
LEADS: Final = (3, 2, 1)
LAGS: Final = (1,)


@dataclass(frozen=True)
class CalendarColumns:
    """Which columns there are.

    Attributes:
        recurring: Names of events that recur, sorted.
        rare: Names of other events, sorted.
        has_month: Whether there are days of the month: in a short history nothing tells one from a day that was good
            or bad by chance.
        weekends: Rare events, sorted, that were seen both on Saturdays or Sundays and on other days: a holiday adds
            less to a day that most are free on anyway.
    """

    recurring: tuple[str, ...]
    rare: tuple[str, ...]
    has_month: bool = True
    weekends: tuple[str, ...] = ()

    @classmethod
    def of(cls, panel: Panel) -> "CalendarColumns":
        """Return the columns that the history of a panel shows: an event that no day of it saw has none."""
        fell = np.flatnonzero(panel.event_days[:, : panel.history_days].any(axis=1) & panel.event_series.any(axis=1))
        seen = {panel.event_names[at] for at in fell}
        recurring = tuple(name for name in panel.recurring_events if name in seen)
        rare = tuple(sorted(seen.difference(recurring)))
        weekends = tuple(name for name in rare if _falls_on_both(panel, name))
        return cls(recurring, rare, panel.history_days >= _LEAST_MONTH_DAYS, weekends)

    @cached_property
    def kind(self) -> Names:
        """[P] one of `KINDS` for each column."""
        counts = {
            "weekday": WEEK,
            "month": _MONTH_DAYS * self.has_month,
            "payday": len(self.recurring),
            "payday_position": _POSITIONS * len(self.recurring),
            "payday_weekday": WEEK * len(self.recurring),
            "event": len(self.rare),
            "event_near": (len(LEADS) + len(LAGS)) * len(self.rare),
            "event_weekend": len(self.weekends),
        }
        return np.repeat(np.array(list(KINDS)), [counts[kind] for kind in KINDS])

    @cached_property
    def driver(self) -> Names:
        """[P] one of `DRIVERS` for each column."""
        return np.array([KINDS[str(kind)] for kind in self.kind])

    @cached_property
    def by_driver(self) -> Mapping[str, Rows]:
        """Where the columns of each of `DRIVERS` are that has any."""
        found = {driver: np.flatnonzero(self.driver == driver) for driver in DRIVERS}
        return {driver: places for driver, places in found.items() if len(places)}

    def design(self, days: "CalendarDays", falls: Mapping[str, Bools]) -> Design:
        """Lay the columns out for one place.

        Args:
            days: W days.
            falls: [W or more] on which days each event falls there, and on those after, of which days before an event
                are told; events that are not columns are passed over.

        Returns:
            [W, P] sparse ones.
        """
        from scipy import sparse

        width = len(days.weekday)
        never = np.zeros(width, dtype=np.bool_)
        recurring = [falls.get(name, never)[:width] for name in self.recurring]
        rare = [falls.get(name, never) for name in self.rare]
        parts = [
            _one_of(days.weekday, WEEK),
            _one_of(days.day_of_month - 1, _MONTH_DAYS * self.has_month),
            *(on[:, None] for on in recurring),
            *(_one_of(np.minimum(place_in_run(on), _POSITIONS) - 1, _POSITIONS) for on in recurring),
            *(_one_of(days.weekday, WEEK) & on[:, None] for on in recurring),
            *(on[:width, None] for on in rare),
            *(_near(on)[:width] for on in rare),
            *((falls.get(name, never)[:width] & is_weekend(days.weekday))[:, None] for name in self.weekends),
        ]
        return sparse.csr_matrix(np.concatenate(parts, axis=1).astype(np.float64))


@dataclass(frozen=True)
class CalendarDays:
    """Days in a row.

    Attributes:
        weekday: [W] Monday 0.
        day_of_month: [W] 1 to 31.
    """

    weekday: Ints
    day_of_month: Ints

    @classmethod
    def since(cls, first: date, count: int) -> "CalendarDays":
        """Return so many days from the first on.

        Example:
            >>> CalendarDays.since(date(2026, 2, 27), 3).day_of_month.tolist()
            [27, 28, 1]
        """
        days = [first + timedelta(days=number) for number in range(count)]
        return cls(np.array([day.weekday() for day in days]), np.array([day.day for day in days]))


@dataclass(frozen=True)
class Places:
    """Places that differ in their events.

    Attributes:
        code: [n] place of each series.
        falls: [C] by place, on which of the W days and those known after them each event falls.
    """

    code: Ints
    falls: tuple[dict[str, Bools], ...]

    @classmethod
    def of(cls, panel: Panel) -> "Places":
        """Return the places of a panel's series, on all of its days and those known after them."""
        if not panel.event_names:
            return cls(np.zeros(panel.series.height, dtype=np.int64), ({},))
        patterns, code = np.unique(panel.event_series.T, axis=0, return_inverse=True)
        names = sorted(set(panel.event_names))
        kinds = {name: [at for at, other in enumerate(panel.event_names) if other == name] for name in names}
        falls = [
            {name: _any_of(panel.event_days_and_beyond, [at for at in kinds[name] if here[at]]) for name in names}
            for here in patterns
        ]
        return cls(np.asarray(code.reshape(-1), dtype=np.int64), tuple(falls))


def is_weekend(weekday: Ints) -> Bools:
    """[W] Whether days are Saturdays or Sundays."""
    return np.asarray(weekday >= _SATURDAY, dtype=np.bool_)


def _falls_on_both(panel: Panel, name: str) -> bool:
    """Whether an event was seen both on Saturdays or Sundays and on other days."""
    columns, _ = panel.occurrences(name)
    seen = is_weekend(panel.weekday[columns[columns < panel.history_days]])
    return bool(seen.any() and not seen.all())


def _any_of(days: Bools, rows: list[int]) -> Bools:
    """[W] On which days any of some events falls."""
    return np.asarray(days[rows].any(axis=0), dtype=np.bool_)


def place_in_run(falls: Bools) -> Ints:
    """[..., W] Place of each day in a run of days on which an event falls: 1 for the first; 0 on other days.

    Example:
        >>> place_in_run(np.array([True, True, False, True])).tolist()
        [1, 2, 0, 1]
    """
    day = np.arange(1, falls.shape[-1] + 1)
    last_without = np.maximum.accumulate(np.where(falls, 0, day), axis=-1)
    return np.asarray(np.where(falls, day - last_without, 0), dtype=np.int64)


def _one_of(place: Ints, count: int) -> Bools:
    """[W, count] Whether each day is at each place; places below 0 are none."""
    return np.asarray(place[:, None] == np.arange(count)[None], dtype=np.bool_)


def _near(falls: Bools) -> Bools:
    """[W, leads + lags] Days before the first day of each run, and after its last."""
    padded = np.r_[False, falls, False]
    starts, ends = np.flatnonzero(~padded[:-1] & padded[1:]), np.flatnonzero(padded[:-1] & ~padded[1:]) - 1
    out = np.zeros((len(falls), len(LEADS) + len(LAGS)), dtype=np.bool_)
    for column, day in enumerate([*(starts - lead for lead in LEADS), *(ends + lag for lag in LAGS)]):
        out[day[(day >= 0) & (day < len(falls))], column] = True
    out[falls] = False
    return out

"""Closures: days on which nothing can sell, found in the record, and the same days ahead.

What belongs here: telling from sales on which days a store was closed, on which weekdays a store or an article never
sells, and on which days ahead that goes on. What does not: what the source says by itself (the panel has it), or what
models make of such days.

A store was closed on a day, or for some days in a row, if nothing sold although its articles' own records make that
less likely than one in ten thousand. Days of one weekday are taken together, three at least, so that a small shop of
slow movers, whose single silent day says nothing, is known by its Sundays. A weekday on which a store or an article
always kept silent lately is closed ahead; it takes two such days with sales to open it again, since one may be an
exception. So is an event on which the store was closed every time it came; stores of a chain, on an event on which all
of them kept silent, speak for one another.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes
from forecast_assets.features.demand_class import ENDED_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.models.silences import (
    UNLIKELY,
    VERY_UNLIKELY,
    running,
    runs,
    sells_that_week,
    surprise_of_a_silent_day,
)

WEEK: Final = 7
_LEAST_WEEKS: Final = 3
# A closure of more days in a row says nothing of an event that falls into it.
_HOLIDAY_DAYS: Final = 4
# A series goes on with its store if its last sale is not further from the store's than this.
_LIVE_DAYS: Final = 14
_ROUNDS: Final = 2


@dataclass(frozen=True)
class _Units:
    """Stores or series, m of them, in the past.

    Attributes:
        is_silent: [m, T] days without a sale that could have had one.
        has_sold: [m, T] days with a sale.
        surprise: [m, T] how unlikely each silent day is.
    """

    is_silent: Bools
    has_sold: Bools
    surprise: Floats

    def on_weekdays(self, least: float) -> tuple[Bools, Bools]:
        """[m, T] days of weekdays that were silent week after week, and [m, 7] columns of the last week that still are.

        Weeks without any sale say nothing of a weekday.
        """
        is_silent = self.is_silent & sells_that_week(self.has_sold)
        found = runs(is_silent, self.has_sold, self.surprise, WEEK)
        is_closed = (found.length >= _LEAST_WEEKS) & (found.surprise >= least)
        length, surprise = running(is_silent, self.has_sold, self.surprise, WEEK)
        lasts = (length >= _LEAST_WEEKS) & (surprise >= least)
        # One day with sales is an exception, a second in a row is the rule again.
        before = np.pad(lasts, ((0, 0), (WEEK, 0)))[:, : lasts.shape[1]]
        return is_closed, (lasts | (self.has_sold & before))[:, -WEEK:]


def closed_days(panel: Panel) -> Bools:
    """[n, T + H] Days on which a series cannot sell: said, or found as above.

    A day with sales in the store is open, whatever was said of it.

    Args:
        panel: n series, T days of history, H ahead.
    """
    has_sold = np.nan_to_num(panel.sales) > 0
    starts, code = _stores(panel)
    closed, pooled, width = panel.is_closed.copy(), panel.pooled, panel.is_closed.shape[1]
    closed[:, : panel.history_days] &= ~pooled.of_series(
        "days with sales of stores", lambda: Statistic(_any_of(has_sold, starts), code)
    )
    if panel.history_days > WEEK:
        of_stores = pooled.of_series(
            "closed days of stores",
            lambda: Statistic(_closed_in_rounds(panel, has_sold, closed, starts, code), code),
        )
        closed |= of_stores[:, :width]
        for at, name in enumerate(_event_names(panel), start=width):
            columns, applies = panel.occurrences(name)
            ahead = columns >= panel.history_days
            closed[:, columns[ahead]] |= of_stores[:, at, None] & applies[:, ahead]
        closed |= _never_sold_on(panel, has_sold, closed)
    return closed


def _closed_in_rounds(panel: Panel, has_sold: Bools, closed: Bools, starts: GroupCodes, code: GroupCodes) -> Bools:
    """[S, T + H + N] Days on which each store is closed, by its weekdays if ahead, and events that close it."""
    out = np.zeros((len(starts), closed.shape[1] + len(_event_names(panel))), dtype=np.bool_)
    for _ in range(_ROUNDS):
        found = _closed_stores(panel, has_sold, closed | out[code, : closed.shape[1]], starts, code)
        if not found.any():
            break
        out |= found
    return out


def _event_names(panel: Panel) -> list[str]:
    return sorted(set(panel.event_names))


def is_weekly(closed: Bools, history_days: int) -> Bools:
    """[n, H] Whether a day ahead is closed because its weekday is: the last ones were, but for an exception.

    Args:
        closed: [n, T + H] as `closed_days` found.
        history_days: T.
    """
    width = closed.shape[1]
    ahead = np.arange(history_days, width)
    last = history_days - WEEK + (ahead - history_days) % WEEK
    counts = np.zeros((len(closed), len(ahead)), dtype=np.int64)
    for weeks in range(_LEAST_WEEKS):
        columns = last - weeks * WEEK
        counts += np.where(columns >= 0, closed[:, np.maximum(columns, 0)], 0)
    return np.asarray(closed[:, history_days:] & (counts >= _LEAST_WEEKS - 1))


def unforeseeable_days(panel: Panel, known_days: int) -> Bools:
    """[n, T] Days after a past cutoff that tell nothing of a forecast made then, because of a store that was closed.

    That is days of a closure of more days in a row than a holiday has; and of a store that had been closed for a
    fortnight at that cutoff all days, since when it opens again is not in any record.

    Args:
        panel: n series, T days of history, the days after the cutoff included.
        known_days: Days up to and including the cutoff.
    """
    closed = closed_days(panel)[:, : panel.history_days]
    since, one = np.arange(panel.history_days) >= known_days, np.ones((1, 1))
    is_long = runs(closed, ~closed, one).length > _HOLIDAY_DAYS
    until_cutoff, _ = running(closed[:, :known_days], ~closed[:, :known_days], one)
    return np.asarray(since & (is_long | (until_cutoff[:, -1:] >= ENDED_DAYS)))


def _stores(panel: Panel) -> tuple[GroupCodes, GroupCodes]:
    """First row of each of S stores, and [n] store of each series; a panel is sorted by store."""
    _, starts, code = np.unique(panel.series["store_id"].to_numpy().astype(str), return_index=True, return_inverse=True)
    return np.asarray(starts, dtype=np.intp), np.asarray(code, dtype=np.intp)


def _any_of(values: Bools, starts: GroupCodes) -> Bools:
    return np.asarray(np.logical_or.reduceat(values, starts, axis=0))


def _closed_stores(panel: Panel, has_sold: Bools, closed: Bools, starts: GroupCodes, code: GroupCodes) -> Bools:
    """[S, T + H + N] Days on which each store is closed, and events that close it, given the days that are known."""
    past = closed[:, : panel.history_days]
    surprise = surprise_of_a_silent_day(_could_have_sold(panel, has_sold) & ~past, has_sold)
    lives = _is_live(panel, has_sold, starts, code) & ~(panel.is_censored & ~has_sold)
    store_sold = _any_of(has_sold, starts)
    units = _Units(
        is_silent=~store_sold & _has_reported(panel, starts),
        has_sold=store_sold,
        surprise=np.add.reduceat(np.where(lives, surprise[:, None], 0.0), starts, axis=0),
    )
    in_a_row = runs(units.is_silent, store_sold, units.surprise)
    weekly, last_week = units.on_weekdays(UNLIKELY)
    out = np.zeros((len(starts), closed.shape[1]), dtype=np.bool_)
    out[:, : panel.history_days] = (in_a_row.surprise >= UNLIKELY) | weekly
    out[:, panel.history_days :] = last_week[:, np.arange(panel.horizon_days) % WEEK]
    is_ordinary = ~weekly & (in_a_row.length <= _HOLIDAY_DAYS)
    of_events, closing = _closed_events(panel, units, is_ordinary, starts)
    return np.concatenate([out | of_events, closing], axis=1)


def _could_have_sold(panel: Panel, has_sold: Bools) -> Bools:
    """[n, T] Days without a sale although the day is known and the shelf was not empty."""
    return ~np.isnan(panel.sales) & ~has_sold & ~panel.is_censored


def _has_reported(panel: Panel, starts: GroupCodes) -> Bools:
    """[S, T] Days from the first to the last that a store says anything of: those after may still come."""
    known = _any_of(~np.isnan(panel.sales), starts)
    return np.asarray(np.maximum.accumulate(known, axis=1) & np.maximum.accumulate(known[:, ::-1], axis=1)[:, ::-1])


def _is_live(panel: Panel, has_sold: Bools, starts: GroupCodes, code: GroupCodes) -> Bools:
    """[n, T] Days between a series' first and last sale, and after it if it sold to the last with its store."""
    days = np.arange(panel.history_days)
    first = np.where(has_sold.any(axis=1), has_sold.argmax(axis=1), panel.history_days)
    last = np.where(has_sold.any(axis=1), panel.history_days - 1 - has_sold[:, ::-1].argmax(axis=1), -1)
    of_store = np.maximum.reduceat(last, starts)[code]
    end = np.where(last > of_store - _LIVE_DAYS, panel.history_days, last)
    return np.asarray((days >= first[:, None]) & (days <= end[:, None]))


def _closed_events(panel: Panel, units: _Units, is_ordinary: Bools, starts: GroupCodes) -> tuple[Bools, Bools]:
    """Return past days of events on which a store was closed every time, or all stores together kept silent.

    Returns:
        [S, T + H] past days, and [S, N] which events, by name, they are.
    """
    names = _event_names(panel)
    out = np.zeros((len(starts), panel.history_days + panel.horizon_days), dtype=np.bool_)
    closing = np.zeros((len(starts), len(names)), dtype=np.bool_)
    for at, name in enumerate(names):
        columns, applies = panel.occurrences(name)
        is_past = columns < panel.history_days
        past, of_store = columns[is_past], applies[starts][:, is_past]
        counts = of_store & is_ordinary[:, past]
        silent, sold = counts & units.is_silent[:, past], counts & units.has_sold[:, past]
        surprise = np.where(silent, units.surprise[:, past], 0.0).sum(axis=1)
        by_all = not sold.any() and float(surprise.sum()) >= UNLIKELY
        closing[:, at] = ~sold.any(axis=1) & ((surprise >= UNLIKELY) | by_all)
        out[:, past] |= closing[:, at, None] & of_store
    out[:, : panel.history_days] &= units.is_silent
    return out, closing


def _never_sold_on(panel: Panel, has_sold: Bools, closed: Bools) -> Bools:
    """[n, T + H] Days of weekdays on which a series never sells lately, though its store is open."""
    out = np.zeros(closed.shape, dtype=np.bool_)
    is_silent = _could_have_sold(panel, has_sold) & ~closed[:, : panel.history_days]
    surprise = surprise_of_a_silent_day(is_silent, has_sold)
    # Most series sell on all weekdays, or too rarely to tell.
    rows = np.flatnonzero(
        (surprise * (panel.history_days // WEEK + 1) >= VERY_UNLIKELY) & (is_silent.sum(axis=1) >= _LEAST_WEEKS)
    )
    if not len(rows):
        return out
    units = _Units(is_silent[rows], has_sold[rows], surprise[rows, None])
    weekly, last_week = units.on_weekdays(VERY_UNLIKELY)
    out[rows, : panel.history_days] = weekly
    out[rows, panel.history_days :] = last_week[:, np.arange(panel.horizon_days) % WEEK]
    return out

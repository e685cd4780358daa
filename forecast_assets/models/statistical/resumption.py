"""Levels of series that sell again after a long silence: an article that comes back, a store that opens again.

What belongs here: what the days since say of the days before. What does not: telling the silence (screening), or
forecasting.

The record from before keeps its shape and takes the level of the days since, so that every level model goes on from
there at its own pace. That level is an average of the own days since, and of what the old level leads to expect of
them: times what all others that came back together sell of theirs, of a store that was closed its articles, of an
article its stores (Efron & Morris 1975, doi:10.1080/01621459.1975.10479864).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Ints
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.models.demand import ratio
from forecast_assets.models.screening import LEAST_GAP_DAYS

# The old level is that of so many days.
_BEFORE_DAYS: Final = 56
# What the old level counts as: days, of one series and of all that came back together, and units at least, since the
# few days of a slow mover say little.
_PRIOR_DAYS: Final = 3.0
_PRIOR_DAYS_TOGETHER: Final = 1.0
_PRIOR_UNITS: Final = 3.0


@dataclass(frozen=True)
class _Gaps:
    """The last long silence of each of n series.

    Attributes:
        start: [n] column of its first day; 0 where there is none.
        end: [n] column of the first day after it; 0 where there is none.
    """

    start: Ints
    end: Ints

    @classmethod
    def of(cls, is_known: Bools) -> "_Gaps":
        days = np.arange(is_known.shape[1])
        last_known = np.maximum.accumulate(np.where(is_known, days, -1), axis=1)
        before = np.pad(last_known, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
        is_end = is_known & (before >= 0) & (days - before > LEAST_GAP_DAYS)
        end = np.where(is_end, days, 0).max(axis=1, initial=0)
        start = np.where(end > 0, before[np.arange(len(end)), end] + 1, 0)
        return cls(start, end)


def at_present_level(panel: Panel, units: Floats, exposure: Floats, level: Floats) -> Floats:
    """[n, T] Levels with what lies before the last long silence brought to the level since.

    Args:
        panel: n series, T days of history, screened.
        units: [n, T] units; 0 where unknown.
        exposure: [n, T] what they are measured against; 0 where unknown.
        level: [n, T] units on a plain day.
    """
    gaps = _Gaps.of(~np.isnan(panel.sales))
    rows = np.flatnonzero(gaps.end > 0)
    found = _before_and_since(gaps, rows, units, exposure)
    against_old = panel.pooled.of_series(
        "levels since silences", lambda: Statistic(_levels_since(panel, gaps, rows, found))
    )
    if not len(rows):
        return level
    end, days = gaps.end[rows, None], np.arange(panel.history_days)
    old, sold, seen = found
    expected = old * against_old[rows]
    prior = np.maximum(_PRIOR_DAYS, ratio(np.full(len(rows), _PRIOR_UNITS), old))
    factor = np.where(old > 0, ratio((sold + prior * expected) / (seen + prior), old), 1.0)
    out = level.copy()
    out[rows] *= np.where(days < end, factor[:, None], 1.0)
    return out


def _before_and_since(gaps: _Gaps, rows: Ints, units: Floats, exposure: Floats) -> tuple[Floats, Floats, Floats]:
    """[k] times three: the level before the silence of some series, and units and exposure since."""
    start, end, days = gaps.start[rows, None], gaps.end[rows, None], np.arange(units.shape[1])
    is_before, is_since = (days < start) & (days >= start - _BEFORE_DAYS), days >= end
    old = ratio(*((part[rows] * is_before).sum(axis=1) for part in (units, exposure)))
    sold, seen = ((part[rows] * is_since).sum(axis=1) for part in (units, exposure))
    return old, sold, seen


def _levels_since(panel: Panel, gaps: _Gaps, rows: Ints, found: tuple[Floats, Floats, Floats]) -> Floats:
    """[n] What relatives that came back together sell over their old levels; 1 for series without a silence."""
    out = np.ones(len(gaps.end))
    if len(rows):
        old, sold, seen = found
        out[rows] = _against_old(_relatives(panel, gaps, rows), sold, seen, old)
    return out


def _against_old(code: GroupCodes, sold: Floats, seen: Floats, old: Floats) -> Floats:
    """[k] What relatives together sell since, over what their old levels lead to expect, drawn towards alike."""
    sold_by, expected_by, old_by = (np.bincount(code, weights=values) for values in (sold, seen * old, old))
    prior = np.maximum(_PRIOR_DAYS_TOGETHER * old_by, _PRIOR_UNITS)
    return np.asarray(((sold_by + prior) / (expected_by + prior))[code])


def _relatives(panel: Panel, gaps: _Gaps, rows: Ints) -> GroupCodes:
    """[k] Number of the store of each series whose store was closed, of the article of others."""
    days = np.arange(panel.history_days)
    is_gap = (days >= gaps.start[rows, None]) & (days < gaps.end[rows, None])
    closed = (panel.is_closed[rows, : panel.history_days] & is_gap).sum(axis=1)
    is_store = 2 * closed > is_gap.sum(axis=1)
    store, sku = (panel.series[name].to_numpy().astype(str)[rows] for name in ("store_id", "sku_id"))
    names = np.where(is_store, np.char.add("store\n", store), np.char.add("sku\n", sku))
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.intp)

"""Detectors: a change of level by cumulative sums, and a figure that broke on a single day.

What belongs here: from deviations to what is found. What does not: what is to be expected of a day (``expectations``),
or what figures mean.

The cumulative sum (Page 1954, doi 10.1093/biomet/41.1-2.100) is tuned to the change that is looked for: half of it is
allowed each day. Its threshold is that of Siegmund's approximation of the time between false alarms (Sequential
Analysis, 1985, section 2.6), for days as restless as those of the last half year. No single day reaches it.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.drift.expectations import Deviations

# What a change of level is told by: a fifth up or down of quantities and prices, 20 points of a share.
CHANGE: Final = {"log": float(np.log(1.2)), "share": 0.2}
LEAST_SPREAD: Final = {"log": 0.005, "share": 0.005}
# A figure is broken that is three times, or a third of, what was expected, or half of a share away, on a quiet day.
BROKEN: Final = {"log": float(np.log(3.0)), "share": 0.5}
BROKEN_SPREADS: Final = 8.0
# Around an event that is not known yet a day may be far from usual; only what no event does is broken.
_SPECIAL: Final = 1.5
# A sum that has run up is forgotten within two weeks once the level is back.
_MOST: Final = 4.0
_QUIET_DAYS: Final = 182
_OVER: Final = 0.5
_HELD_DAYS: Final = 7
_DAY_SHARE: Final = 0.6
WINDOW_DAYS: Final = 91
_SHORT_BREAK_DAYS: Final = 14
_SIEGMUND: Final = 1.166


@dataclass(frozen=True)
class Change:
    """What the cumulative sums of n figures say on each day.

    Attributes:
        up: [n, T] sum of what lay above, in units of the figure.
        down: [n, T] the same below.
        threshold: [n] where a change is told.
        is_changed: [n, T] whether it is.
        since: [n, T] column from which on the present sum has grown.
    """

    up: Floats
    down: Floats
    threshold: Floats
    is_changed: Bools
    since: Ints

    def rows(self, rows: slice) -> "Change":
        """Return those of some figures."""
        return Change(*(getattr(self, each.name)[rows] for each in fields(self)))


def threshold(allowance: Floats, figures: int) -> Floats:
    """Return the threshold of a one-sided cumulative sum, in standard deviations of a day.

    Args:
        allowance: [n] what is taken off each day, in the same standard deviations.
        figures: How many figures of a feed are watched: all of them together shall be wrong once in half a year.
    """
    wanted = 2.0 * figures * _QUIET_DAYS
    low, high = np.zeros_like(allowance), np.full_like(allowance, 60.0)
    for _ in range(50):
        middle = (low + high) / 2
        reached = 2 * allowance * (middle + _SIEGMUND)
        is_short = (np.exp(np.minimum(reached, 600.0)) - 1 - reached) / (2 * allowance**2) < wanted
        low, high = np.where(is_short, middle, low), np.where(is_short, high, middle)
    return high


def changes(apart: Deviations, scale: str, figures: int) -> Change:
    """Run the cumulative sums of some figures over their last days.

    Args:
        apart: How far days are from what was to be expected.
        scale: Of the figures, see `CHANGE`.
        figures: How many are watched of the feed.
    """
    spread = apart.long_spread
    allowance = np.maximum(CHANGE[scale] / 2, spread / 2)
    limit = np.maximum(threshold(allowance / spread, figures) * spread, CHANGE[scale])
    # Two days at least have to agree: no day adds more than a part of the threshold.
    most = allowance + _DAY_SHARE * limit
    steps = np.nan_to_num(np.where(apart.is_special, np.nan, apart.values))
    count, days = steps.shape
    sums = np.zeros((2, count, days))
    since = np.zeros((2, count, days), dtype=np.int64)
    running, began = np.zeros((2, count)), np.full((2, count), max(days - WINDOW_DAYS, 0))
    is_known = (
        ~np.isnan(apart.values) & ~apart.is_special & ~_of_short_breaks(broken(apart, scale), np.isnan(apart.values))
    )
    for day in range(max(days - WINDOW_DAYS, 0), days):
        step = np.clip(steps[:, day], -most, most)
        grown = np.stack([running[0] + step - allowance, running[1] - step - allowance])
        began = np.where(running > 0, began, day)
        running = np.where(is_known[:, day], np.clip(grown, 0.0, _MOST * limit), running)
        sums[:, :, day], since[:, :, day] = running, began
    up, down = sums
    is_changed = _held(np.maximum(up, down), limit)
    return Change(up, down, limit, is_changed, np.where(up >= down, since[0], since[1]))


def _of_short_breaks(is_broken: Bools, is_unknown: Bools) -> Bools:
    """[n, T] Which days are of a break of two weeks at most: what a fault says is no level, and its end no change.

    What goes on for longer may be what is meant, and is told as a change once it is the new level. Days that nobody
    knows, such as Sundays of closed shops, neither end a break nor make it longer.
    """
    first = max(is_broken.shape[1] - WINDOW_DAYS - _SHORT_BREAK_DAYS, 0)
    length = np.zeros(is_broken.shape, dtype=np.int64)
    running = np.zeros(len(is_broken), dtype=np.int64)
    for day in range(first, is_broken.shape[1]):
        running = np.where(is_unknown[:, day], running, np.where(is_broken[:, day], running + 1, 0))
        length[:, day] = running
    for day in reversed(range(first, is_broken.shape[1] - 1)):
        goes_on = is_broken[:, day] | (is_unknown[:, day] & (length[:, day] > 0))
        length[:, day] = np.where(goes_on, np.maximum(length[:, day], length[:, day + 1]), 0)
    return np.asarray(is_broken & (length > 0) & (length <= _SHORT_BREAK_DAYS))


def _held(sums: Floats, limit: Floats) -> Bools:
    """[n, T] Whether a change is told: from where the limit is reached until the sum has been half of it for a week."""
    first = max(sums.shape[1] - WINDOW_DAYS, 0)
    days_left, made = np.zeros(len(sums), dtype=np.int64), np.zeros(sums.shape, dtype=bool)
    for day in range(first, sums.shape[1]):
        is_on = (sums[:, day] >= limit) | ((days_left > 0) & (sums[:, day] >= _OVER * limit))
        days_left = np.where(is_on, _HELD_DAYS, days_left - 1)
        made[:, day] = days_left > 0
    return made


def broken(apart: Deviations, scale: str) -> Bools:
    """[n, T] Whether a figure cannot be right on a day, whatever sells."""
    far = np.abs(apart.values)
    limit = np.maximum(BROKEN[scale], BROKEN_SPREADS * apart.spread)[:, None]
    # Shops may be closed, and are full, on days that nobody knows.
    special = (apart.values > limit * _SPECIAL) & apart.is_special
    return np.asarray(((far > limit) & ~apart.is_special) | special)

"""Silences: how unlikely it is that nothing sells for some days, by what a record says of itself.

What belongs here: the chance of a day without a sale, and runs of such days with what they add up to. What does not:
what a run means, for a store or an article.

The chance is counted, not modelled: the share of days on which a series sold nothing, so that it holds for single
pieces and for tonnes, for even and for erratic demand. It errs towards likely: days that turn out to be no ordinary
ones are among those that it is counted on.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints

# A silence that happens by chance less often than once in ten thousand times is none of chance's.
UNLIKELY: Final = -float(np.log(1e-4))
# Of many thousand series some do what one of ten thousand does.
VERY_UNLIKELY: Final = -float(np.log(1e-6))
_HALF: Final = 0.5
_WEEK: Final = 7


@dataclass(frozen=True)
class Runs:
    """Runs of silent days, each an interval of days apart.

    Attributes:
        length: [m, T] silent days of the run that a day is in, 0 where it is in none.
        surprise: [m, T] how unlikely that run is: minus the logarithm of its probability.
    """

    length: Ints
    surprise: Floats


def surprise_of_a_silent_day(is_silent: Bools, has_sold: Bools) -> Floats:
    """[n] Minus the logarithm of the chance that a series sells nothing on a day.

    Args:
        is_silent: [n, T] days on which nothing was sold though it could have been.
        has_sold: [n, T] days with sales.

    Example:
        >>> silent = np.array([[True, False, True, False]])
        >>> surprise_of_a_silent_day(silent, ~silent).round(2).tolist()
        [0.69]
    """
    silent, sold = is_silent.sum(axis=1), has_sold.sum(axis=1)
    return np.asarray(-np.log((silent + _HALF) / (silent + sold + 1.0)))


def runs(is_silent: Bools, has_sold: Bools, surprise: Floats, every: int = 1) -> Runs:
    """Return runs of silent days, which only a day with a sale ends; other days neither end nor lengthen them.

    Args:
        is_silent: [m, T].
        has_sold: [m, T].
        surprise: [m, T] of each day, or [m, 1].
        every: Days from one day of a run to the next: 1, or 7 for those of one weekday.
    """
    length, total = running(is_silent, has_sold, surprise, every)
    for day in range(is_silent.shape[1] - 1 - every, -1, -1):
        goes_on = ~has_sold[:, day] & (length[:, day + every] > 0)
        length[:, day] = np.where(goes_on, length[:, day + every], length[:, day])
        total[:, day] = np.where(goes_on, total[:, day + every], total[:, day])
    return Runs(np.where(is_silent, length, 0), np.where(is_silent, total, 0.0))


def running(is_silent: Bools, has_sold: Bools, surprise: Floats, every: int = 1) -> tuple[Ints, Floats]:
    """[m, T] Length and surprise of the run up to and including each day; arguments as for `runs`."""
    length = is_silent.astype(np.int64)
    total = np.where(is_silent, surprise, 0.0)
    for day in range(every, is_silent.shape[1]):
        goes_on = ~has_sold[:, day]
        length[:, day] += np.where(goes_on, length[:, day - every], 0)
        total[:, day] += np.where(goes_on, total[:, day - every], 0.0)
    return length, total


def sells_that_week(has_sold: Bools) -> Bools:
    """[m, T] Whether anything is sold on the three days before or after."""
    reach = _WEEK // 2
    sums = np.cumsum(np.pad(has_sold, ((0, 0), (reach + 1, reach))), axis=1)
    return np.asarray(sums[:, _WEEK:] > sums[:, :-_WEEK])

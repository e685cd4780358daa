"""How far chance may move a metric of backtests: the sampling error of a ratio of sums, with dependent errors.

What belongs here: the standard error of one ratio, and the margin that follows from it. What does not: the sums
themselves (backtests), or what a margin allows (models.gates).

A ratio R = sum of x / sum of y is linear in its cells near its value, so its error is that of the sum of
u = (x - R y) / sum of y (Woodruff 1971, doi:10.1080/01621459.1971.10482279). Cells are not independent: what a series
sells too much on one day it sells too much on the next, and a rainy week is one in all stores. So u is added up twice,
by series and by the time of its day, and

    variance = sum over series of u^2 + sum over times of u^2 - sum over pairs of both of u^2

(Cameron, Gelbach & Miller 2011, doi:10.1198/jbes.2010.07136), at least the larger of the first two. Where there are
enough stores, they stand for their series: a store that closes takes them all along. Of few groups little can be said,
which is why the quantile is Student's, with the degrees of freedom of the scarcer kind (Cameron & Miller 2015,
doi:10.3368/jhr.50.2.317). Nothing is drawn at random. An error that all weeks of the backtests share is not seen as
one: no cutoff among them was without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Codes, Floats

CONFIDENCE: Final = 0.95
# Groups from which on a kind is told by the wider one: stores rather than series, weeks rather than days.
_ENOUGH_GROUPS: Final = 8
_WEEK: Final = 7
_TINY: Final = 1e-12


@dataclass(frozen=True)
class JudgedCells:
    """What a ratio sums at one cutoff.

    Attributes:
        numerator: [n, H]; 0 on days that are not judged.
        denominator: [n, H]; likewise.
        judged: [n, H] which days enter.
        series: [n] which series each row is, the same number at every cutoff.
        store: [n] which store, likewise.
        first_day: Number of the first day ahead, counted in days.
    """

    numerator: Floats
    denominator: Floats
    judged: Bools
    series: Codes
    store: Codes
    first_day: int


@dataclass(frozen=True)
class _Influences:
    """What each of k judged cells adds to the error of a ratio, and the groups that it belongs to."""

    value: Floats
    unit: Codes
    time: Codes


def one_sided_margin(cutoffs: Sequence[JudgedCells]) -> float | None:
    """Return how far the ratio may lie on one side of its true value by chance, in 19 of 20 backtests.

    Args:
        cutoffs: What it sums, cutoff by cutoff.

    Returns:
        Student's 95% quantile times the standard error; None where nothing was sold, or where all days that were judged
        are one day of one series.

    Example:
        >>> cells = JudgedCells(
        ...     numerator=np.array([[1.0, 1.0], [-1.0, -1.0]]),
        ...     denominator=np.full((2, 2), 5.0),
        ...     judged=np.ones((2, 2), dtype=np.bool_),
        ...     series=np.arange(2),
        ...     store=np.zeros(2, dtype=np.int64),
        ...     first_day=0,
        ... )
        >>> round(one_sided_margin([cells]), 3)  # two series, 0.1 too much and too little: 6.314 times 0.2
        1.263
    """
    found = _influences(cutoffs)
    if found is None:
        return None
    by_unit, by_time = (_sums(code, found.value) for code in (found.unit, found.time))
    counts = [len(sums) for sums in (by_unit, by_time) if len(sums) > 1]
    if not counts:
        return None
    units, times = _variance(by_unit), _variance(by_time)
    pairs = _variance(_sums(found.unit * (int(found.time.max()) + 1) + found.time, found.value))
    return _student(min(counts) - 1) * float(np.sqrt(max(units + times - pairs, units, times)))


def _influences(cutoffs: Sequence[JudgedCells]) -> _Influences | None:
    numerator, denominator, series, store, day = map(
        np.concatenate, zip(*(_flat(each) for each in cutoffs), strict=True)
    )
    total = float(denominator.sum())
    if total <= _TINY:
        return None
    day = day - int(day.min())
    return _Influences(
        (numerator - float(numerator.sum()) / total * denominator) / total,
        _wider_if_enough(store, series),
        _wider_if_enough(day // _WEEK, day),
    )


def _flat(cells: JudgedCells) -> tuple[Floats, Floats, Codes, Codes, Codes]:
    """[k] Numerator, denominator, series, store and day of the cells that say anything."""
    # A series that neither sells nor is expected to is no further witness.
    counts = cells.judged & ((cells.numerator != 0) | (cells.denominator != 0))
    rows, ahead = np.nonzero(counts)
    day = cells.first_day + ahead.astype(np.int64)
    return cells.numerator[counts], cells.denominator[counts], cells.series[rows], cells.store[rows], day


def _wider_if_enough(wide: Codes, narrow: Codes) -> Codes:
    return wide if len(np.unique(wide)) >= _ENOUGH_GROUPS else narrow


def _sums(code: Codes, values: Floats) -> Floats:
    """[groups] Sums of values [k] by group, of groups that there are."""
    _, place = np.unique(code, return_inverse=True)
    return np.asarray(np.bincount(place, weights=values), dtype=np.float64)


def _variance(sums: Floats) -> float:
    """Variance of a total that is the sum of independent parts whose sum is 0, from the parts."""
    return float((sums**2).sum()) * len(sums) / max(len(sums) - 1, 1)


def _student(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, CONFIDENCE))

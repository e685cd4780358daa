"""Shifts of level of a product group in a store: shelves that are moved, a competitor that opens.

What belongs here: telling a shift from noise in the sums of a group in a store. What does not: levels of single series,
which show none of it for weeks.

Every number of days up to five weeks is tried as the time since the last shift: sales over what the record leads to
expect, of the days since against those of the eight weeks before (a scan for one change of mean; Page 1955,
doi:10.1093/biomet/42.3-4.523). What such a change usually is, the drift of levels included, is read from the record
itself: from what weeks in a row differ by, and from the same change at earlier days. The shift has to be there without
the series that move most.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.demand import ratio

# Days since a shift that are tried. Fewer are a good week, more are behind every level model already.
_SHORTEST_DAYS: Final = 5
_LONGEST_DAYS: Final = 35
_BEFORE_DAYS: Final = 56
_WEEK: Final = 7
# Weeks from which it is read what weeks differ by.
_LEAST_WEEKS: Final = 6
_MOST_WEEKS: Final = 26
_LEAST_CHANGES: Final = 4
# Standard errors that a change takes, which chance alone seldom reaches among all that are tried, and the least change
# of the logarithm that counts. What is beyond them counts from nothing on, so that one row more or less makes no step.
_STANDARD_ERRORS: Final = 3.5
_LEAST_LOG: Final = 0.05
_LARGEST_LOG: Final = 1.4
# Units that the days before have to have sold: fewer tell no level.
_LEAST_UNITS: Final = 50.0
# Share of the series that a shift has to do without, those that move most, and how much of it has to be left then.
_MOVERS: Final = 0.05
_STILL_THERE: Final = 0.5
_TINY: Final = 1e-12
# A median of absolute normal deviations is so much of their standard deviation.
_MEDIAN_DEVIATION: Final = 0.6745


def shift_factors(panel: Panel, product_groups: Groups, units: Floats, shown: Floats) -> Floats:
    """[n, T] What the present level is multiplied by to have that of each day; 1 since the last shift, or without one.

    Args:
        panel: n series, T days of history.
        product_groups: [n] group of each series.
        units: [n, T] units; 0 where unknown.
        shown: [n, T] what they are measured against, share of the day seen times the day's factors; 0 where unknown.
    """
    days = units.shape[1]
    if days < _SHORTEST_DAYS + _LEAST_WEEKS * _WEEK:
        return np.broadcast_to(1.0, units.shape)
    node = panel.groups_in_stores(product_groups)
    found = panel.pooled.of_series("shifts of level", lambda: Statistic(_shifts(node, units, shown), node))
    size, since = found[:, 0], found[:, 1]
    if not size.any():
        return np.broadcast_to(1.0, units.shape)
    is_before = np.arange(days) < days - since[:, None]
    return np.asarray(np.where(is_before, np.exp(-size)[:, None], 1.0))


def _shifts(node: GroupCodes, units: Floats, shown: Floats) -> Floats:
    """[J, 2] Logarithm of each node's last shift, 0 without one, and days since.

    Args:
        node: [n] node of each series.
        units: [n, T] units; 0 where unknown.
        shown: [n, T] what they are measured against.
    """
    summing = summing_of(node)
    expected = ratio(units.sum(axis=1), shown.sum(axis=1))[:, None] * shown
    size, since = _last_shifts(summing @ units, summing @ expected)
    for found in np.flatnonzero(size):
        members = np.flatnonzero(node == found)
        size[found] = _without_movers(units[members], expected[members], int(since[found]), float(size[found]))
    return np.stack([size, since.astype(np.float64)], axis=1)


def _without_movers(units: Floats, expected: Floats, since: int, size: float) -> float:
    """Return the logarithm of a node's shift without the series that move most; 0 where it is theirs alone.

    An article that is sold out for good, or one that is launched, moves a sum as a shift does, and nobody else's level.

    Args:
        units: [k, T] units of the node's series.
        expected: [k, T] what their records lead to expect.
        since: Days since the shift.
        size: Logarithm of the shift of their sum.
    """
    middle, first = units.shape[1] - since, max(units.shape[1] - since - _BEFORE_DAYS, 0)
    (sold_after, looked_after), (sold_before, looked_before) = (
        (units[:, span].sum(axis=1), expected[:, span].sum(axis=1))
        for span in (slice(middle, None), slice(first, middle))
    )
    usual = sold_before.sum() / max(looked_before.sum(), _TINY)
    moved = (sold_after - usual * looked_after) * np.sign(size)
    kept = np.argsort(moved, kind="stable")[: len(moved) - max(round(_MOVERS * len(moved)), 1)]
    after, before = (
        sold[kept].sum() / max(looked[kept].sum(), _TINY)
        for sold, looked in ((sold_after, looked_after), (sold_before, looked_before))
    )
    if min(after, before) <= 0.0:
        return 0.0
    left = float(np.log(after / before)) / size
    return size * float(np.clip((left - _STILL_THERE) / (1.0 - _STILL_THERE), 0.0, 1.0))


def _beyond(values: Floats, least: float) -> Floats:
    """[J] 0..1: how far each value is beyond the least that counts."""
    return np.asarray(1.0 - (least / np.maximum(values, least)) ** 2)


def _last_shifts(units: Floats, expected: Floats) -> tuple[Floats, GroupCodes]:
    """[J] Logarithm of each node's last shift, drawn towards 0 by how sure it is, and days since; 0 without one."""
    count, days = units.shape
    variance = _variance_of_a_day(units, expected)
    best, size, since = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.intp)
    sold, looked_for = (np.pad(np.cumsum(part, axis=1), ((0, 0), (1, 0))) for part in (units, expected))
    for length in range(_SHORTEST_DAYS, min(_LONGEST_DAYS, days - _LEAST_WEEKS * _WEEK) + 1):
        middle, first = days - length, max(days - length - _BEFORE_DAYS, 0)
        after = ratio(sold[:, days] - sold[:, middle], looked_for[:, days] - looked_for[:, middle])
        before = ratio(sold[:, middle] - sold[:, first], looked_for[:, middle] - looked_for[:, first])
        is_told = (after > 0) & (before > 0) & (sold[:, middle] - sold[:, first] >= _LEAST_UNITS)
        log = np.where(is_told, np.log(np.where(is_told, after, 1.0) / np.where(is_told, before, 1.0)), 0.0)
        error = np.sqrt(variance * (1.0 / length + 1.0 / (middle - first)))
        error = np.maximum(error, _usual_change(sold, looked_for, length))
        height = np.abs(log) / np.where(error > 0, error, np.inf)
        is_better = (height > np.maximum(best, _STANDARD_ERRORS)) & (np.abs(log) > _LEAST_LOG)
        best, since = np.where(is_better, height, best), np.where(is_better, length, since)
        trust = _beyond(height, _STANDARD_ERRORS) * _beyond(np.abs(log), _LEAST_LOG)
        size = np.where(is_better, np.clip(log, -_LARGEST_LOG, _LARGEST_LOG) * trust, size)
    return size, since


def _usual_change(sold: Floats, looked_for: Floats, length: int) -> Floats:
    """[J] Usual size of the same change at days before those that are tried, from sums up to each day, [J, T + 1].

    Four non-overlapping ones and more say something; 0 where the record holds fewer.
    """
    ends = np.arange(sold.shape[1] - 1 - _LONGEST_DAYS, _BEFORE_DAYS + length, -length)
    if len(ends) < _LEAST_CHANGES:
        return np.zeros(len(sold))
    middles, firsts = ends - length, ends - length - _BEFORE_DAYS
    after, before = (
        ratio(sold[:, late] - sold[:, early], looked_for[:, late] - looked_for[:, early])
        for late, early in ((ends, middles), (middles, firsts))
    )
    is_told = (after > 0) & (before > 0)
    change = np.abs(np.log(np.where(is_told, after, 1.0) / np.where(is_told, before, 1.0)))
    return np.asarray(np.median(change, axis=1) / _MEDIAN_DEVIATION)


def _variance_of_a_day(units: Floats, expected: Floats) -> Floats:
    """[J] Variance of a day's sum over what was expected, by what weeks in a row differ by; never below chance's."""
    weeks = min(units.shape[1] // _WEEK, _MOST_WEEKS)
    sold, looked_for = (
        part[:, -weeks * _WEEK :].reshape(len(part), weeks, _WEEK).sum(axis=2) for part in (units, expected)
    )
    level = ratio(sold, looked_for)
    mean = np.maximum(ratio(sold.sum(axis=1), looked_for.sum(axis=1)), 1e-9)
    usual = np.median(np.abs(np.diff(level, axis=1)), axis=1) / mean / _MEDIAN_DEVIATION
    by_chance = ratio(np.ones(len(sold)), sold.sum(axis=1) / (weeks * _WEEK))
    return np.asarray(np.maximum(_WEEK * usual**2 / 2.0, by_chance))

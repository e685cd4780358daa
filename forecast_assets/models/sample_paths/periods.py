"""Periods: demand of each series over its first days, fixed ones or as many as a lead time lasts.

What belongs here: how long periods last in every sample path, adding paths up over them, and what is read off the sums.
What does not: drawing paths, sums over series, or stock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.contracts import COVERED_PERCENT, FIRST_DAYS, PERIODS, QUANTILES
from forecast_assets.core.arrays import Bools, Floats, Ints, Rows
from forecast_assets.core.quantities import Millionths
from forecast_assets.core.threads import in_threads
from forecast_assets.models.lead_times import days_between_reviews, whole_lead_times
from forecast_assets.models.sample_paths.drawing import DEFAULT_PATHS, SEED
from forecast_assets.models.sample_paths.randomness import even_normals, keys_of
from forecast_assets.models.sample_paths.sums import covering, quantiles_of_ordered

PathDays = npt.NDArray[np.int16]

_LEAD_TIME, _WITH_REVIEW = PERIODS[:2]
# Series that are worked on at a time, so that they stay in a processor's cache.
_BLOCK: Final = 256


@dataclass(frozen=True)
class Terms:
    """When what is ordered arrives, for n series; NaN where nobody says.

    Attributes:
        lead_time_days: [n] mean days from order to arrival.
        lead_time_deviation_days: [n] their standard deviation.
        review_period_days: [n] whole days between reviews.
    """

    lead_time_days: Floats
    lead_time_deviation_days: Floats
    review_period_days: Floats


@dataclass(frozen=True)
class Periods:
    """How many first days each period has, for n series in N sample paths.

    Attributes:
        horizon: Days that there are.
        paths: N.
        fixed: Days of those that are the same for all.
        drawn: By name of the others, [n, N] days; 0 in all paths of a series that has no such period, or one that may
            last beyond the horizon.
    """

    horizon: int
    paths: int
    fixed: Mapping[str, int]
    drawn: Mapping[str, PathDays]

    def take(self, rows: Rows) -> "Periods":
        """Return the periods of some of the series."""
        return replace(self, drawn={name: days[rows] for name, days in self.drawn.items()})

    def is_given(self, series: int) -> Bools:
        """[n, P] Whether each series has each of `contracts.PERIODS`."""
        given = np.zeros((series, len(PERIODS)), dtype=np.bool_)
        for at, name in enumerate(PERIODS):
            given[:, at] = name in self.fixed or (name in self.drawn and self.drawn[name][:, 0] > 0)
        return given

    def day_counts(self, name: str, series: int) -> Ints:
        """[n, H] In how many of the N paths a period lasts at least to each day."""
        days = np.arange(1, self.horizon + 1)
        if name in self.fixed:
            return np.broadcast_to(np.where(days <= self.fixed[name], self.paths, 0), (series, self.horizon))
        return np.stack([np.count_nonzero(self.drawn[name] >= day, axis=1) for day in days], axis=1)


def periods_of(series: pl.DataFrame, terms: Terms | None, horizon: int, paths: int = DEFAULT_PATHS) -> Periods:
    """Return the periods of a run.

    A series' lead times are evenly spread over their law, in an order of its own: they depend on no other series.

    Args:
        series: `store_id, sku_id`, n rows.
        terms: Of the same series; None where no series has any.
        horizon: Days of the run.
        paths: N.
    """
    fixed = {f"first_{days}_days": days for days in FIRST_DAYS if days <= horizon} | {"horizon": horizon}
    if terms is None:
        return Periods(horizon, paths, fixed, {})
    rows = np.flatnonzero(~np.isnan(terms.lead_time_days))
    keys = keys_of((("lead time", *name) for name in series.select("store_id", "sku_id")[rows].iter_rows()), SEED)
    scores = even_normals(keys, 0, paths)
    lead = whole_lead_times(terms.lead_time_days[rows], terms.lead_time_deviation_days[rows], scores)
    review = days_between_reviews(terms.review_period_days[rows])
    drawn = {_LEAD_TIME: lead, _WITH_REVIEW: lead + review[:, None]}
    found = {name: np.zeros((series.height, paths), dtype=np.int16) for name in drawn}
    for name, days in drawn.items():
        found[name][rows] = np.where((days <= horizon).all(axis=1, keepdims=True), days, 0)
    return Periods(horizon, paths, fixed, found)


def expected(periods: Periods, name: str, means: Millionths) -> Millionths:
    """[n] Expected demand over a period, rounded to millionths; exactly a sum where it has the same days in all paths.

    Args:
        periods: The periods.
        name: One of them.
        means: [n, H] expected demand of each day.
    """
    counts = periods.day_counts(name, len(means))
    # Parted so that what is multiplied with counts is no larger than the means.
    whole, rest = np.divmod(means, periods.paths)
    return np.asarray(
        (whole * counts).sum(axis=1) + ((rest * counts).sum(axis=1) + periods.paths // 2) // periods.paths
    )


class PeriodSums:
    """Adds sample paths up over periods, day by day.

    Args:
        periods: How long each lasts.
        workers: Threads; all cores if left out.

    Attributes:
        found: By period, [n, 13 + 4] units: quantiles at the levels `contracts.QUANTILES`, and what covers
            `contracts.COVERED_PERCENT`; complete once every day of the horizon has been added.
    """

    def __init__(self, periods: Periods, workers: int | None = None) -> None:
        self.found: dict[str, Floats] = {}
        self._periods = periods
        self._workers = workers
        self._step = 0
        self._whole: Floats | None = None
        self._over = {name: np.zeros(days.shape) for name, days in periods.drawn.items()}

    def add(self, units: Floats) -> None:
        """Add the next day.

        Args:
            units: [n, N] of every series in every path.
        """
        self._step += 1
        whole = np.zeros(units.shape) if self._whole is None else self._whole
        self._whole = whole

        def one_more(rows: slice) -> None:
            whole[rows] += units[rows]
            for name, over in self._over.items():
                # Here a period ends: what has been added up so far is its demand.
                np.copyto(over[rows], whole[rows], where=self._periods.drawn[name][rows] == self._step)

        self._in_blocks(one_more, len(units))
        told = [name for name, days in self._periods.fixed.items() if days == self._step]
        if told:
            self.found |= dict.fromkeys(told, self._read(whole))
        if self._step == self._periods.horizon:
            self.found |= {name: self._read(over) for name, over in self._over.items()}

    def _read(self, sums: Floats) -> Floats:
        out = np.empty((len(sums), len(QUANTILES) + len(COVERED_PERCENT)))

        def one_block(rows: slice) -> None:
            ordered = np.sort(sums[rows], axis=1)
            out[rows, : len(QUANTILES)] = quantiles_of_ordered(ordered)
            out[rows, len(QUANTILES) :] = covering(ordered)

        self._in_blocks(one_block, len(sums))
        return out

    def _in_blocks(self, work: Callable[[slice], None], count: int) -> None:
        """Call a function that writes some rows, for all rows."""
        blocks = [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
        for _ in in_threads(work, blocks, self._workers):
            pass

"""The yearly season: what comes back every year at the same time, by product, by product group and over all.

What belongs here: estimating its smooth shape from two years or more, and laying it out by day of the year. What does
not: deciding whether it helps (training), the other effects, or levels.

The season is 1 plus three waves a year (a Fourier series; West & Harrison 1997, chapter 8, doi:10.1007/b98971). A level
that merely drifts looks like a season within one year, so each year is fitted by itself, and what counts as season is
what the years agree on: the covariance between years is the variance of true seasons, their disagreement is noise, and
each product's waves are drawn towards its group's, and those towards all, accordingly (empirical Bayes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Names
from forecast_assets.models.demand import ratio

WAVES: Final = 3
DAYS_IN_YEAR: Final = 365.25
PERIOD_DAYS: Final = 28
PERIODS_IN_YEAR: Final = 13
# Two years less two periods: what a backtest of a short horizon leaves of eight hundred days.
LEAST_PERIODS: Final = 2 * PERIODS_IN_YEAR - 2
MOST_YEARS: Final = 3
LEAST_HISTORY_DAYS: Final = LEAST_PERIODS * PERIOD_DAYS
_COEFFICIENTS: Final = 2 * WAVES
# A year says something of a season if all but two of its periods were seen.
_LEAST_PERIODS_SEEN: Final = PERIODS_IN_YEAR - 2
_LEAST_YEARS: Final = 2
# Growth from one year to the next that is taken out before waves are fitted, at most: half as much again.
_LARGEST_GROWTH: Final = 0.4
_RIDGE: Final = 1e-3
_LEAST_UNITS: Final = 1.0


@dataclass(frozen=True)
class Season:
    """Waves of the year: cosine and sine of one turn a year, of two, of three.

    Attributes:
        pooled: Six coefficients over all; stands in for what training did not see.
        groups: By product group.
        products: By SKU; empty if only groups have a season.
    """

    pooled: tuple[float, ...]
    groups: Mapping[str, tuple[float, ...]]
    products: Mapping[str, tuple[float, ...]]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Season":
        """Read the JSON form back."""
        groups, products = (
            {name: tuple(waves) for name, waves in data[kind].items()} for kind in ("groups", "products")
        )
        return cls(tuple(data["pooled"]), groups, products)

    def drawn(self, share: float) -> "Season":
        """Return so much of the season, drawn towards none."""
        groups, products = (
            {name: _times(share, waves) for name, waves in units.items()} for units in (self.groups, self.products)
        )
        return Season(_times(share, self.pooled), groups, products)

    def of(self, sku_ids: Names, product_groups: Names) -> Floats:
        """[n, 6] Coefficients of each series: its product's, else its group's, else those of all."""
        names, code = np.unique(product_groups, return_inverse=True)
        by_group = np.array([self.groups.get(str(name), self.pooled) for name in names]).reshape(-1, _COEFFICIENTS)
        skus, first, place = np.unique(sku_ids, return_index=True, return_inverse=True)
        own = [self.products.get(str(sku), by_group[code[row]]) for sku, row in zip(skus, first, strict=True)]
        return np.array(own, dtype=np.float64).reshape(-1, _COEFFICIENTS)[place]

    def factors(self, coefficients: Floats, first_date: date, days: int) -> Floats:
        """[n, days] Factor of each day for series with the given [n, 6] coefficients; averages 1 over a year."""
        waves = basis(first_date, days)
        out = np.ones((len(coefficients), days))
        # Added wave by wave, not as a matrix product: the same bytes however many series there are.
        for number in range(_COEFFICIENTS):
            out += coefficients[:, number, None] * waves[number]
        return out


def _times(share: float, waves: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(share * value for value in waves)


def deviation(coefficients: Floats) -> Floats:
    """[n] Standard deviation of the factor over a year, from [n, 6] coefficients."""
    return np.asarray(np.sqrt((coefficients**2).sum(axis=1) / 2))


def basis(first_date: date, days: int) -> Floats:
    """[6, days] Cosine and sine of one, two and three turns a year on each day."""
    turn = 2 * np.pi * _day_of_year(first_date, days) / DAYS_IN_YEAR
    waves = [wave(number * turn) for number in range(1, WAVES + 1) for wave in (np.cos, np.sin)]
    return np.array(waves)


def _day_of_year(first_date: date, days: int) -> Floats:
    return np.array([(first_date + timedelta(days=day)).timetuple().tm_yday - 1.0 for day in range(days)])


def fit_season(units: Floats, exposure: Floats, last_date: date, sku_ids: Names, product_groups: Names) -> Season:
    """Estimate the yearly season.

    Assumes that a product's season is the same in all stores, and that it repeats: a season that grows or moves is
    drawn towards none by as much as the years disagree.

    Args:
        units: [n, T] demand of each day; 0 where unknown.
        exposure: [n, T] what it is measured against: the share of the day that was seen times the day's other factors.
        last_date: Day of the last column.
        sku_ids: [n] product of each series.
        product_groups: [n] group of each series.

    Raises:
        ValueError: With fewer than 672 days.
    """
    periods = min(units.shape[1] // PERIOD_DAYS, MOST_YEARS * PERIODS_IN_YEAR)
    if periods < LEAST_PERIODS:
        raise ValueError(f"{units.shape[1]} days show no yearly season; it takes {LEAST_HISTORY_DAYS}.")
    record = _PeriodSums.of(units, exposure, periods, last_date)
    pooled = record.by(np.zeros(len(units), dtype=np.intp)).shrunk(np.zeros((1, _COEFFICIENTS)))
    groups, group = np.unique(product_groups, return_inverse=True)
    by_group = record.by(group).shrunk(np.repeat(pooled, len(groups), axis=0))
    skus, first, sku = np.unique(sku_ids, return_index=True, return_inverse=True)
    products = record.by(sku).shrunk(by_group[group[first]])
    return Season(_named(np.array(["all"]), pooled)["all"], _named(groups, by_group), _named(skus, products))


def _named(names: Names, coefficients: Floats) -> dict[str, tuple[float, ...]]:
    return {str(name): tuple(float(value) for value in waves) for name, waves in zip(names, coefficients, strict=True)}


@dataclass(frozen=True)
class _PeriodSums:
    """Units and what the usual level leads to expect, [n, P] by period of 28 days back from the cutoff; oldest first.

    Attributes:
        units: [n, P].
        expected: [n, P] units.
        waves: [6, P] basis at the middle of each period.
    """

    units: Floats
    expected: Floats
    waves: Floats

    @classmethod
    def of(cls, units: Floats, exposure: Floats, periods: int, last_date: date) -> "_PeriodSums":
        days = periods * PERIOD_DAYS
        starts = np.arange(0, days, PERIOD_DAYS)
        sums, seen = (np.add.reduceat(values[:, -days:], starts, axis=1) for values in (units, exposure))
        level = ratio(sums.sum(axis=1), seen.sum(axis=1))
        waves = basis(last_date - timedelta(days=days - 1), days).reshape(_COEFFICIENTS, periods, PERIOD_DAYS)
        return cls(sums, level[:, None] * seen, waves.mean(axis=2))

    def by(self, code: GroupCodes) -> "_Years":
        """Sum over the series of each unit (product, group, all) and fit each of its years."""
        count = int(code.max(initial=-1)) + 1
        units, expected = np.zeros((count, self.units.shape[1])), np.zeros((count, self.units.shape[1]))
        np.add.at(units, code, self.units)
        np.add.at(expected, code, self.expected)
        return _fit_years(units, _grown(units, expected), self.waves)


def _years(periods: int) -> list[slice]:
    """Columns of each year, the newest first; the oldest may lack its first periods."""
    ends = range(periods, _LEAST_PERIODS_SEEN - 1, -PERIODS_IN_YEAR)
    return [slice(max(end - PERIODS_IN_YEAR, 0), end) for end in ends]


def _grown(units: Floats, expected: Floats) -> Floats:
    """Expected units with a steady growth from year to year, which within a year would pass for a wave."""
    years = _years(units.shape[1])
    # The oldest year may lack periods; the same ones of the newest are compared with it.
    oldest = years[-1]
    newest = slice(units.shape[1] - (oldest.stop - oldest.start), units.shape[1])
    late, early = ([values[:, year].sum(axis=1) for values in (units, expected)] for year in (newest, oldest))
    seen = np.minimum.reduce([*late, *early]) > _LEAST_UNITS
    late_rate, early_rate = (np.where(seen, ratio(*pair), 1.0) for pair in (late, early))
    growth = np.clip(np.log(late_rate / early_rate) / (len(years) - 1), -_LARGEST_GROWTH, _LARGEST_GROWTH)
    time = (np.arange(units.shape[1]) - units.shape[1] / 2) / PERIODS_IN_YEAR
    return np.asarray(expected * np.exp(growth[:, None] * time))


def _fit_years(units: Floats, expected: Floats, waves: Floats) -> "_Years":
    """Least squares of each unit's years by themselves, weighted by what was expected."""
    design = np.vstack([np.ones(waves.shape[1]), waves])
    fits, known = [], []
    for year in _years(units.shape[1]):
        few, weight = design[:, year], expected[:, year]
        gram = np.einsum("ip,up,jp->uij", few, weight, few) + _RIDGE * np.eye(_COEFFICIENTS + 1)
        moment = np.einsum("ip,up->ui", few, units[:, year])
        solved = np.linalg.solve(gram, moment[:, :, None])[:, :, 0]
        seen = (weight > 0).sum(axis=1) >= _LEAST_PERIODS_SEEN
        is_known = seen & (weight.sum(axis=1) > _LEAST_UNITS) & (solved[:, 0] > 0)
        fits.append(np.where(is_known[:, None], ratio(solved[:, 1:], np.maximum(solved[:, :1], 1e-6)), 0.0))
        known.append(is_known)
    per_year = ratio(expected.sum(axis=1), np.full(len(expected), units.shape[1] / PERIODS_IN_YEAR))
    return _Years(np.stack(fits, axis=1), np.stack(known, axis=1), per_year)


@dataclass(frozen=True)
class _Years:
    """Waves of m units in each of Y years.

    Attributes:
        waves: [m, Y, 6] relative to the year's mean; 0 where not known.
        is_known: [m, Y].
        units: [m] expected a year.
    """

    waves: Floats
    is_known: Bools
    units: Floats

    def shrunk(self, towards: Floats) -> Floats:
        """[m, 6] mean of the years, drawn towards other waves [m, 6] by how little the years bear it out."""
        count = self.is_known.sum(axis=1)
        enough = count >= _LEAST_YEARS
        if not enough.any():
            return towards
        apart = np.where(self.is_known[:, :, None], self.waves - towards[:, None, :], 0.0)
        mean = apart.sum(axis=1) / np.maximum(count, 1)[:, None]
        squares = (apart**2).sum(axis=1)
        between = (squares - count[:, None] * mean**2) / np.maximum(count - 1, 1)[:, None]
        agreed = ((count[:, None] * mean) ** 2 - squares) / np.maximum(count * (count - 1), 1)[:, None]
        noise, signal = _moments(_paired(between[enough]), _paired(agreed[enough]), self.units[enough])
        spread = noise[0] + noise[1] / np.maximum(self.units, _LEAST_UNITS)[:, None]
        trust = signal / np.maximum(signal + spread / np.maximum(count, 1)[:, None], 1e-12)
        return np.asarray(towards + np.where(enough[:, None], np.repeat(trust, 2, axis=1) * mean, 0.0))


def _paired(values: Floats) -> Floats:
    """[m, 3] mean over the cosine and sine of each wave."""
    return np.asarray(values.reshape(len(values), WAVES, 2).mean(axis=2))


def _moments(between: Floats, agreed: Floats, units: Floats) -> tuple[Floats, Floats]:
    """Noise of one year as a + b / units, [2, 3] by wave, and variance of true waves, [3]."""
    from scipy.optimize import nnls

    size = np.maximum(units, _LEAST_UNITS)
    # Weighted by the root of the size: the variance of a squared difference grows with the noise itself.
    design = np.stack([np.sqrt(size), 1 / np.sqrt(size)], axis=1)
    noise = np.stack([nnls(design, between[:, wave] * np.sqrt(size))[0] for wave in range(WAVES)], axis=1)
    weights = 1 / (noise[0] + noise[1] / size[:, None] + between.mean(axis=0) + 1e-9)
    signal = np.maximum((agreed * weights).sum(axis=0) / weights.sum(axis=0), 0.0)
    return noise, signal

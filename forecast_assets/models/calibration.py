"""Calibration: quantiles as multiples of the mean, and how days of a series hang together.

What belongs here: learning both from forecasts of days that the model had not seen, and applying them. What does not:
making those forecasts.

Split conformal prediction (Vovk et al. 2005, doi:10.1007/b106715) with the score demand over forecast, pooled over
series that behave alike: a handful of windows says nothing about the tails of one series, thousands of like ones do.
Coverage then holds on average over a segment, not for each series.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Any, Final

import numpy as np

from forecast_assets.contracts import DEMAND_CLASSES, QUANTILES
from forecast_assets.core.arrays import Codes, Floats, Names
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.models.sample_paths.dependence import Dependence

# Upper ends, in units per day and in days ahead; above the last is one segment more.
SIZE_EDGES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
STEP_EDGES: Final = (7, 14, 21, 28, 42, 63)
ANY: Final = -1
_SIZES: Final = len(SIZE_EDGES) + 1
_STEPS: Final = len(STEP_EDGES) + 1
_LEAST_PAIRS: Final = 400
_LARGEST_RHO: Final = 0.95
# Units a day below which nothing is expected that could be compared with what came.
SMALLEST_FORECAST: Final = 1e-3
# Demand over forecast where training had nothing to learn from: nothing to twice the mean, evenly.
_UNINFORMED: Final = tuple(2.0 * level for level in QUANTILES)


@dataclass(frozen=True)
class Calibration:
    """Quantile factors by segment, and correlation between days by demand class.

    Attributes:
        factors: 13 multiples of the mean by segment, `class|size|step`.
        sources: What each was learned from: the segment itself, or, where that had fewer than 400 pairs, a wider one:
            `class|size|*`, `*|size|*`, `class|*|*` or `*|*|*`.
        rho: Correlation between the normal scores of two days of a series, by demand class.
        dependence: How errors of series and days hang together; None in versions from before that was learned.
    """

    factors: Mapping[str, tuple[float, ...]]
    sources: Mapping[str, str]
    rho: Mapping[str, float]
    dependence: Dependence | None = None

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Calibration":
        """Read the JSON form back.

        Raises:
            InputError: If a segment lacks its factors, or they are not 13 rising numbers; or if a correlation is none.
        """
        factors = {name: tuple(values) for name, values in data["factors"].items()}
        dependence = Dependence.from_data(data["dependence"]) if data.get("dependence") else None
        found = cls(factors, dict(data["sources"]), dict(data["rho"]), dependence)
        wrong = [name for name in _segments() if not _is_rising(factors.get(name, ()))]
        wrong += [f"rho of {name}" for name, rho in found.rho.items() if not 0.0 <= rho < 1.0]
        if wrong:
            raise InputError(f"The calibration is wrong in {first_ten(wrong)}.", remedy="Train the version again.")
        return found

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form, without a dependence where none was learned."""
        data = {name: value for name, value in asdict(self).items() if name != "dependence"}
        return data if self.dependence is None else {**data, "dependence": self.dependence.to_data()}

    def quantiles(self, mean: Floats, demand_class: Names, *, learned_days: int | None = None) -> Floats:
        """Return the 13 quantiles of every day's demand.

        Args:
            mean: [n, H] units.
            demand_class: [n].
            learned_days: Last day ahead that was learned from, whose factors hold for later ones; None for all of them.

        Returns:
            [n, H, 13] units, rising along the last axis; zeros where the mean is zero.
        """
        group, size, step = segment_codes(mean, demand_class)
        learned = step if learned_days is None else step[:, np.minimum(np.arange(step.shape[1]), learned_days - 1)]
        return mean[:, :, None] * self._table[group, size, learned]

    def completed(self, other: "Calibration") -> "Calibration":
        """Return the calibration with another one's factors for segments of which this one had seen too little.

        That is where its own are of a wider segment than the other's: how a ratio spreads depends more on how much is
        sold than on which of the two made the forecast. How errors hang together is the other's: its cutoffs are
        several.

        Args:
            other: Of like forecasts, from more days.
        """
        poor = [name for name, source in self.sources.items() if _width(source) > _width(other.sources[name])]
        return Calibration(
            {**self.factors, **{name: other.factors[name] for name in poor}},
            {**self.sources, **{name: f"statistical part: {other.sources[name]}" for name in poor}},
            self.rho,
            other.dependence,
        )

    def scores(self, mean: Floats, demand: Floats, demand_class: Names) -> Floats:
        """[n, H] Normal scores of what came within what was forecast; NaN where demand is unknown."""
        from scipy.special import ndtri

        quantiles = self.quantiles(mean, demand_class)
        levels = np.concatenate([[0.0], QUANTILES, [1.0]])
        # Several quantiles of a slow series are 0: a day of 0 counts as the middle of the probability that 0 has.
        below = levels[(quantiles < demand[:, :, None]).sum(axis=2)]
        above = levels[(quantiles <= demand[:, :, None]).sum(axis=2) + 1]
        return np.where(np.isnan(demand), np.nan, ndtri((below + above) / 2))

    @cached_property
    def _table(self) -> Floats:
        """[C, S, T, 13] factors by class, size and step."""
        rows = [
            [[self.factors[_name(group, size, step)] for step in range(_STEPS)] for size in range(_SIZES)]
            for group in range(len(DEMAND_CLASSES))
        ]
        return np.array(rows)


def calibrate(mean: Floats, demand: Floats, demand_class: Names) -> Calibration:
    """Learn quantile factors and correlations from forecasts of days that the model had not seen.

    Args:
        mean: [k, H] forecasts in units, the backtests of several cutoffs below one another.
        demand: [k, H] what came, in units; NaN where unknown.
        demand_class: [k] at each backtest's cutoff.
    """
    factors, sources = _factors(mean, demand, segment_codes(mean, demand_class))
    uncorrelated = Calibration(factors, sources, {})
    scores = uncorrelated.scores(mean, demand, demand_class)
    rho = {name: _rho(scores[demand_class == name]) for name in DEMAND_CLASSES}
    return Calibration(factors, sources, rho)


def _factors(
    mean: Floats, demand: Floats, codes: tuple[Codes, Codes, Codes]
) -> tuple[dict[str, tuple[float, ...]], dict[str, str]]:
    """Factors of every segment, and the segment that each was learned from."""
    is_pair = ~np.isnan(demand) & (mean > SMALLEST_FORECAST)
    ratios = demand[is_pair] / mean[is_pair]
    group, size, step = (np.broadcast_to(code, mean.shape)[is_pair] for code in codes)
    learned = {_name(ANY, ANY, ANY): _quantiles_of(ratios) if len(ratios) else _UNINFORMED}
    for segment in ((group, ANY, ANY), (ANY, size, ANY), (group, size, ANY), (group, size, step)):
        learned |= _by_segment(ratios, np.stack(np.broadcast_arrays(*segment)))
    sources = {}
    for place in product(range(len(DEMAND_CLASSES)), range(_SIZES), range(_STEPS)):
        sources[_name(*place)] = next(name for name in _from_narrow_to_wide(*place) if name in learned)
    return {name: learned[source] for name, source in sources.items()}, sources


def _from_narrow_to_wide(group: int, size: int, step: int) -> Iterator[str]:
    """Yield the segments that may stand for one, narrow ones first.

    How much is sold says more of how a ratio spreads than the class does.
    """
    yield _name(group, size, step)
    yield _name(group, size, ANY)
    yield _name(ANY, size, ANY)
    yield _name(group, ANY, ANY)
    yield _name(ANY, ANY, ANY)


def _by_segment(ratios: Floats, codes: Codes) -> dict[str, tuple[float, ...]]:
    """Quantiles of [k] ratios by their [3, k] codes, where there are enough of them."""
    order = np.lexsort(codes[::-1])
    codes, ratios = codes[:, order], ratios[order]
    starts = np.flatnonzero(np.any(np.diff(codes, axis=1, prepend=ANY - 1) != 0, axis=0))
    ends = [*starts[1:], len(ratios)]
    return {
        _name(*(int(code) for code in codes[:, start])): _quantiles_of(ratios[start:end])
        for start, end in zip(starts, ends, strict=False)
        if end - start >= _LEAST_PAIRS
    }


def _segments() -> list[str]:
    """Return the names of all segments by class, size and step."""
    return [_name(*place) for place in product(range(len(DEMAND_CLASSES)), range(_SIZES), range(_STEPS))]


def _is_rising(factors: tuple[float, ...]) -> bool:
    """Return whether these are multiples of the mean for all quantiles."""
    rising = 0.0, *factors, np.inf
    return (
        len(factors) == len(QUANTILES) and all(low <= high for low, high in pairwise(rising)) and factors[-1] < np.inf
    )


def _quantiles_of(ratios: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(ratios, QUANTILES))


def segment_codes(mean: Floats, demand_class: Names) -> tuple[Codes, Codes, Codes]:
    """Class [n, 1], size [n, H] and step [1, H] of each forecast, as places in the table of factors."""
    order = np.argsort(DEMAND_CLASSES)
    group = order[np.searchsorted(np.array(DEMAND_CLASSES)[order], demand_class)]
    size = np.searchsorted(SIZE_EDGES, mean)
    step = np.searchsorted(STEP_EDGES, np.arange(1, mean.shape[1] + 1))
    return group[:, None], size, step[None]


def _name(group: int, size: int, step: int) -> str:
    return "|".join(
        (
            "*" if group == ANY else DEMAND_CLASSES[group],
            "*" if size == ANY else str(size),
            "*" if step == ANY else str(step),
        )
    )


def _width(source: str) -> int:
    """By how many of class, size and step a segment is not divided."""
    return source.count("*")


def _rho(scores: Floats) -> float:
    """Correlation between the days of a row, from how much more its sum varies than independent days would."""
    whole = scores[~np.isnan(scores).any(axis=1)]
    days = whole.shape[1]
    if min(whole.shape) <= 1:
        return 0.0
    whole = (whole - whole.mean()) / max(float(whole.std()), 1e-9)
    surplus = float((whole.sum(axis=1) ** 2).mean()) / days - 1.0
    return float(np.clip(surplus / (days - 1), 0.0, _LARGEST_RHO))

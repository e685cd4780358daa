"""Calibration: whether what was said to come with a probability came as often, by level, segment and days together.

What belongs here: counting where outcomes fell among their quantiles, scores of whole distributions, and what a
calibration report says of both. What does not: which forecasts are judged, sums of sample paths, or drawing.

An outcome falls between two neighbouring quantiles, or, of a count that ties with some, over all of the probability
that it covers: the expectation of the randomised probability integral transform, so that nothing is drawn (Czado,
Gneiting and Held 2009, doi:10.1111/j.1541-0420.2009.01191.x). How much of it lies at or below each quantile says
everything: coverage of an interval is the difference of two of these shares, and the histogram that of neighbours.

Rows of which nothing is expected have no distribution and are left out, whatever came. Counts are summed over cutoffs;
how many rows there are says little where all are of a few days, so that beside them stands how many pairs of a node and
a day, or stretch of days, do not overlap, and how many such days or stretches there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from forecast_assets.contracts import CALIBRATION, DEMAND_CLASSES, QUANTILES
from forecast_assets.core.arrays import Bools, Codes, Floats, Names
from forecast_assets.metrics.quantiles import WSPL_PLACES
from forecast_assets.metrics.ratios import Ratio
from forecast_assets.metrics.scores import crps, pinball_losses, shares_at_most
from forecast_assets.models.calibration import SIZE_EDGES, SMALLEST_FORECAST, STEP_EDGES, segment_codes

ALL: Final = "all"
# Levels that central intervals lie between, by the percent that they are to hold.
CENTRAL_INTERVALS: Final = {50: (0.25, 0.75), 80: (0.1, 0.9), 90: (0.05, 0.95), 95: (0.025, 0.975), 99: (0.005, 0.995)}
# What safety stock rests on.
UPPER_QUANTILES: Final = (0.975, 0.995)
# Nodes that are judged at a time, which bounds the memory for scratch.
_SLICE_NODES: Final = 4096
_SCORES: Final = len(QUANTILES) + 1


class CalibrationPlace(NamedTuple):
    """What is judged together.

    Attributes:
        level: Pair of levels, as `category x store`.
        days: 1 for single days, else how many first days are summed.
        segment_kind: What rows are divided by.
        segment: Which part of them.
    """

    level: str
    days: int
    segment_kind: str
    segment: str


@dataclass(frozen=True)
class PlaceCounts:
    """What is counted of a place; sums over rows.

    Attributes:
        at_most: [13] share of outcomes at or below each quantile.
        crps: Continuous ranked probability score, units.
        rows: Pairs of a node and a day, or a sum of days.
        effective_rows: Of these, without overlapping days of the same node.
        dates: Days, or stretches of days, that do not overlap.
    """

    at_most: Floats
    crps: float
    rows: int
    effective_rows: int
    dates: int

    def __add__(self, other: "PlaceCounts") -> "PlaceCounts":
        return PlaceCounts(
            self.at_most + other.at_most,
            self.crps + other.crps,
            self.rows + other.rows,
            self.effective_rows + other.effective_rows,
            self.dates + other.dates,
        )

    def share(self, low: float, high: float) -> float:
        """Return which share of outcomes lies between two levels: 0, one of the 13, or 1."""
        sums = {0.0: 0.0, **dict(zip(QUANTILES, self.at_most.tolist(), strict=True)), 1.0: float(self.rows)}
        return float(sums[high] - sums[low]) / self.rows


@dataclass(frozen=True)
class CalibrationCounts:
    """What is counted of one cutoff, or of several together.

    Attributes:
        places: By place.
        wspl: Weighted scaled pinball loss by place; of several cutoffs the mean.
    """

    places: dict[CalibrationPlace, PlaceCounts]
    wspl: dict[CalibrationPlace, Ratio]

    def __add__(self, other: "CalibrationCounts") -> "CalibrationCounts":
        places, wspl = dict(self.places), dict(self.wspl)
        for place, counts in other.places.items():
            places[place] = places[place] + counts if place in places else counts
        for place, ratio in other.wspl.items():
            wspl[place] = wspl[place] + ratio if place in wspl else ratio
        return CalibrationCounts(places, wspl)


@dataclass(frozen=True)
class JudgedQuantiles:
    """Quantiles of m nodes of a level as of one cutoff, for H days or for one sum of days (H = 1), and what came.

    Attributes:
        level: Pair of levels.
        days: 1 for single days, else how many first days are summed.
        demand: [m, H] units; NaN where unknown.
        mean: [m, H] units forecast.
        quantiles: [m, H, 13] units.
        is_new: [H] days that no earlier cutoff judged.
        is_new_in_band: [H] days that no earlier cutoff judged as far ahead.
        weight: [m] what each node counts in WSPL.
        scale: [m] units that its losses are divided by; NaN where there are none.
        demand_class: [m] of series; None of nodes above them.
    """

    level: str
    days: int
    demand: Floats
    mean: Floats
    quantiles: Floats
    is_new: Bools
    is_new_in_band: Bools
    weight: Floats
    scale: Floats
    demand_class: Names | None = None

    @property
    def asked(self) -> Bools:
        """[m, H] Whether a row can be judged."""
        return np.asarray(~np.isnan(self.demand) & (self.mean > SMALLEST_FORECAST), dtype=np.bool_)


@dataclass(frozen=True)
class _Division:
    """One way to divide [m, H] rows into segments.

    Attributes:
        kind: What rows are divided by.
        names: Of the segments.
        code: Place in the names, in a form that broadcasts to [m, H].
        is_new: [H] days that no earlier cutoff judged in the same segment.
    """

    kind: str
    names: Sequence[str]
    code: Codes
    is_new: Bools


def new_steps(cutoff: date, earlier: Sequence[date], horizon: int, *, as_far_ahead: bool = False) -> Bools:
    """[H] Whether each day after a cutoff was after none of the earlier ones.

    Args:
        cutoff: The cutoff.
        earlier: Cutoffs before it that are judged too.
        horizon: H.
        as_far_ahead: Whether only days count that are in the same band of days ahead.

    Example:
        >>> new_steps(date(2025, 1, 3), [date(2025, 1, 1)], 4).tolist()
        [False, False, True, True]
    """
    band = step_bands(horizon) if as_far_ahead else np.zeros(horizon, dtype=np.int64)
    found = np.ones(horizon, dtype=np.bool_)
    for other in earlier:
        apart = (cutoff - other).days
        if 0 < apart < horizon:
            found[: horizon - apart] &= band[apart:] != band[: horizon - apart]
    return found


def is_new_stretch(cutoff: date, earlier: Sequence[date], days: int) -> bool:
    """Whether the first days after a cutoff count: taken from the oldest cutoff on, those that overlap with none taken.

    Example:
        >>> is_new_stretch(date(2025, 1, 9), [date(2025, 1, 1), date(2025, 1, 5)], 7)
        True
    """
    taken: list[date] = []
    for each in sorted([*earlier, cutoff]):
        if not taken or (each - taken[-1]).days >= days:
            taken.append(each)
    return cutoff in taken


def counted(judged: JudgedQuantiles) -> CalibrationCounts:
    """Count where what came fell among its quantiles."""
    divisions = list(_divisions(judged))
    asked = judged.asked
    sums = [np.zeros((len(each.names), _SCORES)) for each in divisions]
    loss = np.zeros(len(asked))
    for start in range(0, len(asked), _SLICE_NODES):
        rows = slice(start, start + _SLICE_NODES)
        few, actual, said = asked[rows], judged.demand[rows][asked[rows]], judged.quantiles[rows][asked[rows]]
        losses = pinball_losses(actual, said)
        scores = [*shares_at_most(actual, said).T, crps(actual, said)]
        for at, division in enumerate(divisions):
            code = np.broadcast_to(division.code, asked.shape)[rows][few]
            sums[at] += np.stack([np.bincount(code, score, len(sums[at])) for score in scores], axis=1)
        loss[rows] = np.bincount(np.nonzero(few)[0], losses[:, WSPL_PLACES].mean(axis=1), len(few))
    places = {
        CalibrationPlace(judged.level, judged.days, division.kind, name): counts
        for division, total in zip(divisions, sums, strict=True)
        for name, counts in _place_counts(division, asked, total)
    }
    return CalibrationCounts(places, _wspl(judged, asked, loss))


def _place_counts(division: _Division, asked: Bools, sums: Floats) -> Iterator[tuple[str, PlaceCounts]]:
    """Yield the segments that have any row."""
    count, horizon = len(division.names), asked.shape[1]
    code = np.broadcast_to(division.code, asked.shape) * horizon + np.arange(horizon)
    by_day = np.bincount(code[asked], minlength=count * horizon).reshape(count, horizon)
    rows, new = by_day.sum(axis=1), by_day[:, division.is_new]
    for at, name in enumerate(division.names):
        if rows[at]:
            yield (
                name,
                PlaceCounts(
                    sums[at, :-1], float(sums[at, -1]), int(rows[at]), int(new[at].sum()), int((new[at] > 0).sum())
                ),
            )


def _divisions(judged: JudgedQuantiles) -> Iterator[_Division]:
    """The ways in which rows are divided: of nodes by days ahead only; of sums of days by all but these."""
    horizon, is_new, in_band = judged.demand.shape[1], judged.is_new, judged.is_new_in_band
    yield _Division(ALL, (ALL,), np.zeros((1, 1), dtype=np.int64), is_new)
    bands = step_names()
    if judged.days == 1:
        yield _Division("step", bands, step_bands(horizon)[None], in_band)
    if judged.demand_class is None:
        return
    group, size, step = segment_codes(judged.mean / judged.days, judged.demand_class)
    sizes = _size_names()
    yield _Division("demand_class", DEMAND_CLASSES, group, is_new)
    yield _Division("size", sizes, size, is_new)
    if judged.days == 1:
        names = [f"{one}, {two}, {three}" for one in DEMAND_CLASSES for two in sizes for three in bands]
        code = (group * len(sizes) + size) * len(bands) + step
        yield _Division("demand_class, size, step", names, code, in_band)


def step_bands(horizon: int) -> Codes:
    """[H] Band of days ahead that each day is in, as a place in `step_names`."""
    return np.searchsorted(STEP_EDGES, np.arange(1, horizon + 1)).astype(np.int64)


def step_names() -> list[str]:
    """Return the names of the bands of days ahead."""
    edges = (0, *STEP_EDGES)
    return [*(f"{after + 1}-{until}" for after, until in pairwise(edges)), f"{edges[-1] + 1}+"]


def _size_names() -> list[str]:
    """Names of the sizes, in units a day."""
    edges = (0.0, *SIZE_EDGES)
    return [*(f"{above:g}-{until:g}" for above, until in pairwise(edges)), f"{edges[-1]:g}+"]


def _wspl(judged: JudgedQuantiles, asked: Bools, loss: Floats) -> dict[CalibrationPlace, Ratio]:
    """Weighted scaled pinball loss of single days (M5 uncertainty: doi:10.1016/j.ijforecast.2021.10.009)."""
    days = asked.sum(axis=1)
    can_be = (days > 0) & (judged.scale > 0)
    weight = judged.weight[can_be]
    if judged.days > 1 or not weight.sum() > 0:
        return {}
    scaled = loss[can_be] / days[can_be] / judged.scale[can_be]
    value = float((weight * scaled).sum() / weight.sum())
    return {CalibrationPlace(judged.level, 1, ALL, ALL): Ratio(value, 1.0, int(days[can_be].sum()))}


def added_up(parts: Iterable[CalibrationCounts]) -> CalibrationCounts:
    """Add up what was counted, in the order in which it comes."""
    return sum(parts, CalibrationCounts({}, {}))


def calibration_rows(counts: CalibrationCounts) -> pl.DataFrame:
    """Return what a calibration report says of quantiles.

    Returns:
        Contract `calibration`, perhaps without a row.
    """
    rows = [row for place, each in counts.places.items() for row in _rows(place, each, counts.wspl.get(place))]
    return pl.DataFrame(rows, schema=CALIBRATION.schema, orient="row")


def _rows(place: CalibrationPlace, counts: PlaceCounts, wspl: Ratio | None) -> Iterator[tuple[object, ...]]:
    size = counts.rows, counts.effective_rows, counts.dates
    shares = [
        *((f"coverage_{percent}", 0, *levels) for percent, levels in CENTRAL_INTERVALS.items()),
        *((f"at_most_q{1000 * level:.0f}", 0, 0.0, level) for level in UPPER_QUANTILES),
        *(("pit", at, low, high) for at, (low, high) in enumerate(pairwise((0.0, *QUANTILES, 1.0)), start=1)),
    ]
    for metric, part, low, high in shares:
        yield (*place, metric, part, low, high, counts.share(low, high), high - low, *size)
    yield (*place, "crps", 0, None, None, counts.crps / counts.rows, None, *size)
    if wspl is not None:
        yield (*place, "wspl", 0, None, None, wspl.value, None, *size)

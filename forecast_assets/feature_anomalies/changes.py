"""How far a series is from its own earlier snapshots, on a scale on which series compare.

What belongs here: from snapshots to what a detector reads. What does not: which snapshots there are, or detectors.

Of levels a detector learns which series are large. What shows a fault is that a series leaves its own past: how far
each feature lies outside the range of its earlier snapshots, and for how long a feed that moves has not moved. Since
what breaks is a feed, a detector reads three figures of each feed instead of some of each feature: a feature that never
moved in training has no spread that distances could be measured by, and no tree ever splits it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.features.compiler import SERIES
from forecast_assets.features.specs import FeatureSpec

# Snapshots before the day that a series is held against: three weeks, so that each weekday comes thrice.
EARLIER_DAYS: Final = 21
# Of fewer earlier snapshots with the series nothing is told.
LEAST_EARLIER: Final = 7
# Quantities are compared as ratios above one, shares and ratios above a tenth.
_LARGE: Final = ("_units", "_hours", "_days")
_LARGE_FLOOR: Final = 1.0
_SMALL_FLOOR: Final = 0.1
# A tenth up or down is a distance of one.
_UNIT: Final = 0.1
_FARTHEST: Final = 50.0
_MOVED: Final = 1e-9
# They grow day by day, or say again what others say.
_NOT_READ: Final = ("days_since_first", "days_since_last_positive")
# What may rise to another feature without leaving its range, and fall to nothing: shelves run empty and are refilled.
_UP_TO: Final[Mapping[str, str]] = {"on_hand_units": "order_up_to_units"}

FIGURES: Final = ("farthest", "mean", "unchanged")


@dataclass(frozen=True)
class WatchedFeatures:
    """Features of a snapshot that are compared, feed by feed.

    Attributes:
        names: [F] features.
        feeds: [F] the feed of each.
    """

    names: tuple[str, ...]
    feeds: tuple[str, ...]

    @classmethod
    def of(cls, specs: Sequence[FeatureSpec]) -> "WatchedFeatures":
        """Return those of the specs that a snapshot was computed by."""
        kept = sorted((spec for spec in specs if spec.aggregate not in _NOT_READ), key=lambda spec: spec.feed)
        return cls(tuple(spec.name for spec in kept), tuple(spec.feed for spec in kept))

    @property
    def feed_names(self) -> tuple[str, ...]:
        """The feeds, each once."""
        return tuple(dict.fromkeys(self.feeds))

    @property
    def columns(self) -> tuple[str, ...]:
        """What a detector reads, in this order."""
        return tuple(f"{feed}_{figure}" for feed in self.feed_names for figure in FIGURES)

    def known_feeds(self, snapshot: pl.DataFrame) -> tuple[str, ...]:
        """Return the feeds of which a snapshot has values of any series."""
        known = {feed for name, feed in zip(self.names, self.feeds, strict=True) if snapshot[name].is_not_null().any()}
        return tuple(feed for feed in self.feed_names if feed in known)

    def of_feed(self, feed: str) -> list[int]:
        """Return the places of a feed's features."""
        return [at for at, name in enumerate(self.feeds) if name == feed]


@dataclass(frozen=True)
class SeriesChanges:
    """How far the series of a snapshot are from their own earlier ones.

    Attributes:
        watched: Features, feed by feed.
        series: `store_id, sku_id` of n series.
        is_judged: [n] whether there are enough earlier snapshots of the series.
        values: [n, F] as in the snapshot.
        usual: [n, F] median of the earlier ones.
        distance: [n, F] how far outside of the range of the earlier ones, in tenths; signed, NaN where not known.
        unchanged: [n, feeds] how surprising it is that nothing of a feed has moved for so long; NaN where not known.
    """

    watched: WatchedFeatures
    series: pl.DataFrame
    is_judged: Bools
    values: Floats
    usual: Floats
    distance: Floats
    unchanged: Floats

    def matrix(self) -> Floats:
        """[n, columns] What a detector reads."""
        made = []
        for at, feed in enumerate(self.watched.feed_names):
            apart = np.abs(self.distance[:, self.watched.of_feed(feed)])
            made += [np.fmax.reduce(apart, axis=1), _mean(apart), self.unchanged[:, at]]
        return np.stack(made, axis=1)

    def rows(self, at: Ints | Bools) -> "SeriesChanges":
        """Return those of some series."""
        return SeriesChanges(
            self.watched,
            self.series[np.arange(len(self.is_judged))[at]],
            self.is_judged[at],
            self.values[at],
            self.usual[at],
            self.distance[at],
            self.unchanged[at],
        )


def series_changes(now: pl.DataFrame, earlier: Sequence[pl.DataFrame], watched: WatchedFeatures) -> SeriesChanges:
    """Hold the series of a snapshot against earlier snapshots.

    Args:
        now: The snapshot.
        earlier: Snapshots before it, oldest first, at least one.
        watched: Features that all of them have.
    """
    series = now.select(SERIES)
    values = _values(series, now, watched)
    past = np.stack([_values(series, each, watched) for each in earlier])
    floors = np.array([_LARGE_FLOOR if name.endswith(_LARGE) else _SMALL_FLOOR for name in watched.names])
    with np.errstate(all="ignore"):
        present, before = _scaled(values, floors), _scaled(past, floors)
        low, high = _least_of(before), -_least_of(-before)
        for name, limit in _UP_TO.items():
            if name in watched.names and limit in watched.names:
                at, to = watched.names.index(name), watched.names.index(limit)
                high[:, at] = np.fmax(high[:, at], np.fmax(present[:, to], high[:, to]))
                low[:, at] = np.fmin(low[:, at], 0.0)
        outside = np.where(present > high, present - high, np.where(present < low, present - low, 0.0))
        outside = np.where(np.isnan(present) | np.isnan(high), np.nan, outside)
        moves = np.abs(np.diff(np.concatenate([before, present[None]]), axis=0))
    there = np.stack([series.join(each.select(SERIES), on=SERIES, how="left", maintain_order="left", coalesce=False)
                      [f"{SERIES[0]}_right"].is_not_null().to_numpy() for each in earlier])  # fmt: skip
    return SeriesChanges(
        watched,
        series,
        there.sum(axis=0) >= LEAST_EARLIER,
        values,
        _median(past),
        np.clip(outside / _UNIT, -_FARTHEST, _FARTHEST),
        np.stack([_surprise(moves[:, :, watched.of_feed(feed)]) for feed in watched.feed_names], axis=1),
    )


def _values(series: pl.DataFrame, snapshot: pl.DataFrame, watched: WatchedFeatures) -> Floats:
    """[n, F] Features of the series in a snapshot; NaN where it has none."""
    joined = series.join(snapshot, on=SERIES, how="left", maintain_order="left")
    return joined.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in watched.names).to_numpy()


def _scaled(values: Floats, floors: Floats) -> Floats:
    """Logarithms of what lies above the floors, straight around zero."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values) / floors))


def _least_of(values: Floats) -> Floats:
    """Smallest along the first axis; NaN where all are."""
    return np.asarray(np.fmin.reduce(values, axis=0))


def _median(values: Floats) -> Floats:
    """Median along the first axis; NaN where all are. Sorting all at once takes a tenth of numpy's time for it."""
    ordered, count = np.sort(values, axis=0), (~np.isnan(values)).sum(axis=0)
    lower, upper = (
        np.take_along_axis(ordered, np.clip(at, 0, len(values) - 1)[None], axis=0)[0]
        for at in ((count - 1) // 2, count // 2)
    )
    return np.where(count > 0, (lower + upper) / 2, np.nan)


def _surprise(moves: Floats) -> Floats:
    """[n] How surprising it is that nothing of a feed has moved for so long, as the negative logarithm of its chance.

    The chance of a day without a move is that of the days before the standstill, one such day added. Where these are
    too few, nothing is said.
    """
    days = len(moves)
    is_known: Bools = ~np.all(np.isnan(moves), axis=2)
    has_moved: Bools = np.any(np.nan_to_num(moves) > _MOVED, axis=2)
    still = np.cumprod((is_known & ~has_moved)[::-1], axis=0).sum(axis=0)
    is_before = (np.arange(days)[:, None] < days - still[None]) & is_known
    before = is_before.sum(axis=0)
    chance = ((is_before & ~has_moved).sum(axis=0) + 1) / (before + 1)
    return np.where(is_known[-1], np.where(before >= LEAST_EARLIER, -still * np.log(chance), 0.0), np.nan)


def _mean(values: Floats) -> Floats:
    is_known = ~np.isnan(values)
    count = is_known.sum(axis=1)
    return np.where(count > 0, np.where(is_known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)

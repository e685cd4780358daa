"""Sums: quantiles of what several series, or several days, sell together.

What belongs here: adding paths up and reading quantiles off them. What does not: drawing paths, or which sums are
published.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.contracts import COVERED_PERCENT, QUANTILES
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.threads import in_threads
from forecast_assets.hierarchy import Sparse
from forecast_assets.models.sample_paths.drawing import JointPaths

# What people are told is being done.
PATHS_STAGE: Final = "sample paths drawn"
# Nodes that are added up at a time.
_NODES: Final = 1024


@dataclass(frozen=True)
class SumQuantiles:
    """Quantiles of sums, units, at the levels `contracts.QUANTILES`.

    Attributes:
        nodes: [m, H, 13] of nodes on each day.
        first_days: By number of days, [m, 13] of nodes over so many first days.
    """

    nodes: Floats
    first_days: Mapping[int, Floats]


def quantiles_of_paths(paths: Floats, levels: Sequence[float] = QUANTILES) -> Floats:
    """[k, levels] quantiles of [k, N] equally likely outcomes, each the middle of an equal slice of probability."""
    return quantiles_of_ordered(np.sort(paths, axis=1), levels)


def quantiles_of_ordered(ordered: Floats, levels: Sequence[float] = QUANTILES) -> Floats:
    """[k, levels] quantiles of [k, N] equally likely outcomes that rise along the last axis."""
    place = np.clip(np.array(levels) * ordered.shape[1] - 0.5, 0.0, ordered.shape[1] - 1.0)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    return np.asarray(ordered[:, below] + (place - below) * (ordered[:, above] - ordered[:, below]))


def covering(ordered: Floats, percents: Sequence[int] = COVERED_PERCENT) -> Floats:
    """[k, percents] fewest units that are enough in so many percent of outcomes, each of them an outcome itself.

    Args:
        ordered: [k, N] equally likely outcomes that rise along the last axis.
        percents: Whole percent, from 1 to 100.

    Example:
        >>> covering(np.array([[0.0, 0.0, 3.0, 7.0]]), (50, 51, 99)).tolist()
        [[0.0, 3.0, 7.0]]
    """
    # Whole numbers, since 0.98 times a number of paths may be a little more than it should.
    enough = -(-np.array(percents) * ordered.shape[1] // 100)
    return np.asarray(ordered[:, enough - 1])


def quantiles_of_sums(
    paths: JointPaths,
    summing: Sparse,
    windows: Sequence[int] = (),
    *,
    on_day: Callable[[Floats], None] | None = None,
    progress: Progress = silent,
) -> SumQuantiles:
    """Add paths up by node and over first days.

    Memory is that of a few [n, N] and [m, N] matrices, whatever the horizon.

    Args:
        paths: Of n series.
        summing: [m, n] sparse ones: the series of each node.
        windows: Numbers of first days to add up, each at most the horizon.
        on_day: Called with the [n, N] units of each day in turn, for other sums of the same paths.
        progress: Called with the stage, days done and days in all.
    """
    parts = _parts(summing)
    horizon = paths.marginals.mean.shape[1]
    nodes, first = np.empty((summing.shape[0], horizon, len(QUANTILES))), {}
    whole: Floats | None = None
    for step, units in enumerate(paths.steps(), start=1):
        nodes[:, step - 1] = _of_nodes(parts, units, paths.workers)
        if on_day is not None:
            on_day(units)
        progress(PATHS_STAGE, step, horizon)
        if windows and step <= max(windows):
            whole = units if whole is None else whole + units
            if step in windows:
                first[step] = _of_nodes(parts, whole, paths.workers)
    return SumQuantiles(nodes, first)


def quantiles_of_moved_sums(
    paths: JointPaths,
    summing: Sparse,
    moved: Bools,
    *,
    on_day: Callable[[Floats], None],
    progress: Progress = silent,
) -> Floats:
    """Add paths up by node on the days on which one of its series has moved: what `quantiles_of_sums` has there.

    A sum is of all series of its node, moved or not; on a day on which none has moved, those that have on others are
    all that is drawn.

    Args:
        paths: Of n series.
        summing: [m, n] sparse ones: the series of each node.
        moved: [n, H] which series are to be looked at on which days.
        on_day: Called with the [k, N] units of each day in turn, of the k series that have moved on any; the next day
            is written over them.
        progress: Called with the stage, days done and days in all.

    Returns:
        [m, H, 13] quantiles of nodes; 0 on days on which none of a node's series has moved.
    """
    ever, touched = np.flatnonzero(moved.any(axis=1)), summing @ moved > 0
    few = paths if len(ever) == len(moved) else paths.take(ever)
    nodes, room = np.zeros((*touched.shape, len(QUANTILES))), np.empty((len(moved), paths.paths))
    for step, rows in enumerate(map(np.flatnonzero, touched.T)):
        drawn = paths if len(rows) else few
        units = drawn.on_day(step, room[: len(drawn.keys)])
        if len(rows):
            nodes[rows, step] = _of_nodes(_parts(summing[rows]), units, paths.workers)
        on_day(units if len(units) == len(ever) else units[ever])
        progress(PATHS_STAGE, step + 1, moved.shape[1])
    return nodes


def _parts(summing: Sparse) -> list[Sparse]:
    matrix = summing.astype(np.float64)
    return [matrix[start : start + _NODES] for start in range(0, matrix.shape[0], _NODES)]


def _of_nodes(parts: Sequence[Sparse], units: Floats, workers: int | None) -> Floats:
    """[m, 13] quantiles of the sums of [n, N] units by node, some nodes at a time."""
    quantiles = in_threads(lambda some: quantiles_of_paths(np.asarray(some @ units)), parts, workers)
    return np.concatenate([found for _, found in quantiles])

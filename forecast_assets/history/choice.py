"""Choosing among sources: which one counts for each key, and why that one.

What belongs here: the order between sources, as one dense reduction. What does not: which words a source has said
(fusion), or where they are kept.

Cells are a dense matrix of keys x sources, reduced along its rows, so neither the order of the input nor the number of
threads can change the answer.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Ints

FRESHNESS_TOLERANCE: Final = timedelta(days=2)
RESOLUTIONS: Final = ("only_source", "sources_agree", "more_trusted", "fresher", "tie_by_name")
NEVER: Final = np.iinfo(np.int64).min // 2


@dataclass(frozen=True)
class SourceCells:
    """What each source last said of each key.

    Attributes:
        row: [keys, sources] row of the newest word; 0 where the source said nothing.
        heard: [keys, sources] when the source last said it, in microseconds; ``NEVER`` where it said nothing.
        trust: [keys, sources] trust of that row.
        is_restated: [keys, sources] whether the source had said something else before.
    """

    row: Ints
    heard: Ints
    trust: Floats
    is_restated: Bools

    @property
    def has_row(self) -> Bools:
        """[keys, sources] whether the source said anything of the key."""
        return self.heard > NEVER

    @property
    def is_fresh(self) -> Bools:
        """[keys, sources] whether the source is not out of date: within the tolerance of the freshest of its key."""
        tolerance = FRESHNESS_TOLERANCE // timedelta(microseconds=1)
        is_fresh: Bools = self.has_row & (self.heard >= self.heard.max(axis=1, keepdims=True) - tolerance)
        return is_fresh

    def of(self, keys: Ints) -> "SourceCells":
        """Return the cells of some keys."""
        return SourceCells(self.row[keys], self.heard[keys], self.trust[keys], self.is_restated[keys])


@dataclass(frozen=True)
class Choice:
    """Which source counts.

    Attributes:
        source: [keys] its column in the cells.
        resolution: [keys] why, as a place in ``RESOLUTIONS``.
        candidates: [keys] how many sources there were to choose from.
    """

    source: Ints
    resolution: Ints
    candidates: Ints


def choose(cells: SourceCells, speaks: Bools, values: pl.DataFrame) -> Choice:
    """Choose of each key one source: what is out of date comes last, then trust, then freshness, then the name decide.

    Args:
        cells: What each source last said.
        speaks: [keys, sources] which of them there are to choose from; at least one of each key.
        values: What sources may agree on, one row per row that the cells refer to.
    """
    is_fresh = speaks & cells.is_fresh
    is_near = np.where(is_fresh.any(axis=1, keepdims=True), is_fresh, speaks)
    is_trusted = _best(is_near, cells.trust)
    is_first = _best(is_trusted, cells.heard)
    source = is_first.argmax(axis=1)
    candidates = speaks.sum(axis=1)
    resolution = np.select(
        [
            candidates == 1,
            _agree(values, cells.row, speaks, cells.row[np.arange(len(source)), source]),
            is_near.sum(axis=1) == 1,
            is_trusted.sum(axis=1) == 1,
            is_first.sum(axis=1) == 1,
        ],
        [RESOLUTIONS.index(name) for name in ("only_source", "sources_agree", "fresher", "more_trusted", "fresher")],
        RESOLUTIONS.index("tie_by_name"),
    )
    return Choice(source, resolution, candidates)


def _best(among: Bools, score: Ints | Floats) -> Bools:
    """Return [keys, sources] which of the cells in `among` have the highest score of their key."""
    lowest = score.min()
    highest = np.where(among, score, lowest).max(axis=1, keepdims=True)
    is_best: Bools = among & (score == highest)
    return is_best


def _agree(values: pl.DataFrame, row: Ints, speaks: Bools, winning_row: Ints) -> Bools:
    """Return [keys] whether every source that speaks said the same as the winner."""
    agree = np.ones(len(winning_row), dtype=np.bool_)
    for source in range(row.shape[1]):
        other = np.where(speaks[:, source], row[:, source], winning_row)
        for column in values.iter_columns():
            agree &= column.gather(other).eq_missing(column.gather(winning_row)).to_numpy()
    return agree

"""Fusion: one value per key out of what overlapping sources said by a moment, and why that one.

What belongs here: the point-in-time rule that picks among observations.
What does not: reading the store, or joining feeds.

The rule, in this order:

1. Only what was known by then counts.
2. A source's newest word on a key replaces what it said before.
3. Sources more than ``FRESHNESS_TOLERANCE`` behind the freshest are out of date, however trusted.
4. Of the rest the most trusted wins; then the fresher; then the first by name.

Cells are a dense matrix of keys x sources, reduced along its rows, so neither the order of the input nor the number of
threads can change the answer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FEEDS, Contract
from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.core.numbering import number_keys

FRESHNESS_TOLERANCE: Final = timedelta(days=2)
RESOLUTIONS: Final = ("only_source", "sources_agree", "more_trusted", "fresher", "tie_by_name")


_NEVER: Final = np.iinfo(np.int64).min // 2
_ALWAYS: Final = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Cells:
    """What each source last said of each key.

    Attributes:
        row: [keys, sources] row of the newest observation; 0 where the source said nothing.
        known: [keys, sources] when it became known, in microseconds; ``_NEVER`` where the source said nothing.
        trust: [keys, sources] trust of that row.
        is_restated: [keys, sources] whether the source had said something before.
    """

    row: Ints
    known: Ints
    trust: Floats
    is_restated: Bools

    @property
    def has_row(self) -> Bools:
        """[keys, sources] whether the source said anything of the key."""
        return self.known > _NEVER


def resolve(feed: str, observations: pl.LazyFrame, *, known_until: datetime) -> pl.LazyFrame:
    """Resolve overlapping sources of a feed as of a moment.

    Args:
        feed: Name of the feed, a key of ``contracts.FEEDS``.
        observations: The feed's columns, `source` and `trust` (0..1), in any order. Read once, when called.
        known_until: The moment, inclusive; with a time zone.

    Returns:
        One row per key (the contract's key without `known_at`), in the order of the winning rows: the feed's columns
        and `source` (which won), `resolution` (why: one of ``RESOLUTIONS``), `candidates` (how many sources spoke) and
        `is_restated` (whether the winner had said something else before).

    Example:
        >>> from datetime import UTC, date
        >>> said = pl.LazyFrame(
        ...     {
        ...         "event_name": ["fair", "fair"],
        ...         "store_node": ["all"] * 2,
        ...         "event_date": [date(2025, 5, 1)] * 2,
        ...         "known_at": [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)],
        ...         "source": ["city", "rumour"],
        ...         "trust": [0.9, 0.1],
        ...     }
        ... )
        >>> resolve("events", said, known_until=datetime(2025, 2, 1, tzinfo=UTC)).select("source").collect().item()
        'city'
    """
    contract = FEEDS[feed]
    visible = observations.select(*contract.names, "source", "trust").filter(pl.col("known_at") <= known_until)
    frame = visible.collect()
    if frame.is_empty():
        return _labelled(frame, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_)).lazy()
    key = number_keys(frame, [name for name in contract.key if name != "known_at"]).cast(pl.Int64).to_numpy()
    keys = int(key.max()) + 1
    if keys == frame.height:
        ones = np.ones(frame.height, np.int64)
        return _labelled(frame, ones - 1, ones, np.zeros(frame.height, np.bool_)).lazy()
    cells = _newest(frame, key, keys, contract)
    return _decide(frame, cells, contract).lazy()


def resolve_uncontested(feed: str, observations: pl.LazyFrame) -> pl.LazyFrame:
    """Label observations of which each key has one: what ``resolve`` would return, without reading anything yet.

    Args:
        feed: Name of the feed, a key of ``contracts.FEEDS``.
        observations: The feed's columns and `source`, of what was known by the moment; no key twice.
    """
    return observations.select(
        *FEEDS[feed].names,
        "source",
        resolution=pl.lit(RESOLUTIONS[0]),
        candidates=pl.lit(1, pl.UInt32),
        is_restated=pl.lit(value=False),
    )


def _value_names(contract: Contract) -> list[str]:
    return [name for name in contract.names if name not in contract.key]


def _newest(frame: pl.DataFrame, key: Ints, keys: int, contract: Contract) -> _Cells:
    names = frame["source"].unique().sort()
    source = frame["source"].replace_strict(names, pl.int_range(len(names), eager=True)).cast(pl.Int64).to_numpy()
    cell = key * len(names) + source
    known_at = frame["known_at"].to_physical().to_numpy()
    newest, oldest = np.full(keys * len(names), _NEVER), np.full(keys * len(names), _ALWAYS)
    np.maximum.at(newest, cell, known_at)
    np.minimum.at(oldest, cell, known_at)
    row = _rows_of_cells(frame, cell, np.flatnonzero(known_at == newest[cell]), len(newest), contract)
    shape = (keys, len(names))
    return _Cells(
        row=row.reshape(shape),
        known=newest.reshape(shape),
        trust=frame["trust"].to_numpy()[row].reshape(shape),
        is_restated=(oldest < newest).reshape(shape),
    )


def _rows_of_cells(frame: pl.DataFrame, cell: Ints, rows: Ints, cells: int, contract: Contract) -> Ints:
    """Return [cells] one row each; where a source said two things at one moment, the larger one by a fixed order."""
    row = np.zeros(cells, dtype=np.int64)
    row[cell[rows]] = rows
    is_beaten = row[cell[rows]] != rows
    if is_beaten.any():
        disputed = rows[np.isin(cell[rows], cell[rows][is_beaten])]
        order = ["trust", *_value_names(contract)]
        ranked = frame[disputed].select(order).with_columns(cell=cell[disputed], row=disputed)
        # The last assignment of a cell stands, so the largest comes last.
        ranked = ranked.sort(order, nulls_last=False)
        row[ranked["cell"].to_numpy()] = ranked["row"].to_numpy()
    return row


def _decide(frame: pl.DataFrame, cells: _Cells, contract: Contract) -> pl.DataFrame:
    candidates = cells.has_row.sum(axis=1)
    tolerance = FRESHNESS_TOLERANCE // timedelta(microseconds=1)
    is_fresh = cells.has_row & (cells.known >= cells.known.max(axis=1, keepdims=True) - tolerance)
    is_trusted = _best(is_fresh, cells.trust)
    is_first = _best(is_trusted, cells.known)
    winner = is_first.argmax(axis=1)
    at = np.arange(len(winner)), winner
    resolution = np.select(
        [
            candidates == 1,
            _agree(frame.select(_value_names(contract)), cells, cells.row[at]),
            is_fresh.sum(axis=1) == 1,
            is_trusted.sum(axis=1) == 1,
            is_first.sum(axis=1) == 1,
        ],
        [RESOLUTIONS.index(name) for name in ("only_source", "sources_agree", "fresher", "more_trusted", "fresher")],
        RESOLUTIONS.index("tie_by_name"),
    )
    order = np.argsort(cells.row[at])
    won = frame[cells.row[at][order]]
    return _labelled(won, resolution[order], candidates[order], cells.is_restated[at][order])


def _best(among: Bools, score: Ints | Floats) -> Bools:
    """Return [keys, sources] which of the cells in `among` have the highest score of their key."""
    lowest = score.min()
    highest = np.where(among, score, lowest).max(axis=1, keepdims=True)
    is_best: Bools = among & (score == highest)
    return is_best


def _agree(values: pl.DataFrame, cells: _Cells, winning_row: Ints) -> Bools:
    """Return [keys] whether every source that spoke last said the same as the winner."""
    agree = np.ones(len(winning_row), dtype=np.bool_)
    for source in range(cells.row.shape[1]):
        other = np.where(cells.has_row[:, source], cells.row[:, source], winning_row)
        for column in values.iter_columns():
            agree &= column.gather(other).eq_missing(column.gather(winning_row)).to_numpy()
    return agree


def _labelled(frame: pl.DataFrame, resolution: Ints, candidates: Ints, is_restated: Bools) -> pl.DataFrame:
    return frame.drop("trust").with_columns(
        resolution=pl.Series(RESOLUTIONS, dtype=pl.String).gather(resolution),
        candidates=pl.Series(candidates, dtype=pl.UInt32),
        is_restated=pl.Series(is_restated, dtype=pl.Boolean),
    )

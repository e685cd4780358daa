"""Fusion: one value per key out of what overlapping sources said by a moment, and why that one.

What belongs here: the point-in-time rule that picks among observations.
What does not: the order between sources as such (choice), reading the store, or joining feeds.

The rule, in this order:

1. Only what was known by then counts.
2. A source's newest word on a key replaces what it said before.
3. Sources more than ``FRESHNESS_TOLERANCE`` behind the freshest are out of date, however trusted. A source that says
   its word again is as fresh as it was then.
4. Of the rest the most trusted wins; then the fresher; then the first by name.
5. A value that the winner does not have is that of the next source, in this order, that has it.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import FEEDS, Contract
from forecast_assets.contracts.confirmations import word_key
from forecast_assets.core.arrays import Bools, Ints
from forecast_assets.core.numbering import number_keys
from forecast_assets.history.choice import FRESHNESS_TOLERANCE, NEVER, RESOLUTIONS, SourceCells, choose
from forecast_assets.history.confirmed import last_said
from forecast_assets.history.enrichment import enrich

__all__ = ["FRESHNESS_TOLERANCE", "RESOLUTIONS", "resolve", "resolve_uncontested"]

_ALWAYS: Final = np.iinfo(np.int64).max


def resolve(
    feed: str,
    observations: pl.LazyFrame,
    *,
    known_until: datetime,
    enriches: bool = True,
    confirmations: pl.LazyFrame | None = None,
) -> pl.LazyFrame:
    """Resolve overlapping sources of a feed as of a moment.

    Args:
        feed: Name of the feed, a key of ``contracts.FEEDS``.
        observations: The feed's columns, `source` and `trust` (0..1), in any order. Read once, when called.
        known_until: The moment, inclusive; with a time zone.
        enriches: Whether missing values are taken from the next source that has them.
        confirmations: Which words were said again, with `source` and `batch_number`; then the observations have a
            `batch_number` too.

    Returns:
        One row per key (the contract's key without `known_at`), in the order of the winning rows: the feed's columns
        and `source` (which won), `resolution` (why: one of ``RESOLUTIONS``), `candidates` (how many sources spoke),
        `is_restated` (whether the winner had said something else before) and `enriched` (which values are another
        source's, whose and why, for example `unit_price: erp (only_source)`; null where none are).

    Example:
        >>> from datetime import UTC, date
        >>> said = pl.LazyFrame(
        ...     {
        ...         "event_name": ["fair", "fair"],
        ...         "store_node": ["all"] * 2,
        ...         "event_date": [date(2025, 5, 1)] * 2,
        ...         "known_at": [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)],
        ...         "event_kind": ["rare"] * 2,
        ...         "source": ["city", "rumour"],
        ...         "trust": [0.9, 0.1],
        ...     }
        ... )
        >>> resolve("events", said, known_until=datetime(2025, 2, 1, tzinfo=UTC)).select("source").collect().item()
        'city'
    """
    contract = FEEDS[feed]
    number = [] if confirmations is None else ["batch_number"]
    is_known = pl.col("known_at") <= known_until
    frame = observations.select(*contract.names, "source", "trust", *number).filter(is_known).collect()
    if frame.is_empty():
        return _labelled(frame, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_)).lazy()
    key = number_keys(frame, [name for name in contract.key if name != "known_at"]).cast(pl.Int64).to_numpy()
    keys = int(key.max()) + 1
    if keys == frame.height:
        ones = np.ones(frame.height, np.int64)
        return _labelled(frame, ones - 1, ones, np.zeros(frame.height, np.bool_)).lazy()
    cells = _newest(frame, key, keys, contract)
    if confirmations is not None and cells.row.shape[1] > 1:
        cells = _confirmed(frame, cells, confirmations.filter(is_known).collect(), contract)
    return _decide(frame, cells, contract, enriches=enriches).lazy()


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
        enriched=pl.lit(None, pl.String),
    )


def _value_names(contract: Contract) -> list[str]:
    return [name for name in contract.names if name not in contract.key]


def _newest(frame: pl.DataFrame, key: Ints, keys: int, contract: Contract) -> SourceCells:
    names = frame["source"].unique().sort()
    source = frame["source"].replace_strict(names, pl.int_range(len(names), eager=True)).cast(pl.Int64).to_numpy()
    cell = key * len(names) + source
    known_at = frame["known_at"].to_physical().to_numpy()
    newest, oldest = np.full(keys * len(names), NEVER), np.full(keys * len(names), _ALWAYS)
    np.maximum.at(newest, cell, known_at)
    np.minimum.at(oldest, cell, known_at)
    row = _rows_of_cells(frame, cell, np.flatnonzero(known_at == newest[cell]), len(newest), contract)
    shape = (keys, len(names))
    return SourceCells(
        row=row.reshape(shape),
        heard=newest.reshape(shape),
        trust=frame["trust"].to_numpy()[row].reshape(shape),
        is_restated=(oldest < newest).reshape(shape),
    )


def _confirmed(frame: pl.DataFrame, cells: SourceCells, confirmations: pl.DataFrame, contract: Contract) -> SourceCells:
    """Return the cells with the moment at which each source last said its word again."""
    if confirmations.is_empty():
        return cells
    cell = np.flatnonzero(cells.has_row)
    words = frame.select(*word_key(contract), "source", "batch_number")[cells.row.ravel()[cell]]
    said = last_said(words.with_columns(word=pl.Series(cell)), confirmations, contract)
    heard = cells.heard.copy()
    at = said["word"].to_numpy()
    heard.ravel()[at] = np.maximum(heard.ravel()[at], said["said_at"].to_physical().to_numpy())
    return replace(cells, heard=heard)


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


def _decide(frame: pl.DataFrame, cells: SourceCells, contract: Contract, *, enriches: bool) -> pl.DataFrame:
    choice = choose(cells, cells.has_row, frame.select(_value_names(contract)))
    at = np.arange(len(choice.source)), choice.source
    order = np.argsort(cells.row[at])
    winning_row = cells.row[at][order]
    won, enriched = enrich(frame, cells, order, winning_row, contract) if enriches else (frame[winning_row], None)
    is_restated = cells.is_restated[at][order]
    return _labelled(won, choice.resolution[order], choice.candidates[order], is_restated, enriched)


def _labelled(
    frame: pl.DataFrame, resolution: Ints, candidates: Ints, is_restated: Bools, enriched: pl.Series | None = None
) -> pl.DataFrame:
    return frame.drop("trust", "batch_number", strict=False).with_columns(
        resolution=pl.Series(RESOLUTIONS, dtype=pl.String).gather(resolution),
        candidates=pl.Series(candidates, dtype=pl.UInt32),
        is_restated=pl.Series(is_restated, dtype=pl.Boolean),
        enriched=pl.lit(None, pl.String) if enriched is None else enriched,
    )

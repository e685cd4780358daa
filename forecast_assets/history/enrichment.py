"""Enrichment: values that the source which counts does not have, taken from the next one that has them.

What belongs here: which missing values another source may give, and which source that is. What does not: the order
between sources (choice), or which columns may be filled (contracts).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import Contract, Enrichment
from forecast_assets.core.arrays import Bools, Ints
from forecast_assets.history.choice import RESOLUTIONS, Choice, SourceCells, choose

_APART: Final = "; "


@dataclass(frozen=True)
class _Filled:
    """Of some keys, where the values of an enrichment come from.

    Attributes:
        keys: [filled] which keys.
        rows: [filled] the rows that have the values.
        choice: [filled] whose rows these are, and why.
    """

    keys: Ints
    rows: Ints
    choice: Choice


def enrich(
    frame: pl.DataFrame, cells: SourceCells, keys: Ints, winning_row: Ints, contract: Contract
) -> tuple[pl.DataFrame, pl.Series | None]:
    """Return the winning rows with their missing values filled, and where each of these comes from.

    Args:
        frame: All words, with `source`.
        cells: What each source last said; sources in the order of their names.
        keys: [keys] their places in the cells, in the order in which they are to be returned.
        winning_row: [keys] the row of `frame` that counts.
        contract: Of the feed.

    Returns:
        [keys] rows of `frame`, and of each which values were filled, whose and why: for example
        `unit_price: erp (only_source)`, null where nothing was; None where nothing was at all.
    """
    won, told = frame[winning_row], []
    for enrichment in contract.enrichments:
        filled = _filled(frame, cells, keys, winning_row, enrichment)
        if filled is not None:
            won = _with_values(won, frame, winning_row, enrichment, filled)
            told.append(_told(won, enrichment, filled, frame["source"].unique().sort()))
    return won, _joined(told)


def _filled(
    frame: pl.DataFrame, cells: SourceCells, keys: Ints, winning_row: Ints, enrichment: Enrichment
) -> _Filled | None:
    """Return which keys lack the values of an enrichment that another of their sources has; None if there are none."""
    is_silent = frame.select(pl.all_horizontal(pl.col(enrichment.columns).is_null())).to_series().to_numpy()
    if not is_silent.any():
        return None
    lacking = np.flatnonzero(is_silent[winning_row])
    lacking = lacking[cells.has_row[keys[lacking]].sum(axis=1) > 1]
    if not len(lacking):
        return None
    asked = cells.of(keys[lacking])
    speaks = asked.has_row & ~is_silent[asked.row] & _is_given(frame, asked.row, winning_row[lacking], enrichment)
    has_one = np.flatnonzero(speaks.any(axis=1))
    if not len(has_one):
        return None
    asked = asked.of(has_one)
    choice = choose(asked, speaks[has_one], frame.select(enrichment.columns))
    return _Filled(lacking[has_one], asked.row[np.arange(len(has_one)), choice.source], choice)


def _is_given(frame: pl.DataFrame, row: Ints, winning_row: Ints, enrichment: Enrichment) -> Bools:
    """Return [keys, sources] whether each row says the same as the winner of what the values speak of."""
    is_same = np.ones(row.shape, dtype=np.bool_)
    won = np.broadcast_to(winning_row[:, None], row.shape).ravel()
    for name in enrichment.given:
        column = frame[name]
        is_same &= column.gather(row.ravel()).eq_missing(column.gather(won)).to_numpy().reshape(row.shape)
    return is_same


def _with_values(
    won: pl.DataFrame, frame: pl.DataFrame, winning_row: Ints, enrichment: Enrichment, filled: _Filled
) -> pl.DataFrame:
    rows = winning_row.copy()
    rows[filled.keys] = filled.rows
    return won.with_columns(frame[name].gather(rows) for name in enrichment.columns)


def _told(won: pl.DataFrame, enrichment: Enrichment, filled: _Filled, names: pl.Series) -> pl.Series:
    """Return [keys] which values were filled, from whom and why; null where none were."""
    given = won[filled.keys].select(
        *enrichment.columns,
        by=names.gather(filled.choice.source),
        why=pl.Series(RESOLUTIONS, dtype=pl.String).gather(filled.choice.resolution),
    )
    values = [
        pl.when(pl.col(name).is_not_null()).then(pl.format(f"{name}: {{}} ({{}})", "by", "why"))
        for name in enrichment.columns
    ]
    text = given.select(pl.concat_str(values, separator=_APART, ignore_nulls=True)).to_series()
    place = np.full(won.height, -1)
    place[filled.keys] = np.arange(len(filled.keys))
    return text.gather(pl.Series(place).set(pl.Series(place < 0), None))


def _joined(told: Sequence[pl.Series]) -> pl.Series | None:
    """Return [keys] what was told of several enrichments; null where nothing was."""
    if not told:
        return None
    columns = pl.DataFrame([each.alias(str(number)) for number, each in enumerate(told)])
    is_any = pl.any_horizontal(pl.all().is_not_null())
    return columns.select(
        pl.when(is_any).then(pl.concat_str(pl.all(), separator=_APART, ignore_nulls=True))
    ).to_series()

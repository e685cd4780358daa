"""What counted of a feed at every moment: each key's words in the order in which one took the other's place.

What belongs here: replaying the choice among sources, moment by moment, for feeds whose earlier plans models learn
from. What does not: the order between sources as such (choice), or the newest word alone (fusion).

That a source said its word again is not replayed: a source counts as fresh as it was when it said something new.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from forecast_assets.contracts import Contract
from forecast_assets.contracts.confirmations import word_key
from forecast_assets.core.arrays import Ints
from forecast_assets.core.numbering import number_keys
from forecast_assets.history.choice import NEVER, SourceCells, choose


def words_in_turn(contract: Contract, rows: pl.DataFrame) -> pl.DataFrame:
    """Return which word of each key counted from when on.

    Args:
        contract: Of the feed.
        rows: Everything that was said: the feed's columns, `source` and `trust`, in any order.

    Returns:
        The feed's columns, sorted by key and `known_at`, at most one row of a key and moment: the values of the word
        that counted from then on.
    """
    key, values = word_key(contract), [name for name in contract.names if name not in contract.key]
    # Of what a source says twice at one moment the larger counts, as in fusion.
    ordered = rows.sort(*key, "known_at", "source", "trust", *values, nulls_last=False)
    if ordered["source"].n_unique() > 1:
        winner = pl.Series(_winners(ordered, key, values))
        ordered = ordered.with_columns(ordered.select(pl.col(values).gather(winner)))
    return ordered.select(contract.names).unique([*key, "known_at"], keep="last", maintain_order=True)


def _winners(rows: pl.DataFrame, key: list[str], values: list[str]) -> Ints:
    """[w] Of each word, in their order, the row of the word of its key that counts once it has been said."""
    names = rows["source"].unique().sort()
    source = rows["source"].replace_strict(names, pl.int_range(len(names), eager=True)).cast(pl.Int64).to_numpy()
    numbered = rows.select(number=number_keys(rows, key).cast(pl.Int64))
    number = numbered["number"].to_numpy()
    turn = numbered.select(pl.int_range(pl.len()).over("number")).to_series().to_numpy()
    known_at, trust = rows["known_at"].to_physical().to_numpy(), rows["trust"].to_numpy()
    shape = int(number.max()) + 1, len(names)
    row, heard, trusted = np.zeros(shape, np.int64), np.full(shape, NEVER), np.zeros(shape)
    winner = np.empty(rows.height, np.int64)
    said = rows.select(values)
    for at in range(int(turn.max()) + 1):
        now = np.flatnonzero(turn == at)
        cells = number[now], source[now]
        row[cells], heard[cells], trusted[cells] = now, known_at[now], trust[now]
        told = SourceCells(row, heard, trusted, np.zeros(shape, np.bool_)).of(number[now])
        choice = choose(told, told.has_row, said)
        winner[now] = told.row[np.arange(len(now)), choice.source]
    return winner


def first_cutoff(known_at: pl.Expr, lag: timedelta) -> pl.Expr:
    """Return the first day whose run knows a row.

    Args:
        known_at: When the row became known.
        lag: How long after the end of its day a run is made.

    Example:
        >>> from datetime import UTC, datetime
        >>> known_at = [datetime(2025, 7, 1, hour, tzinfo=UTC) for hour in (6, 7)]
        >>> found = pl.DataFrame({"known_at": known_at}).select(first_cutoff(pl.col("known_at"), timedelta(hours=6)))
        >>> found.to_series().to_list()
        [datetime.date(2025, 6, 30), datetime.date(2025, 7, 1)]
    """
    return (known_at - lag - timedelta(microseconds=1)).dt.date()

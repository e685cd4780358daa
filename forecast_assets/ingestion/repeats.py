"""Words that a source only says again: they are not stored anew, but that they were said again is.

What belongs here: telling repetitions from news, at the moment at which each was said, and what has to be stored of
them. What does not: other rules on batches (``intake``), or what a confirmation means for fusion
(``history.confirmed``).

A row repeats if the word of its source that stood at its moment is the same, trust included. So A, then B, then A again
is three words, in whatever order they come. A word that comes late, between a word and its repetition, would hide that
repetition: the repeated word is then stored too, at the moment at which it was said again.
"""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from forecast_assets.contracts import Contract
from forecast_assets.contracts.confirmations import (
    ALL,
    EXCEPT,
    LISTED,
    confirmations_contract,
    group_key,
    is_confirmable,
    word_key,
)
from forecast_assets.core.numbering import has_repeated_keys
from forecast_assets.history.confirmed import confirmed_moments
from forecast_assets.ingestion.batch import Batch

_PLACE: Final = pl.Int64
_STOOD: Final = "_stood"


@dataclass(frozen=True)
class Repeats:
    """What a batch says anew, and what again.

    Attributes:
        new: Rows to store.
        confirmations: Which words it said again, contract of the feed's confirmations; no rows if none.
        rows: How many of its rows only said a word again.
        reinstated: How many of the new rows are words that were said again after one that only comes now.
        said_at_once: Words that the source had said again at the very moment of one of the new rows.
    """

    new: pl.DataFrame
    confirmations: pl.DataFrame = field(default_factory=pl.DataFrame)
    rows: int = 0
    reinstated: int = 0
    said_at_once: pl.DataFrame = field(default_factory=pl.DataFrame)


@dataclass(frozen=True)
class RepeatedSince:
    """Words that were said again since something else was said, or since they are not to count, as rows of the feed.

    Attributes:
        first: As they were said again for the first time since; where another row hides them, these are to be stored.
        later: As they were said again after that.
        at_once: As they were said again at the very moment.
    """

    first: pl.DataFrame
    later: pl.DataFrame
    at_once: pl.DataFrame


def without_repeats(batch: Batch, fresh: pl.DataFrame, stored: pl.LazyFrame, confirmed: pl.LazyFrame | None) -> Repeats:
    """Tell news from repetitions.

    Args:
        batch: What came.
        fresh: Its rows that are not stored as they are.
        stored: What its source had said of the same days, with `trust` and `batch_number`.
        confirmed: What it had said again of them, likewise; None if nothing.
    """
    if not is_confirmable(batch.contract) or fresh.is_empty():
        return Repeats(fresh)
    key = word_key(batch.contract)
    own = stored.join(fresh.lazy().select(key).unique(), on=key, how="semi")
    held = own.select(*batch.contract.names, "trust", pl.col("batch_number").cast(_PLACE)).collect(engine="streaming")
    is_many = has_repeated_keys(fresh, key)
    if held.is_empty() and not is_many:
        return Repeats(fresh)
    said = _beside_standing(batch, fresh.with_row_index("word"), held, is_many=is_many)
    values = [name for name in batch.said_columns if name not in batch.contract.key]
    is_same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name + _STOOD)) for name in (*values, "trust"))
    is_repeat = is_same & pl.col("known_at" + _STOOD).is_not_null()
    again, news = said.filter(is_repeat), said.filter(~is_repeat)
    replaced = _replaced(batch, news, held, fresh)
    hidden = repeated_since(batch.contract, replaced, confirmed, source=batch.source)
    new = pl.concat([news.sort("word").select(batch.contract.names), hidden.first])
    confirmations = _confirmations(batch, again, new, stored, hidden.later)
    return Repeats(new, confirmations, again.height, hidden.first.height, hidden.at_once)


def _beside_standing(batch: Batch, fresh: pl.DataFrame, held: pl.DataFrame, *, is_many: bool) -> pl.DataFrame:
    """Return new rows, each beside the word that stood when it was said, if there was one.

    Args:
        batch: What came.
        fresh: Its rows that are not stored as they are, with a `word` each.
        held: What its source had said of their keys.
        is_many: Whether the rows say several things of a key, so that one of them may be the word that stood.
    """
    new = fresh.with_columns(trust=pl.lit(batch.trust), batch_number=pl.lit(None, _PLACE)).sort("known_at", "word")
    said = _before(batch, new, held)
    if not is_many:
        return said
    among_new = _before(batch, new, new.drop("word"), or_then=False)
    stood = "known_at" + _STOOD
    is_newer = (among_new[stood] > said[stood]) | (said[stood].is_null() & among_new[stood].is_not_null())
    is_newer = is_newer.fill_null(value=False)
    return pl.concat([said.filter(~is_newer), among_new.filter(is_newer)])


def _before(batch: Batch, new: pl.DataFrame, words: pl.DataFrame, *, or_then: bool = True) -> pl.DataFrame:
    """Return rows, each beside the last word of its key that was said before, or also at the same moment."""
    earlier = words.sort("known_at", "trust").with_columns(pl.col("known_at").alias("known_at" + _STOOD))
    # Both are sorted, which is not checked within keys.
    return new.join_asof(
        earlier,
        on="known_at",
        by=word_key(batch.contract),
        suffix=_STOOD,
        allow_exact_matches=or_then,
        check_sortedness=False,
    )


def _replaced(batch: Batch, news: pl.DataFrame, held: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """Return the held words that news replace, with `word`, the row that does, and when that and the next were said."""
    key = word_key(batch.contract)
    values = [name for name in batch.contract.names if name not in batch.contract.key]
    replaced = news.drop_nulls("batch_number" + _STOOD).select(
        *key,
        "word",
        "known_at",
        pl.col("batch_number" + _STOOD).alias("batch_number"),
        *(pl.col(name + _STOOD).alias(name) for name in values),
    )
    every = pl.concat([words.select(*key, "known_at") for words in (held, fresh)])
    return next_said(batch.contract, replaced, every)


def next_said(contract: Contract, words: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Return words with `next_known_at`, when something was next said of the same; null where nothing was.

    Args:
        contract: Of the feed.
        words: With `known_at`.
        every: The key and `known_at` of all that was said.
    """
    key = word_key(contract)
    later = every.join(words, on=key, how="semi").sort("known_at")
    return words.sort("known_at").join_asof(
        later.select(*key, "known_at", next_known_at="known_at"),
        on="known_at",
        by=key,
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )


def repeated_since(
    contract: Contract, words: pl.DataFrame, confirmed: pl.LazyFrame | None, *, source: str
) -> RepeatedSince:
    """Return how words were said again, from `known_at` until the next word of the same.

    Args:
        contract: Of the feed.
        words: `word`, the feed's columns, `batch_number` and `next_known_at`.
        confirmed: What the source said again, with `batch_number`; None if nothing.
        source: Whose words they are.
    """
    names = contract.names
    if confirmed is None or words.is_empty():
        none = pl.DataFrame(schema=contract.schema)
        return RepeatedSince(none, none, none)
    said = confirmed.filter(pl.col("known_at") >= words["known_at"].min()).collect()
    asked = words.select(*word_key(contract), "word", "batch_number", source=pl.lit(source))
    moments = words.join(confirmed_moments(asked, said, contract).unique(), on="word").sort("word", "said_at")
    is_past = (pl.col("said_at") >= pl.col("next_known_at")).fill_null(value=False)
    after = moments.filter(pl.col("said_at") > pl.col("known_at"), ~is_past)
    is_first = pl.col("word").is_first_distinct()
    parts = after.filter(is_first), after.filter(~is_first), moments.filter(pl.col("said_at") == pl.col("known_at"))
    return RepeatedSince(*(part.with_columns(known_at="said_at").select(names) for part in parts))


def _confirmations(
    batch: Batch, again: pl.DataFrame, news: pl.DataFrame, stored: pl.LazyFrame, later: pl.DataFrame
) -> pl.DataFrame:
    """Return what to store of words that were said again, in as few rows as it can be said.

    Args:
        batch: What came.
        again: Its rows that only repeat.
        news: Its rows that do not.
        stored: What its source had said of the same days.
        later: Words that are stored anew, as they were said again after that.
    """
    key, group = word_key(batch.contract), group_key(batch.contract)
    moments = again.select(*group, "known_at").unique(maintain_order=True)
    silent = _silent(batch, moments, news, stored) if again.height else again.select(*key, "known_at")
    is_shorter = _counted(moments, silent) <= _counted(moments, again)
    whole, single = moments.filter(is_shorter), moments.filter(~is_shorter)
    left_out = silent.join(whole, on=whole.columns, how="semi")
    listed = again.join(single, on=single.columns, how="semi")
    told = [
        whole.with_columns(scope=pl.lit(ALL)),
        left_out.with_columns(scope=pl.lit(EXCEPT)),
        *(listed_confirmations(batch.contract, some) for some in (listed, later)),
    ]
    return _as_confirmations(batch.contract, told)


def listed_confirmations(contract: Contract, words: pl.DataFrame) -> pl.DataFrame:
    """Return what to store of words that were said again, one by one: rows with the feed's key, at that moment."""
    return _as_confirmations(contract, [words.select(*word_key(contract), "known_at", scope=pl.lit(LISTED))])


def _as_confirmations(contract: Contract, told: list[pl.DataFrame]) -> pl.DataFrame:
    schema = confirmations_contract(contract.name).schema
    found = pl.concat([pl.DataFrame(schema=schema), *told], how="diagonal").select(list(schema)).unique()
    return found.sort(list(dict.fromkeys(("event_date", "known_at", *schema))))


def _silent(batch: Batch, moments: pl.DataFrame, news: pl.DataFrame, stored: pl.LazyFrame) -> pl.DataFrame:
    """Return the words of some days (and stores) that stood at a moment and were not said then: key and `known_at`."""
    key, group = word_key(batch.contract), group_key(batch.contract)
    every = pl.concat([stored.select(*key, "known_at"), news.lazy().select(*key, "known_at")])
    days = moments.lazy().select(group).unique()
    first = every.join(days, on=group, how="semi").group_by(key).agg(said_first=pl.col("known_at").min()).collect()
    stood = first.join(moments, on=group).filter(pl.col("said_first") <= pl.col("known_at"))
    return stood.join(batch.frame, on=[*key, "known_at"], how="anti").select(*key, "known_at")


def _counted(moments: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
    """Return how many of some rows each day (and store) has at each moment."""
    counts = rows.group_by(moments.columns).len()
    return moments.join(counts, on=moments.columns, how="left", maintain_order="left")["len"].fill_null(0)

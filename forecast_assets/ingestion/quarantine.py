"""Rows that are set aside, so that one of them need not cost the whole delivery.

What belongs here: which rows of a batch break which rule, what is kept of them, and how they are released. What does
not: which sources want it (their mapping says so), or whether a run may go on without them (snapshots.readiness).

What is set aside is a batch of the feed `quarantined_rows`: recorded with the others of its ingest, named by snapshots,
never changed. A row counts as settled once its source has a word on the same key, be it sent right or released.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from forecast_assets.contracts import FEEDS, QUARANTINED_ROWS, Contract
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.history import History
from forecast_assets.history.moments import midnight
from forecast_assets.history.quarantined import quarantined_rows, with_state
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.days import is_far_from_all_others, is_in_the_future, is_known_too_early
from forecast_assets.ingestion.findings import LAST_DAY, FeedFinding, questions
from resources.ledger.entries.ingest import BatchRecord
from resources.stores.observations import ObservationStore

_SERIES: Final = ("sku_id", "store_id")
Reason = tuple[pl.Series, str]


@dataclass(frozen=True)
class Sifted:
    """A batch without the rows that were set aside.

    Attributes:
        batch: What is left.
        aside: Contract `quarantined_rows`; None where no row was set aside.
    """

    batch: Batch
    aside: pl.DataFrame | None = None


def sift(batch: Batch, last_day: date, further: Iterable[Reason] = ()) -> Sifted:
    """Set aside the rows that break a rule, if the batch's source wants that.

    Args:
        batch: As read.
        last_day: The last day that has begun anywhere.
        further: More reasons: [rows] which rows, and what is wrong with them.
    """
    if batch.quarantine is None or dict(batch.frame.schema) != batch.contract.schema or batch.frame.is_empty():
        return Sifted(batch)
    repeated = (batch.frame.select(batch.contract.key).is_duplicated(), "its key comes more than once")
    reasons = _reasons(batch, [*_of_rules(batch, last_day), repeated, *further])
    is_bad = reasons.is_not_null()
    if not is_bad.any():
        return Sifted(batch)
    aside = _set_aside(batch, reasons, is_bad)
    numbers = batch.row_numbers
    left = replace(
        batch,
        frame=batch.frame.filter(~is_bad),
        row_numbers=None if numbers is None else numbers.filter(~is_bad),
        unreadable=None,
        days_aside=aside.filter("has_day").select(*_SERIES, "event_date").drop_nulls(),
        findings=(*(each for each in batch.findings if not _is_settled(each)), _finding(batch, aside)),
    )
    return Sifted(left, aside)


def broken_rules(batch: Batch, last_day: date) -> pl.Series:
    """[rows] What is wrong with each row by itself, in words; null where nothing is.

    Args:
        batch: Its frame has the contract's columns and types.
        last_day: The last day that has begun anywhere.
    """
    return _reasons(batch, _of_rules(batch, last_day))


def _is_settled(finding: FeedFinding) -> bool:
    """Whether a finding of the reader is about rows that were set aside."""
    return finding.kind == "unreadable"


def _of_rules(batch: Batch, last_day: date) -> list[Reason]:
    """[rows] For each rule, which rows break it, and its words."""
    frame = batch.frame
    asked = {
        f"`{column.name}` {words}": test.fill_null(value=False)
        for column in batch.contract.columns
        for kind, (test, words) in questions(column)
        if kind != "missing values"
    }
    # Of a value that could not be read more is said already.
    told = pl.lit("" if batch.unreadable is None else batch.unreadable.fill_null(""))
    for column in batch.contract.columns:
        if not column.nullable:
            is_told = told.str.contains(f"`{column.name}` cannot", literal=True)
            asked[f"`{column.name}` is missing"] = pl.col(column.name).is_null() & ~is_told
    broken = frame.select(**asked) if asked else pl.DataFrame()
    return [
        *((broken[words], words) for words in asked),
        (is_in_the_future(batch, last_day), "its day has not been yet"),
        (is_far_from_all_others(batch), "its day is years away from all others of its file"),
        (is_known_too_early(batch), "known before its day began"),
    ]


def _reasons(batch: Batch, broken: Sequence[Reason]) -> pl.Series:
    """[rows] What is wrong with each row, in words; null where nothing is."""
    unreadable = pl.Series([None], dtype=pl.String).new_from_index(0, batch.frame.height)
    told = [pl.lit(unreadable if batch.unreadable is None else batch.unreadable)]
    told += [pl.when(pl.lit(test)).then(pl.lit(words)) for test, words in broken if test.any()]
    text = pl.concat_str(told, separator="; ", ignore_nulls=True)
    return pl.select(pl.when(text != "").then(text)).to_series()


def _set_aside(batch: Batch, reasons: pl.Series, is_bad: pl.Series) -> pl.DataFrame:
    assert batch.quarantine is not None
    numbers = batch.row_numbers
    if numbers is None:
        numbers = pl.int_range(1, batch.frame.height + 1, eager=True)
    rows = batch.frame.with_columns(row_number=numbers.cast(pl.Int64), reasons=reasons).filter(is_bad)
    days = batch.frame.filter(~is_bad)["event_date"].drop_nulls()
    last = days.max() if not days.is_empty() else batch.frame["event_date"].max()
    day = pl.col("event_date").fill_null(pl.lit(last, pl.Date))
    known = pl.coalesce("known_at", midnight(day + timedelta(days=1)) + batch.declared_lag)
    content = pl.struct(pl.col(batch.contract.names)).struct.json_encode()
    told = {name: pl.col(name) if name in rows.columns else pl.lit(None, pl.String) for name in _SERIES}
    aside = rows.with_columns(content=content, has_day=pl.col("event_date").is_not_null()).with_columns(
        of_feed=pl.lit(batch.feed),
        delivery=pl.lit(batch.delivery or batch.source),
        event_date=day,
        known_at=known,
        tolerated_rows=pl.lit(batch.quarantine.rows, pl.Int64),
        tolerated_percent=pl.lit(batch.quarantine.percent, pl.Float64),
        **told,
    )
    # A file without a single readable day says nothing of any day.
    return aside.select(QUARANTINED_ROWS.names).drop_nulls("event_date").sort("event_date", "row_number")


def _finding(batch: Batch, aside: pl.DataFrame) -> FeedFinding:
    shown = first_ten(f"row {row} ({why})" for row, why in aside.select("row_number", "reasons").iter_rows())
    return FeedFinding(
        batch.feed,
        "quarantined",
        is_error=False,
        rows=aside.height,
        message=f"{batch.delivery or batch.source}: {aside.height:,} rows are set aside: {shown}",
        remedy="Send them right, or look at them and release them; a run of their day waits unless the mapping "
        "tolerates so many.",
    )


# --- what is held ---


def held_rows(store: ObservationStore, batches: Sequence[BatchRecord]) -> pl.DataFrame:
    """Return the quarantined rows of some batches as they stand now, with their `batch_id`, `source` and `is_open`.

    A row is open until its source has a word on its SKU, store and day; one without them until its batch is taken back.
    """
    every = History(store, tuple(batches), LAST_DAY, datetime.combine(LAST_DAY, datetime.max.time(), UTC))
    rows = [
        quarantined_rows(replace(every, batches=(batch,))).with_columns(batch_id=pl.lit(batch.batch_id))
        for batch in batches
        if batch.feed == QUARANTINED_ROWS.name
    ]
    if not rows:
        return quarantined_rows(every).with_columns(batch_id=pl.lit(None, pl.String))
    return with_state(every, pl.concat(rows).drop("is_open"))


def released_batch(record: BatchRecord, rows: pl.DataFrame) -> Batch:
    """Return quarantined rows as a batch of their feed, as they were read.

    Args:
        record: The batch that holds them.
        rows: Contract `quarantined_rows`, of one feed.

    Raises:
        InputError: If a row lacks what its feed needs, so that there is nothing to release.
    """
    contract = FEEDS[rows["of_feed"][0]]
    frame = _decoded(contract, rows["content"])
    required = [column.name for column in contract.columns if not column.nullable]
    lacking = rows.filter(frame.select(pl.any_horizontal(pl.col(required).is_null())).to_series())
    if lacking.height:
        raise InputError(
            f"Rows {first_ten(lacking['row_number'])} of {lacking['delivery'][0]} cannot be released: "
            f"{first_ten(lacking['reasons'])}.",
            remedy=Sentence(
                "Have the source send them right; or, if nothing is to come of them, take the batch back: ",
                Action("ingest retract", {"by": "NAME", "reason": "TEXT"}, on=(record.batch_id[:12],)),
                ".",
            ),
        )
    lag = timedelta(hours=record.declared_lag_hours)
    sorted_rows = frame.sort("event_date")
    return Batch(contract.name, record.source, record.trust, lag, sorted_rows, delivery=rows["delivery"][0])


def _decoded(contract: Contract, content: pl.Series) -> pl.DataFrame:
    return content.str.json_decode(pl.Struct(contract.schema)).struct.unnest().select(contract.names)

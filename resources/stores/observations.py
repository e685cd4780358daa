"""Append-only batches of what sources said, and when it was known.

What belongs here: writing batches, recording them in the ledger, scanning those that a reader names.
What does not: reading source formats, or deciding which of two sources is right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import accumulate, pairwise
from typing import Final

import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.contracts.confirmations import spoken_feed
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ChangedFileError, NotReadyError, first_ten
from forecast_assets.core.numbering import has_repeated_keys
from forecast_assets.core.spans import concerns
from resources.ledger.entries.ingest import INGEST, Batches, BatchRecord, Ingest, ReadRange
from resources.ledger.entries.retract import RETRACT, Retraction, Retractions
from resources.ledger.log import Ledger
from resources.store.blobs import BlobStore, sha256
from resources.store.parquet import to_parquet
from resources.stores.moments import PLANNED, SILENT_DAYS, Moments, moments_of

# Columns that feeds got after batches of them had been stored. A file in which such a column would hold nothing lacks
# it, so that the same rows are the same bytes as before, and older files are read as saying nothing there.
LATER_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "stock_status": ("out_of_stock_demand_share",), "events": ("event_kind",),
}  # fmt: skip


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        added: Batches that are new.
        known: Batches that were there already, byte for byte.
        sequence: Ledger entry that made the new ones visible; None if there was nothing new.
    """

    added: tuple[BatchRecord, ...]
    known: tuple[BatchRecord, ...]
    sequence: int | None


class ObservationStore:
    """Observation batches: content-addressed files plus ledger entries that name them."""

    def __init__(self, blobs: BlobStore, ledger: Ledger) -> None:
        self._blobs = blobs
        self._ledger = ledger

    def write(
        self,
        frame: pl.DataFrame,
        *,
        feed: str,
        source: str,
        trust: float,
        declared_lag: timedelta,
        listed_days: int | None = None,
    ) -> BatchRecord:
        """Write one batch; it stays invisible until ``record`` names it."""
        record, data = self.describe(
            frame, feed=feed, source=source, trust=trust, declared_lag=declared_lag, listed_days=listed_days
        )
        self.put(record, data)
        return record

    def put(self, record: BatchRecord, data: bytes) -> None:
        """Write the file of a batch that was described."""
        self._blobs.create_addressed(record.path, data)

    def describe(
        self,
        frame: pl.DataFrame,
        *,
        feed: str,
        source: str,
        trust: float,
        declared_lag: timedelta,
        listed_days: int | None = None,
    ) -> tuple[BatchRecord, bytes]:
        """Return what the ledger would say of a batch, and the bytes of its file; nothing is written."""
        data = to_parquet(_without_empty_later_columns(feed, frame))
        name = sha256(data)
        path = f"observations/{feed}/{name}.parquet"
        spans = frame.select(
            first_event_date=pl.col("event_date").min(),
            last_event_date=pl.col("event_date").max(),
            first_known_at=pl.col("known_at").min(),
            last_known_at=pl.col("known_at").max(),
        ).row(0, named=True)
        hours = declared_lag / timedelta(hours=1)
        record = BatchRecord(
            name,
            feed,
            source,
            trust,
            hours,
            path,
            frame.height,
            **spans,
            is_single_word=_has_one_row_per_key_and_day(feed, frame),
            listed_days=listed_days,
        )
        return record, data

    def record(
        self,
        batches: Sequence[BatchRecord],
        *,
        judged_at: int | None = None,
        by: str = "",
        reason: str = "",
        read: Sequence[ReadRange] = (),
    ) -> IngestReport:
        """Make batches visible in one ledger entry; those already there are left alone.

        The first ingest of a store fixes its start date: the first day of its sales.

        Args:
            batches: Batches that were written.
            judged_at: Ledger entry up to which they were compared with what their sources had said; None if they were
                not compared.
            by: Who decided, where a person says it rather than a source.
            reason: Why, likewise.
            read: Messages that they were made from.

        Raises:
            LostRaceError: If since then another ingest recorded something else of a feed, a source and days of theirs.
        """
        present = self._ledger.state().batches
        known = tuple(batch for batch in batches if batch.batch_id in present)
        added = tuple(batch for batch in batches if batch.batch_id not in present)
        if not added:
            return IngestReport((), known, None)
        ingest = Ingest(added, self._start(added), by=by, reason=reason, read=tuple(read))
        admit = partial(INGEST.admit, ingest, judged_at=judged_at)
        concerns(*(f"ingest/{batch.batch_id}" for batch in added))
        entry = self._ledger.append(INGEST.name, INGEST.body(ingest), admit, names=[batch.path for batch in added])
        return IngestReport(tuple(replace(b, sequence=entry.sequence) for b in added), known, entry.sequence)

    def _start(self, batches: Iterable[BatchRecord]) -> date | None:
        """Return the first day of the store, if these batches are those that fix it."""
        first_days = [batch.first_event_date for batch in batches if batch.feed == "sales"]
        return None if self._ledger.state().start_date is not None else min(first_days, default=None)

    def sequence(self) -> int:
        """Return the newest ledger entry."""
        return self._ledger.state().sequence

    def batches(self) -> list[BatchRecord]:
        """Return the batches that count, in the order in which they were recorded: all but those taken back."""
        return self._ledger.state().part(Batches).current()

    def retractions(self) -> Mapping[str, Retraction]:
        """Return the last word on each batch that was ever taken back, by its id."""
        return self._ledger.state().part(Retractions).newest()

    def retract(self, batch_id: str, *, by: str, reason: str, counts_again: bool = False) -> Retraction:
        """Take a batch back: snapshots that are made from now on leave it out, while those that name it stay.

        Args:
            batch_id: Which batch.
            by: Who decides.
            reason: Why.
            counts_again: Undo an earlier retraction instead.

        Raises:
            InputError: If there is no such batch, if this is so already, or if who or why is missing.
        """
        retraction = Retraction(batch_id, by, reason, counts_again)
        entry = self._ledger.append(RETRACT.name, RETRACT.body(retraction), partial(RETRACT.admit, retraction))
        return replace(retraction, sequence=entry.sequence, recorded_at=entry.recorded_at)

    def numbers(self) -> Mapping[str, int]:
        """Return the place of each recorded batch in the ledger, by its id, whether it counts or was taken back."""
        return self._ledger.state().part(Batches).numbers()

    def named(self, batch_ids: Iterable[str]) -> list[BatchRecord]:
        """Return the recorded batches with these ids, as a snapshot's manifest lists them.

        Raises:
            ChangedFileError: If the ledger does not know one of them.
        """
        present, wanted = self._ledger.state().batches, list(batch_ids)
        unknown = [name for name in wanted if name not in present]
        if unknown:
            raise ChangedFileError(
                f"The ledger does not know the batches {first_ten(unknown)}.",
                remedy="Restore the ledger folder from a backup.",
                batches=unknown,
            )
        return [present[name] for name in wanted]

    def path(self, batch: BatchRecord) -> str:
        """Return the file of a batch, for readers that scan files."""
        return str(self._blobs.local(batch.path))

    def verify(self, batch: BatchRecord) -> None:
        """Re-hash a batch's file.

        Raises:
            ChangedFileError: If it is missing or changed.
        """
        if not self._blobs.is_intact(batch.path, batch.sha256):
            raise ChangedFileError(
                f"`{self._blobs.place(batch.path)}` changed after it was written.",
                remedy="Restore it from a backup.",
                path=batch.path,
            )

    def known_until(self, prediction_date: date) -> datetime:
        """Return the default moment of knowledge of a run: of its feeds, the latest one."""
        return self.moments(prediction_date).known_until

    def moments(self, prediction_date: date) -> Moments:
        """Return the default moments of knowledge of a date, feed by feed."""
        return moments_of(prediction_date, self.batches())

    def last_known_at(self, batch: BatchRecord) -> datetime:
        """Return when the last row of a batch became known."""
        return batch.last_known_at or self._last_known_at(batch, batch.last_event_date)

    def newest_knowledge(self, prediction_date: date) -> datetime:
        """Return when the newest word on the days up to a date became known; plans of later days do not count.

        Raises:
            NotReadyError: If nobody has said anything of these days.
        """
        said = [batch for batch in self.batches() if batch.first_event_date <= prediction_date + _told_later(batch)]
        if not said:
            raise NotReadyError(
                f"Nothing of the days up to {prediction_date} has been ingested.",
                remedy=Sentence("Ingest first: ", Action("ingest simulated", on=("DIR",)), "."),
                prediction_date=prediction_date,
            )
        is_over = [batch.last_event_date <= prediction_date for batch in said]
        newest = max(
            (self.last_known_at(batch) for batch, over in zip(said, is_over, strict=True) if over),
            default=min(batch.first_known_at for batch in said),
        )
        for batch, over in zip(said, is_over, strict=True):
            if not over and self.last_known_at(batch) > newest:
                newest = max(newest, self._last_known_at(batch, prediction_date + _told_later(batch)))
        return newest

    def _last_known_at(self, batch: BatchRecord, until: date) -> datetime:
        rows = pl.scan_parquet(self._blobs.local(batch.path), glob=False).filter(pl.col("event_date") <= until)
        found: datetime = rows.select(pl.col("known_at").max()).collect().item()
        return found

    def _last_event_date(self, batch: BatchRecord, until: date | None) -> date | None:
        days = pl.scan_parquet(self._blobs.local(batch.path), glob=False).select("event_date")
        found: date | None = days.filter(pl.col("event_date") <= until).max().collect().item()
        return found

    def as_known(self, prediction_date: date, known: datetime | Moments) -> list[BatchRecord]:
        """Return the batches that a snapshot reads: those with a word on its days that was known in time.

        Batches that came later are left out, so that the same snapshot follows today and tomorrow.

        Args:
            prediction_date: The date.
            known: By when it had to be known: one moment for all feeds, or each feed's own.
        """
        moments = Moments(known) if isinstance(known, datetime) else known
        return [
            batch
            for batch in self.batches()
            if batch.first_known_at <= moments.of(spoken_feed(batch.feed))
            and (batch.first_event_date <= prediction_date + _told_later(batch) or spoken_feed(batch.feed) in PLANNED)
        ]

    def scan(
        self,
        batches: Iterable[BatchRecord],
        feed: str,
        *,
        since: date | None = None,
        until: date | None = None,
        numbers: Mapping[str, int] | None = None,
    ) -> pl.LazyFrame | None:
        """Scan one feed's rows of the named batches, with `source` and `trust`; None if no batch has the feed.

        Args:
            batches: Which batches may be read; nothing else is.
            feed: Feed name.
            since: First event date to read.
            until: Last event date to read.
            numbers: Places of the batches, which rows get as `batch_number`.
        """
        frames = [
            self._scan_file(batch).with_columns(
                source=pl.lit(batch.source),
                trust=pl.lit(batch.trust),
                **({} if numbers is None else {"batch_number": pl.lit(numbers[batch.batch_id])}),
            )
            for batch in sorted(batches, key=lambda batch: batch.batch_id)
            if batch.feed == feed and batch.overlaps(since, until)
        ]
        if not frames:
            return None
        rows = pl.concat(frames)
        if since is not None:
            rows = rows.filter(pl.col("event_date") >= since)
        return rows if until is None else rows.filter(pl.col("event_date") <= until)

    def _scan_file(self, batch: BatchRecord) -> pl.LazyFrame:
        path = self._blobs.local(batch.path)
        if batch.feed not in LATER_COLUMNS:
            return pl.scan_parquet(path, glob=False)
        return pl.scan_parquet(path, glob=False, schema=FEEDS[batch.feed].schema, missing_columns="insert")

    def newest_day(self, feed: str, *, until: date | None = None) -> date:
        """Return the last event date of a feed.

        Args:
            feed: Feed.
            until: Last day that counts; None for all days, also those that have not been.

        Raises:
            NotReadyError: If nothing of the feed, or of its days until then, has been ingested.
        """
        batches = [batch for batch in self.batches() if batch.feed == feed and batch.overlaps(None, until)]
        days = [batch.last_event_date for batch in batches if until is None or batch.last_event_date <= until]
        beyond = [batch for batch in batches if until is not None and batch.last_event_date > until]
        days += [day for batch in beyond if (day := self._last_event_date(batch, until)) is not None]
        if not days:
            has_some = any(batch.feed == feed for batch in self.batches())
            of_days = f" of days up to {until}" if until is not None and has_some else ""
            raise NotReadyError(
                f"Nothing of the feed `{feed}`{of_days} has been ingested.",
                remedy=Sentence(
                    "Ingest first: ",
                    Action("ingest simulated", on=("DIR",)),
                    ", or: ingest freshretailnet DIR.",
                ),
                feed=feed,
            )
        return max(days)


def _told_later(batch: BatchRecord) -> timedelta:
    """Return how long after a day a batch may still tell what silence of its source means on it."""
    return timedelta(days=SILENT_DAYS if batch.feed == "sales" and batch.listed_days is not None else 0)


def contested_days(batches: Iterable[BatchRecord]) -> list[tuple[date, date]]:
    """Return the spans of days, first and last, on which a key may have more than one row.

    These are the days that several of the batches share, and all days of a batch that may say several things of a key.
    On all other days nothing is to be decided, so that rows can be read as they are.

    Args:
        batches: Of one feed.
    """
    changes: dict[date, int] = {}
    for batch in batches:
        words = 1 if batch.is_single_word else 2
        after = batch.last_event_date + timedelta(days=1)
        changes[batch.first_event_date] = changes.get(batch.first_event_date, 0) + words
        changes[after] = changes.get(after, 0) - words
    days = sorted(changes)
    words_from = dict(zip(days, accumulate(changes[day] for day in days), strict=True))
    spans: list[tuple[date, date]] = []
    for day, following in pairwise(days):
        if words_from[day] > 1:
            is_next = bool(spans) and spans[-1][1] + timedelta(days=1) == day
            since = spans.pop()[0] if is_next else day
            spans.append((since, following - timedelta(days=1)))
    return spans


def _without_empty_later_columns(feed: str, frame: pl.DataFrame) -> pl.DataFrame:
    later = [name for name in LATER_COLUMNS.get(feed, ()) if name in frame.columns]
    return frame.drop(name for name in later if frame[name].null_count() == frame.height)


def _has_one_row_per_key_and_day(feed: str, frame: pl.DataFrame) -> bool:
    key = [name for name in FEEDS[feed].key if name != "known_at"] if feed in FEEDS else []
    return "event_date" in key and not has_repeated_keys(frame, key)

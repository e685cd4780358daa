"""Append-only batches of what sources said, and when it was known.

What belongs here: writing batches, recording them in the ledger, scanning those that a reader names.
What does not: reading source formats, or deciding which of two sources is right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

from forecast_assets.errors import ChangedFileError, NotReadyError, first_ten
from resources.blobs import BlobStore, sha256
from resources.ledger import BatchRecord, Ledger, LedgerState
from resources.parquet import to_parquet

# Feeds whose rows after the cutoff are plans, known ahead.
PLANNED: Final = frozenset({"prices", "events"})


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
        self, frame: pl.DataFrame, *, feed: str, source: str, trust: float, declared_lag: timedelta
    ) -> BatchRecord:
        """Write one batch; it stays invisible until ``record`` names it."""
        data = to_parquet(frame)
        name = sha256(data)
        path = f"observations/{feed}/{name}.parquet"
        self._blobs.create_addressed(path, data)
        spans = frame.select(
            first=pl.col("event_date").min(), last=pl.col("event_date").max(), known=pl.col("known_at").min()
        ).row(0)
        hours = declared_lag / timedelta(hours=1)
        return BatchRecord(name, feed, source, trust, hours, path, frame.height, *spans)

    def record(self, batches: Sequence[BatchRecord]) -> IngestReport:
        """Make batches visible in one ledger entry; those already there are left alone.

        The first ingest of a store fixes its start date: the first day of its sales.
        """
        present = self._ledger.state().batches
        known = tuple(batch for batch in batches if batch.batch_id in present)
        added = tuple(batch for batch in batches if batch.batch_id not in present)
        if not added:
            return IngestReport((), known, None)
        body = {"batches": [batch.body() for batch in added], **self._start(added)}
        entry = self._ledger.append("ingest", body, _anything)
        return IngestReport(tuple(replace(b, sequence=entry.sequence) for b in added), known, entry.sequence)

    def _start(self, batches: Iterable[BatchRecord]) -> dict[str, str]:
        first_days = [batch.first_event_date for batch in batches if batch.feed == "sales"]
        if self._ledger.state().start_date is not None or not first_days:
            return {}
        return {"start_date": min(first_days).isoformat()}

    def batches(self) -> list[BatchRecord]:
        """Return all recorded batches in the order in which they were recorded."""
        return list(self._ledger.state().batches.values())

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
            )
        return [present[name] for name in wanted]

    def verify(self, batch: BatchRecord) -> None:
        """Re-hash a batch's file.

        Raises:
            ChangedFileError: If it is missing or changed.
        """
        if sha256(self._blobs.get(batch.path)) != batch.sha256:
            raise ChangedFileError(
                f"`{self._blobs.local(batch.path)}` changed after it was written.", remedy="Restore it from a backup."
            )

    def known_until(self, prediction_date: date) -> datetime:
        """Return the default knowledge time of a date: its end, plus the time until every feed has its first word.

        A feed's lag is that of its quickest source; slower sources correct it later.
        """
        lags: dict[str, float] = {}
        for batch in self.batches():
            if batch.feed in PLANNED:
                # Plans are known ahead; how late they are final says nothing of the days that are over.
                continue
            lags[batch.feed] = min(batch.declared_lag_hours, lags.get(batch.feed, batch.declared_lag_hours))
        end = datetime.combine(prediction_date + timedelta(days=1), time(), UTC)
        return end + timedelta(hours=max(lags.values(), default=0.0))

    def as_known(self, prediction_date: date, known_until: datetime) -> list[BatchRecord]:
        """Return the batches that a snapshot reads: those with a word on its days that was known in time.

        Batches that came later are left out, so that the same snapshot follows today and tomorrow.
        """
        return [
            batch
            for batch in self.batches()
            if batch.first_known_at <= known_until
            and (batch.first_event_date <= prediction_date or batch.feed in PLANNED)
        ]

    def scan(
        self,
        batches: Iterable[BatchRecord],
        feed: str,
        *,
        since: date | None = None,
        until: date | None = None,
    ) -> pl.LazyFrame | None:
        """Scan one feed's rows of the named batches, with `source` and `trust`; None if no batch has the feed.

        Args:
            batches: Which batches may be read; nothing else is.
            feed: Feed name.
            since: First event date to read.
            until: Last event date to read.
        """
        frames = [
            pl.scan_parquet(self._blobs.local(batch.path), glob=False).with_columns(
                source=pl.lit(batch.source), trust=pl.lit(batch.trust)
            )
            for batch in sorted(batches, key=lambda batch: batch.batch_id)
            if batch.feed == feed and _overlaps(batch, since, until)
        ]
        if not frames:
            return None
        rows = pl.concat(frames)
        if since is not None:
            rows = rows.filter(pl.col("event_date") >= since)
        return rows if until is None else rows.filter(pl.col("event_date") <= until)

    def newest_day(self, feed: str) -> date:
        """Return the last event date of a feed.

        Raises:
            NotReadyError: If nothing of the feed has been ingested.
        """
        days = [batch.last_event_date for batch in self.batches() if batch.feed == feed]
        if not days:
            raise NotReadyError(
                f"Nothing of the feed `{feed}` has been ingested.",
                remedy="Ingest first: forecast-assets ingest simulated DIR, or: ingest freshretailnet DIR.",
            )
        return max(days)


def _overlaps(batch: BatchRecord, since: date | None, until: date | None) -> bool:
    starts_too_late = until is not None and batch.first_event_date > until
    ends_too_early = since is not None and batch.last_event_date < since
    return not (starts_too_late or ends_too_early)


def _anything(state: LedgerState) -> None:
    """Admit an ingest after any entry: batches are content-addressed, so naming one twice changes nothing."""
    del state

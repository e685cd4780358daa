"""`ingest`: observation batches became readable.

What belongs here: all that is to be known of this kind of entry. What does not: writing batches, or reading them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from forecast_assets.core.errors import LostRaceError, first_ten
from forecast_assets.core.wording import counted
from resources.ledger.entries.audit import (
    RECORDED_AT,
    SEQUENCE,
    AuditColumn,
    AuditSource,
    AuditTable,
    AuditView,
    ColumnType,
    ComputedRows,
    TableView,
)
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, EntryLike, References, register_kind
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import EntryBody, canonical, with_known_fields


@dataclass(frozen=True)
class BatchRecord:
    """An observation batch as the ledger names it.

    The same bytes from two sources, or with another trust, are two batches in one file.

    Attributes:
        sha256: SHA-256 of the file.
        feed: What it is about.
        source: Who says so.
        trust: Of two sources that differ, the one with the higher trust is believed; 0 to 1.
        declared_lag_hours: Hours from the end of a day until the source speaks of it.
        path: The file, below the store.
        rows: Rows of the file.
        first_event_date: First day that it speaks of.
        last_event_date: Last day that it speaks of.
        first_known_at: When its first row became known.
        sequence: Ledger entry; 0 before it is recorded.
        last_known_at: When its last row became known. Not in the entries of the first release: there the file has to
            be asked.
        is_single_word: Whether no two rows say something of the same key and day, not even at different moments. Not
            known of old entries.
        listed_days: Where the source lists only what was sold, so that its silence means zero: days after its last
            sale on which an article is still listed. None where a missing row is a gap.
        delivery: Of confirmations, the id that a batch of all that was delivered with them would have had: it says
            nothing more when it comes again. Empty where that is not known.
    """

    sha256: str
    feed: str
    source: str
    trust: float
    declared_lag_hours: float
    path: str
    rows: int
    first_event_date: date
    last_event_date: date
    first_known_at: datetime
    sequence: int = 0
    last_known_at: datetime | None = None
    is_single_word: bool = False
    listed_days: int | None = None
    delivery: str = ""

    @property
    def batch_id(self) -> str:
        """What snapshots name: a hash over the file and over who says so, how trusted, how late, and how it is read."""
        silence = [] if self.listed_days is None else [{"listed_days": self.listed_days}]
        return hashlib.sha256(
            canonical([self.sha256, self.feed, self.source, self.trust, self.declared_lag_hours, *silence])
        ).hexdigest()

    def overlaps(self, since: date | None, until: date | None) -> bool:
        """Return whether the batch has days from `since` to `until`, each without a bound where it is None."""
        starts_too_late = until is not None and self.first_event_date > until
        ends_too_early = since is not None and self.last_event_date < since
        return not (starts_too_late or ends_too_early)

    def body(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "sha256": self.sha256,
            "feed": self.feed,
            "source": self.source,
            "trust": self.trust,
            "declared_lag_hours": self.declared_lag_hours,
            "path": self.path,
            "rows": self.rows,
            "first_event_date": self.first_event_date.isoformat(),
            "last_event_date": self.last_event_date.isoformat(),
            "first_known_at": self.first_known_at.isoformat(),
            **({} if self.last_known_at is None else {"last_known_at": self.last_known_at.isoformat()}),
            **({"is_single_word": True} if self.is_single_word else {}),
            **({} if self.listed_days is None else {"listed_days": self.listed_days}),
            **({"delivery": self.delivery} if self.delivery else {}),
        }

    @classmethod
    def read(cls, body: EntryBody, sequence: int) -> "BatchRecord":
        """Read the JSON form."""
        dates = {name: date.fromisoformat(body[name]) for name in ("first_event_date", "last_event_date")}
        moments = {
            name: datetime.fromisoformat(body[name]) for name in ("first_known_at", "last_known_at") if name in body
        }
        return with_known_fields(cls, {**body, **dates, **moments, "sequence": sequence})


@dataclass(frozen=True)
class ReadRange:
    """Messages of a topic that batches were made from.

    Attributes:
        topic: Of a broker.
        partition: Of the topic.
        first: Offset of the first message.
        last: Offset of the last one; all between were read too.
    """

    topic: str
    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.first}-{self.last}"


@dataclass(frozen=True)
class Ingest:
    """Batches were recorded together.

    Attributes:
        batches: The batches.
        start_date: First day of the store, in the first ingest with sales; None in all others.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        by: Who decided, where a person says it rather than a source; empty otherwise.
        reason: Why, likewise.
        read: Messages that the batches were made from; nothing where they came otherwise.
    """

    batches: tuple[BatchRecord, ...]
    start_date: date | None = None
    sequence: int = 0
    recorded_at: str = ""
    by: str = ""
    reason: str = ""
    read: tuple[ReadRange, ...] = ()


@dataclass
class Batches:
    """What follows from ingests.

    Attributes:
        by_id: The batches, in the order in which they were recorded.
        start_date: First day of the store: that which was fixed, or the first day of what counts if that is later.
        fixed_start: First day of sales of the first ingest that had any.
        taken_back: Ids of batches that new snapshots leave out, with the entry that says so.
    """

    by_id: dict[str, BatchRecord] = field(default_factory=dict)
    start_date: date | None = None
    fixed_start: date | None = None
    taken_back: dict[str, int] = field(default_factory=dict)

    def current(self) -> list[BatchRecord]:
        """Return the batches that new snapshots read, in the order in which they were recorded."""
        return [batch for name, batch in self.by_id.items() if name not in self.taken_back]

    def numbers(self) -> Mapping[str, int]:
        """Return the place of each batch, from 1."""
        return {name: number for number, name in enumerate(self.by_id, 1)}


class IngestKind(EntryKind[Ingest]):
    """Batches, from their files to the view `batches`."""

    name = "ingest"
    meaning = "observation batches became readable"
    kept_state = "batches by id; the first of an id stays"
    record = Ingest

    def read(self, entry: EntryLike) -> Ingest:
        """Return the batches of an entry, each with its place."""
        batches = tuple(BatchRecord.read(each, entry.sequence) for each in entry.body["batches"])
        start = entry.body.get("start_date")
        return Ingest(
            batches,
            None if start is None else date.fromisoformat(start),
            entry.sequence,
            entry.recorded_at,
            entry.body.get("by", ""),
            entry.body.get("reason", ""),
            tuple(with_known_fields(ReadRange, each) for each in entry.body.get("read", ())),
        )

    def body(self, record: Ingest) -> dict[str, Any]:
        """Return the JSON form; no start date where the store has one, nobody's name where a source says it."""
        start = {} if record.start_date is None else {"start_date": record.start_date.isoformat()}
        said = {name: text for name, text in (("by", record.by), ("reason", record.reason)) if text}
        read = {"read": [vars(each) for each in record.read]} if record.read else {}
        return {"batches": [batch.body() for batch in record.batches], **start, **said, **read}

    def fold(self, record: Ingest, state: FoldedState) -> None:
        """Keep the batches; of two ingests of the same batch at once both record it, and the first stands."""
        kept = state.part(Batches)
        for batch in record.batches:
            kept.by_id.setdefault(batch.batch_id, batch)
        if kept.start_date is None:
            kept.start_date = kept.fixed_start = record.start_date

    def references(self, record: Ingest) -> References:
        """Return the files of the batches, and the ids by which snapshots name them."""
        return References(
            files=[(batch.path, batch.sha256) for batch in record.batches],
            batches=[batch.batch_id for batch in record.batches],
        )

    def admit(self, record: Ingest, state: FoldedState, *, judged_at: int | None = None) -> None:
        """Refuse batches that were judged without what another ingest has recorded meanwhile.

        Batches are content-addressed, so naming the same one twice changes nothing.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            judged_at: Ledger entry up to which the batches were compared with what their sources had said; None if they
                were not compared.

        Raises:
            LostRaceError: If since then something else was recorded of a feed, a source and days of theirs.
        """
        concurrent = [] if judged_at is None else _recorded_since(judged_at, record.batches, state.part(Batches))
        if concurrent:
            named = first_ten(
                f"`{other.feed}` from {other.source}, {other.first_event_date} to {other.last_event_date} "
                f"(ledger entry {other.sequence})"
                for other in concurrent
            )
            raise LostRaceError(
                f"Another ingest recorded the same days meanwhile: {named}. Nothing of this one was recorded.",
                remedy="Run the same command again: it is then compared with what the other one said.",
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `batches`."""
        return (
            TableView(
                name=BATCHES.name,
                grain="one batch of observations of one feed, from one source",
                description="Everything that sources said, as it was recorded.",
                key=("batch_id",),
                table=BATCHES,
            ),
        )

    def event(self, record: Ingest) -> EntryEvent:
        """Return that there are observations."""
        return EntryEvent("observations.ingested", "observations", f"ingest/{record.batches[0].batch_id}")

    def describe(self, record: Ingest) -> EntryDescription:
        """Return how many batches of which feeds, from whom, and of which days."""
        batches = record.batches
        feeds = sorted({batch.feed for batch in batches})
        rows = ", ".join(f"{feed} {sum(b.rows for b in batches if b.feed == feed):,}" for feed in feeds)
        sources = ", ".join(sorted({batch.source for batch in batches}))
        first, last = min(b.first_event_date for b in batches), max(b.last_event_date for b in batches)
        read = f"; messages: {first_ten(record.read)}" if record.read else ""
        return EntryDescription(
            f"{counted(len(batches), 'batch', 'batches')} from {sources}, {first} to {last}; rows: {rows}{read}",
            record.by,
            record.reason,
        )


def _recorded_since(judged_at: int, ours: Sequence[BatchRecord], kept: Batches) -> list[BatchRecord]:
    """Return the later batches of others that speak of what one of ours speaks of."""
    own = {batch.batch_id for batch in ours}
    others = [other for name, other in kept.by_id.items() if other.sequence > judged_at and name not in own]
    return [other for other in others if any(_covers_same_days(other, batch) for batch in ours)]


def _covers_same_days(one: BatchRecord, other: BatchRecord) -> bool:
    from forecast_assets.contracts.confirmations import spoken_feed

    is_same = (spoken_feed(one.feed), one.source) == (spoken_feed(other.feed), other.source)
    return is_same and one.overlaps(other.first_event_date, other.last_event_date)


def _recorded(state: FoldedState) -> Iterable[BatchRecord]:
    return state.part(Batches).by_id.values()


def _rows(batches: Sequence[BatchRecord], source: AuditSource) -> ComputedRows:
    numbers = source.state.part(Batches).numbers()
    return ComputedRows(
        [
            {
                "number": numbers[batch.batch_id],
                "batch_id": batch.batch_id,
                **{column.name: getattr(batch, column.name) for column in _OF_BATCH},
                "ledger_sequence": batch.sequence,
                "recorded_at": source.recorded_at(batch.sequence),
            }
            for batch in batches
        ]
    )


_OF_BATCH: Final = (
    AuditColumn("feed", ColumnType.TEXT, "what it is about"),
    AuditColumn("source", ColumnType.TEXT, "who says so"),
    AuditColumn("trust", ColumnType.FLOAT64, "of two sources that differ, the one with the higher trust is believed"),
    AuditColumn("declared_lag_hours", ColumnType.FLOAT64,
                "hours from the end of a day until the source speaks of it"),
    AuditColumn("path", ColumnType.TEXT, "file below the store"),
    AuditColumn("sha256", ColumnType.TEXT, "SHA-256 of the file"),
    AuditColumn("rows", ColumnType.INT64, "rows of the file"),
    AuditColumn("first_event_date", ColumnType.DATE, "first day that it speaks of"),
    AuditColumn("last_event_date", ColumnType.DATE, "last day that it speaks of"),
    AuditColumn("first_known_at", ColumnType.MOMENT, "when its first row became known"),
    AuditColumn("last_known_at", ColumnType.MOMENT, "when its last row became known; null in old entries",
                nullable=True),
)  # fmt: skip
BATCHES: Final = AuditTable(
    "batches",
    (
        AuditColumn("number", ColumnType.INT32, "1, 2, 3, ... in the order of the ledger"),
        AuditColumn("batch_id", ColumnType.TEXT, "hash over the file, who says so, how trusted and how late"),
        *_OF_BATCH,
        SEQUENCE,
        RECORDED_AT,
    ),
    _recorded,
    _rows,
)
INGEST: Final = register_kind(IngestKind())

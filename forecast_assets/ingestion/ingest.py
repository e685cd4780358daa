"""Taking batches in: judged one at a time, written one at a time, made visible together or not at all.

What belongs here: the order in which batches are judged, written and recorded, and what was found on the way.
What does not: the rules themselves (``sources.intake``), reading sources, or Dagster.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import length_hint
from typing import Final

import polars as pl

from forecast_assets.contracts import QUARANTINED_ROWS
from forecast_assets.contracts.confirmations import confirmations_feed, spoken_feed
from forecast_assets.core.progress import Progress
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding, has_dates_in_range, require_no_errors
from forecast_assets.ingestion.intake import BatchExpectations, BatchVerdict, Expectations, Intake, errors_among
from forecast_assets.ingestion.quarantine import Sifted, sift
from forecast_assets.ingestion.repeats import Repeats
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows
from resources.ledger.entries.ingest import BatchRecord, ReadRange
from resources.ledger.entries.retract import Retraction
from resources.stores.observations import ObservationStore

_STAGE: Final = "check and store batches"


@dataclass(frozen=True)
class IngestOutcome:
    """What an ingest did.

    Attributes:
        added: Batches that are new; of rows that were held already, they hold none.
        known: Batches of which every row was held already.
        sequence: Ledger entry that made visible what is new, also that words were said again; None if nothing is.
        findings: Warnings, which did not stop it.
        notes: What else a person should know.
    """

    added: tuple[BatchRecord, ...]
    known: tuple[BatchRecord, ...]
    sequence: int | None
    findings: tuple[FeedFinding, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Ingest:
    """One ingest under way."""

    store: ObservationStore
    expectations: Expectations
    written: list[BatchRecord] = field(default_factory=list)
    known: list[BatchRecord] = field(default_factory=list)
    findings: list[FeedFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Rows in quarantine by source, read once however many files there are.
    aside: dict[str, pl.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Read before the batches, so that nothing is taken for compared that was not.
        self.judged_at = self.store.sequence()
        self.recorded = {batch.batch_id: batch for batch in self.store.batches()}
        self.deliveries = {batch.delivery: batch for batch in self.recorded.values() if batch.delivery}
        self.taken_back = {name: word for name, word in self.store.retractions().items() if name not in self.recorded}
        stored = StoredRows.by(self.store, self.recorded.values)
        self.earlier = StoredRows.by(self.store, lambda: [*self.recorded.values(), *self.written])
        self.intake = Intake(stored, self.earlier)

    def take(self, batch: Batch) -> None:
        """Set aside what is not to count, judge the rest and, while nothing is wrong, write what is new of it."""
        sifted = sift(batch, self.intake.last_day, self.intake.reasons(batch))
        if sifted.aside is not None:
            self._keep_aside(batch, sifted.aside)
        self._take(sifted)

    def _take(self, sifted: Sifted) -> None:
        batch = sifted.batch
        described = self._described(batch, batch.frame) if _may_be_stored(batch) else None
        if described and described[0].batch_id in self.taken_back:
            self._leave_out(batch, self.taken_back[described[0].batch_id])
            return
        if described and described[0].batch_id in self.recorded | self.deliveries:
            self.findings += batch.findings
            self.known.append(self.recorded.get(described[0].batch_id, described[0]))
            self.intake.take_known(batch)
            return
        judged = _judged(self.intake, sifted, self.expectations)
        self.findings += judged.findings
        if described and not errors_among(self.findings):
            self._keep(batch, judged, described)
            self._confirm(batch, judged, described)

    def _leave_out(self, batch: Batch, word: Retraction) -> None:
        name = batch.delivery or batch.source
        message = f"{name} was taken back by {word.by} ({word.reason}) and is left out"
        remedy = "Remove the file; or, if it was right after all, let the batch count again."
        self.findings.append(FeedFinding(batch.feed, "taken back", False, batch.frame.height, message, remedy))

    def _keep_aside(self, batch: Batch, aside: pl.DataFrame) -> None:
        """Write the rows that were set aside, as far as they were not before."""
        feed = QUARANTINED_ROWS.name
        if batch.source not in self.aside:
            stored = self.earlier.rows(feed, source=batch.source)
            self.aside[batch.source] = aside.clear() if stored is None else stored.select(aside.columns).collect()
        held = self.aside[batch.source]
        aside = aside.join(held, on=aside.columns, how="anti", nulls_equal=True)
        if aside.is_empty():
            return
        self.aside[batch.source] = pl.concat([held, aside])
        record, data = self.store.describe(
            aside, feed=feed, source=batch.source, trust=batch.trust, declared_lag=batch.declared_lag,
            listed_days=batch.listed_days,
        )  # fmt: skip
        if record.batch_id not in self.taken_back:
            self.store.put(record, data)
            self.written.append(record)

    def _confirm(self, batch: Batch, judged: BatchVerdict, described: tuple[BatchRecord, bytes]) -> None:
        """Keep of what was only said again that it was; after the words themselves, which have to be there before."""
        repeats = judged.repeats
        if repeats.confirmations.is_empty():
            return
        record, data = self.store.describe(
            repeats.confirmations,
            feed=confirmations_feed(batch.feed),
            source=batch.source,
            trust=batch.trust,
            declared_lag=batch.declared_lag,
        )
        if record.batch_id in {**self.recorded, **self.taken_back, **{each.batch_id: each for each in self.written}}:
            return
        if _left_out(batch, judged) == repeats.rows:
            record = replace(record, delivery=described[0].batch_id)
        self.store.put(record, data)
        self.written.append(record)
        if repeats.rows:
            what = f"{repeats.rows:,} rows of `{batch.feed}` from {batch.source}"
            self.notes.append(f"{what} say again what it said before: kept as such, and not stored again.")

    def _keep(self, batch: Batch, judged: BatchVerdict, described: tuple[BatchRecord, bytes]) -> None:
        new, again, reinstated = judged.new, judged.repeats.rows, judged.repeats.reinstated
        if new.is_empty():
            self.known.append(described[0])
            return
        left_out = _left_out(batch, judged)
        if left_out > again:
            self.notes.append(f"{left_out - again:,} rows of `{batch.feed}` from {batch.source} were there already.")
        record, data = self._described(batch, new) if left_out or reinstated else described
        if record.batch_id in self.taken_back:
            self._leave_out(batch, self.taken_back[record.batch_id])
            return
        self.store.put(record, data)
        self.written.append(record)

    def _described(self, batch: Batch, frame: pl.DataFrame) -> tuple[BatchRecord, bytes]:
        return self.store.describe(
            frame,
            feed=batch.feed,
            source=batch.source,
            trust=batch.trust,
            declared_lag=batch.declared_lag,
            listed_days=batch.listed_days,
        )


def ingest_batches(
    batches: Iterable[Batch],
    store: ObservationStore,
    *,
    expect: BatchExpectations,
    progress: Progress,
    by: str = "",
    reason: str = "",
    read: Sequence[ReadRange] = (),
) -> IngestOutcome:
    """Judge, write and record batches; nothing becomes visible unless all are in order.

    Only one batch is held in memory at a time, if `batches` makes them one by one. What was written before an error was
    found is named by no ledger entry, so that nobody sees it.

    Args:
        batches: What a reader returns.
        store: Where they go.
        expect: From a batch to what is not as expected of it, in sentences.
        progress: Called with stage, done and total.
        by: Who decided, where a person says it rather than a source.
        reason: Why, likewise.
        read: Messages that they were made from.

    Raises:
        ContractError: With every error of every batch.
        LostRaceError: If another ingest recorded the same days of a feed and source meanwhile; run again.
    """
    ingest = _Ingest(store, Expectations(expect))
    for batch in _counted(batches, progress):
        ingest.take(batch)
    ingest.findings += [*ingest.expectations.finish(), *ingest.intake.finish()]
    require_no_errors(ingest.findings)
    recorded = store.record(ingest.written, judged_at=ingest.judged_at, by=by, reason=reason, read=read)
    return IngestOutcome(
        tuple(batch for batch in recorded.added if spoken_feed(batch.feed) == batch.feed),
        (*ingest.known, *(batch for batch in recorded.known if spoken_feed(batch.feed) == batch.feed)),
        recorded.sequence,
        tuple(ingest.findings),
        tuple(ingest.notes),
    )


def inspect_batches(
    batches: Iterable[Batch], stored: StoredRows = NO_STORED_ROWS, *, expect: BatchExpectations, progress: Progress
) -> list[FeedFinding]:
    """Return everything that an ingest of some batches would find; nothing is stored.

    Args:
        batches: What a reader returns.
        stored: What the store holds already.
        expect: From a batch to what is not as expected of it, in sentences.
        progress: Called with stage, done and total.
    """
    intake, expectations = Intake(stored), Expectations(expect)
    found = [
        finding
        for batch in _counted(batches, progress)
        for finding in _judged(intake, sift(batch, intake.last_day, intake.reasons(batch)), expectations).findings
    ]
    return [*found, *expectations.finish(), *intake.finish()]


def _judged(intake: Intake, sifted: Sifted, expectations: Expectations) -> BatchVerdict:
    batch = sifted.batch
    if sifted.aside is not None and batch.frame.is_empty():
        return BatchVerdict(list(batch.findings), Repeats(batch.frame))
    judged = intake.take(batch)
    if judged.has_error or batch.frame.is_empty():
        return judged
    return replace(judged, findings=[*judged.findings, *expectations.take(batch)])


def _left_out(batch: Batch, judged: BatchVerdict) -> int:
    """Return how many rows of a batch are not new."""
    return batch.frame.height + judged.repeats.reinstated - judged.new.height


def _may_be_stored(batch: Batch) -> bool:
    """Whether a batch can be described at all; whether it is in order is judged apart."""
    frame, key = batch.frame, batch.contract.key
    has_columns = dict(frame.schema) == batch.contract.schema
    if not has_columns or frame.is_empty() or any(frame[name].null_count() for name in key):
        return False
    return has_dates_in_range(frame)


def _counted(batches: Iterable[Batch], progress: Progress) -> Iterator[Batch]:
    total = length_hint(batches)
    at = 0
    for at, batch in enumerate(batches, start=1):
        progress(_STAGE, at - 1, max(total, at))
        yield batch
    progress(_STAGE, at, at)

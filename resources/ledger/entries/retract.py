"""`retract`: an observation batch was taken back, or counts again.

What belongs here: all that is to be known of this kind of entry. What does not: which batch somebody means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError
from resources.ledger.entries.audit import RECORDED_AT, AuditColumn, AuditTable, AuditView, ColumnType, TableView
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, register_kind
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.ingest import Batches

_WHICH: Final = Sentence("See which there are and which count: ", Action("ingest batches"), ".")


@dataclass(frozen=True)
class Retraction:
    """A batch was taken back, or counts again.

    Attributes:
        batch_id: Which batch.
        by: Who decided.
        reason: Why.
        counts_again: Whether this undoes an earlier retraction.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    batch_id: str
    by: str
    reason: str
    counts_again: bool = False
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class Retractions:
    """What was taken back, and what counts again, oldest first."""

    made: list[Retraction] = field(default_factory=list)

    def newest(self) -> Mapping[str, Retraction]:
        """Return the last word on each batch that was ever taken back."""
        return {retraction.batch_id: retraction for retraction in self.made}


class RetractKind(EntryKind[Retraction]):
    """Retractions. Snapshots that name the batch, and what was made from them, stay as they are."""

    name = "retract"
    meaning = "an observation batch was taken back: snapshots made from then on leave it out; or it counts again"
    kept_state = "whether each batch counts; the last `retract` of a batch decides"
    record = Retraction

    def fold(self, record: Retraction, state: FoldedState) -> None:
        """Leave the batch out from here on, or not any more; nothing before the first day that is left is a date."""
        batches = state.part(Batches)
        state.part(Retractions).made.append(record)
        if record.counts_again:
            batches.taken_back.pop(record.batch_id, None)
        else:
            batches.taken_back[record.batch_id] = record.sequence
        days = [batch.first_event_date for batch in batches.current() if batch.feed == "sales"]
        # Where nothing is left, the next ingest with sales fixes it anew.
        batches.start_date = max(min(days), batches.fixed_start or min(days)) if days else None

    def admit(self, record: Retraction, state: FoldedState) -> None:
        """Refuse a batch that is not there, or of which this is true already.

        Raises:
            InputError: Naming it, and who or why where they are missing.
        """
        batches = state.part(Batches)
        require_decision("Taking back a batch", record.by, record.reason)
        if record.batch_id not in batches.by_id:
            raise InputError(
                f"There is no batch {record.batch_id}.",
                remedy=Sentence("See which there are: ", Action("ingest batches")),
            )
        if (record.batch_id in batches.taken_back) != record.counts_again:
            is_so = "counts already" if record.counts_again else "was taken back already"
            raise InputError(f"Batch {record.batch_id[:12]} {is_so}.", remedy=_WHICH)

    def views(self) -> Sequence[AuditView]:
        """Return the view `retractions`."""
        return (
            TableView(
                name=RETRACTIONS.name,
                grain="one retraction of a batch, or one that undoes it",
                description="Which batches snapshots leave out from which ledger entry on, who decided and why.",
                key=("sequence",),
                table=RETRACTIONS,
            ),
        )

    def event(self, record: Retraction) -> EntryEvent:
        """Return that a batch counts no more, or again."""
        return EntryEvent("observations.restored" if record.counts_again else "observations.retracted", "observations")

    def describe(self, record: Retraction) -> EntryDescription:
        """Return which batch, who decided and why."""
        what = "counts again" if record.counts_again else "taken back"
        return EntryDescription(f"batch {record.batch_id[:12]} {what}", record.by, record.reason)


RETRACTIONS: Final = AuditTable(
    "retractions",
    (
        AuditColumn("sequence", ColumnType.INT64, "ledger entry that says so"),
        AuditColumn("batch_id", ColumnType.TEXT, "which batch; see the view `batches`"),
        AuditColumn("counts_again", ColumnType.BOOLEAN, "whether it undoes an earlier retraction"),
        AuditColumn("by", ColumnType.TEXT, "who decided"),
        AuditColumn("reason", ColumnType.TEXT, "why"),
        RECORDED_AT,
    ),
    lambda state: state.part(Retractions).made,
)
RETRACT: Final = register_kind(RetractKind())

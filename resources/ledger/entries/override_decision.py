"""`override_decision`: somebody approves, rejects or withdraws overrides.

What belongs here: all that is to be known of this kind of entry. What does not: overrides themselves (`override`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, first_ten
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
from resources.ledger.entries.base import (
    EntryDescription,
    EntryEvent,
    EntryKind,
    EntryLike,
    position_fields,
    register_kind,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.override import (
    APPROVED,
    IN_FORCE,
    PENDING,
    REJECTED,
    WITHDRAWN,
    PlannedOverride,
    PlannedOverrides,
)
from resources.ledger.records import with_known_fields

# What may be decided of overrides in which state.
DECISIONS: Final = {APPROVED: (PENDING,), REJECTED: (PENDING,), WITHDRAWN: (PENDING, *IN_FORCE)}


@dataclass(frozen=True)
class OverrideDecision:
    """Somebody decides about overrides.

    Attributes:
        status: `approved`, `rejected` or `withdrawn`.
        overrides: Ids of which this is decided.
        by: Who decides.
        reason: Why.
        observed_until: Newest day with sales when it was decided: what is approved moves no day up to it.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    status: str
    overrides: tuple[str, ...]
    by: str
    reason: str
    observed_until: date | None = None
    sequence: int = 0
    recorded_at: str = ""


class OverrideDecisionKind(EntryKind[OverrideDecision]):
    """Decisions about overrides, from their admission to the view `planner_override_decisions`."""

    name = "override_decision"
    meaning = "somebody approves, rejects or withdraws overrides"
    kept_state = "nothing of its own: overrides stand as the last decision says"
    record = OverrideDecision

    def read(self, entry: EntryLike) -> OverrideDecision:
        """Return the decision of an entry."""
        day = entry.body.get("observed_until")
        said = {
            **entry.body,
            **position_fields(entry),
            "overrides": tuple(entry.body["overrides"]),
            "observed_until": date.fromisoformat(day) if day else None,
        }
        return with_known_fields(OverrideDecision, said)

    def fold(self, record: OverrideDecision, state: FoldedState) -> None:
        """Let each override stand as decided."""
        kept = state.part(PlannedOverrides)
        kept.decisions.append(record)
        for name in record.overrides:
            kept.decide(name, record)

    def admit(self, record: OverrideDecision, state: FoldedState) -> None:
        """Refuse a decision about what is not there or is decided, and approval by whoever asks for it.

        Raises:
            InputError: If so, or if who or why is missing.
        """
        require_decision("A decision about overrides", record.by, record.reason)
        kept, see = state.part(PlannedOverrides).by_id, Sentence("See them: ", Action("overrides list"), ".")
        unknown = [name for name in record.overrides if name not in kept]
        if unknown or not record.overrides:
            raise InputError(
                f"There is no override {first_ten(unknown)}." if unknown else "No override is named.",
                remedy=see,
                overrides=unknown,
            )
        found = [kept[name] for name in record.overrides]
        settled = [each for each in found if each.status not in DECISIONS.get(record.status, ())]
        if settled:
            raise InputError(
                f"{first_ten(map(_standing, settled))}, so it cannot be {record.status}.", remedy=see,
                overrides=[each.id for each in settled],
            )  # fmt: skip
        own = [each.id for each in found if record.status == APPROVED and each.by == record.by]
        if own:
            raise InputError(
                f"{record.by} cannot approve {first_ten(own)}, being the one who asks for it.",
                remedy="Let a second person approve it.",
                overrides=own,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `planner_override_decisions`."""
        return (
            TableView(
                name=OVERRIDE_DECISIONS.name,
                grain="one decision about one override",
                description="Who approved, rejected or withdrew overrides, and why; the last row of an override says "
                "how it stands.",
                key=("override_id", "ledger_sequence"),
                table=OVERRIDE_DECISIONS,
            ),
        )

    def event(self, record: OverrideDecision) -> EntryEvent:
        """Return what was decided."""
        return EntryEvent(f"override.{record.status}", "overrides")

    def describe(self, record: OverrideDecision) -> EntryDescription:
        """Return what was decided of which overrides, by whom and why."""
        return EntryDescription(f"{first_ten(record.overrides)} {record.status}", record.by, record.reason)


def _standing(override: PlannedOverride) -> str:
    who = f" by {override.decided_by}" if override.decided_by else ""
    return f"{override.id} is {override.status}{who}"


def _rows(records: Sequence[OverrideDecision], source: AuditSource) -> ComputedRows:
    del source
    return ComputedRows(
        [
            {
                "override_id": name,
                "status": record.status,
                "by": record.by,
                "reason": record.reason,
                "ledger_sequence": record.sequence,
                "recorded_at": record.recorded_at,
            }
            for record in records
            for name in record.overrides
        ]
    )


OVERRIDE_DECISIONS: Final = AuditTable(
    "planner_override_decisions",
    (
        AuditColumn("override_id", ColumnType.TEXT, "which override"),
        AuditColumn("status", ColumnType.TEXT, "`approved`, `rejected` or `withdrawn` from then on"),
        AuditColumn("by", ColumnType.TEXT, 'who decided (in SQL `"by"`)'),
        AuditColumn("reason", ColumnType.TEXT, "why"),
        SEQUENCE,
        RECORDED_AT,
    ),
    lambda state: state.part(PlannedOverrides).decisions,
    _rows,
)
OVERRIDE_DECISION: Final = register_kind(OverrideDecisionKind())

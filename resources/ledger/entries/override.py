"""`override`: a planner says what forecasts of some nodes and days shall be.

What belongs here: all that is to be known of this kind of entry, and the overrides with what was decided of them. What
does not: what one may say (`forecast_assets.core.overrides`), what it does to a forecast (`forecast_assets.overrides`),
or decisions about it (`override_decision`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, Protocol

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError
from forecast_assets.core.overrides import Override, override_id
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
from resources.ledger.entries.base import (
    EntryDescription,
    EntryEvent,
    EntryKind,
    EntryLike,
    position_fields,
    register_kind,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import with_known_fields

MOST_AT_ONCE: Final = 10_000
# What may be said of an override; `recorded` is that of one which needs no approval.
PENDING: Final = "pending"
RECORDED: Final = "recorded"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
# In these it moves forecasts.
IN_FORCE: Final = (RECORDED, APPROVED)


@dataclass(frozen=True)
class OverrideRecord:
    """A planner's overrides, all recorded or none.

    Attributes:
        overrides: What is said.
        by: Who says it.
        observed_until: Newest day with sales when it was said; days up to it are not moved, since how they went may
            have been known.
        needs_approval: Whether a second person has to approve before they move anything.
        request: Id of the request that said so, so that the same again is not recorded twice; empty where none had one.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    overrides: tuple[Override, ...]
    by: str
    observed_until: date
    needs_approval: bool = False
    request: str = ""
    sequence: int = 0
    recorded_at: str = ""


class Decided(Protocol):
    """What a decision says of an override; see `override_decision`."""

    @property
    def status(self) -> str:
        """`approved`, `rejected` or `withdrawn`."""

    @property
    def by(self) -> str:
        """Who decided."""

    @property
    def reason(self) -> str:
        """Why."""

    @property
    def observed_until(self) -> date | None:
        """Newest day with sales then."""

    @property
    def recorded_at(self) -> str:
        """When, ISO 8601 in UTC."""


@dataclass(frozen=True)
class PlannedOverride:
    """An override with what has become of it.

    Attributes:
        id: What it is called.
        override: What it says.
        by: Who says it.
        observed_until: Days up to this one are not moved.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        status: `pending`, `recorded`, `approved`, `rejected` or `withdrawn`.
        decided_by: Who approved, rejected or withdrew it; empty where nobody did.
        decided_at: When, ISO 8601 in UTC.
        decided_reason: Why.
    """

    id: str
    override: Override
    by: str
    observed_until: date
    sequence: int
    recorded_at: str
    status: str
    decided_by: str = ""
    decided_at: str = ""
    decided_reason: str = ""

    @property
    def is_in_force(self) -> bool:
        """Whether it moves forecasts."""
        return self.status in IN_FORCE

    @property
    def is_open(self) -> bool:
        """Whether it moves forecasts, or would once it is approved."""
        return self.is_in_force or self.status == PENDING


@dataclass
class PlannedOverrides:
    """All overrides, in the order of the ledger.

    Attributes:
        records: What was recorded, oldest first.
        decisions: What was decided of them (`override_decision`), oldest first.
        by_id: Each override as it stands.
    """

    records: list[OverrideRecord] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)
    by_id: dict[str, PlannedOverride] = field(default_factory=dict)

    def of(self, name: str) -> list[PlannedOverride]:
        """Return the override of an id, or all of an entry, as `o412`; none if there is none."""
        found = self.by_id.get(name)
        if found is not None:
            return [found]
        return [each for each in self.by_id.values() if name == f"o{each.sequence}"]

    def require(self, name: str) -> PlannedOverride:
        """Return the override of an id.

        Raises:
            InputError: If there is none.
        """
        if name not in self.by_id:
            raise InputError(
                f"There is no override {name}.",
                remedy=Sentence("See them: ", Action("overrides list"), "."),
                override=name,
            )
        return self.by_id[name]

    def decide(self, name: str, decision: "Decided") -> None:
        """Take in what was decided of an override; whoever reads an entry by itself has none before it."""
        if name not in self.by_id:
            return
        found = self.by_id[name]
        seen = decision.observed_until if decision.status == APPROVED else None
        self.by_id[name] = replace(
            found,
            status=decision.status,
            decided_by=decision.by,
            decided_at=decision.recorded_at,
            decided_reason=decision.reason,
            # What waited for approval moves no day that was sold meanwhile.
            observed_until=max(found.observed_until, seen or found.observed_until),
        )


class OverrideKind(EntryKind[OverrideRecord]):
    """Overrides, from their admission to the view `planner_overrides`."""

    name = "override"
    meaning = "a planner says what forecasts of some nodes and days shall be"
    kept_state = "each override as it stands; which one moves a row is said where they are applied"
    record = OverrideRecord

    def read(self, entry: EntryLike) -> OverrideRecord:
        """Return the overrides of an entry."""
        overrides = tuple(map(Override.of_body, entry.body["overrides"]))
        day = date.fromisoformat(entry.body["observed_until"])
        said = {**entry.body, **position_fields(entry), "overrides": overrides, "observed_until": day}
        return with_known_fields(OverrideRecord, said)

    def body(self, record: OverrideRecord) -> dict[str, Any]:
        """Return what is stored."""
        return {
            "overrides": [each.body() for each in record.overrides],
            "by": record.by,
            "observed_until": record.observed_until.isoformat(),
            "needs_approval": record.needs_approval,
            **({"request": record.request} if record.request else {}),
        }

    def fold(self, record: OverrideRecord, state: FoldedState) -> None:
        """Keep each override by its id."""
        kept = state.part(PlannedOverrides)
        kept.records.append(record)
        status = PENDING if record.needs_approval else RECORDED
        for number, override in enumerate(record.overrides, start=1):
            name = override_id(record.sequence, number)
            kept.by_id[name] = PlannedOverride(
                name, override, record.by, record.observed_until, record.sequence, record.recorded_at, status
            )

    def admit(self, record: OverrideRecord, state: FoldedState) -> None:
        """Refuse overrides without a name, none at all, or more than an entry holds.

        Raises:
            InputError: If so.
        """
        del state
        require_decision("An override", record.by, "its own")
        if not 0 < len(record.overrides) <= MOST_AT_ONCE:
            raise InputError(
                f"{len(record.overrides):,} overrides cannot be recorded at once.",
                remedy=Sentence(
                    f"Record 1 to {MOST_AT_ONCE:,} at a time; an override of a node says the same of many series: ",
                    Action("overrides add", {"help": True}),
                ),
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `planner_overrides`."""
        return (
            TableView(
                name=PLANNER_OVERRIDES.name,
                grain="one override of a planner",
                description="What planners said of forecasts: of which node and days, in which form, and why. What was "
                "decided of it is in `planner_override_decisions`; what it did, row by row, in `forecast_overrides` of "
                "each model version.",
                key=("override_id",),
                table=PLANNER_OVERRIDES,
            ),
        )

    def event(self, record: OverrideRecord) -> EntryEvent:
        """Return whether overrides count, or wait for approval."""
        return EntryEvent("override.proposed" if record.needs_approval else "override.recorded", "overrides")

    def describe(self, record: OverrideRecord) -> EntryDescription:
        """Return which overrides, who said so and why."""
        first = record.overrides[0]
        others = len(record.overrides) - 1
        what = f"{first}; and {counted(others, 'other')}" if others else str(first)
        waits = "; waits for approval" if record.needs_approval else ""
        return EntryDescription(f"{what}{waits}", record.by, f"{first.reason} {first.note}".strip())


def _rows(records: Sequence[OverrideRecord], source: AuditSource) -> ComputedRows:
    del source
    return ComputedRows(
        [
            {
                "override_id": override_id(record.sequence, number),
                **vars(each.scope),
                **{name: getattr(each, name) for name in
                   ("first_date", "last_date", "form", "value", "reason", "note", "expires_on")},
                "by": record.by,
                "observed_until": record.observed_until,
                "needs_approval": record.needs_approval,
                "ledger_sequence": record.sequence,
                "recorded_at": record.recorded_at,
            }
            for record in records
            for number, each in enumerate(record.overrides, start=1)
        ]
    )  # fmt: skip


PLANNER_OVERRIDES: Final = AuditTable(
    "planner_overrides",
    (
        AuditColumn("override_id", ColumnType.TEXT, "what it is called"),
        AuditColumn("product_level", ColumnType.TEXT, "`total`, a level of the product hierarchy, or `sku`"),
        AuditColumn("product_node", ColumnType.TEXT, "node of that level"),
        AuditColumn("store_level", ColumnType.TEXT, "`total`, a level of the store hierarchy, or `store`"),
        AuditColumn("store_node", ColumnType.TEXT, "node of that level"),
        AuditColumn("first_date", ColumnType.DATE, "first target date"),
        AuditColumn("last_date", ColumnType.DATE, "last target date"),
        AuditColumn("form", ColumnType.TEXT, "`units`, `percent`, `add`, `floor`, `cap` or `zero`"),
        AuditColumn("value", ColumnType.TEXT, "units a day of the whole node, or percent, exactly; empty of `zero`"),
        AuditColumn("reason", ColumnType.TEXT, "code of the reason"),
        AuditColumn("note", ColumnType.TEXT, "free words"),
        AuditColumn(
            "expires_on", ColumnType.DATE, "last prediction date of runs that it moves; null without", nullable=True
        ),
        AuditColumn("by", ColumnType.TEXT, 'who said so (in SQL `"by"`)'),
        AuditColumn("observed_until", ColumnType.DATE, "newest day with sales then; days up to it are not moved"),
        AuditColumn("needs_approval", ColumnType.BOOLEAN, "whether a second person has to approve it first"),
        SEQUENCE,
        RECORDED_AT,
    ),
    lambda state: state.part(PlannedOverrides).records,
    _rows,
)
OVERRIDE: Final = register_kind(OverrideKind())

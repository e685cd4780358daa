"""`backlog`: somebody opens an item of the quality backlog, looks at one, or is done with it.

What belongs here: all that is to be known of this kind of entry, and the items themselves. What does not: what opens an
item without people: the kinds that find something do, `drift` first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, LostRaceError, first_ten
from resources.ledger.entries.audit import RECORDED_AT, AuditColumn, AuditTable, AuditView, ColumnType, TableView
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, register_kind
from resources.ledger.entries.folded import FoldedState

OPEN: Final = "open"
ACKNOWLEDGED: Final = "acknowledged"
CLOSED: Final = "closed"
# What a person may say of an item, and of items in which state.
STEPS: Final = {ACKNOWLEDGED: (OPEN,), CLOSED: (OPEN, ACKNOWLEDGED)}


@dataclass(frozen=True)
class BacklogDecision:
    """Somebody opens an item, looks at one, or is done with it.

    Attributes:
        item: Number of the item; of one that is opened the next.
        status: `open`, `acknowledged` or `closed`.
        by: Who decided.
        reason: Why, or what was found or done.
        signal: Of an item that is opened what it is about, such as `feedback/UUID`; else empty.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    item: int
    status: str
    by: str
    reason: str
    signal: str = ""
    sequence: int = 0
    recorded_at: str = ""


@dataclass(frozen=True)
class BacklogStep:
    """What happened to an item.

    Attributes:
        item: Number of the item.
        signal: What it is about, such as `feed/sales/sales_units/changed/all`.
        status: Its state from then on: `open`, `acknowledged` or `closed`.
        is_present: Whether a detector still tells the signal; never of what a person found.
        by: Who decided; `automation` where a detector did.
        reason: Why: words of a person, or what was found.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    item: int
    signal: str
    status: str
    is_present: bool
    by: str
    reason: str
    sequence: int
    recorded_at: str


@dataclass
class Backlog:
    """The quality backlog.

    Attributes:
        steps: All that happened, oldest first.
        newest: The last step of each item, by its number.
    """

    steps: list[BacklogStep] = field(default_factory=list)
    newest: dict[int, BacklogStep] = field(default_factory=dict)

    def add(self, step: BacklogStep) -> None:
        """Take in what happened next."""
        self.steps.append(step)
        self.newest[step.item] = step

    @property
    def next_item(self) -> int:
        """The number of the next item."""
        return len(self.newest) + 1

    def first(self, item: int) -> BacklogStep:
        """Return how an item was opened."""
        return next(step for step in self.steps if step.item == item)

    def item_of(self, signal: str) -> int | None:
        """Return the number of the newest item that is about something, closed or not; None if there is none."""
        return next((step.item for step in reversed(self.steps) if step.signal == signal), None)

    def tell(
        self, day: object, opened: Iterable[tuple[str, str]], closed: Iterable[str], by: str, place: tuple[int, str]
    ) -> None:
        """Open an item for each new signal, and note of others that they are told no more.

        Args:
            day: The day that was judged.
            opened: Signals that were not told before, each with its evidence.
            closed: Those that are told no more; their items stay as people left them.
            by: What judged.
            place: Ledger entry, and when it was recorded.
        """
        for signal in closed:
            item = self.present.get(signal)
            if item is not None:
                self.add(BacklogStep(item.item, signal, item.status, False, by, f"told no more on {day}", *place))
        for signal, evidence in opened:
            self.add(BacklogStep(self.next_item, signal, OPEN, True, by, evidence, *place))

    @property
    def present(self) -> dict[str, BacklogStep]:
        """The newest step of each item whose signal is still told, by signal."""
        return {step.signal: step for step in self.newest.values() if step.is_present}


class BacklogKind(EntryKind[BacklogDecision]):
    """What people decide about items of the backlog; a closed item stays closed, the next signal makes another."""

    name = "backlog"
    meaning = "somebody opens an item of the quality backlog, looks at one, or is done with it"
    kept_state = "each item with all that happened to it; its last step says how it stands"
    record = BacklogDecision

    def body(self, record: BacklogDecision) -> dict[str, Any]:
        """Return what is stored; what an item is about is said by the decision that opens it, and by no other."""
        said = super().body(record)
        if not record.signal:
            del said["signal"]
        return said

    def fold(self, record: BacklogDecision, state: FoldedState) -> None:
        """Put the decision behind what happened to the item before."""
        backlog = state.part(Backlog)
        # Whoever reads an entry by itself, as verifying does, has no item before it.
        before = backlog.newest.get(record.item)
        backlog.add(
            BacklogStep(
                record.item,
                before.signal if before else record.signal,
                record.status,
                before is not None and before.is_present,
                record.by,
                record.reason,
                record.sequence,
                record.recorded_at,
            )
        )

    def admit(self, record: BacklogDecision, state: FoldedState) -> None:
        """Refuse an item that is not there, or of which this has been said.

        Raises:
            InputError: If so, if what is to be opened is an item already, or if who or why is missing.
            LostRaceError: If another item took the number of one that is to be opened.
        """
        require_decision("A decision about the backlog", record.by, record.reason)
        if record.status == OPEN:
            _admit_new(record, state.part(Backlog))
            return
        newest = state.part(Backlog).newest
        remedy = Sentence("See what there is: ", Action("backlog list"), ".")
        if record.item not in newest:
            raise InputError(
                f"The backlog has no item {record.item}; it has {first_ten(sorted(newest)) or 'none'}.",
                remedy=remedy,
                item=record.item,
            )
        status = newest[record.item].status
        if status not in STEPS.get(record.status, ()):
            raise InputError(
                f"Item {record.item} is {status} already (ledger entry {newest[record.item].sequence}).",
                remedy=remedy,
                item=record.item,
                status=status,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `backlog`."""
        return (
            TableView(
                name=BACKLOG_STEPS.name,
                grain="one thing that happened to one item of the quality backlog",
                description="What was found, who looked at it and who closed it; the last row of an item says how it "
                "stands.",
                key=("item", "sequence"),
                table=BACKLOG_STEPS,
            ),
        )

    def event(self, record: BacklogDecision) -> EntryEvent:
        """Return which item is in which state."""
        return EntryEvent(f"backlog.{record.status}", f"backlog/{record.item}")

    def describe(self, record: BacklogDecision) -> EntryDescription:
        """Return which item, what was said, by whom and why."""
        status = f"opened: {record.signal}" if record.status == OPEN else record.status
        return EntryDescription(f"item {record.item} {status}", record.by, record.reason)


def _admit_new(record: BacklogDecision, backlog: Backlog) -> None:
    known = backlog.item_of(record.signal)
    if known is not None or not record.signal:
        raise InputError(
            f"`{record.signal}` is item {known} already." if known else "An item needs what it is about.",
            remedy=Sentence("See what there is: ", Action("backlog list", {"all": True}), "."),
            signal=record.signal,
        )
    if record.item != backlog.next_item:
        raise LostRaceError(
            f"Another process opened item {record.item} meanwhile.",
            remedy="Run the same command again.",
            item=record.item,
        )


BACKLOG_STEPS: Final = AuditTable(
    "backlog",
    (
        AuditColumn("item", ColumnType.INT64, "number of the item"),
        AuditColumn(
            "signal",
            ColumnType.TEXT,
            "what it is about: subject, name, figure, verdict, reach; or `feedback/` and the id of the feedback",
        ),
        AuditColumn("status", ColumnType.TEXT, "`open`, `acknowledged` or `closed` from then on"),
        AuditColumn(
            "is_present", ColumnType.BOOLEAN, "whether a detector still told the signal then; never of feedback"
        ),
        AuditColumn("by", ColumnType.TEXT, 'who decided (in SQL `"by"`); `automation` where a detector did'),
        AuditColumn("reason", ColumnType.TEXT, "why, or what was found"),
        AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
        RECORDED_AT,
    ),
    lambda state: state.part(Backlog).steps,
)
BACKLOG: Final = register_kind(BacklogKind())

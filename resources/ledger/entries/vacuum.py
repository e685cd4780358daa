"""`vacuum`: files that no entry names are being removed.

What belongs here: all that is to be known of this kind of entry. What does not: which files may go, or removing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import LostRaceError, VacuumUnderWayError
from forecast_assets.core.wording import counted
from resources.ledger.entries.audit import RECORDED_AT, AuditColumn, AuditTable, AuditView, ColumnType, TableView
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, References, register_kind
from resources.ledger.entries.folded import FoldedState


class LedgerMovedError(Exception):
    """Somebody appended an entry since the names were collected that decide what may go."""


@dataclass(frozen=True)
class Vacuum:
    """Files that no entry named were listed for removal.

    Attributes:
        by: Who asked for it.
        files: How many.
        bytes: How large they are together.
        listed: SHA-256 of the list of their paths.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    by: str
    files: int
    bytes: int
    listed: str
    sequence: int = 0
    recorded_at: str = ""

    @property
    def path(self) -> str:
        """Where the list is."""
        return f"vacuums/{self.listed}.json"


@dataclass
class Vacuums:
    """What follows from vacuums and their ends.

    Attributes:
        begun: All of them, oldest first.
        open: The one that has begun and not ended, or None.
    """

    begun: list[Vacuum] = field(default_factory=list)
    open: Vacuum | None = None

    def require_open(self, sequence: int) -> None:
        """Refuse to go on with a vacuum that is not the open one.

        Args:
            sequence: Ledger entry with which it began.

        Raises:
            LostRaceError: If another one has ended it.
        """
        if self.open is None or self.open.sequence != sequence:
            raise LostRaceError(
                f"The vacuum that began with ledger entry {sequence} took so long that another one has ended it.",
                remedy=Sentence("Nothing more is removed. See what is left: ", Action("vacuum")),
                sequence=sequence,
            )


class VacuumKind(EntryKind[Vacuum]):
    """Vacuums, from the list of what they remove to the view `vacuums`."""

    name = "vacuum"
    meaning = "files that no entry names are being removed"
    kept_state = "nothing but that files may be gone; until its `vacuumed`, entries that name files wait"
    record = Vacuum

    def fold(self, record: Vacuum, state: FoldedState) -> None:
        """Keep the vacuum as the open one."""
        kept = state.part(Vacuums)
        kept.begun.append(record)
        kept.open = record

    def references(self, record: Vacuum) -> References:
        """Return the list of what was to be removed."""
        return References(removal_lists=((record.path, record.listed),))

    def admit(
        self, record: Vacuum, state: FoldedState, *, instead_of: Vacuum | None = None, at: int | None = None
    ) -> None:
        """Refuse a second vacuum beside an open one, and one that does not know all names.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            instead_of: The open one, if its process was killed and this one takes it over.
            at: Ledger entry up to which names were collected; None if they are collected later.

        Raises:
            VacuumUnderWayError: If another one is open, or the one that was to be taken over is not.
            LedgerMovedError: If there are newer entries.
        """
        del record
        found = state.part(Vacuums).open
        in_the_way = found if instead_of is None else instead_of
        if in_the_way is not None and found != instead_of:
            raise VacuumUnderWayError(in_the_way.sequence)
        if at is not None and state.sequence != at:
            raise LedgerMovedError

    def views(self) -> Sequence[AuditView]:
        """Return the view `vacuums`."""
        return (
            TableView(
                name=VACUUMS.name,
                grain="one time that files were removed",
                description="Every removal of files that no entry named; nothing published is ever among them.",
                key=("sequence",),
                table=VACUUMS,
            ),
        )

    def event(self, record: Vacuum) -> EntryEvent:
        """Return that files are being removed."""
        del record
        return EntryEvent("vacuum.began", "vacuums")

    def describe(self, record: Vacuum) -> EntryDescription:
        """Return how much is removed, and who asked for it."""
        return EntryDescription(
            f"removing {counted(record.files, 'file')} that no entry names, {record.bytes:,} bytes", record.by
        )


VACUUMS: Final = AuditTable(
    "vacuums",
    (
        AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
        RECORDED_AT,
        AuditColumn("by", ColumnType.TEXT, 'who asked for it (in SQL `"by"`)'),
        AuditColumn("files", ColumnType.INT64, "how many files"),
        AuditColumn("bytes", ColumnType.INT64, "how large they were together"),
        AuditColumn("path", ColumnType.TEXT, "list of their names, below the store"),
    ),
    lambda state: state.part(Vacuums).begun,
)
VACUUM: Final = register_kind(VacuumKind())

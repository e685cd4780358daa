"""`vacuumed`: the removing of files has ended.

What belongs here: all that is to be known of this kind of entry. What does not: removing anything.
"""

from dataclasses import dataclass
from typing import Final

from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, register_kind
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.vacuum import Vacuums


@dataclass(frozen=True)
class VacuumEnd:
    """A vacuum has ended, whether all that it listed is gone or not.

    Attributes:
        vacuum: Ledger entry with which it began.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    vacuum: int = 0
    sequence: int = 0
    recorded_at: str = ""


class VacuumedKind(EntryKind[VacuumEnd]):
    """Ends of vacuums; the view `vacuums` shows that they began."""

    name = "vacuumed"
    meaning = "the removing has ended"
    kept_state = "nothing; entries that name files wait no more"
    record = VacuumEnd

    def fold(self, record: VacuumEnd, state: FoldedState) -> None:
        """No vacuum is open any more."""
        del record
        state.part(Vacuums).open = None

    def admit(self, record: VacuumEnd, state: FoldedState) -> None:
        """Refuse to end a vacuum that is not the open one.

        Raises:
            LostRaceError: If another one has ended it.
        """
        state.part(Vacuums).require_open(record.vacuum)

    def event(self, record: VacuumEnd) -> EntryEvent:
        """Return that the removing has ended."""
        del record
        return EntryEvent("vacuum.ended", "vacuums")

    def describe(self, record: VacuumEnd) -> EntryDescription:
        """Return which vacuum has ended."""
        return EntryDescription(f"the vacuum of entry {record.vacuum} has ended")


VACUUMED: Final = register_kind(VacuumedKind())

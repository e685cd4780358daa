"""What is true after some entries, as kinds keep it.

What belongs here: finding the part that a kind keeps. What does not: what any part holds, or folding entries.
"""

from typing import Any, Final, TypeVar

PartT = TypeVar("PartT")

GENESIS: Final = "0" * 64


class FoldedState:  # noqa: PLW1641
    """What is true after some entries, in parts: each kind keeps what follows from its entries in a class of its own.

    It changes with every entry, so it has no hash.

    Attributes:
        sequence: The last entry; 0 before the first.
        head: Its hash.
        recorded_at: When it was appended.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self.head = GENESIS
        self.recorded_at = ""
        self._parts: dict[type, Any] = {}

    def part(self, kept: type[PartT]) -> PartT:
        """Return what is kept under a class, which starts as the class makes it without arguments."""
        if kept not in self._parts:
            self._parts[kept] = kept()
        found: PartT = self._parts[kept]
        return found

    def __eq__(self, other: object) -> bool:
        """Whether the same is true; a part that nobody has asked for yet is one in which nothing is kept."""
        if not isinstance(other, FoldedState):
            return NotImplemented
        places = [(state.sequence, state.head, state.recorded_at) for state in (self, other)]
        kept = {*self._parts, *other._parts}
        return places[0] == places[1] and all(self.part(each) == other.part(each) for each in kept)

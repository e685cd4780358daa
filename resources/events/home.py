"""All that a home has of events: the buffer of this process, the store, the archive.

What belongs here: putting them together. What does not: settings, or any of the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from resources.events.archive import EventArchive
from resources.events.buffer import EventBuffer
from resources.events.record import EventRecord
from resources.events.stores import EventStore

# An event that was answered a moment ago is waited for.
_MOMENT_SECONDS = 1.0


@dataclass(frozen=True)
class EventHome:
    """Events of a home.

    Attributes:
        buffer: Takes events of this process.
        store: Where they are looked up for some months.
        archive: Where they stay.
    """

    buffer: EventBuffer
    store: EventStore
    archive: EventArchive

    def find(self, event_id: str) -> EventRecord | None:
        """Return an event by its id, which is a UUID; None if there is none, or none yet.

        Raises:
            StorageError: If the store does not answer.
        """
        found = self.store.find(event_id)
        if found is None and self.buffer.flush(_MOMENT_SECONDS):
            found = self.store.find(event_id)
        return found or self.archive.find(event_id)

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return which of some ids are events: each place is asked once, however many ids there are.

        Raises:
            StorageError: If the store does not answer.
        """
        found = self.store.known(event_ids)
        left = [each for each in event_ids if each not in found]
        if left:
            found |= self.archive.known(left)
        left = [each for each in left if each not in found]
        if left and self.buffer.flush(_MOMENT_SECONDS):
            found |= self.store.known(left)
        return found

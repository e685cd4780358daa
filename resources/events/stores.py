"""What every store of events can do, whatever its database.

What belongs here: the protocol, and questions to it. What does not: any database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final, Protocol

from resources.events.record import EventRecord

MOST_EVENTS: Final = 200


@dataclass(frozen=True)
class EventQuery:
    """Which events are asked for; what is left out is any.

    Attributes:
        key_id: Of the caller.
        caller: Whose key it is.
        store_id: Store of a series that the event is about; together with `sku_id`.
        sku_id: SKU of that series.
        since: From this moment on.
        until: Before this moment.
        before: Only events before this one, by moment and id; for the page after.
        limit: At most so many, the newest first.
    """

    key_id: str | None = None
    caller: str | None = None
    store_id: str | None = None
    sku_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None
    limit: int = MOST_EVENTS


class EventStore(Protocol):
    """A database of events: each once, by its id; many may read while one writes."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    def add(self, records: Sequence[EventRecord]) -> int:
        """Add events, all or none; one whose id is there stays as it is. Return how many were new.

        Raises:
            StorageError: If it cannot be written now.
        """
        ...

    def find(self, event_id: str) -> EventRecord | None:
        """Return an event by its id, which is a UUID.

        Raises:
            StorageError: If it cannot be read now.
        """
        ...

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return which of some ids, which are UUIDs, are events that are here.

        Raises:
            StorageError: If it cannot be read now.
        """
        ...

    def select(self, asked: EventQuery) -> list[EventRecord]:
        """Return events, the newest first.

        Raises:
            StorageError: If it cannot be read now.
        """
        ...

    def days(self) -> dict[date, int]:
        """Return how many events of each day there are.

        Raises:
            StorageError: If it cannot be read now.
        """
        ...

    def of_day(self, day: date) -> Iterator[EventRecord]:
        """Yield the events of a day, by moment and id.

        Raises:
            StorageError: If it cannot be read now.
        """
        ...

    def drop(self, day: date, count: int) -> bool:
        """Remove a day if it has exactly so many events; return whether it had.

        Raises:
            StorageError: If it cannot be written now.
        """
        ...


def event_store(path: Path, url: str | None) -> EventStore:
    """Return the store of a home.

    Args:
        path: Of the SQLite database that is used where no other is named.
        url: Of a PostgreSQL database; None for none.
    """
    if url is None:
        from resources.events.sqlite import SqliteEvents

        return SqliteEvents(path)
    from resources.events.postgresql import PostgresqlEvents

    return PostgresqlEvents(url)

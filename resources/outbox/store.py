"""What an outbox keeps, whatever its database: operational events, and how far each destination is.

What belongs here: tables, statements, and what is true of both databases. What does not: destinations.

Positions of operational events have no order but that in which they become visible: who adds one is alone for as long,
so that nobody who reads behind a position can miss one that becomes visible later.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from resources.ledger.records import canonical
from resources.outbox.event import OPERATIONS, TYPE_PREFIX, OutboxEvent

EVENTS: Final = "operational_events"
POSITIONS: Final = "outbox_positions"
COLUMNS: Final = "position, id, type, subject, at, content, trace"


@dataclass(frozen=True)
class DestinationPosition:
    """How far a destination is in a stream.

    Attributes:
        destination: Its name.
        stream: Of events.
        position: It has all events up to this one.
        mark: Id of that event; empty where it is none.
        at: When that was last so, ISO 8601 in UTC.
        trouble: Why it takes no more; empty where it does.
        trouble_since: Since when, ISO 8601 in UTC.
    """

    destination: str
    stream: str
    position: int
    mark: str
    at: str
    trouble: str = ""
    trouble_since: str = ""


class Statements(Protocol):
    """A connection within a transaction."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """Run a statement whose places for values are `?`."""
        ...


class OutboxStore(ABC):
    """The outbox of a home, or of several that share a database."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people: without a password."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Statements]:
        """Yield a connection within a transaction, alone among writers; the tables are there."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Statements | None]:
        """Yield a connection; None where the tables have not been made."""

    @abstractmethod
    def alone(self, destination: str) -> AbstractContextManager[bool]:
        """Hold a destination for as long as the block lasts; yield whether nobody else holds it."""

    def add(
        self,
        kind: str,
        subject: str,
        facts: Mapping[str, object],
        now: datetime,
        *,
        trace: str = "",
        event_id: str = "",
    ) -> int:
        """Record an operational event.

        Args:
            kind: What happened, such as `alert.opened`.
            subject: What it is about.
            facts: What there is to say, ready for JSON.
            now: When.
            trace: W3C `traceparent` of what made it.
            event_id: Its own, where the same may be recorded again after a crash: then it is there once. A new one
                if left out.

        Returns:
            Its position; 0 if it is there already.

        Raises:
            StorageError: If it cannot be written.
        """
        at = now.isoformat(timespec="seconds")
        content = canonical({"format": 1, "kind": kind, "subject": subject, "recorded_at": at, "facts": dict(facts)})
        values = (event_id or str(uuid4()), f"{TYPE_PREFIX}{kind}", subject, at, content, trace)
        with self._writing() as database:
            statement = f"INSERT INTO {EVENTS} (id, type, subject, at, content, trace) VALUES (?, ?, ?, ?, ?, ?) "  # noqa: S608
            # Looked for first, alone among writers: a refused row would take a position, and leave a gap.
            if event_id and database.execute(f"SELECT 1 FROM {EVENTS} WHERE id = ?", (event_id,)).fetchone():  # noqa: S608
                return 0
            return int(database.execute(f"{statement} RETURNING position", values).fetchone()[0])

    def after(self, position: int, most: int) -> list[OutboxEvent]:
        """Return the operational events behind a position, in their order.

        Raises:
            StorageError: If they cannot be read.
        """
        with self._reading() as database:
            if database is None:
                return []
            query = f"SELECT {COLUMNS} FROM {EVENTS} WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608
            return [_event(row) for row in database.execute(query, (position, most)).fetchall()]

    def newest(self) -> int:
        """Return the position of the newest operational event; 0 if there is none."""
        with self._reading() as database:
            if database is None:
                return 0
            return int(database.execute(f"SELECT coalesce(max(position), 0) FROM {EVENTS}").fetchone()[0])  # noqa: S608

    def drop_before(self, moment: datetime) -> int:
        """Remove operational events of before a moment that every known destination has; return how many."""
        with self._writing() as database:
            least = f"SELECT coalesce(min(position), 0) FROM {POSITIONS} WHERE stream = ?"  # noqa: S608
            done = int(database.execute(least, (OPERATIONS,)).fetchone()[0])
            known = database.execute(f"SELECT count(*) FROM {POSITIONS} WHERE stream = ?", (OPERATIONS,)).fetchone()[0]  # noqa: S608
            removed = database.execute(
                f"DELETE FROM {EVENTS} WHERE at < ? AND (? = 0 OR position <= ?) RETURNING position",  # noqa: S608
                (moment.isoformat(timespec="seconds"), known, done),
            )
            return len(removed.fetchall())

    def positions(self) -> list[DestinationPosition]:
        """Return how far every known destination is in each stream."""
        with self._reading() as database:
            if database is None:
                return []
            query = (
                f"SELECT destination, stream, position, mark, at, trouble, trouble_since FROM {POSITIONS} "  # noqa: S608
                "ORDER BY destination, stream"
            )
            return [DestinationPosition(*row) for row in database.execute(query).fetchall()]

    def put(self, *positions: DestinationPosition) -> None:
        """Note how far a destination is."""
        with self._writing() as database:
            for each in positions:
                database.execute(
                    f"INSERT INTO {POSITIONS} (destination, stream, position, mark, at, trouble, trouble_since) "  # noqa: S608
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (destination, stream) DO UPDATE SET "
                    "position = excluded.position, mark = excluded.mark, at = excluded.at, trouble = excluded.trouble, "
                    "trouble_since = excluded.trouble_since",
                    (
                        each.destination,
                        each.stream,
                        each.position,
                        each.mark,
                        each.at,
                        each.trouble,
                        each.trouble_since,
                    ),
                )

    def forget(self, destination: str) -> None:
        """Forget a destination that is no more."""
        with self._writing() as database:
            database.execute(f"DELETE FROM {POSITIONS} WHERE destination = ?", (destination,))  # noqa: S608


def outbox_store(path: Path, url: str | None) -> OutboxStore:
    """Return the outbox of a home.

    Args:
        path: Of the SQLite database that is used where no other is named.
        url: Of a PostgreSQL database; None for none.
    """
    if url is None:
        from resources.outbox.sqlite import SqliteOutbox

        return SqliteOutbox(path)
    from resources.outbox.postgresql import PostgresqlOutbox

    return PostgresqlOutbox(url)


def _event(row: Sequence[Any]) -> OutboxEvent:
    position, event_id, kind, subject, at, content, trace = row
    return OutboxEvent(
        OPERATIONS,
        position,
        event_id,
        "urn:forecast-assets:operations",
        kind,
        subject,
        at,
        bytes(content),
        trace=trace,
    )

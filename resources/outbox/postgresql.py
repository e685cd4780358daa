"""The outbox in PostgreSQL, in the database of the event store: for several machines with one store.

What belongs here: its tables and its locks. What does not: what is kept (`store`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from forecast_assets.core.addresses import without_password
from forecast_assets.core.errors import StorageError
from resources.outbox.store import EVENTS, POSITIONS, OutboxStore, Statements
from resources.postgresql.connecting import connected, error_line, plain_address, require_psycopg

if TYPE_CHECKING:
    from psycopg import Connection

_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS {EVENTS} (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    content BYTEA NOT NULL,
    trace TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS {POSITIONS} (
    destination TEXT NOT NULL,
    stream TEXT NOT NULL,
    position BIGINT NOT NULL,
    mark TEXT NOT NULL,
    at TEXT NOT NULL,
    trouble TEXT NOT NULL,
    trouble_since TEXT NOT NULL,
    PRIMARY KEY (destination, stream)
);
"""
# Any numbers: who else uses the database for other things takes others.
_LOCK: Final = 4_304_304_305
_DESTINATION_LOCK: Final = 430_430_430
_STATEMENT_SECONDS: Final = 60


class PostgresqlOutbox(OutboxStore):
    """The outbox of all homes that share a store and this database; each store needs one of its own.

    Args:
        url: Of the database, as `postgresql://user:password@host/name`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        return without_password(plain_address(self._url))

    @contextmanager
    def _writing(self) -> Iterator[Statements]:
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if not _is_there(connection):
                connection.execute(_TABLES.encode())
            yield _Placed(connection)

    @contextmanager
    def _reading(self) -> Iterator[Statements | None]:
        with self._connected() as connection:
            yield _Placed(connection) if _is_there(connection) else None

    @contextmanager
    def alone(self, destination: str) -> Iterator[bool]:
        """Hold a destination by a lock that the server takes from a connection that ends."""
        with self._connected() as connection:
            key = crc32(destination.encode()) - 2**31
            found = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_DESTINATION_LOCK, key)).fetchone()
            yield found == (True,)

    @contextmanager
    def _connected(self) -> Iterator["Connection[Any]"]:
        require_psycopg("Outboxes")
        import psycopg

        try:
            with connected(self._url, statement_seconds=_STATEMENT_SECONDS) as connection:
                yield connection
        except psycopg.Error as error:
            raise StorageError(
                f"The outbox {self.place} cannot be used: {error_line(error)}.",
                remedy="Mend the access; what is recorded waits meanwhile, and is handed over then.",
            ) from error


class _Placed:
    """A connection that takes statements with `?` in the places of values."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)


def _is_there(connection: "Connection[Any]") -> bool:
    return connection.execute("SELECT to_regclass(%s)", (POSITIONS,)).fetchone() != (None,)

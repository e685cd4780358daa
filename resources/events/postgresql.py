"""Events in PostgreSQL: one table, a partition for each day, documents as JSONB.

What belongs here: its tables and statements. What does not: what events are kept for, or how long.

Who writes holds one lock for the length of a transaction. So an id is there once, whatever day a repeated request is
of, which no constraint over partitions can promise; and a day is dropped with exactly the events that were counted.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from forecast_assets.core.addresses import without_password
from forecast_assets.core.errors import StorageError
from resources.events.record import EventRecord
from resources.events.stores import EventQuery
from resources.postgresql.connecting import connected, error_line, plain_address, require_psycopg

if TYPE_CHECKING:
    from psycopg import Connection

_NAME: Final = "prediction_events"
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    event_id UUID NOT NULL,
    day DATE NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    key_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    document JSONB NOT NULL,
    PRIMARY KEY (event_id, day)
) PARTITION BY RANGE (day);
CREATE INDEX IF NOT EXISTS {_NAME}_by_time ON {_NAME} (occurred_at, event_id);
CREATE INDEX IF NOT EXISTS {_NAME}_by_key ON {_NAME} (key_id, occurred_at);
CREATE INDEX IF NOT EXISTS {_NAME}_by_caller ON {_NAME} (caller, occurred_at);
CREATE INDEX IF NOT EXISTS {_NAME}_by_series ON {_NAME} USING gin ((document -> 'series') jsonb_path_ops);
"""
# Any number: who else uses the database for other things takes another one.
_LOCK: Final = 4_304_304_304
_STATEMENT_SECONDS: Final = 60
_BATCH: Final = 100


class PostgresqlEvents:
    """Events in a database of a server.

    Args:
        url: Of the database, as `postgresql://user:password@host/name`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        return without_password(plain_address(self._url))

    def add(self, records: Sequence[EventRecord]) -> int:
        """Add events: see `EventStore.add`."""
        from psycopg.types.json import Jsonb

        with self._writing() as connection:
            for day in sorted({record.day for record in records}):
                _make_partition(connection, day)
            return sum(
                connection.execute(
                    f"INSERT INTO {_NAME} SELECT %s, %s, %s, %s, %s, %s "  # noqa: S608
                    f"WHERE NOT EXISTS (SELECT 1 FROM {_NAME} WHERE event_id = %s)",
                    (record.event_id, record.day, record.occurred_at, record.key_id, record.caller,
                     Jsonb(record.document), record.event_id),
                ).rowcount
                for record in records
            )  # fmt: skip

    def find(self, event_id: str) -> EventRecord | None:
        """Return an event by its id: see `EventStore.find`."""
        found = self._rows(f"SELECT document FROM {_NAME} WHERE event_id = %s", (event_id,))  # noqa: S608
        return next((EventRecord.of(document) for (document,) in found), None)

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return which ids are events: see `EventStore.known`."""
        query = f"SELECT event_id::text FROM {_NAME} WHERE event_id = ANY(%s::uuid[])"  # noqa: S608
        return {event_id for (event_id,) in self._rows(query, ([*event_ids],))}

    def select(self, asked: EventQuery) -> list[EventRecord]:
        """Return events, the newest first: see `EventStore.select`."""
        from psycopg.types.json import Jsonb

        series = None if asked.store_id is None else Jsonb([[asked.store_id, asked.sku_id]])
        conditions, values = list[str](), list[Any]()
        for condition, value in (
            ("document -> 'series' @> %s", series),
            ("key_id = %s", asked.key_id),
            ("caller = %s", asked.caller),
            ("occurred_at >= %s", asked.since),
            ("occurred_at < %s", asked.until),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if asked.before is not None:
            conditions.append("(occurred_at, event_id) < (%s, %s::uuid)")
            values += asked.before
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "ORDER BY occurred_at DESC, event_id DESC LIMIT %s"
        rows = self._rows(f"SELECT document FROM {_NAME} {where} {order}", (*values, asked.limit))  # noqa: S608
        found = [EventRecord.of(document) for (document,) in rows]
        # Containment knows no order: store A with SKU B is contained in SKU A of store B as well.
        return [each for each in found if series is None or (asked.store_id, asked.sku_id) in each.series]

    def days(self) -> dict[date, int]:
        """Return how many events of each day there are: see `EventStore.days`."""
        return dict(self._rows(f"SELECT day, count(*) FROM {_NAME} GROUP BY day ORDER BY day"))  # noqa: S608

    def of_day(self, day: date) -> Iterator[EventRecord]:
        """Yield the events of a day: see `EventStore.of_day`."""
        query = f"SELECT document FROM {_NAME} WHERE day = %s ORDER BY occurred_at, event_id"  # noqa: S608
        with self._connected() as connection:
            if _is_there(connection):
                with connection.transaction(), connection.cursor("of_day") as cursor:
                    cursor.itersize = _BATCH
                    for (document,) in cursor.execute(query, (day,)):
                        yield EventRecord.of(document)

    def drop(self, day: date, count: int) -> bool:
        """Remove a day if it has exactly so many events: see `EventStore.drop`."""
        with self._writing() as connection:
            query = f"SELECT count(*) FROM {_NAME} WHERE day = %s"  # noqa: S608
            if connection.execute(query, (day,)).fetchone() != (count,):
                return False
            connection.execute(f"DROP TABLE IF EXISTS {_partition(day)}".encode())
        return True

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._connected() as connection:
            return connection.execute(query.encode(), values).fetchall() if _is_there(connection) else []

    @contextmanager
    def _writing(self) -> Iterator["Connection[Any]"]:
        """Yield a connection within a transaction, alone among writers; the tables are there."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if not _is_there(connection):
                connection.execute(_TABLES.encode())
            yield connection

    @contextmanager
    def _connected(self) -> Iterator["Connection[Any]"]:
        require_psycopg("Events")
        import psycopg

        try:
            with connected(self._url, statement_seconds=_STATEMENT_SECONDS) as connection:
                yield connection
        except psycopg.DataError:
            raise
        except psycopg.Error as error:
            raise StorageError(
                f"The event store {self.place} cannot be used: {error_line(error)}.",
                remedy="Mend the access; events wait in the spool meanwhile, and are stored by themselves.",
            ) from error


def _is_there(connection: "Connection[Any]") -> bool:
    return connection.execute("SELECT to_regclass(%s)", (_NAME,)).fetchone() != (None,)


def _partition(day: date) -> str:
    return f"{_NAME}_{day:%Y%m%d}"


def _make_partition(connection: "Connection[Any]", day: date) -> None:
    following = day + timedelta(days=1)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF {_NAME} "
        f"FOR VALUES FROM ('{day}') TO ('{following}')".encode()
    )

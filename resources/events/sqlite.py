"""Events in SQLite: the default, a file below the home.

What belongs here: its tables and statements. What does not: what events are kept for, or how long.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from resources.events.record import EventRecord
from resources.events.stores import EventQuery
from resources.operational.opening import operational_rows, operational_store

_NAME: Final = "prediction_events"
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    event_id TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    occurred_at TEXT NOT NULL,
    key_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT
"""
_SERIES: Final = "prediction_event_series"
# Besides the table: what events are looked up by.
_REST: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {_SERIES} (
    store_id TEXT NOT NULL,
    sku_id TEXT NOT NULL,
    occurred_at TEXT NOT NULL,
    event_id TEXT NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (store_id, sku_id, occurred_at, event_id)
) STRICT, WITHOUT ROWID
""",
    f"CREATE INDEX IF NOT EXISTS {_NAME}_by_time ON {_NAME} (occurred_at, event_id)",
    f"CREATE INDEX IF NOT EXISTS {_NAME}_by_key ON {_NAME} (key_id, occurred_at)",
    f"CREATE INDEX IF NOT EXISTS {_NAME}_by_caller ON {_NAME} (caller, occurred_at)",
    f"CREATE INDEX IF NOT EXISTS {_NAME}_by_day ON {_NAME} (day)",
    f"CREATE INDEX IF NOT EXISTS {_SERIES}_by_day ON {_SERIES} (day)",
)


class SqliteEvents:
    """Events of a home.

    Args:
        path: Of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self._path)

    def add(self, records: Sequence[EventRecord]) -> int:
        """Add events: see `EventStore.add`."""
        with operational_store(self._path, _TABLE) as database:
            for statement in _REST:
                database.execute(statement)
            return sum(_added(database, record) for record in records)

    def find(self, event_id: str) -> EventRecord | None:
        """Return an event by its id: see `EventStore.find`."""
        found = self._rows(f"SELECT document FROM {_NAME} WHERE event_id = ?", (event_id,))  # noqa: S608
        return next((_read(row) for row in found), None)

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Return which ids are events: see `EventStore.known`."""
        query = f"SELECT event_id FROM {_NAME} WHERE event_id IN (SELECT value FROM json_each(?))"  # noqa: S608
        return {event_id for (event_id,) in self._rows(query, (json.dumps([*event_ids]),))}

    def select(self, asked: EventQuery) -> list[EventRecord]:
        """Return events, the newest first: see `EventStore.select`."""
        source, conditions, values = _NAME, list[str](), list[Any]()
        if asked.store_id is not None:
            source = f"{_SERIES} JOIN {_NAME} USING (event_id, occurred_at)"
            conditions.append("store_id = ? AND sku_id = ?")
            values += [asked.store_id, asked.sku_id]
        for condition, value in (
            ("key_id = ?", asked.key_id),
            ("caller = ?", asked.caller),
            ("occurred_at >= ?", _text(asked.since)),
            ("occurred_at < ?", _text(asked.until)),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if asked.before is not None:
            conditions.append("(occurred_at, event_id) < (?, ?)")
            values += [_text(asked.before[0]), asked.before[1]]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "ORDER BY occurred_at DESC, event_id DESC LIMIT ?"
        query = f"SELECT document FROM {source} {where} {order}"  # noqa: S608
        return [_read(row) for row in self._rows(query, (*values, asked.limit))]

    def days(self) -> dict[date, int]:
        """Return how many events of each day there are: see `EventStore.days`."""
        found = self._rows(f"SELECT day, count(*) FROM {_NAME} GROUP BY day ORDER BY day")  # noqa: S608
        return {date.fromisoformat(day): count for day, count in found}

    def of_day(self, day: date) -> Iterator[EventRecord]:
        """Yield the events of a day: see `EventStore.of_day`."""
        query = f"SELECT document FROM {_NAME} WHERE day = ? ORDER BY occurred_at, event_id"  # noqa: S608
        with operational_rows(self._path, _NAME) as database:
            if database is not None:
                for row in database.execute(query, (day.isoformat(),)):
                    yield _read(row)

    def drop(self, day: date, count: int) -> bool:
        """Remove a day if it has exactly so many events: see `EventStore.drop`."""
        with operational_store(self._path, _TABLE) as database:
            for statement in _REST:
                database.execute(statement)
            (found,) = database.execute(
                f"SELECT count(*) FROM {_NAME} WHERE day = ?",  # noqa: S608
                (day.isoformat(),),
            ).fetchone()
            if found != count:
                return False
            for table in (_NAME, _SERIES):
                database.execute(f"DELETE FROM {table} WHERE day = ?", (day.isoformat(),))  # noqa: S608
        return True

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with operational_rows(self._path, _NAME) as database:
            return [] if database is None else database.execute(query, values).fetchall()


def _added(database: sqlite3.Connection, record: EventRecord) -> int:
    moment, day = _text(record.occurred_at), record.day.isoformat()
    added = database.execute(
        f"INSERT INTO {_NAME} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",  # noqa: S608
        (record.event_id, day, moment, record.key_id, record.caller, record.content.decode()),
    ).rowcount
    if added:
        database.executemany(
            f"INSERT INTO {_SERIES} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608
            [(store, sku, moment, record.event_id, day) for store, sku in record.series],
        )
    return added


def _text(moment: datetime | None) -> str | None:
    """Return a moment so that texts sort as moments do."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")


def _read(row: Any) -> EventRecord:
    return EventRecord.of(json.loads(row[0]))

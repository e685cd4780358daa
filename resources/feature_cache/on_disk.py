"""Features kept on this machine's disk, where other processes of a home find them, and the next one after a restart.

What belongs here: putting and getting many at once, and what goes when the file has all the bytes that it may have.
What does not: what is kept, or a file that fails (`disk_file`).

The file is not asked to be right: entries are sealed (`sealed`). What is too old is removed when something is put; when
there is no room, the group that ends first goes, if it has less than half of the time left that the new one has. What
is put again always ends later: groups that do not fit together would else push each other out for ever.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from time import monotonic, time
from typing import Any, Final

from resources.feature_cache.disk_file import LEFT_ALONE_SECONDS, DiskFile, transaction
from resources.feature_cache.sealed import opened, seal

MOST_BYTES: Final = 2 << 30
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS groups (group_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, until REAL NOT NULL)",
    """
CREATE TABLE IF NOT EXISTS entries (
    entry_id INTEGER PRIMARY KEY,
    group_id INTEGER NOT NULL,
    rest TEXT NOT NULL,
    until REAL NOT NULL,
    sealed BLOB NOT NULL
)
""",
    "CREATE UNIQUE INDEX IF NOT EXISTS entries_by_name ON entries (group_id, rest)",
)
_PROBES: Final = (
    "SELECT group_id, name, until FROM groups LIMIT 1",
    "SELECT entry_id, group_id, rest, until, length(sealed) FROM entries LIMIT 1",
)
_FOUND: Final = """
SELECT rest, sealed FROM entries JOIN groups USING (group_id)
WHERE name = ? AND rest IN (SELECT value FROM json_each(?)) AND entries.until > ?
"""
_PUT_GROUP: Final = """
INSERT INTO groups (name, until) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET until = max(until, excluded.until)
"""
_PUT_ENTRY: Final = """
INSERT INTO entries (group_id, rest, until, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (group_id, rest) DO UPDATE SET until = excluded.until, sealed = excluded.sealed
"""
# Newest first: what says that a group is whole was put last, and must not outlast the others.
_OF_GROUP: Final = "SELECT entry_id FROM entries WHERE group_id = ? AND until <= ? ORDER BY entry_id DESC"
_DROP: Final = "DELETE FROM entries WHERE entry_id IN (SELECT value FROM json_each(?)) AND until <= ?"
_DROP_GROUP: Final = """
DELETE FROM groups WHERE group_id = ?1 AND NOT EXISTS (SELECT 1 FROM entries WHERE group_id = ?1)
"""
_ENDED: Final = "SELECT group_id FROM groups WHERE until <= ?"
_ENDS_FIRST: Final = """
SELECT group_id, until FROM groups
WHERE until < ? AND name NOT IN (SELECT value FROM json_each(?)) ORDER BY until LIMIT 1
"""
# Of the time that a new group has: a group goes for it that has less left.
_GOES_WITH_LESS: Final = 0.5
_DROPPED_AT_A_TIME: Final = 500
_LOOKS_EVERY_SECONDS: Final = 60.0
# Names have so many parts in front that entries of one group have in common: what entries say, and of what.
_GROUP_PARTS: Final = 3


class OnDiskCache:
    """Bytes in a SQLite file.

    Args:
        path: Of the file.
        most_bytes: That it may have, besides a log of some megabytes.
        left_alone_seconds: For so long it is not asked after it could not be read.
        clock: Returns seconds of the epoch.
    """

    def __init__(
        self,
        path: Path,
        most_bytes: int = MOST_BYTES,
        *,
        left_alone_seconds: float = LEFT_ALONE_SECONDS,
        clock: Callable[[], float] = time,
    ) -> None:
        self._file = DiskFile(path, most_bytes, _TABLES, _PROBES, left_alone_seconds=left_alone_seconds)
        self._most, self._clock = most_bytes, clock
        self._looked, self._lock = -_LOOKS_EVERY_SECONDS, Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Be opened anew in another process."""
        return OnDiskCache, (self._file.path, self._most)

    @property
    def what(self) -> str:
        """What it is, for people."""
        return "the file of features"

    @property
    def place(self) -> str:
        """Where it is below the home, for people: health is told to everybody."""
        return f"{self._file.path.parent.name}/{self._file.path.name}"

    @property
    def is_shared(self) -> bool:
        """Other processes of the home find what is put here."""
        return True

    @property
    def is_lasting(self) -> bool:
        """It is there when all processes end."""
        return True

    def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what is there: see `FeatureCache.get`."""
        if not names:
            return []
        found = self._file.read(lambda connection: self._found(connection, names), otherwise=dict[str, bytes]())
        return [opened(name, found.get(name)) for name in names]

    def put(self, entries: Mapping[str, bytes], seconds: float) -> bool:
        """Keep entries: see `FeatureCache.put`."""
        if seconds <= 0 or not entries:
            return True
        until = self._clock() + seconds
        sealed = {name: seal(name, content) for name, content in entries.items()}
        return self._file.write(lambda connection: self._write(connection, sealed, until))

    def trouble(self) -> str | None:
        """Look whether the file can be read: see `FeatureCache.trouble`."""
        return self._file.trouble()

    def close(self) -> None:
        """Let go of connections."""
        self._file.close()

    def _found(self, connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, bytes]:
        now, found = self._clock(), dict[str, bytes]()
        for group, members in _by_group(names).items():
            rows = connection.execute(_FOUND, (group, json.dumps(list(members)), now))
            found |= {members[rest]: sealed for rest, sealed in rows if isinstance(sealed, bytes)}
        return found

    def _write(self, connection: sqlite3.Connection, sealed: Mapping[str, bytes], until: float) -> None:
        self._drop_ended(connection)
        groups = _by_group(list(sealed))
        while not _has_put(connection, groups, sealed, until):
            now = self._clock()
            ends_first = connection.execute(
                _ENDS_FIRST, (now + _GOES_WITH_LESS * (until - now), json.dumps(list(groups)))
            ).fetchone()
            if ends_first is None:
                raise sqlite3.OperationalError("it may have no more bytes, or the disk has none")
            _drop(connection, *ends_first)

    def _drop_ended(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if monotonic() - self._looked < _LOOKS_EVERY_SECONDS:
                return
            self._looked = monotonic()
        now = self._clock()
        for (group_id,) in connection.execute(_ENDED, (now,)).fetchall():
            _drop(connection, group_id, now)


def _has_put(
    connection: sqlite3.Connection, groups: Mapping[str, Mapping[str, str]], sealed: Mapping[str, bytes], until: float
) -> bool:
    """Put all of some entries or none; return whether there was room."""
    try:
        with transaction(connection):
            for group, members in groups.items():
                connection.execute(_PUT_GROUP, (group, until))
                (group_id,) = connection.execute("SELECT group_id FROM groups WHERE name = ?", (group,)).fetchone()
                rows = [(group_id, rest, until, sealed[name]) for rest, name in members.items()]
                connection.executemany(_PUT_ENTRY, rows)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        return False
    return True


def _drop(connection: sqlite3.Connection, group_id: int, until: float) -> None:
    """Remove what ends by then of a group, a few entries at a time, so that others who write do not wait."""
    entries = [entry for (entry,) in connection.execute(_OF_GROUP, (group_id, until)).fetchall()]
    for start in range(0, len(entries), _DROPPED_AT_A_TIME):
        connection.execute(_DROP, (json.dumps(entries[start : start + _DROPPED_AT_A_TIME]), until))
    connection.execute(_DROP_GROUP, (group_id,))


def _by_group(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return names by what those of a group have in common, and then by what is their own."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        parts = name.split(":", _GROUP_PARTS)
        group = ":".join(parts[:_GROUP_PARTS]) if len(parts) > _GROUP_PARTS else ""
        found.setdefault(group, {})[parts[-1] if group else name] = name
    return found

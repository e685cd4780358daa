"""The outbox in SQLite: the default, a file below the home.

What belongs here: its tables and its lock. What does not: what is kept (`store`).
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import StorageError
from resources.operational.opening import operational_rows, operational_store
from resources.outbox.store import EVENTS, POSITIONS, OutboxStore, Statements

_TABLES: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {EVENTS} (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    content BLOB NOT NULL,
    trace TEXT NOT NULL
) STRICT
""",
    f"""
CREATE TABLE IF NOT EXISTS {POSITIONS} (
    destination TEXT NOT NULL,
    stream TEXT NOT NULL,
    position INTEGER NOT NULL,
    mark TEXT NOT NULL,
    at TEXT NOT NULL,
    trouble TEXT NOT NULL,
    trouble_since TEXT NOT NULL,
    PRIMARY KEY (destination, stream)
) STRICT
""",
)


class SqliteOutbox(OutboxStore):
    """The outbox of a home.

    Args:
        path: Of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """Where it is."""
        return str(self._path)

    @contextmanager
    def _writing(self) -> Iterator[Statements]:
        with operational_store(self._path, *_TABLES) as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Statements | None]:
        with operational_rows(self._path, POSITIONS) as connection:
            yield connection

    @contextmanager
    def alone(self, destination: str) -> Iterator[bool]:
        """Hold a destination by a lock that the system takes from a process that dies."""
        path = self._path.with_name(f"outbox-{re.sub(r'[^A-Za-z0-9.-]+', '-', destination)}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(
                f"The lock of an outbox cannot be made: {error}.", remedy="Make its folder writable for this user."
            ) from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

"""One SQLite file that a service may lose at any time: short waits, and gone around while it fails.

What belongs here: connections, what counts as no answer, telling of it, and beginning anew where the file is damaged.
What does not: what is kept there.

With a write-ahead log many read while one writes, and a transaction is there whole or not at all, whatever is killed.
Each call is a use of a connection by one thread. A file that was moved, removed or begun anew by somebody else is
opened again before anything is asked of it.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final, TypeVar

from forecast_assets.core.breaker import Breaker
from resources.store.write_ahead import write_ahead

Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")

# Nobody who writes keeps readers waiting; only who opens a file that was not closed well does, for a moment.
_READS_WAIT_SECONDS: Final = 0.2
# Who writes is in the background.
_WRITES_WAIT_SECONDS: Final = 5.0
LEFT_ALONE_SECONDS: Final = 5.0
# What kept it from being written, or that it was damaged, is told for so long.
_TOLD_SECONDS: Final = 60.0
_PAGE_BYTES: Final = 16_384
# Of the log, once it is in the file.
_LOG_BYTES: Final = 16 << 20
_PRIMARY: Final = 0xFF
_SPOILED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_log: Final = logging.getLogger(__name__)


class _ForeignFileError(Exception):
    """The file is a database of something else."""


@dataclass(frozen=True)
class _OpenDatabase:
    """A connection, and which file it is to."""

    connection: sqlite3.Connection
    file: tuple[int, int]


class DiskFile:
    """A SQLite file; safe to share between threads.

    Args:
        path: It and its folder are made when they are first needed.
        most_bytes: That the file may have; SQLite refuses to let it grow further.
        tables: Statement `CREATE TABLE IF NOT EXISTS ...` of each table and index.
        probes: Statements that fail where a table is not as it should be.
        left_alone_seconds: For so long nothing is asked of it after it could not be read; then one call tries.
    """

    def __init__(
        self,
        path: Path,
        most_bytes: int,
        tables: Sequence[str],
        probes: Sequence[str],
        *,
        left_alone_seconds: float = LEFT_ALONE_SECONDS,
    ) -> None:
        self.path, self._most_pages = path, max(most_bytes // _PAGE_BYTES, 1)
        self._tables, self._probes = tables, probes
        self._breaker = Breaker(1, left_alone_seconds)
        self._idle: list[_OpenDatabase] = []
        self._lock = Lock()
        self._process, self._is_closed = os.getpid(), False
        self._left: list[_OpenDatabase] = []
        self._trouble: str | None = None
        self._refused = -inf, ""

    def read(self, call: Callable[[sqlite3.Connection], Answer], otherwise: Otherwise) -> Answer | Otherwise:
        """Return what a call reads.

        Args:
            call: Asks by a connection that is nobody else's meanwhile.
            otherwise: Is returned where the file cannot be read; at once if that was so just now.
        """
        if not self._breaker.allows():
            return otherwise
        try:
            found = self._called(call, _READS_WAIT_SECONDS)
        except (sqlite3.Error, OSError, _ForeignFileError) as error:
            # What was set aside is begun anew by the next call.
            if not (_is_damage(error) and not self.path.exists()):
                self._breaker.failed()
            self._tell(_words(error))
            return otherwise
        self._breaker.succeeded()
        self._tell(None)
        return found

    def write(self, call: Callable[[sqlite3.Connection], None]) -> bool:
        """Return whether a call could write; what it did not commit is not there."""
        if not self._breaker.allows():
            return False
        try:
            self._called(call, _WRITES_WAIT_SECONDS)
        except (sqlite3.Error, OSError, _ForeignFileError) as error:
            # What cannot be written, since the disk is full for example, may well be read.
            self._refused = self._refused if _is_damage(error) else (monotonic(), _words(error))
            return False
        self._breaker.succeeded()
        self._tell(None)
        return True

    def trouble(self) -> str | None:
        """Look whether it can be read; return why not, or what kept it from being written lately; else None."""
        self.read(lambda connection: connection.execute(self._probes[0]).fetchall(), otherwise=None)
        refused_at, what = self._refused
        return self._trouble or (what if monotonic() - refused_at < _TOLD_SECONDS else None)

    def close(self) -> None:
        """Let go of connections; those in use are let go of afterwards."""
        with self._lock:
            self._is_closed, idle = True, self._idle
            self._idle = []
        for each in idle:
            each.connection.close()

    def _called(self, call: Callable[[sqlite3.Connection], Answer], wait_seconds: float) -> Answer:
        with self._connected() as connection:
            connection.execute(f"PRAGMA busy_timeout = {int(1_000 * wait_seconds)}")
            return call(connection)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        opened = self._taken() or self._opened()
        try:
            yield opened.connection
        except BaseException as error:
            # Whatever it was, nothing of it stays open.
            with suppress(sqlite3.Error):
                opened.connection.close()
            if _is_damage(error):
                self._set_aside(opened.file)
            raise
        with self._lock:
            is_kept = not self._is_closed
            if is_kept:
                self._idle.append(opened)
        if not is_kept:
            opened.connection.close()

    def _taken(self) -> _OpenDatabase | None:
        """Return a connection that nobody uses, to the file that is there now."""
        there = _file_at(self.path)
        with self._lock:
            if self._process != os.getpid():
                # Connections of the process that this one was forked from are not to be touched.
                self._left += self._idle
                self._idle, self._process = [], os.getpid()
            while self._idle:
                found = self._idle.pop()
                if found.file == there:
                    return found
                found.connection.close()
        return None

    def _opened(self) -> _OpenDatabase:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Sales and stock of every series are this user's; what SQLite puts beside the file is as the file is.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=_READS_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._set_up(connection)
        except BaseException as error:
            file = _file_at(self.path)
            connection.close()
            if file is not None and _is_damage(error):
                self._set_aside(file)
            raise
        file = _file_at(self.path)
        if file is None:
            connection.close()
            raise FileNotFoundError(f"{self.path} is gone")
        return _OpenDatabase(connection, file)

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        write_ahead(connection, _READS_WAIT_SECONDS)
        for setting in (
            # Nobody waits for the disk: what a power cut damages is begun anew, and what it tears does not open.
            "synchronous = OFF",
            f"journal_size_limit = {_LOG_BYTES}",
            f"max_page_count = {self._most_pages}",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        if connection.execute("PRAGMA schema_version").fetchone() == (0,):
            with transaction(connection):
                for table in self._tables:
                    connection.execute(table)
        try:
            for probe in self._probes:
                connection.execute(probe).fetchall()
        except sqlite3.OperationalError as error:
            if _code(error) == sqlite3.SQLITE_ERROR:
                raise _ForeignFileError from error
            raise

    def _set_aside(self, file: tuple[int, int]) -> None:
        """Move a file away, unless somebody else has, so that it is begun anew; of several the newest stays."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        with self._lock, suppress(OSError):
            if _file_at(self.path) != file:
                return
            self.path.replace(aside)
            for rest in ("-wal", "-shm"):
                self.path.with_name(self.path.name + rest).unlink(missing_ok=True)
            self._refused = monotonic(), f"the file was damaged, and is begun anew; see {aside.name}"
            _log.warning("%s is damaged; it is begun anew, and the old one is %s", self.path, aside)

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and self._trouble is None:
            _log.warning("%s cannot be read (%s): going on without it", self.path, trouble)
        if trouble is None and self._trouble is not None:
            _log.warning("%s can be read again", self.path)
        self._trouble = trouble


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Keep what a block writes if it ends well, and else nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_damage(error: BaseException) -> bool:
    """Whether a file has to be begun anew after an error."""
    return isinstance(error, _ForeignFileError) or (
        isinstance(error, sqlite3.DatabaseError) and _code(error) in _SPOILED
    )


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)) & _PRIMARY


def _words(error: Exception) -> str:
    if isinstance(error, _ForeignFileError):
        return "the file is of something else"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)

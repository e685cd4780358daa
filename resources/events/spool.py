"""The spool: where events wait on this machine's disk until every sink has them.

What belongs here: appending, so that what is appended survives the death of the process; finding what dead processes
left. What does not: sinks, or when to drain.

Each process has a folder of its own, which it locks as long as it lives: a folder whose lock can be had was left by a
dead process. What is appended has been handed to the operating system, so it survives `kill -9`; it is on the disk, and
survives a power cut, after the next `sync`.
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, Self
from uuid import uuid4

from resources.events.segments import SUFFIX
from resources.store.files import sync

# A segment that is as large is closed, whether it can be drained or not.
SEGMENT_BYTES: Final = 8 << 20
ASIDE: Final = "aside"
_LOCK: Final = "lock"
_NEW: Final = ".new-"
_BEING_MADE_SECONDS: Final = 60.0


class SpoolFolder:
    """A folder of segments that this process has locked: its own, or one that a dead process left.

    Args:
        path: The folder.
        lock: Open file that is locked.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._held = path, lock

    def segments(self) -> list[Path]:
        """Return its segments, oldest first."""
        return sorted(self.path.glob(f"*{SUFFIX}"))

    def remove(self, segment: Path) -> None:
        """Remove a segment that every sink has."""
        segment.unlink(missing_ok=True)

    def put_aside(self, segment: Path) -> Path:
        """Keep a segment that is not whole beside the spool, for people to look at; return where."""
        folder = self.path.parent / ASIDE
        folder.mkdir(exist_ok=True)
        return segment.rename(folder / f"{self.path.name}-{segment.name}")

    def give_up(self) -> None:
        """Remove the folder if nothing is left in it, and let go of it in any case."""
        if not self.segments():
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


class Spool(SpoolFolder):
    """The folder that this process appends to; one thread appends, others may sync and drain.

    Args:
        path: The folder.
        lock: Open file that is locked.
    """

    def __init__(self, path: Path, lock: int) -> None:
        super().__init__(path, lock)
        self._lock = Lock()
        self._number, self._open, self._size = 0, -1, 0
        self._at = path
        self._closing: list[int] = []
        self._is_new = False
        self._sizes: dict[Path, int] = {}

    @classmethod
    def open(cls, root: Path) -> Self:
        """Make a folder for this process.

        Raises:
            OSError: If it cannot be made.
        """
        root.mkdir(parents=True, exist_ok=True)
        # Locked before it has its name, so that nobody finds it without its lock.
        scratch = root / f"{_NEW}{uuid4().hex}"
        scratch.mkdir()
        lock = -1
        try:
            lock = os.open(scratch / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = root / f"{os.getpid()}-{uuid4().hex[:12]}"
            scratch.rename(path)
        except OSError:
            if lock >= 0:
                os.close(lock)
            with suppress(OSError):
                (scratch / _LOCK).unlink(missing_ok=True)
                scratch.rmdir()
            raise
        return cls(path, lock)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of events that some sink does not have."""
        with self._lock:
            return sum(self._sizes.values())

    def append(self, line: bytes) -> None:
        """Append the line of an event: all of it or nothing.

        Raises:
            OSError: If it is not appended.
        """
        with self._lock:
            if self._open < 0:
                self._begin()
            written = 0
            try:
                while written < len(line):
                    written += os.write(self._open, line[written:])
            except OSError:
                self._take_back()
                raise
            self._size += len(line)
            self._sizes[self._at] = self._size
            if self._size >= SEGMENT_BYTES:
                self._end()

    def sync(self) -> None:
        """Have the disk confirm what was appended.

        Raises:
            OSError: If it does not: what was appended survives the process, and nobody knows about the machine.
        """
        with self._lock:
            # First of all: it may fail, and then the next call has all of it to do.
            current = os.dup(self._open) if self._open >= 0 else -1
            closing, self._closing = self._closing, []
            is_new, self._is_new = self._is_new, False
        failed: OSError | None = None
        for file in [*closing, *([current] if current >= 0 else [])]:
            try:
                os.fsync(file)
            except OSError as error:
                failed = error
            finally:
                os.close(file)
        if is_new:
            sync(self.path)
        if failed is not None:
            raise failed

    def seal(self) -> None:
        """Close the segment that is appended to; the next event begins another one."""
        with self._lock:
            if self._size:
                self._end()

    def sealed(self) -> list[Path]:
        """Return the segments that nothing is appended to any more, oldest first."""
        # Listed first: a segment that is begun meanwhile must not be taken for one that is closed.
        found = self.segments()
        with self._lock:
            current = self._at if self._open >= 0 else None
        return [path for path in found if path != current]

    def remove(self, segment: Path) -> None:
        """Remove a segment that every sink has."""
        super().remove(segment)
        self.forget(segment)

    def put_aside(self, segment: Path) -> Path:
        """Keep a segment that is not whole beside the spool; return where."""
        moved = super().put_aside(segment)
        self.forget(segment)
        return moved

    def forget(self, segment: Path) -> None:
        """Take it that a segment is there no more."""
        with self._lock:
            self._sizes.pop(segment, None)

    def close(self) -> None:
        """Close it; what no sink has stays for the next process."""
        with self._lock:
            if self._open >= 0:
                self._end()
        with suppress(OSError):
            self.sync()
        for empty in [path for path in self.segments() if not path.stat().st_size]:
            self.remove(empty)
        self.give_up()

    def _begin(self) -> None:
        self._number += 1
        self._at = self.path / f"{self._number:010d}{SUFFIX}"
        self._open = os.open(self._at, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        self._size, self._is_new = 0, True

    def _end(self) -> None:
        self._closing.append(self._open)
        self._open, self._size = -1, 0

    def _take_back(self) -> None:
        """Remove the part of a line that was written: the next one would be torn with it."""
        try:
            os.ftruncate(self._open, self._size)
        except OSError:
            self._end()


def adopt(root: Path, *, own: Path | None) -> Iterator[SpoolFolder]:
    """Yield the folders that dead processes left, each locked by this one.

    Args:
        root: Where the folders are.
        own: The folder of this process; None where it has none.
    """
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if path == own or path.name == ASIDE or not path.is_dir():
            continue
        try:
            # Who makes a folder just now has not locked it yet.
            if path.name.startswith(_NEW) and time.time() - path.stat().st_mtime < _BEING_MADE_SECONDS:
                continue
            lock = os.open(path / _LOCK, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            continue
        yield SpoolFolder(path, lock)

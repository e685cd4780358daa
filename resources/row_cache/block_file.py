"""A file of blocks: written once, by one process, and then read a block at a time by any.

What belongs here: its layout, and telling what is damaged. What does not: which files there are, or what blocks say.

Blocks stand first, one after the other as they came; then a table of where each is, with its checksum, and with notes
of whoever wrote the file; then an end of fixed length, with the digest of the table and of the file's name. So a file
that was torn, is of another form or was renamed does not open, and a block that was damaged is not given back. Both
show accidents; whoever may write there is trusted, as with the store.

Blocks are read, not mapped: the system keeps them in memory as long as it has some to spare, and takes it back when it
has not, without being counted as this process's.
"""

import fcntl
import hashlib
import json
import os
import weakref
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from threading import Lock
from typing import Any, Final

_END_MARK: Final = b"FAB1"
_LENGTH_BYTES: Final = 8
_DIGEST_BYTES: Final = hashlib.sha256().digest_size
_END_BYTES: Final = len(_END_MARK) + _LENGTH_BYTES + _DIGEST_BYTES
# Names of files that are being written; nobody else reads them.
PART: Final = ".part"
# What the files say is for this user alone.
_MODE: Final = 0o600


class DamagedBlocksError(Exception):
    """A file is not what was written under its name."""


@dataclass(frozen=True)
class _Place:
    """Where a block is.

    Attributes:
        start: Byte of the file.
        size: Bytes.
        checksum: CRC-32 of them.
    """

    start: int
    size: int
    checksum: int

    def read(self, descriptor: int) -> bytes:
        content = os.pread(descriptor, self.size, self.start)
        if len(content) != self.size or zlib.crc32(content) != self.checksum:
            raise DamagedBlocksError(f"the {self.size} bytes from {self.start} on are not what was written there")
        return content


class BlockFile:
    """A file that is whole; safe to share between threads. It is closed when nobody refers to it any more.

    Args:
        path: Of the file.
        name: What it was written as.

    Attributes:
        path: As given.
        count: Of its blocks.
        notes: Of whoever wrote it, as JSON has them.

    Raises:
        OSError: If it cannot be read.
        DamagedBlocksError: If it is not whole, or of something else.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # A thread may be reading: only who holds it last may close it.
        weakref.finalize(self, os.close, self._descriptor)
        table = _table(self._descriptor, name)
        self._places = [_Place(*place) for place in table["places"]]
        self.count, self.notes = len(self._places), table["notes"]

    @property
    def is_there(self) -> bool:
        """Whether it still has its name: one that was removed takes room until it is closed."""
        return _is_at(self._descriptor, self.path)

    def read(self, number: int) -> bytes:
        """Return a block.

        Raises:
            OSError: If it cannot be read.
            DamagedBlocksError: If it is not what was written.
        """
        return self._places[number].read(self._descriptor)


class BlockWriter:
    """A file that is being written, under a name that nobody reads; safe to share between threads.

    Args:
        path: Of the file when it is whole.
        name: What it is written as.
        has_room: Whether so many bytes more may be written.

    Raises:
        BlockingIOError: If another process writes it just now.
        OSError: If it cannot be written.
    """

    def __init__(self, path: Path, name: str, has_room: Callable[[int], bool]) -> None:
        self._path, self._name, self._has_room = path, name, has_room
        self._part = path.with_name(path.name + PART)
        self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._close = weakref.finalize(self, os.close, self._descriptor)
        try:
            # It is let go of with the process, however that ends.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(self._descriptor, self._part):
                raise BlockingIOError(f"{self._part} was finished by another process just now")
            os.ftruncate(self._descriptor, 0)
        except OSError:
            self._close()
            raise
        self._places: dict[int, _Place] = {}
        self._size = 0
        self._lock = Lock()

    def has(self, number: int) -> bool:
        """Whether a block is written."""
        return number in self._places

    def read(self, number: int) -> bytes | None:
        """Return a block that is written; None for another one.

        Raises:
            OSError: If it cannot be read.
            DamagedBlocksError: If it is not what was written.
        """
        place = self._places.get(number)
        return None if place is None else place.read(self._descriptor)

    def put(self, blocks: Mapping[int, bytes]) -> None:
        """Write blocks by number; those that are written already are left out.

        Raises:
            OSError: If there is no room, or they cannot be written.
        """
        with self._lock:
            new = {number: content for number, content in blocks.items() if number not in self._places}
            if not self._has_room(sum(map(len, new.values()))):
                raise OSError(ENOSPC, "files of rows may have no more bytes")
            for number, content in new.items():
                self._places[number] = self._written(content)

    def finish(self, count: int, notes: Any) -> BlockFile:
        """Give the file its name, now that all blocks are written.

        Args:
            count: Of blocks.
            notes: Whatever is to be known with them, ready for JSON.

        Raises:
            OSError: If it cannot be written.
            ValueError: If a block is missing.
        """
        if sorted(self._places) != [*range(count)]:
            raise ValueError(f"{len(self._places)} of {count} blocks are written")
        places = [(each.start, each.size, each.checksum) for _, each in sorted(self._places.items())]
        table = json.dumps({"places": places, "notes": notes}, separators=(",", ":")).encode()
        with self._lock:
            if not _is_at(self._descriptor, self._part):
                raise FileNotFoundError(f"{self._part} was removed while it was being written")
            self._written(table + _END_MARK + len(table).to_bytes(_LENGTH_BYTES, "big") + _digest(self._name, table))
            self._part.replace(self._path)
        return BlockFile(self._path, self._name)

    def abandon(self) -> None:
        """Leave nothing of it behind."""
        if _is_at(self._descriptor, self._part):
            self._part.unlink(missing_ok=True)

    def _written(self, content: bytes) -> _Place:
        start, left = self._size, memoryview(content)
        while left:
            done = os.pwrite(self._descriptor, left, self._size)
            self._size, left = self._size + done, left[done:]
        return _Place(start, len(content), zlib.crc32(content))


def _table(descriptor: int, name: str) -> dict[str, Any]:
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, _END_BYTES, max(size - _END_BYTES, 0))
    if len(end) != _END_BYTES or not end.startswith(_END_MARK):
        raise DamagedBlocksError("it has no end")
    length = int.from_bytes(end[len(_END_MARK) : -_DIGEST_BYTES], "big")
    start = size - _END_BYTES - length
    table = os.pread(descriptor, length, start) if start >= 0 else b""
    if end[-_DIGEST_BYTES:] != _digest(name, table):
        raise DamagedBlocksError("its table is damaged, or of another file")
    found: dict[str, Any] = json.loads(table)
    return found


def _digest(name: str, table: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + table).digest()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found, own = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

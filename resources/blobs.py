"""Bytes under names, written once: the only module that writes into the store's folder.

What belongs here: put-once, get, and turning storage failures into errors with a remedy.
What does not: what the bytes mean.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError
from obstore.store import LocalStore

from forecast_assets.errors import ChangedFileError, StorageError


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


# Files that this process has hashed, by place: what was expected, and the file's stamp then.
_INTACT: Final[dict[Path, tuple[str, int, int, int]]] = {}


class BlobStore:
    """A local folder of immutable blobs.

    Args:
        root: Folder; created by the first write, so that looking at what is not there leaves no trace.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _store(self) -> LocalStore:
        self.root.mkdir(parents=True, exist_ok=True)
        return LocalStore(self.root)

    def create(self, path: str, data: bytes) -> bool:
        """Write ``data`` under a new name, durably; return False if the name is taken.

        The bytes and the folders that lead to them are synced before this returns, so that whoever sees a later blob
        that refers to this one will find it even after a power cut.
        """
        with translated(self.local(path)):
            try:
                obstore.put(self._store, path, data, mode="create")
            except AlreadyExistsError:
                return False
            self._sync(self.local(path))
        return True

    def create_addressed(self, path: str, data: bytes) -> None:
        """Write content-addressed ``data``, durably; the same bytes under the same name again are fine.

        Raises:
            ChangedFileError: If other bytes stand under that name.
        """
        if self.create(path, data):
            return
        if self.get(path) != data:
            raise ChangedFileError(
                f"`{self.local(path)}` does not hold what its name says.",
                remedy="Move it aside and run again; the run writes it anew.",
            )
        # Whoever wrote them first may not have come to syncing them, and what is recorded next refers to them.
        with translated(self.local(path)):
            self._sync(self.local(path))

    def replace(self, path: str, data: bytes) -> None:
        """Write a mutable blob (a pointer outside the ledger), atomically."""
        with translated(self.local(path)):
            obstore.put(self._store, path, data)

    def get(self, path: str) -> bytes:
        """Return the bytes under ``path``.

        Raises:
            ChangedFileError: If nothing is there.
        """
        data = self.find(path)
        if data is None:
            raise ChangedFileError(
                f"`{self.local(path)}` is missing.",
                remedy="Restore it from a backup: nothing here is ever deleted.",
            )
        return data

    def find(self, path: str) -> bytes | None:
        """Return the bytes under ``path``, or None."""
        if not self.root.exists():
            return None
        with translated(self.local(path)):
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def has(self, path: str) -> bool:
        """Return whether there is something under ``path``, without reading it."""
        with translated(self.local(path)):
            return self.local(path).exists()

    def is_intact(self, path: str, expected: str) -> bool:
        """Return whether the bytes under ``path`` hash to ``expected``.

        Whoever walks a run's lineage comes by the same large files many times: a file that has not been written to
        since this process hashed it is not hashed again. The file's change time tells, which no program can set.

        Raises:
            ChangedFileError: If nothing is there.
        """
        place, seen = self.local(path).absolute(), self._stamp(path, expected)
        if seen is not None and _INTACT.get(place) == seen:
            return True
        is_intact = sha256(self.get(path)) == expected
        if is_intact and seen is not None:
            _INTACT[place] = seen
        return is_intact

    def _stamp(self, path: str, expected: str) -> tuple[str, int, int, int] | None:
        with translated(self.local(path)):
            try:
                found = self.local(path).stat()
            except FileNotFoundError:
                return None
        return expected, found.st_ino, found.st_size, found.st_ctime_ns

    def names_after(self, folder: str, path: str) -> list[str]:
        """Return the names in a folder that sort after ``path``, which need not exist."""
        if not self.root.exists():
            return []
        with translated(self.local(folder)):
            chunks = obstore.list(self._store, folder, offset=path)
            return sorted(str(meta["path"]) for chunk in chunks for meta in chunk)

    def local(self, path: str) -> Path:
        """Return the file that holds ``path``, for readers that scan files."""
        return self.root / path

    def _sync(self, file: Path) -> None:
        _fsync(file)
        folder = file.parent
        while folder != self.root.parent:
            _fsync(folder)
            folder = folder.parent


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn storage failures inside the block into StorageError with what to do."""
    try:
        yield
    except PermissionDeniedError as error:
        raise StorageError(
            f"Not permitted to write `{path}`.",
            remedy="Give this user write access, or set FORECAST_ASSETS_HOME.",
        ) from error
    except BaseError as error:
        raise StorageError(f"Storing `{path}` failed: {_first_line(error)}.", remedy=_remedy(str(error))) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"Storing `{path}` failed: {error}.", remedy=_remedy(str(error))) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _remedy(message: str) -> str:
    if "No space left" in message or "os error 28" in message or "File too large" in message:
        return "Free some disk space and run the same command again; nothing was published."
    if "Read-only" in message or "os error 30" in message or "Permission denied" in message:
        return "Make the folder writable for this user, or set FORECAST_ASSETS_HOME to one that is."
    return "Check the disk and the folder's permissions, then run the same command again; nothing was published."

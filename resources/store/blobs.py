"""Bytes under names, written once: this module and `bucket` alone write into the store.

What belongs here: put-once, get, list and remove in a local folder, and turning a disk's failures into errors with a
remedy. What does not: buckets, or what the bytes mean.
"""

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError
from obstore.store import LocalStore

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ChangedFileError, MissingFileError, ReadOnlyError, StorageError, first_line
from resources.store.files import sync

# Where a local store writes what is not yet whole; whatever is left here belonged to a process that was killed.
SCRATCH: Final = "scratch"
CHUNK: Final = 4 << 20
_ADDRESSED: Final = re.compile(r"([0-9a-f]{64})(?:\.\w+)?$")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_hash(path: str) -> str | None:
    """Return the SHA-256 that a content-addressed path names, or None for another path.

    Example:
        >>> named_hash("manifests/" + 64 * "a" + ".json") == 64 * "a"
        True
        >>> named_hash("ledger/000000000001.json") is None
        True
    """
    found = _ADDRESSED.search(path.rsplit("/", 1)[-1])
    return found.group(1) if found else None


@dataclass(frozen=True)
class Blob:
    """One blob as a listing tells it: path below the store, bytes, and when it was last written (UTC)."""

    path: str
    size: int
    written_at: datetime


# Files whose hash a store remembers; the one longest unused goes first.
REMEMBERED_FILES: Final = 100_000


class BlobStore:
    """Immutable blobs in a local folder.

    Args:
        root: Folder; created by the first write, so that looking at what is not there leaves no trace.

    Attributes:
        is_local: Whether blobs are on a disk: a call that returned has come to its end, and one file may be unreadable
            where its neighbours are not. In a bucket, a request that was not answered may still arrive.
        lists_quickly: Whether asking for what comes after a name costs less than looking for a few names.
        is_read_only: Whether nothing can be written or removed.
    """

    is_local = True
    lists_quickly = False
    is_read_only = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self._synced_folders: set[Path] = set()
        # Files that were hashed, by path: what was expected, and the file's stamp then.
        self._verified: OrderedDict[str, tuple[object, ...]] = OrderedDict()
        self._verified_lock = Lock()

    @cached_property
    def _store(self) -> Any:
        self.root.mkdir(parents=True, exist_ok=True)
        return LocalStore(self.root)

    def place(self, path: str) -> str:
        """Return where ``path`` is, as people are told."""
        return str(self.root / path)

    @staticmethod
    def _translated(place: str | Path) -> AbstractContextManager[None]:
        return translated(place)

    # --- writing ---

    def read_only(self) -> Self:
        """Return the same blobs, of which none can be written, replaced or removed."""
        sealed = copy(self)
        sealed.is_read_only = True
        return sealed

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        if self.is_read_only:
            raise ReadOnlyError(
                f"`{self.place(path)}` is not written: the stores were opened to be read only.",
                remedy="Do it where they may be written to.",
                path=path,
            )
        with self._translated(self.place(path)):
            yield

    def create(self, path: str, data: bytes) -> bool:
        """Write ``data`` under a new name, durably; return False if the name is taken by anything else.

        Whoever sees the name sees all the bytes, also after a power cut; what was written before is durable too, so
        that a blob may refer to earlier ones.
        """
        with self._writing(path):
            return self._create(path, data)

    def _create(self, path: str, data: bytes) -> bool:
        """Write beside, sync, then link: a file never has its name before its bytes are on the disk."""
        scratch = f"{SCRATCH}/{uuid4().hex}"
        try:
            self._write(scratch, data)
            obstore.copy(self._store, scratch, path, overwrite=False)
        except AlreadyExistsError:
            return False
        finally:
            # What is left there harms nobody, and must not hide whether the name was given.
            with suppress(BaseError, OSError):
                obstore.delete(self._store, scratch)
        self._sync_folders(path)
        return True

    def _write(self, scratch: str, data: bytes) -> None:
        obstore.put(self._store, scratch, data)
        sync(self.root / scratch)

    def create_addressed(self, path: str, data: bytes) -> None:
        """Write content-addressed ``data``, durably; the same bytes under the same name again are fine.

        Raises:
            ChangedFileError: If other bytes stand under that name.
        """
        if self.create(path, data):
            return
        if self.find(path) != data:
            raise ChangedFileError(
                f"`{self.place(path)}` does not hold what its name says.",
                remedy="Move it aside and run again; the run writes it anew.",
                path=path,
            )
        self.renew(path, data)

    def renew(self, path: str, data: bytes) -> None:
        """Make what an earlier process wrote durable, and young: nobody may take it for a leftover now.

        Args:
            path: The blob.
            data: Its bytes, as they were found.
        """
        with self._writing(path):
            self._renew(path, data)

    def _renew(self, path: str, data: bytes) -> None:
        del data
        with suppress(PermissionError):
            os.utime(self.local(path))
        sync(self.local(path))
        self._sync_folders(path)

    def replace(self, path: str, data: bytes) -> None:
        """Write a mutable blob (a pointer outside the ledger), atomically and durably."""
        with self._writing(path):
            self._replace(path, data)

    def _replace(self, path: str, data: bytes) -> None:
        # A pointer that had its name before its bytes could be empty after a power cut.
        scratch = f"{SCRATCH}/{uuid4().hex}"
        try:
            self._write(scratch, data)
            obstore.rename(self._store, scratch, path)
        finally:
            with suppress(BaseError, OSError):
                obstore.delete(self._store, scratch)
        self._sync_folders(path)

    def remove(self, path: str) -> None:
        """Remove a blob, if it is there: for what no ledger entry names."""
        with self._writing(path), suppress(FileNotFoundError):
            obstore.delete(self._store, path)

    # --- reading ---

    def get(self, path: str) -> bytes:
        """Return the bytes under ``path``.

        Raises:
            MissingFileError: If nothing is there.
        """
        data = self.find(path)
        if data is None:
            raise self._missing(path)
        return data

    def _missing(self, path: str) -> MissingFileError:
        return MissingFileError(
            f"`{self.place(path)}` is missing.",
            remedy=Sentence(
                "Restore it from a backup: what is published is never removed. What is wrong besides: ",
                Action("verify"),
            ),
            path=path,
        )

    def find(self, path: str) -> bytes | None:
        """Return the bytes under ``path``, or None."""
        if not self._is_there():
            return None
        with suppress(FileNotFoundError), self._translated(self.place(path)):
            return bytes(obstore.get(self._store, path).bytes())
        return None

    def find_each(self, paths: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the bytes under each path, or None; for small blobs."""
        return (self.find(path) for path in paths)

    def _is_there(self) -> bool:
        return self.root.exists()

    def has(self, path: str) -> bool:
        """Return whether there is something under ``path``, without reading it."""
        with self._translated(self.place(path)):
            return self._stamp(path) is not None

    def hash_of(self, path: str) -> str:
        """Return the SHA-256 of the bytes under ``path``, read piece by piece.

        Raises:
            MissingFileError: If nothing is there.
        """
        digest = hashlib.sha256()
        with self._translated(self.place(path)):
            try:
                for piece in self._pieces(path):
                    digest.update(piece)
            except FileNotFoundError as error:
                raise self._missing(path) from error
        return digest.hexdigest()

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self.local(path).open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece

    def is_intact(self, path: str, expected: str) -> bool:
        """Return whether the bytes under ``path`` hash to ``expected``.

        Whoever walks a run's lineage comes by the same large files many times: a file that has not been written to
        since this store hashed it is not hashed again. The file's change time tells, which no program can set.

        Raises:
            MissingFileError: If nothing is there.
        """
        with self._translated(self.place(path)):
            stamp = self._stamp(path)
        if stamp is not None and self._verified.get(path) == (expected, *stamp):
            self._remember(path, (expected, *stamp))
            return True
        is_intact = self.hash_of(path) == expected
        if is_intact and stamp is not None:
            self._remember(path, (expected, *stamp))
        return is_intact

    def _remember(self, path: str, stamp: tuple[object, ...]) -> None:
        with self._verified_lock:
            self._verified[path] = stamp
            self._verified.move_to_end(path)
            if len(self._verified) > REMEMBERED_FILES:
                self._verified.popitem(last=False)

    def _stamp(self, path: str) -> tuple[object, ...] | None:
        """Return what changes whenever the bytes under ``path`` do, or None if nothing is there."""
        try:
            found = self.local(path).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_ctime_ns

    def names_after(self, folder: str, path: str) -> list[str]:
        """Return the names in a folder that sort after ``path``, which need not exist."""
        if not self._is_there():
            return []
        with self._translated(self.place(folder)):
            chunks = obstore.list(self._store, folder, offset=path)
            return sorted(str(meta["path"]) for chunk in chunks for meta in chunk)

    def everything(self) -> list[Blob]:
        """Return every blob of the store, sorted by path; on a local disk also what killed writers left."""
        with self._translated(str(self.root)):
            # Walked rather than listed: obstore does not list its own unfinished files.
            walked = os.walk(self.root, onerror=_raise)
            files = [Path(folder) / name for folder, _, names in walked for name in names]
            found = (self._found(file) for file in files)
            return sorted((blob for blob in found if blob is not None), key=lambda blob: blob.path)

    def _found(self, file: Path) -> Blob | None:
        # What other writers have not finished is renamed or removed while the store is walked.
        with suppress(FileNotFoundError):
            return _blob(file.relative_to(self.root).as_posix(), file.lstat())
        return None

    def local(self, path: str, size: int | None = None) -> Path:
        """Return the local file that holds ``path``, for readers that scan files.

        Args:
            path: The blob.
            size: Its bytes, if a copy of that size will do; by default a copy is checked against its hash.
        """
        del size
        return self.root / path

    def _sync_folders(self, path: str) -> None:
        """Sync the entries of a new name; folders above are synced once, since they only gain folders."""
        folder = (self.root / path).parent
        sync(folder)
        while folder not in self._synced_folders and folder != self.root.parent:
            self._synced_folders.add(folder)
            folder = folder.parent
            sync(folder)


def _raise(error: OSError) -> None:
    # A folder that is gone by now was another writer's; one that cannot be read must not pass for empty.
    if not isinstance(error, FileNotFoundError):
        raise error


def _blob(path: str, found: os.stat_result) -> Blob:
    return Blob(path, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


@contextmanager
def translated(place: str | Path) -> Iterator[None]:
    """Turn failures of a disk inside the block into StorageError with what to do."""
    try:
        yield
    except BaseError as error:
        if isinstance(error, PermissionDeniedError):
            raise StorageError(
                f"Not permitted to write `{place}`.",
                remedy="Give this user write access, or set FORECAST_ASSETS_HOME.",
            ) from error
        raise StorageError(f"Storing `{place}` failed: {first_line(error)}.", remedy=_remedy(str(error))) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"Storing `{place}` failed: {error}.", remedy=_remedy(str(error))) from error


def _remedy(message: str) -> str:
    if "No space left" in message or "os error 28" in message or "File too large" in message:
        return "Free some disk space and run the same command again; nothing was published."
    if "Read-only" in message or "os error 30" in message or "Permission denied" in message:
        return "Make the folder writable for this user, or set FORECAST_ASSETS_HOME to one that is."
    return "Check the disk and the folder's permissions, then run the same command again; nothing was published."

"""Files of a home outside of its store that cannot be made again: taken as they are at a moment, and put back.

What belongs here: reading them while services write to them, and naming them by their content. What does not: which
folders they are in, or how many snapshots are kept.

A database is copied by SQLite itself, which gives the state of one moment whoever writes meanwhile. A file that is the
same as in an earlier snapshot is not copied again.
"""

import mmap
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

from forecast_assets.core.errors import ChangedFileError, IntegrityError, StorageError
from resources.store.blobs import BlobStore, file_sha256, sha256, translated
from resources.store.files import sync, write_whole

_MAGIC: Final = b"SQLite format 3\0"
# What SQLite keeps beside a database; its own copy of it has what counts of them.
_BESIDE: Final = ("-wal", "-shm", "-journal")
# A file that was written to so shortly before it was looked at may change again within the same tick of the clock.
_SETTLED_NS: Final = 2_000_000_000


@dataclass(frozen=True)
class HomeFile:
    """A file of a home as it was at a moment.

    Attributes:
        path: Below the home.
        sha256: Of its bytes; of a database, of SQLite's own copy of it.
        bytes: How large that is.
        stamp: Size and time of what it was made from, which tells whether it has changed since; empty if it may have.
    """

    path: str
    sha256: str
    bytes: int
    stamp: str = ""

    @property
    def blob(self) -> str:
        """Under which name a backup has its bytes."""
        return f"{self.sha256}{Path(self.path).suffix}"


@dataclass(frozen=True)
class TakenFiles:
    """Files of a home at a moment, all of them in a backup.

    Attributes:
        files: The files, by path.
        copied_files: Those whose bytes were new to the backup.
        copied_bytes: How large these are.
    """

    files: tuple[HomeFile, ...]
    copied_files: int
    copied_bytes: int


def take_files(
    home: Path, folders: Sequence[str], to: BlobStore, earlier: Mapping[str, HomeFile], *, without: Sequence[str] = ()
) -> TakenFiles:
    """Put the files of some folders into a backup, by their content.

    Args:
        home: The home.
        folders: Below it; one that is not there has no files.
        to: Where the backup keeps such files.
        earlier: Files of the snapshot before, by path.
        without: Paths below the home that are left out.

    Raises:
        IntegrityError: If a database is damaged; nothing that was there before is lost.
        StorageError: If a file cannot be read, or the backup cannot be written.
    """
    held = {blob.path: blob.size for blob in to.everything()}
    taken, copied, size = [], 0, 0
    for path in _paths(home, folders):
        name = path.relative_to(home).as_posix()
        if name in without:
            continue
        # One that is gone meanwhile is another process's own scratch, or was taken away: it is of the past.
        with translated(path), suppress(FileNotFoundError):
            file, is_new = _taken(path, name, to, held, earlier.get(name))
            taken.append(file)
            copied, size = copied + is_new, size + is_new * file.bytes
            held[file.blob] = file.bytes
    return TakenFiles(tuple(taken), copied, size)


def put_back(home: Path, files: Sequence[HomeFile], source: BlobStore) -> None:
    """Write files of a snapshot into a home; one that is there is replaced.

    Raises:
        ChangedFileError: If a file of the backup is missing or changed.
        IntegrityError: If one is not below a home.
        StorageError: If the home cannot be written.
    """
    for file in files:
        if not (home / file.path).resolve().is_relative_to(home.resolve()):
            raise IntegrityError(
                f"The backup names `{file.path}`, which is not below a home.", remedy="Restore from another backup."
            )
        data = source.get(file.blob)
        if sha256(data) != file.sha256:
            raise ChangedFileError(
                f"`{source.place(file.blob)}`, which has `{file.path}`, changed after it was written.",
                remedy="Restore from another backup, or take the file's earlier snapshot: `backup.json` names them.",
                path=file.blob,
            )
        with translated(home / file.path):
            write_whole(home / file.path, data)
            sync((home / file.path).parent)


def _paths(home: Path, folders: Sequence[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((home / folder).rglob("*")):
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith(_BESIDE):
                yield path


def _taken(
    path: Path, name: str, to: BlobStore, held: Mapping[str, int], before: HomeFile | None
) -> tuple[HomeFile, bool]:
    """Return a file as it is now, and whether its bytes are new to the backup."""
    stamp = _stamp(path)
    if before is not None and stamp and before.stamp == stamp and held.get(before.blob) == before.bytes:
        return before, False
    if not _is_database(path):
        return _put(path, name, stamp, to, held)
    with TemporaryDirectory(prefix="forecast-assets-") as folder:
        copy = Path(folder) / path.name
        _copy_database(path, copy)
        return _put(copy, name, stamp, to, held)


def _put(path: Path, name: str, stamp: str, to: BlobStore, held: Mapping[str, int]) -> tuple[HomeFile, bool]:
    file = HomeFile(name, file_sha256(path), path.stat().st_size, stamp)
    if held.get(file.blob) == file.bytes:
        return file, False
    if file.bytes == 0:
        to.replace(file.blob, b"")
        return file, True
    # Databases may be larger than memory.
    with (
        path.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        # What is there in another size is no file of this name.
        to.replace(file.blob, cast("bytes", view))
    return file, True


def _stamp(path: Path) -> str:
    """Return sizes and times of a file and of what SQLite keeps beside it; empty if it was written to just now."""
    parts, newest = [], 0
    for each in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            found = each.stat()
            if found.st_size or each == path:
                parts.append(f"{found.st_size}:{found.st_mtime_ns}")
                newest = max(newest, found.st_mtime_ns)
    return "" if newest > time.time_ns() - _SETTLED_NS else " ".join(parts)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _copy_database(path: Path, to: Path) -> None:
    """Copy a database as it is at one moment, and see that it is whole.

    Raises:
        IntegrityError: If it is damaged.
        StorageError: If it cannot be read or copied.
    """
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=30, uri=True)) as source,
            closing(sqlite3.connect(to)) as copy,
        ):
            # In one step: between steps a writer would make it begin anew, for ever where somebody always writes.
            source.backup(copy)
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"`{path}` cannot be copied: {error}.",
            remedy="Free space in the folder of temporary files (TMPDIR), or wait for who holds it; then run the same "
            "command again.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    if found != "ok":
        # The first line says of which database.
        raise _damaged(path, found.splitlines()[-1])


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"The database `{path}` is damaged: {why}. The store is backed up; earlier snapshots of the database stay.",
        remedy="Move it away, put back the file of the last snapshot that `backup.json` in the backup names, and run "
        "the same command again.",
    )

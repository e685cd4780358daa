"""What a backup says of itself, `backup.json`, and what a home knows of its backups.

What belongs here: where its parts are, the form of both, and reading and writing them. What does not: making a backup.

The index is written last: until then the backup is that of the time before. It holds no truth about the store, which
says itself how far it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from forecast_assets.core.errors import IntegrityError, UnknownEntryError
from resources.ledger.records import with_known_fields
from resources.maintenance.home_files import HomeFile
from resources.store.blobs import BlobStore, translated
from resources.store.bucket import open_blobs
from resources.store.files import sync, write_whole

INDEX: Final = "backup.json"
FORMAT: Final = 1


@dataclass(frozen=True)
class BackupPlace:
    """Where a backup is: a folder, or a bucket.

    Attributes:
        shown: As people are told.
        root: All of it, for the index.
        store: The store in it, which can be used as any other.
        files: Files of homes, by their content.
    """

    shown: str
    root: BlobStore
    store: BlobStore
    files: BlobStore

    @classmethod
    def open(cls, location: str, mirror: Path) -> "BackupPlace":
        """Open a folder or the URL of a bucket; nothing is made by looking.

        Args:
            location: Where it is.
            mirror: Folder for local copies, which nothing here makes.

        Raises:
            InputError: If it is a URL that cannot be used.
        """
        shown = location.rstrip("/") if "://" in location else str(Path(location).expanduser().absolute())
        return cls(shown, *(open_blobs(each, mirror) for each in (shown, f"{shown}/store", f"{shown}/files")))


@dataclass(frozen=True)
class HomeSnapshot:
    """What of a home is no store, as it was at a moment.

    Attributes:
        at: When, ISO 8601, UTC.
        head: Ledger entry that the backup had then, `SEQUENCE:HASH`.
        files: The files.
    """

    at: str
    head: str
    files: tuple[HomeFile, ...]

    @property
    def sequence(self) -> int:
        """Number of that entry."""
        return int(self.head.split(":")[0])


@dataclass(frozen=True)
class BackupIndex:
    """What a backup says of itself.

    Attributes:
        first: SHA-256 of the first ledger entry, which tells ledgers apart.
        head: The last ledger entry that it had when it was made, `SEQUENCE:HASH`.
        recovery_point: What was there at this moment is in it; ISO 8601, UTC.
        finished_at: When it was done.
        code: Version of the code that made it.
        snapshots: Of the home, the oldest first.
    """

    first: str
    head: str
    recovery_point: str
    finished_at: str
    code: str
    snapshots: tuple[HomeSnapshot, ...] = ()

    def with_snapshot(self, snapshot: HomeSnapshot, keep: int) -> tuple["BackupIndex", frozenset[str]]:
        """Return the index with one more snapshot, and the blobs that no snapshot names any more.

        Args:
            snapshot: The newest.
            keep: How many there are at most.
        """
        kept = (*self.snapshots, snapshot)[-keep:]
        named = _blobs(kept)
        return replace(self, snapshots=kept), _blobs(self.snapshots) - named


def _blobs(snapshots: Sequence[HomeSnapshot]) -> frozenset[str]:
    return frozenset(file.blob for snapshot in snapshots for file in snapshot.files)


def read_index(place: BlobStore) -> BackupIndex | None:
    """Return what a backup says of itself; None if there is none, or its first making has not ended.

    Raises:
        UnknownEntryError: If a later release made it.
        IntegrityError: If it cannot be read.
    """
    data = place.find(INDEX)
    if data is None:
        return None
    with _readable(place.place(INDEX)):
        raw = _of_format(place.place(INDEX), json.loads(data))
        snapshots = tuple(
            HomeSnapshot(each["at"], each["head"], tuple(with_known_fields(HomeFile, file) for file in each["files"]))
            for each in raw.pop("snapshots")
        )
        return with_known_fields(BackupIndex, {**raw, "snapshots": snapshots})


def write_index(place: BlobStore, index: BackupIndex) -> None:
    """Write what a backup says of itself, in the place of what it said before."""
    place.replace(INDEX, _written({"format": FORMAT, **asdict(index)}))


# --- what a home knows of its backups ---


@dataclass(frozen=True)
class BackupRecord:
    """A backup that came to its end, as the home remembers it.

    Attributes:
        place: Where it is: a folder or the URL of a bucket.
        head: The last ledger entry that it has, `SEQUENCE:HASH`.
        recovery_point: What was there at this moment is in it; ISO 8601, UTC.
        finished_at: When it was done.
        seconds: How long it took.
    """

    place: str
    head: str
    recovery_point: str
    finished_at: str
    seconds: float


def read_records(path: Path) -> Mapping[str, BackupRecord]:
    """Return the last backup to each place, by place.

    Raises:
        IntegrityError: If the file cannot be read.
    """
    if not path.is_file():
        return {}
    with translated(path), _readable(str(path)):
        raw = _of_format(str(path), json.loads(path.read_bytes()))
        records = [with_known_fields(BackupRecord, each) for each in raw["backups"]]
    return {each.place: each for each in records}


def write_record(path: Path, record: BackupRecord) -> None:
    """Remember a backup, in the place of the one before to the same place.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        known = read_records(path)
    except IntegrityError:
        # It says what the backups themselves say, too: nothing is lost by beginning anew.
        known = {}
    backups = [asdict(each) for each in {**known, record.place: record}.values()]
    with translated(path):
        write_whole(path, _written({"format": FORMAT, "backups": backups}))
        sync(path.parent)


def _written(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def _of_format(where: str, raw: dict[str, Any]) -> dict[str, Any]:
    found = raw.pop("format")
    if found != FORMAT:
        raise UnknownEntryError(
            f"`{where}` has the format {found}; this release reads {FORMAT}.",
            remedy="Upgrade this installation to the release that wrote it.",
        )
    return raw


@contextmanager
def _readable(where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"`{where}` cannot be read: {error!r}.",
            remedy="Move it aside: the store beside it does not depend on it, and the next backup writes another one. "
            "Which files are of which snapshot is then known by that file alone.",
        ) from error

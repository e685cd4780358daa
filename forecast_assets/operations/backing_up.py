"""Backing up a home: its store, and what else of it cannot be made again.

What belongs here: what a backup has, in which order it is made, and what is refused. What does not: copying files
(`resources.maintenance`), restoring, or words for people.

A backup is a store, with files of the home beside it. What can be made again from the store (catalogue, mirrors,
copies, caches) is not in it.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import (
    BackupConflictError,
    InputError,
    IntegrityError,
    LostRaceError,
    MissingFileError,
)
from forecast_assets.core.progress import Progress, silent
from forecast_assets.settings import Settings
from resources.ledger.log import entry_path
from resources.maintenance.backup_index import (
    BackupIndex,
    BackupPlace,
    BackupRecord,
    HomeSnapshot,
    read_index,
    read_records,
    write_index,
    write_record,
)
from resources.maintenance.home_files import HomeFile, TakenFiles, take_files
from resources.maintenance.store_copy import CopiedStore, copy_store
from resources.maintenance.verification import Verification, verify_store
from resources.store.blobs import BlobStore, translated
from resources.store.bucket import open_blobs
from resources.store.provenance import code_version

KEPT_SNAPSHOTS: Final = 14
# Folders of a home that cannot be made again; what else there is, the store or a command makes anew.
FOLDERS: Final = ("operational", "serving/events")
MLFLOW: Final = "mlflow"


@dataclass(frozen=True)
class BackupOutcome:
    """What a backup has, and what was copied for it.

    Attributes:
        place: Where it is.
        store: What it has of the store.
        taken: What it has of the home besides.
        snapshots: Of the home, how many there are now.
        removed: Files of older snapshots that were removed.
        record: When, and what it goes back to.
        not_in_it: What of this home it does not have though it cannot be made again, a sentence each.
    """

    place: str
    store: CopiedStore
    taken: TakenFiles
    snapshots: int
    removed: int
    record: BackupRecord
    not_in_it: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackupVerification:
    """What verifying a backup found.

    Attributes:
        place: Where it is.
        store: Of the store in it.
        index: What the backup says of itself; None if its first making has not ended.
        files: How many files of homes were looked at.
        wrong: Paths of those that are missing or changed.
    """

    place: str
    store: Verification
    index: BackupIndex | None
    files: int
    wrong: tuple[str, ...]


def last_backup(settings: Settings) -> BackupRecord | None:
    """Return the backup of a home that goes back least, wherever it is; None if none has come to its end.

    Raises:
        IntegrityError: If what the home remembers cannot be read.
    """
    return max(read_records(settings.backups_path).values(), key=lambda each: each.recovery_point, default=None)


def backups_of(settings: Settings) -> Sequence[BackupRecord]:
    """Return the last backup of a home to each place, the newest first."""
    known = read_records(settings.backups_path).values()
    return sorted(known, key=lambda each: each.recovery_point, reverse=True)


def back_up(
    settings: Settings,
    to: str,
    *,
    keep: int = KEPT_SNAPSHOTS,
    with_mlflow: bool = False,
    progress: Progress = silent,
) -> BackupOutcome:
    """Bring a backup up to now: what it lacks of the store, and a snapshot of what else the home has.

    Safe while services and runs go on. Stopped at any moment, the backup is a store of an earlier position, and the
    same again completes it.

    Args:
        settings: Of the home.
        to: Folder, or URL of a bucket.
        keep: How many snapshots of what else the home has there are at most; a damaged database that nobody notices
            for so many backups replaces the last good one.
        with_mlflow: Whether the MLflow mirror below the home is in the snapshot; it can be made again from the ledger.
        progress: Told a stage, what is done, and all there is.

    Raises:
        InputError: If the place cannot be used, or there is no store.
        BackupConflictError: If the place has another store's backup, or one that goes on where this store does not.
        LostRaceError: If another backup of this home, or to this place, is under way.
        IntegrityError: If a file of the store is not as it was written, or a database is damaged.
        StorageError: If a disk is full or read-only, or a bucket does not answer.
    """
    began, clock = datetime.now(UTC), time.monotonic()
    home = settings.home.expanduser().absolute()
    place = BackupPlace.open(to, settings.mirror_folder)
    _require_apart(settings, place)
    with _alone(home), _alone(place.root.root if place.root.is_local else None):
        source = open_blobs(settings.store, settings.mirror_folder)
        index = read_index(place.root)
        _require_same_ledger(source, place)
        # What refers to the ledger is taken before the ledger is read, so that it refers to nothing that came later.
        taken = _taken(settings, place, index, with_mlflow=with_mlflow)
        store = copy_store(source, place.store, progress=progress)
        if isinstance(taken, IntegrityError):
            # The store is safe by now; the snapshots stay as they were.
            raise taken
        said = _index(store, index, began)
        said, unnamed = said.with_snapshot(HomeSnapshot(_text(began), store.head, taken.files), keep)
        write_index(place.root, said)
        for blob in sorted(unnamed):
            place.files.remove(blob)
        record = BackupRecord(
            place.shown, store.head, said.recovery_point, said.finished_at, round(time.monotonic() - clock, 3)
        )
        write_record(settings.backups_path, record)
    return BackupOutcome(
        place.shown, store, taken, len(said.snapshots), len(unnamed), record, tuple(_not_in_it(settings))
    )


def verify_backup(settings: Settings, location: str, progress: Progress = silent) -> BackupVerification:
    """Hash everything that a backup has; the home is not looked at.

    Args:
        settings: Of any home.
        location: Where the backup is.
        progress: Told a stage, what is done, and all there is.

    Raises:
        InputError: If there is no backup.
        StorageError: If it cannot be listed, or a bucket does not answer.
    """
    place = BackupPlace.open(location, settings.mirror_folder)
    require_backup(place)
    index = read_index(place.root)
    snapshots = () if index is None else index.snapshots
    heads = [each.head for each in (index, *snapshots) if each is not None]
    store = verify_store(place.store, expect_heads=heads, progress=progress)
    files = {file.blob: file for snapshot in snapshots for file in snapshot.files}
    wrong = sorted(f"files/{blob}" for blob, file in files.items() if not _is_whole(place.files, file))
    return BackupVerification(place.shown, store, index, len(files), tuple(wrong))


def status_of_backup(settings: Settings, location: str) -> BackupRecord:
    """Return what a backup says of itself, for where the home is gone.

    Raises:
        InputError: If there is no backup, or its first making has not ended.
    """
    place = BackupPlace.open(location, settings.mirror_folder)
    require_backup(place)
    index = read_index(place.root)
    if index is None:
        raise InputError(
            f"The first backup to {place.shown} has not come to its end.",
            remedy="Back up to it again; what is in it can be restored meanwhile.",
        )
    took = datetime.fromisoformat(index.finished_at) - datetime.fromisoformat(index.recovery_point)
    return BackupRecord(place.shown, index.head, index.recovery_point, index.finished_at, took.total_seconds())


def require_backup(place: BackupPlace) -> None:
    """Refuse a place without any backup.

    Raises:
        InputError: If there is none.
    """
    if not place.store.has(entry_path(1)):
        raise InputError(
            f"There is no backup at {place.shown}.",
            remedy=Sentence("Name the folder or the URL that it was made to with ", Action("backup", on=("TO",)), "."),
        )


def _is_whole(files: BlobStore, file: HomeFile) -> bool:
    try:
        return files.hash_of(file.blob) == file.sha256
    except MissingFileError:
        return False


def _taken(
    settings: Settings, place: BackupPlace, index: BackupIndex | None, *, with_mlflow: bool
) -> TakenFiles | IntegrityError:
    """Return the files of the home as they are now, or what is wrong with one, to be told once the store is safe."""
    before = index.snapshots[-1].files if index is not None and index.snapshots else ()
    home = settings.home.expanduser().absolute()
    folders = (*FOLDERS, MLFLOW) if with_mlflow else FOLDERS
    remembered = settings.backups_path.relative_to(home).as_posix()
    try:
        return take_files(home, folders, place.files, {file.path: file for file in before}, without=[remembered])
    except IntegrityError as error:
        return error


def _index(store: CopiedStore, before: BackupIndex | None, began: datetime) -> BackupIndex:
    return BackupIndex(
        first=store.first,
        head=store.head,
        recovery_point=_text(began),
        finished_at=_text(datetime.now(UTC)),
        code=code_version(),
        snapshots=() if before is None else before.snapshots,
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _not_in_it(settings: Settings) -> Iterator[str]:
    if settings.event_store is not None:
        yield "Prediction events of days that are not archived yet are in PostgreSQL: back that up with pg_dump."


# --- what is refused ---


def _require_apart(settings: Settings, place: BackupPlace) -> None:
    if not place.root.is_local:
        there = f"{place.shown}/"
        if settings.store_url is not None:
            store = f"{settings.store_url.rstrip('/')}/"
            if there.startswith(store) or store.startswith(there):
                raise _not_apart(place, settings.store_url)
        return
    folder, home = place.root.root.resolve(), settings.home.expanduser().resolve()
    if folder.is_relative_to(home) or home.is_relative_to(folder):
        raise _not_apart(place, str(home))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"`{folder}` is no folder.", remedy="Name a folder, or the URL of a bucket.")


def _not_apart(place: BackupPlace, other: str) -> InputError:
    return InputError(
        f"{place.shown} and {other} lie within each other: what takes one away would take the other.",
        remedy="Name a place apart, best on another disk or machine.",
    )


def _require_same_ledger(source: BlobStore, place: BackupPlace) -> None:
    """Refuse a place of another ledger, or of something else, before anything is written there."""
    first, held = source.find(entry_path(1)), place.store.find(entry_path(1))
    if held is None:
        strange = next((blob.path for blob in place.root.everything() if not _is_ours(blob.path)), None)
        if strange is not None:
            raise InputError(
                f"{place.shown} is no backup and not empty: it has `{strange}`.", remedy="Name an empty or new place."
            )
    elif first is not None and first != held:
        raise BackupConflictError(
            f"{place.shown} has the backup of another ledger: its first entry is another one.",
            remedy="Back up each store to a place of its own.",
        )


def _is_ours(path: str) -> bool:
    return path.startswith(("store/", "files/", "scratch/"))


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Keep other backups of a home, or to a folder, away; the lock ends with the process, however that ends.

    A bucket has no locks: of two that go on at once none does harm, and the last says how far it is.
    """
    if folder is None:
        yield
        return
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LostRaceError(
                f"Another backup of `{folder}`, or to it, is under way.", remedy="Wait for its end, then repeat."
            ) from error
        yield
    finally:
        os.close(opened)

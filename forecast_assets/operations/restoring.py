"""Restoring a home from a backup.

What belongs here: the order in which a home comes to be again, and what is refused. What does not: making backups,
copying files (`resources.maintenance`), or words for people.

Entries of the ledger come after all files that they name, so that a home which is half restored publishes nothing. What
can be made again is made from the restored store, not taken from anywhere.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import FindingsError, InputError, RefusedError
from forecast_assets.core.progress import Progress, silent
from forecast_assets.operations.backing_up import require_backup
from forecast_assets.operations.copying import CopyDelay, CopyOutcome, follow_publications
from forecast_assets.operations.mirroring import MirrorDelay, MirrorOutcome, Pages, follow
from forecast_assets.settings import Settings
from resources.catalogue.build import refresh_catalogue
from resources.ledger.log import entry_path
from resources.maintenance.backup_index import BackupIndex, BackupPlace, HomeSnapshot, read_index
from resources.maintenance.home_files import put_back
from resources.maintenance.store_copy import CopiedStore, copy_store
from resources.maintenance.verification import Verification, parsed_head, verify_store
from resources.store.blobs import BlobStore, sha256, translated
from resources.store.files import sync, write_whole
from resources.stores.home import Stores, open_stores

# There from the first to the last write of a restore.
MARKER: Final = "restore.json"


@dataclass(frozen=True)
class RestoreOutcome:
    """A home that was restored.

    Attributes:
        place: Where the backup is.
        home: The home.
        store: What was copied of the store.
        snapshot: What else was put back; None if the backup has none, or a past position was asked for.
        index: What the backup says of itself; None if its first making had not ended.
        recorded_at: When the last entry was recorded.
        catalogue: The catalogue that was built.
        copy: What the operational copy took over, or why it did not; None if it is switched off.
        mirror: The same of MLflow.
        verification: Of the restored store.
        open_vacuum: Ledger entry of a vacuum that had not ended; 0 if there is none.
        seconds: How long it took.
    """

    place: str
    home: Path
    store: CopiedStore
    snapshot: HomeSnapshot | None
    index: BackupIndex | None
    recorded_at: str
    catalogue: Path
    copy: CopyOutcome | CopyDelay | None
    mirror: MirrorOutcome | MirrorDelay | None
    verification: Verification
    open_vacuum: int
    seconds: float


def restore(
    settings: Settings,
    location: str,
    pages: Pages,
    *,
    until: int | None = None,
    resumes: bool = False,
    progress: Progress = silent,
) -> RestoreOutcome:
    """Make a home of a backup, and verify it.

    Args:
        settings: Of the new home; where they name a bucket, the store goes there.
        location: Where the backup is.
        pages: Draws pages and pictures of a version, for MLflow.
        until: The last ledger entry; what else a home has is then left out, since it is of now.
        resumes: Whether a restore of the same backup that was interrupted goes on.
        progress: Told a stage, what is done, and all there is.

    Raises:
        InputError: If there is no backup, its ledger does not reach so far, or the home holds anything.
        RefusedError: If what was interrupted was another restore.
        IntegrityError: If a file of the backup is missing or changed; entries that are there by then are whole.
        StorageError: If a disk is full or read-only, or a bucket does not answer.
    """
    clock = time.monotonic()
    place = BackupPlace.open(location, settings.mirror_folder)
    require_backup(place)
    index = read_index(place.root)
    home = settings.home.expanduser().absolute()
    target = open_stores(settings.store, settings.mirror_folder)
    _begin(home, target.blobs, {"first": sha256(place.store.get(entry_path(1))), "until": until}, resumes=resumes)
    heads = [parsed_head(index.head)] if index is not None and until is None else []
    store = copy_store(place.store, target.blobs, until=until, heads=heads, progress=progress)
    snapshot = index.snapshots[-1] if index is not None and index.snapshots and until is None else None
    if snapshot is not None:
        put_back(home, snapshot.files, place.files)
    catalogue = refresh_catalogue(target.predictions, settings.catalogue_folder)
    copied = follow_publications(settings, target)
    mirrored = follow(settings, target, pages)
    verification = verify_store(target.blobs, expect_heads=[store.head], progress=progress)
    if verification.findings:
        raise FindingsError([f"{each.path} ({each.kind})" for each in verification.findings])
    _end(home)
    return RestoreOutcome(
        place.shown, home, store, snapshot, index, target.ledger.state().recorded_at, catalogue, copied, mirrored,
        verification, _open_vacuum(target), time.monotonic() - clock,
    )  # fmt: skip


def _open_vacuum(stores: Stores) -> int:
    vacuum = stores.ledger.state().open_vacuum
    return 0 if vacuum is None else vacuum.sequence


def _begin(home: Path, target: BlobStore, what: Mapping[str, object], *, resumes: bool) -> None:
    """Take an empty home, or one in which the same restore was interrupted."""
    marker = home / MARKER
    if home.exists() and not home.is_dir():
        raise InputError(f"`{home}` is no folder.", remedy="Name a new or empty one.")
    if marker.is_file():
        _require_resumed(marker, what, resumes=resumes)
        return
    # What a kill left of writing the marker is nothing.
    names = sorted(home.iterdir()) if home.exists() else []
    held = next((path for path in names if not path.name.startswith(f".{MARKER}-")), None)
    if held is None and not target.is_local:
        held = next((Path(target.place(blob.path)) for blob in target.everything()), None)
    if held is not None:
        raise InputError(
            f"The home `{home}` is not empty: it has `{held}`.",
            remedy="Restore to a new folder with --home, or move what is there aside; nothing was written.",
        )
    if resumes:
        raise InputError(f"No restore was interrupted in `{home}`.", remedy="Leave --resume out.")
    with translated(marker):
        write_whole(marker, json.dumps(what).encode())
        sync(home)


def _require_resumed(marker: Path, what: Mapping[str, object], *, resumes: bool) -> None:
    if not resumes:
        raise InputError(
            f"A restore was interrupted in `{marker.parent}`.",
            remedy="Go on with --resume, or restore to a new folder; nothing was written.",
        )
    try:
        said = json.loads(marker.read_bytes())
    except ValueError:
        said = None
    if said != what:
        raise RefusedError(
            f"Another restore was interrupted in `{marker.parent}`: of another ledger, or until another entry.",
            remedy="Repeat that one, or restore to a new folder.",
        )


def _end(home: Path) -> None:
    with translated(home):
        (home / MARKER).unlink(missing_ok=True)
        sync(home)

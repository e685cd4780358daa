"""Hashing some of what the ledger names at a time, so that all of it is looked at in turn.

What belongs here: which files are next, and what was found wrong until it is right again, by whoever looked. What does
not: looking at everything at once (`verification`), or telling anybody.

A file that has not been written to since this process hashed it is not read again (`BlobStore.is_intact`), so that a
process that stays looks at all files in seconds. What a disk loses without a write only a whole verification, or the
first look of a process, sees.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import ForecastAssetsError, StorageError
from resources.ledger.records import ProductFile
from resources.ledger.state import LedgerState
from resources.operational.opening import operational_rows, operational_store
from resources.stores.home import Stores

SECONDS: Final = 2.0
_NAME: Final = "stored_findings"
_PLACE: Final = "sampling_place"
_TABLES: Final = (
    f"CREATE TABLE IF NOT EXISTS {_NAME} (path TEXT PRIMARY KEY, why TEXT NOT NULL, found_at TEXT NOT NULL) STRICT",
    f"CREATE TABLE IF NOT EXISTS {_PLACE} (id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL) STRICT",
)


@dataclass(frozen=True)
class SampledFiles:
    """What looking at some files found.

    Attributes:
        looked: Files that were looked at now.
        all: Files that the ledger names.
        wrong: What is wrong with files, now or found before and not right again, by path.
    """

    looked: int
    all: int
    wrong: Mapping[str, str]


def named_files(state: LedgerState) -> list[ProductFile]:
    """Return what entries name of publications and observations, the newest publications first.

    Args:
        state: What is true now.
    """
    published = sorted(state.publications.values(), key=lambda each: each.sequence, reverse=True)
    files = [file for run in published for some in run.files.values() for file in some]
    batches = [(batch.path, batch.sha256) for batch in state.batches.values()]
    found = {file.path: file for file in files}
    found.update({path: ProductFile(path, digest, 0, 0) for path, digest in batches})
    return list(found.values())


def look_at_some(
    stores: Stores, state: LedgerState, path: Path, now: datetime, *, keeps: bool = True, seconds: float = SECONDS
) -> SampledFiles:
    """Hash the next files in turn, as many as there is time for, and those that were wrong before.

    What a whole verification found of other files stays until the next one. Where the operational store cannot be
    written, as on a full disk, the turn begins anew each time.

    Args:
        stores: Where everything is.
        state: What is true now.
        path: Of the operational store, which keeps what was found and whose turn is next.
        now: The present moment.
        keeps: Whether anything is written there.
        seconds: How long to look.
    """
    files = named_files(state)
    hashes = {file.path: file for file in files}
    place, before = _kept(path)
    again = {each: _wrong(stores, hashes[each]) if each in hashes else why for each, why in before.items()}
    wrong = {each: why for each, why in again.items() if why}
    until, looked = time.monotonic() + seconds, 0
    for file in _in_turn(files, place):
        looked += 1
        if why := _wrong(stores, file):
            wrong[file.path] = why
        if time.monotonic() > until:
            break
    if keeps and (wrong != before or looked < len(files)):
        _keep(path, wrong, (place + looked) % max(len(files), 1), now)
    return SampledFiles(looked, len(files), wrong)


def keep_findings(path: Path, wrong: Mapping[str, str], now: datetime) -> None:
    """Keep what a whole verification found, in place of what was found before; nothing where nothing is or was wrong.

    Args:
        path: Of the operational store; one that cannot be written keeps nothing.
        wrong: What is wrong with files, by path.
        now: The present moment.
    """
    place, before = _kept(path)
    if wrong != before:
        _keep(path, wrong, place, now)


def _kept(path: Path) -> tuple[int, dict[str, str]]:
    """Return whose turn is next, and what was found wrong."""
    with operational_rows(path, _NAME) as database:
        if database is None:
            return 0, {}
        row = database.execute(f"SELECT next FROM {_PLACE}").fetchone()  # noqa: S608 - a constant
        found = database.execute(f"SELECT path, why FROM {_NAME}")  # noqa: S608 - a constant
        return 0 if row is None else int(row["next"]), {each["path"]: each["why"] for each in found}


def _keep(path: Path, wrong: Mapping[str, str], place: int, now: datetime) -> None:
    try:
        with operational_store(path, *_TABLES) as database:
            database.execute(f"DELETE FROM {_NAME}")  # noqa: S608 - a constant
            rows = [(each, why, now.isoformat()) for each, why in wrong.items()]
            database.executemany(f"INSERT INTO {_NAME} VALUES (?, ?, ?)", rows)  # noqa: S608 - a constant
            database.execute(f"INSERT OR REPLACE INTO {_PLACE} VALUES (1, ?)", (place,))  # noqa: S608 - a constant
    except StorageError:
        # What is wrong is told all the same; only the turn begins anew.
        return


def _in_turn(files: list[ProductFile], first: int) -> Iterator[ProductFile]:
    at = first % len(files) if files else 0
    yield from files[at:]
    yield from files[:at]


def _wrong(stores: Stores, file: ProductFile) -> str:
    """Return what is wrong with a file; empty where nothing is."""
    try:
        return "" if stores.blobs.is_intact(file.path, file.sha256) else "its bytes are not what was recorded."
    except ForecastAssetsError as error:
        return str(error.message)

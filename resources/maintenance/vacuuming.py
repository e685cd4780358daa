"""Removing what no entry names: leftovers of runs that did not finish, and catalogues that nobody opens.

What belongs here: which files may go, and removing them so that no entry ever names what is gone. What does not:
judging whether the store is as it was written, or what a file is good for.

An entry `vacuum` is appended before anything is removed, an entry `vacuumed` after. An entry that names files and comes
first keeps them: the names are then collected again. One that comes later waits for the end and sees what is gone. A
vacuum that was killed in between is taken over by the next one.
"""

import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import (
    FindingsError,
    ForecastAssetsError,
    InputError,
    LostRaceError,
    StorageError,
    VacuumUnderWayError,
)
from forecast_assets.core.progress import Progress, silent
from resources.catalogue.files import catalogue_files, unfinished
from resources.ledger.entries.vacuum import VACUUM, LedgerMovedError, Vacuum, Vacuums
from resources.ledger.entries.vacuumed import VACUUMED, VacuumEnd
from resources.ledger.log import Ledger
from resources.ledger.records import canonical
from resources.ledger.state import LedgerState
from resources.maintenance.survey import THREADS, FileFinding, Survey, paths_to_remove
from resources.maintenance.verification import Verification, verify_store
from resources.store.blobs import Blob, BlobStore, named_hash, sha256, translated
from resources.store.manifests import ProductVersion

SAFE_AGE: Final = timedelta(days=7)
LEAST_AGE: Final = timedelta(days=1)
ATTEMPTS: Final = 20
# A bucket has no lock that ends with its holder. There a vacuum stops removing in time, well before another one may
# take it for killed.
REMOVAL_LIMIT: Final = timedelta(minutes=30)
PRESUMED_DEAD_AFTER: Final = timedelta(hours=1)
# After how many removals it is looked up whether the vacuum is still the one that is open.
CHECK_EVERY_REMOVALS: Final = 100
# In a bucket, a removal that was not answered may still arrive; nothing may be named until it has.
UNANSWERED_REMOVAL_WAIT: Final = timedelta(seconds=30)
# Goes on while the machine is suspended, where there is such a clock; the monotonic one may stand still.
CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# A run may start from snapshots and external forecasts, and they fix what a date may know. Which days are due to be
# measured is asked of the pointers to what was measured: without them, all days are.
KEPT_PREFIXES: Final = ("staging/feature_snapshots/", "staging/external_forecasts/", "staging/forecast_accuracy/")


@dataclass(frozen=True)
class VacuumResult:
    """What a vacuum removed, or would remove.

    Attributes:
        files: Files of the store.
        kept: How many leftovers stay: too young, or needed by what may still go on.
        taken_over: Ledger entry of a vacuum that was killed and has been ended; 0 if there was none.
        sequence: Ledger entry with which the removing began; 0 if nothing was removed.
    """

    files: tuple[Blob, ...]
    kept: int = 0
    taken_over: int = 0
    sequence: int = 0

    @property
    def bytes(self) -> int:
        """How large they are together."""
        return sum(blob.size for blob in self.files)


@dataclass(frozen=True)
class _VacuumContext:
    """A store, and what every step of a vacuum needs of it."""

    blobs: BlobStore
    ledger: Ledger
    by: str
    progress: Progress
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))

    def survey(self) -> Survey:
        """Collect what entries name.

        Raises:
            FindingsError: If entries or manifests are not as they were written: then it cannot be known.
        """
        survey = Survey(self.blobs, self.pool, progress=self.progress)
        _require_none(list(survey.findings.values()))
        return survey


def vacuum_store(
    blobs: BlobStore,
    ledger: Ledger,
    *,
    by: str = "",
    older_than: timedelta = SAFE_AGE,
    expect_heads: Sequence[str] = (),
    progress: Progress = silent,
) -> VacuumResult:
    """Remove what no entry names and is older than a safe age; only look, unless somebody answers for it.

    Never removed: what an entry names, and acceptances of product versions that one names; staged snapshots, outside
    forecasts and measurements, and all that they were made from; what is younger, and all that younger products were
    made from.

    Args:
        blobs: The store.
        ledger: Its ledger.
        by: Who removes; empty to look only.
        older_than: Age from which on a file may go; a day at least, since a run that is under way may name what it
            wrote hours ago.
        expect_heads: Heads of the ledger recorded elsewhere; each must be an entry, else the end of the ledger is gone
            and with it what it named.
        progress: Told a stage, what is done, and all there is.

    Raises:
        InputError: If the age is too short.
        FindingsError: If anything in the store is not as it was written.
        VacuumUnderWayError: If another vacuum removes files.
        LostRaceError: If others appended to the ledger all the time, or another vacuum took this one over.
        StorageError: If a file cannot be removed; the vacuum is ended all the same, so that runs go on publishing.
    """
    if older_than < LEAST_AGE:
        raise InputError(f"{older_than} is too short an age.", remedy="Give a day at least; 7 days are the default.")
    before = datetime.now(UTC) - older_than
    context = _VacuumContext(blobs, ledger, by, progress)
    with context.pool:
        if not by:
            verification = _verified(context, expect_heads)
            files = _removable(context.survey(), verification, before)
            return VacuumResult(files, kept=len(verification.leftovers) - len(files))
        with _exclusive_lock(blobs):
            return _remove_all(context, before, expect_heads)


def _remove_all(context: _VacuumContext, before: datetime, expect_heads: Sequence[str]) -> VacuumResult:
    killed = context.ledger.state().open_vacuum
    again = () if killed is None else _take_over(context, killed)
    verification = _verified(context, expect_heads)
    files, vacuum = _begin(context, verification, before)
    removed = _end(context, vacuum) if vacuum is not None else ()
    return VacuumResult(
        files=(*again, *removed),
        kept=len(verification.leftovers) - len(files),
        taken_over=0 if killed is None else killed.sequence,
        sequence=0 if vacuum is None else vacuum.sequence,
    )


def _verified(context: _VacuumContext, expect_heads: Sequence[str]) -> Verification:
    verification = verify_store(context.blobs, expect_heads=expect_heads, progress=context.progress)
    _require_none(verification.findings)
    return verification


def _require_none(findings: Sequence[FileFinding]) -> None:
    if findings:
        raise FindingsError([f"{finding.path} ({finding.kind})" for finding in findings])


# --- what may go ---


def _removable(survey: Survey, verification: Verification, before: datetime) -> tuple[Blob, ...]:
    """Return the leftovers that may go, as they are now: some may have been written to, or named, since."""
    leftovers = {blob.path for blob in verification.leftovers} - survey.named.keys()
    present = [blob for blob in survey.blobs.everything() if blob.path not in survey.named]
    roots = [blob.path for blob in present if blob.path.startswith(KEPT_PREFIXES) or blob.written_at >= before]
    needed = {*survey.named, *roots, *_reached(survey, roots)}
    return tuple(
        blob
        for blob in present
        if blob.path in leftovers and blob.written_at < before and not _is_needed(blob.path, needed)
    )


def _is_needed(path: str, needed: Collection[str]) -> bool:
    # Acceptances are needed with the product version that they are of: registering a model version names its training
    # snapshot, and only the first run that is published with it names the acceptances of that.
    return path in needed or (path.startswith("acceptances/") and f"manifests/{path.split('/')[1]}.json" in needed)


def _reached(survey: Survey, roots: Sequence[str]) -> Iterator[str]:
    """Yield the paths of all product versions that pointers and manifests lead to."""
    waiting = [version for path in roots if (version := _version_at(survey.blobs, path))]
    seen: set[str] = set()
    while waiting:
        version = waiting.pop()
        made = None if version in seen else survey.product(version)
        seen.add(version)
        if isinstance(made, ProductVersion):
            yield f"manifests/{version}.json"
            yield from (file.path for file in made.files)
            waiting += made.parents


def _version_at(blobs: BlobStore, path: str) -> str | None:
    if path.startswith("staging/") and "#" not in path:
        data = blobs.find(path)
        return None if data is None else data.decode(errors="replace")
    return named_hash(path) if path.startswith("manifests/") else None


# --- removing ---


def _begin(
    context: _VacuumContext, verification: Verification, before: datetime
) -> tuple[tuple[Blob, ...], Vacuum | None]:
    """Append the entry that says what is to be removed, unless nothing is."""
    for _ in range(ATTEMPTS):
        survey = context.survey()
        files = _removable(survey, verification, before)
        if not files:
            return (), None
        listed = canonical({"paths": [blob.path for blob in files]})
        context.blobs.create_addressed(f"vacuums/{sha256(listed)}.json", listed)
        vacuum = Vacuum(context.by, len(files), sum(blob.size for blob in files), sha256(listed))
        try:
            return files, _said_begun(context, vacuum, partial(VACUUM.admit, vacuum, at=survey.sequence))
        except LedgerMovedError:
            continue
    raise LostRaceError(
        f"Others appended to the ledger {ATTEMPTS} times while names were collected. Nothing was removed.",
        remedy="Run the same command when less is going on.",
    )


def _take_over(context: _VacuumContext, killed: Vacuum) -> tuple[Blob, ...]:
    """End a vacuum whose process was killed, under an entry of one's own: of two that try, one gets it."""
    if not context.blobs.is_local and datetime.now(UTC) - _moment(killed) < PRESUMED_DEAD_AFTER:
        raise VacuumUnderWayError(killed.sequence)
    try:
        context.survey()
    except FindingsError:
        # What may go cannot be known. Ending without removing is always safe, and whoever publishes need not wait.
        _record_end(context, killed)
        raise
    vacuum = replace(killed, by=context.by)
    return _end(context, _said_begun(context, vacuum, partial(VACUUM.admit, vacuum, instead_of=killed)))


def _end(context: _VacuumContext, vacuum: Vacuum) -> tuple[Blob, ...]:
    """Remove what a vacuum listed and no entry names, and say that it is over, also if removing failed."""
    try:
        removed = _remove(context, vacuum)
    except ForecastAssetsError:
        with suppress(ForecastAssetsError):
            _record_end(context, vacuum)
        raise
    _record_end(context, vacuum)
    return removed


def _said_begun(context: _VacuumContext, vacuum: Vacuum, admit: Callable[[LedgerState], None]) -> Vacuum:
    return VACUUM.read(context.ledger.append(VACUUM.name, VACUUM.body(vacuum), admit))


def _record_end(context: _VacuumContext, vacuum: Vacuum) -> None:
    context.ledger.append(VACUUMED.name, VACUUMED.body(VacuumEnd(vacuum.sequence)))


def _remove(context: _VacuumContext, vacuum: Vacuum) -> tuple[Blob, ...]:
    began = time.clock_gettime(CLOCK)
    paths = paths_to_remove(context.blobs, vacuum.path, vacuum.listed)
    if paths is None:
        raise FindingsError([f"{vacuum.path} (changed)"])
    # Whatever names files waits by now: these are all the names there are until the end.
    named = context.survey().named
    present = {blob.path: blob for blob in context.blobs.everything()}
    # What somebody has written since may be about to be named.
    going = [path for path in paths if path in present and present[path].written_at < _moment(vacuum)]
    going = sorted((path for path in going if not _is_needed(path, named)), key=_rank)
    for done, path in enumerate(going):
        if done % CHECK_EVERY_REMOVALS == 0:
            context.ledger.state().part(Vacuums).require_open(vacuum.sequence)
        if not context.blobs.is_local and time.clock_gettime(CLOCK) - began > REMOVAL_LIMIT.total_seconds():
            raise StorageError(
                f"Removing took longer than {REMOVAL_LIMIT}: {done:,} of {len(going):,} files are gone.",
                remedy="Run the same command again; it removes the others.",
            )
        _remove_one(context.blobs, path)
        context.progress("removed, files", done + 1, len(going))
    return tuple(present[path] for path in going)


def _remove_one(blobs: BlobStore, path: str) -> None:
    try:
        blobs.remove(path)
    except StorageError:
        if not blobs.is_local:
            time.sleep(UNANSWERED_REMOVAL_WAIT.total_seconds())
        raise


def _rank(path: str) -> tuple[int, str]:
    """Pointers go first and manifests last: a kill in between leaves nothing that leads to what is gone."""
    return (0 if path.startswith("staging/") else 2 if path.startswith("manifests/") else 1), path


def _moment(vacuum: Vacuum) -> datetime:
    return datetime.fromisoformat(vacuum.recorded_at)


@contextmanager
def _exclusive_lock(blobs: BlobStore) -> Iterator[None]:
    """Keep other vacuums of this folder away; the lock ends with the process, however that ends."""
    if not blobs.is_local or not blobs.root.exists():
        yield
        return
    with translated(blobs.root):
        folder = os.open(blobs.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LostRaceError("Another vacuum of this store is under way.", remedy="Wait for its end.") from error
        yield
    finally:
        os.close(folder)


# --- catalogues ---


def old_catalogues(link: Path, older_than: timedelta) -> list[Path]:
    """Return catalogues that the link does not point at and that were built before a safe age.

    An open connection keeps its file, also when the name is removed.

    Args:
        link: The symbolic link that BI tools open.
        older_than: Age from which on a catalogue may go.
    """
    present = link.resolve()
    before = time.time() - older_than.total_seconds()
    found = [*(file for file in catalogue_files(link.parent) if file.resolve() != present), *unfinished(link.parent)]
    return sorted(path for path in found if path.lstat().st_mtime < before)

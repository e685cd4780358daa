"""Copying what a ledger names from one store to another, so that the other is a store at every moment.

What belongs here: what is copied, in which order, and what is refused. What does not: what of a home is no store, or
saying it to people.

Files come first, entries after them and in their order: whatever is killed in between leaves a store of an earlier
position, with files that nothing names yet. Only what an entry names is copied, and what pointers that outlive runs
lead to. A vacuum removes none of it, so that neither waits for the other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from threading import Lock, Semaphore
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import (
    BackupConflictError,
    ChangedFileError,
    FindingsError,
    InputError,
    MissingFileError,
)
from forecast_assets.core.progress import Progress, silent
from resources.ledger.log import BUNDLE, bundle_path, entry_path, head_text, is_entry
from resources.maintenance.survey import GROUP_FILES, THREADS, FileFinding, Survey, number_in
from resources.maintenance.vacuuming import KEPT_PREFIXES
from resources.store.blobs import BlobStore, sha256, translated
from resources.store.manifests import ProductVersion, is_acceptance, manifest_path

COPIED: Final = "copied, bytes"
_ACCEPTANCES: Final = "acceptances/"
# A file is in memory as a whole; of large ones, so many at a time.
LARGE_BYTES: Final = 8 << 20
LARGE_AT_ONCE: Final = 2


@dataclass(frozen=True)
class CopiedStore:
    """What a store has after a copy.

    Attributes:
        first: SHA-256 of the first entry, which tells ledgers apart.
        sequence: The last entry that both have.
        head: It, as `head_text` writes it.
        files: Files that the copy has of it, entries among them.
        bytes: How large they are together.
        copied_files: Those that were copied now.
        copied_bytes: How large these are.
        copied_entries: Entries among them.
        mended: Paths of files of the copy that had another size, and were written anew.
    """

    first: str
    sequence: int
    head: str
    files: int
    bytes: int
    copied_files: int
    copied_bytes: int
    copied_entries: int
    mended: tuple[str, ...] = ()


def copy_store(
    source: BlobStore,
    to: BlobStore,
    *,
    until: int | None = None,
    heads: Sequence[tuple[int, str]] = (),
    progress: Progress = silent,
) -> CopiedStore:
    """Copy what a ledger names and another store lacks; each file is checked against its hash on the way.

    Safe while others publish: what comes after the start is left out. What is stopped goes on when it is done again.

    Args:
        source: Where it is.
        to: Where it goes; an empty place, or what was copied there before.
        until: The last entry that is copied; all if left out. Given, pointers of runs are left out: they are of now.
        heads: Sequence and hash of entries that were recorded elsewhere; the source must have each.
        progress: Told a stage, what is done, and all there is.

    Raises:
        InputError: If there is nothing to copy, or the ledger does not reach so far.
        BackupConflictError: If the other store is of another ledger, or goes on where this one does not.
        FindingsError: If entries or manifests of the source are not as they were written; nothing is copied.
        ChangedFileError: If a file of the source is missing or changed; nothing is copied after it.
        StorageError: If the disk is full or read-only, or a bucket does not answer.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            return _Copy(Survey(source, pool, heads, until=until, progress=progress), to, until, progress).done()
        finally:
            pool.shutdown(cancel_futures=True)


class _Copy:
    """One copy under way."""

    def __init__(self, survey: Survey, to: BlobStore, until: int | None, progress: Progress) -> None:
        self._survey, self._to, self._until, self._progress = survey, to, until, progress
        self._source = survey.blobs
        _require_usable(survey, until)
        # Listed after the entries: whatever these name was there by then.
        self._sizes = {blob.path: blob.size for blob in self._source.everything()}
        self._held = {blob.path: blob.size for blob in to.everything()}
        self._pointers: dict[str, bytes] = {}
        self._done: Counter[str] = Counter()
        self._mended: list[str] = []
        self._lock, self._large = Lock(), Semaphore(LARGE_AT_ONCE)

    def done(self) -> CopiedStore:
        """Copy what is lacking, and say what is there."""
        survey = self._survey
        require_same_past(survey, self._to, self._held)
        staged = {} if self._until is not None else self._staged_files()
        files = staged | {path: wanted for path, wanted in survey.named.items() if not is_entry(path)}
        files |= {path: {""} for path in self._other_acceptances(files)}
        self._copy_files(files)
        self._copy_entries()
        self._copy_bundles()
        self._copy_pointers()
        bundles = [path for path in self._held if path.startswith("ledger_bundles/")]
        paths = [*files, *map(entry_path, survey.links), *self._pointers, *bundles]
        return CopiedStore(
            first=survey.links[1].hash,
            sequence=survey.sequence,
            head=head_text(survey.sequence, survey.links[survey.sequence].hash),
            files=len(paths),
            bytes=sum(self._sizes.get(path, self._held.get(path, 0)) for path in paths),
            copied_files=self._done["files"],
            copied_bytes=self._done["bytes"],
            copied_entries=self._done["entries"],
            mended=tuple(sorted(self._mended)),
        )

    # --- what is copied ---

    def _staged_files(self) -> dict[str, set[str]]:
        """Return the files that pointers which outlive runs lead to, with their SHA-256."""
        found: dict[str, set[str]] = {}
        seen: dict[str, ProductVersion | FileFinding] = {}
        paths = [path for path in self._sizes if path.startswith(KEPT_PREFIXES) and "#" not in path]
        for path, data in zip(paths, self._source.find_each(paths), strict=True):
            reached = None if data is None else self._reached(data.decode(errors="replace"), seen)
            # A pointer at what is gone or not whole is of no use to anybody.
            if data is not None and reached is not None:
                self._pointers[path] = data
                found |= reached
        return found

    def _reached(self, version: str, seen: dict[str, ProductVersion | FileFinding]) -> dict[str, set[str]] | None:
        found: dict[str, set[str]] = {}
        waiting = [version]
        while waiting:
            each = waiting.pop()
            if each not in seen:
                seen[each] = self._survey.products.get(each) or self._survey.product(each)
            made = seen[each]
            if isinstance(made, FileFinding) or any(file.path not in self._sizes for file in made.files):
                return None
            found |= {manifest_path(each): {each}, **{file.path: {file.sha256} for file in made.files}}
            waiting += [parent for parent in made.parents if manifest_path(parent) not in found]
        return found

    def _other_acceptances(self, files: Mapping[str, object]) -> list[str]:
        """Return acceptances of what is copied that no entry names yet: the first run that needs them will."""
        others = [path for path in self._sizes if path.startswith(_ACCEPTANCES) and "#" not in path]
        return [path for path in others if path not in files and manifest_path(path.split("/")[1]) in files]

    # --- files ---

    def _copy_files(self, files: Mapping[str, set[str]]) -> None:
        lacking = sorted(path for path in files if self._is_lacking(path))
        whole = sum(self._sizes.get(path, 0) for path in lacking)

        def copied(path: str) -> None:
            with self._large if self._sizes.get(path, 0) > LARGE_BYTES else nullcontext():
                size = self._copy_file(path, files[path])
            # As each comes to its end, whatever the order: large files take a while.
            with self._lock:
                self._count(path, size)
                self._progress(COPIED, self._done["bytes"], whole)

        for _ in self._survey.mapped(copied, lacking):
            pass

    def _is_lacking(self, path: str) -> bool:
        held = self._held.get(path)
        # What is gone from the source, and held, is nobody's loss here; `verify` tells it.
        return held is None or held != self._sizes.get(path, held)

    def _copy_file(self, path: str, expected: set[str]) -> int:
        """Copy a file whose bytes are right; of two sizes the one that is right stays."""
        data = self._read(path)
        if not _is_right(path, data, expected):
            raise ChangedFileError(
                f"`{self._source.place(path)}` changed after it was written: it is not copied, nor is anything after "
                "it.",
                remedy="Restore it from a backup that has it, then run the same command again; what was copied before "
                "stays as it is.",
                path=path,
            )
        if path in self._held:
            self._to.replace(path, data)
            self._mended.append(path)
        else:
            self._to.create_addressed(path, data)
        return len(data)

    def _read(self, path: str) -> bytes:
        """Return the bytes of a file; of a local one without the library between, which copies them once more."""
        if self._source.is_local:
            with suppress(FileNotFoundError), translated(self._source.place(path)):
                return self._source.local(path).read_bytes()
        # It says what it means that a file is missing.
        return self._source.get(path)

    def _count(self, path: str, size: int) -> None:
        self._done["files"] += 1
        self._done["bytes"] += size
        self._done["entries"] += is_entry(path)

    # --- the ledger ---

    def _copy_entries(self) -> None:
        """Copy entries one after the other: a store has each only once it has all before it."""
        lacking = [path for path in map(entry_path, sorted(self._survey.links)) if self._is_lacking(path)]
        # Asked for some hundred at a time, so that few are in memory.
        for at in range(0, len(lacking), THREADS * GROUP_FILES):
            paths = lacking[at : at + THREADS * GROUP_FILES]
            for done, (path, data) in enumerate(zip(paths, self._source.find_each(paths), strict=True), at + 1):
                self._copy_entry(path, data)
                self._progress("copied, entries", done, len(lacking))

    def _copy_entry(self, path: str, data: bytes | None) -> None:
        if data is None or sha256(data) != self._survey.links[number_in(path)].hash:
            kind = MissingFileError if data is None else ChangedFileError
            raise kind(
                f"`{self._source.place(path)}` was as it was written a moment ago, and is not now.",
                remedy=Sentence("Look what is wrong: ", Action("verify"), "."),
                path=path,
            )
        if path in self._held:
            self._to.replace(path, data)
            self._mended.append(path)
        elif not self._to.create(path, data) and self._to.find(path) != data:
            raise BackupConflictError(
                f"Somebody else wrote `{self._to.place(path)}` meanwhile.",
                remedy="Look who else backs up to this place; give each store a place of its own.",
                path=path,
            )
        self._count(path, len(data))

    def _copy_bundles(self) -> None:
        """Copy bundles of entries that are all there; one that is not their bytes is left out, and made again."""
        paths = [bundle_path(last) for last in range(BUNDLE, self._survey.sequence + 1, BUNDLE)]
        lacking = [path for path in paths if path not in self._held and path in self._sizes]
        for path, data in zip(lacking, self._source.find_each(lacking), strict=True):
            last = number_in(path)
            hashes = [self._survey.links[each].hash for each in range(last - BUNDLE + 1, last + 1)]
            if data is not None and [sha256(line) for line in data.split(b"\n")] == hashes:
                self._to.create(path, data)
                self._held[path] = len(data)
                self._count(path, len(data))

    def _copy_pointers(self) -> None:
        """Write pointers last: what they lead to is there by now."""
        paths = [path for path in self._pointers if path in self._held]
        held = dict(zip(paths, self._to.find_each(paths), strict=True))
        for path, data in self._pointers.items():
            if held.get(path) != data:
                self._to.replace(path, data)
                self._count(path, len(data))


def _require_usable(survey: Survey, until: int | None) -> None:
    if survey.findings:
        raise FindingsError([f"{each.path} ({each.kind})" for each in survey.findings.values()])
    if not survey.links:
        raise InputError(
            f"There is nothing at {survey.blobs.place('ledger')}.",
            remedy="Name the place that has the store; FORECAST_ASSETS_HOME or FORECAST_ASSETS_STORE_URL of a home.",
        )
    if until is not None and survey.sequence < until:
        raise InputError(
            f"The ledger has {survey.sequence} entries, so there is no entry {until}.", remedy="Name one of them."
        )


def _is_right(path: str, data: bytes, expected: set[str]) -> bool:
    # Acceptances of the first release, and those that no entry names yet, are recorded without their hash.
    hashes = {one for one in expected if one}
    return hashes <= {sha256(data)} and ("" not in expected or is_acceptance(path, data))


# --- is it the same ledger ---


def require_same_past(survey: Survey, to: BlobStore, held: Mapping[str, int]) -> None:
    """Refuse to add to a store that is not of this ledger's past.

    Args:
        survey: Of the store that is copied.
        to: The store that is added to.
        held: What it has.

    Raises:
        BackupConflictError: If its entries are not the first of this ledger, in their order.
    """
    numbers = {number_in(path) for path in held if is_entry(path)}
    if not numbers:
        return
    place = to.place("ledger")
    agreed = _agreed(survey, to, max(numbers))
    if agreed == 0:
        raise BackupConflictError(
            f"{place} is of another ledger: its first entry is another one.",
            remedy="Back up each store to a place of its own.",
        )
    if agreed == max(numbers):
        return
    why = f"it has {max(numbers)} entries, and they agree up to entry {agreed} only"
    if agreed == survey.sequence:
        why = f"it has {max(numbers)} entries, and the store has {agreed}"
    raise BackupConflictError(
        f"{place} is ahead of the store or has another past: {why}. The store was rolled back, or restored from an "
        "earlier backup, or somebody else writes to it. Nothing was copied, and the backup stays as it is.",
        remedy=Sentence(
            "If the backup is right, restore it to an empty home: ",
            Action("restore", {"home": "HOME"}, on=("FROM",)),
            "; if the store is, back up to another place, and keep this one.",
        ),
        agreed=agreed,
    )


def _agreed(survey: Survey, to: BlobStore, last: int) -> int:
    """Return the last entry up to which two ledgers are the same; each entry proves all before it."""

    def is_same(sequence: int) -> bool:
        data = to.find(entry_path(sequence))
        return data is not None and survey.has(sequence, sha256(data))

    low, high = 0, min(last, survey.sequence)
    if high == last and is_same(high):
        return high
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if is_same(middle) else (low, middle - 1)
    return low

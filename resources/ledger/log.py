"""The ledger: a hash-chained sequence of small JSON entries, appended by create-if-absent.

What belongs here: entries, the chain, appending, and reading the state of any position.
What does not: product files, observation files, or what an entry is good for.

Appending an entry is the commit point of everything: before it nothing is visible, after it everything that it names
is. Of two writers that want the same sequence number exactly one wins; the other looks at what came in between and
decides again whether it may go on.

Every hundred entries are also kept in one file, so that a long ledger is opened with few reads. A bundle holds the very
bytes of the entries, so that the chain proves it; it is a convenience and can be made again at any time. The entries'
own files decide: where bundles and they do not agree, the entries are read one by one.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count, takewhile
from threading import RLock
from typing import Final
from uuid import uuid4

from forecast_assets.core.errors import (
    BrokenChainError,
    InputError,
    IntegrityError,
    LostRaceError,
    MissingFileError,
    RefusedError,
    StorageError,
    UnknownEntryError,
    VacuumUnderWayError,
    first_ten,
)
from forecast_assets.core.spans import span
from resources.ledger.entries import KINDS, ProposedEntry
from resources.ledger.records import EntryBody, canonical
from resources.ledger.state import RESTORE, UPGRADE, LedgerState
from resources.store.blobs import BlobStore, sha256

FORMAT: Final = 1
ATTEMPTS: Final = 100
BUNDLE: Final = 100
# How far behind a missing entry others are looked for without listing all.
LOOK_AHEAD_ENTRIES: Final = 3
# How long an append waits for a vacuum to end, and how often it looks.
VACUUM_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Entry:
    """One ledger entry.

    Attributes:
        sequence: 1, 2, 3, ... without gaps.
        previous: Hash of the entry before, or 64 zeros.
        kind: What happened: one of `KINDS`.
        recorded_at: When it was appended, never before the entry before; for people, no part of a product's content.
        body: What happened.
        hash: SHA-256 of the stored bytes.
    """

    sequence: int
    previous: str
    kind: str
    recorded_at: str
    body: EntryBody
    hash: str

    @classmethod
    def parse(cls, data: bytes) -> "Entry":
        """Read stored bytes.

        Raises:
            BrokenChainError: If they are not an entry.
            UnknownEntryError: If they are of a format that this release does not read.
        """
        try:
            raw = json.loads(data)
            if raw["format"] != FORMAT:
                raise UnknownEntryError(
                    f"Ledger entry {raw['sequence']} has the format {raw['format']}; this release reads {FORMAT}.",
                    remedy=UPGRADE,
                )
            return cls(raw["sequence"], raw["previous"], raw["kind"], raw["recorded_at"], raw["body"], sha256(data))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BrokenChainError(f"A ledger entry cannot be read: {error}.", remedy=RESTORE) from error


class Ledger:
    """Reads and appends entries; keeps what it has read, since entries never change.

    Args:
        blobs: Where entries are.
        rest_seconds: `state` looks for new entries no sooner than so long after its last look: for many threads that
            ask many times a second, each of which would wait for the others' looks.
    """

    def __init__(self, blobs: BlobStore, rest_seconds: float = 0.0) -> None:
        self._blobs, self._rest_seconds = blobs, rest_seconds
        self._rests_until = 0.0
        # What the last look failed by: of the time until the next one nothing is known.
        self._failed: Exception | None = None
        # Threads share a ledger: each entry is taken in once, by one of them.
        self._lock = RLock()
        self._forget()

    def _forget(self) -> None:
        self._entries: list[Entry] = []
        self._state = LedgerState()
        # Bytes of the entries that no bundle is known to hold.
        self._unbundled: list[bytes] = []
        self._is_opened = False

    # --- reading ---

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first, with the chain verified."""
        self._catch_up(is_thorough=True)
        return list(self._entries)

    def state(self) -> LedgerState:
        """Return what is true now, or was when it was last looked for; treat it as read-only.

        Raises:
            StorageError: If it cannot be looked for, or could not be at the last look.
            IntegrityError: If the chain is broken.
        """
        now = time.monotonic()
        if now >= self._rests_until or not self._is_opened:
            # Before the look: whoever asks meanwhile goes on with what is known.
            self._rests_until = now + self._rest_seconds
            try:
                self._catch_up()
            except Exception as error:
                self._failed = error
                raise
            self._failed = None
        elif self._failed is not None:
            raise self._failed
        return self._state

    def until(self, position: int | datetime) -> list[Entry]:
        """Return the entries up to a position.

        Args:
            position: Sequence number of the last entry, or a moment: then the entries before the first that was
                recorded after it. The clocks of the first release could go back, and a past has no holes.

        Raises:
            InputError: If the ledger is not that long.
        """
        entries = self.entries()
        if isinstance(position, datetime):
            return [*takewhile(lambda entry: datetime.fromisoformat(entry.recorded_at) <= position, entries)]
        if not 0 <= position <= len(entries):
            raise InputError(
                f"The ledger has {len(entries)} entries, so there is no position {position}.",
                remedy="Name one of them, or a moment such as 2025-07-01T09:00.",
            )
        return entries[:position]

    def after(self, sequence: int, most: int) -> list[Entry]:
        """Return the entries behind a sequence, the oldest first: what was known at the last look.

        Unlike `entries`, the folder is not listed for it: whoever follows a ledger looks with `state` before.
        """
        with self._lock:
            return self._entries[sequence : sequence + most]

    def stored(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the bytes of entries as they are stored.

        Raises:
            BrokenChainError: If they are no longer what they were when they were read.
        """
        found = [*self._blobs.find_each([entry_path(each.sequence) for each in entries])]
        for entry, data in zip(entries, found, strict=True):
            if data is None or sha256(data) != entry.hash:
                raise BrokenChainError(f"`{entry_path(entry.sequence)}` was changed, or is gone.", remedy=RESTORE)
        return [data for data in found if data is not None]

    # --- appending ---

    def append(
        self,
        kind: str,
        body: EntryBody,
        admit: Callable[[LedgerState], None] | None = None,
        *,
        names: Sequence[str] = (),
    ) -> Entry:
        """Append one entry: the commit.

        Args:
            kind: Kind of the entry.
            body: JSON-ready content.
            admit: Called with the state that the entry would follow, again after every lost race; raises to refuse. The
                rule of the kind if left out; given where that rule is also told what its writer had seen.
            names: Paths of all files that the entry makes visible. Whoever vacuums appends an entry before it removes
                anything, so that an entry which names files either comes first or sees that they are gone.

        Raises:
            LostRaceError: If other writers came first 100 times; run again.
            VacuumUnderWayError: If files are being removed for longer than a minute.
            MissingFileError: If a vacuum has removed one of the files.
        """
        admit = admit or partial(KINDS[kind].admit, KINDS[kind].read(ProposedEntry(kind, body)))
        with span("ledger append", kind=kind) as now:
            for _ in range(ATTEMPTS):
                entry = self._attempt(kind, body, admit, names)
                if entry is not None:
                    now.note(sequence=entry.sequence)
                    return entry
        raise LostRaceError(f"{ATTEMPTS} other writers appended first.", remedy="Run the same command again.")

    def _attempt(
        self, kind: str, body: EntryBody, admit: Callable[[LedgerState], None], names: Sequence[str]
    ) -> Entry | None:
        """Append once; None if another writer came first."""
        with self._lock:
            self._catch_up(is_thorough=True)
            self._require_present(names)
            admit(self._state)
            sequence = self._state.sequence + 1
            data = canonical(
                {
                    "format": FORMAT,
                    "sequence": sequence,
                    "previous": self._state.head,
                    "kind": kind,
                    # A clock that goes backwards must not reorder history.
                    "recorded_at": max(datetime.now(UTC).isoformat(timespec="seconds"), self._state.recorded_at),
                    # Tells our own entry from another writer's when storage took it but its answer was lost.
                    "nonce": uuid4().hex,
                    "body": body,
                }
            )
            if self._create(sequence, data) or self._blobs.find(entry_path(sequence)) == data:
                self._take(data)
                self._unbundled.append(data)
                self._bundle()
                return self._entries[sequence - 1]
        return None

    def _create(self, sequence: int, data: bytes) -> bool:
        """Write an entry; an error that comes after it has its name must not say that nothing was recorded."""
        try:
            return self._blobs.create(entry_path(sequence), data)
        except StorageError as error:
            if self._blobs.find(entry_path(sequence)) != data:
                raise
            raise StorageError(
                f"Ledger entry {sequence} is appended, but the disk did not confirm it: {error.__cause__}.",
                remedy="What it records is visible, and a power cut now could undo it. Check the disk, then run the "
                "same command again: it says what is recorded.",
            ) from error

    def _require_present(self, names: Sequence[str]) -> None:
        if not names or not self._state.vacuums:
            return
        until = time.monotonic() + VACUUM_SECONDS
        while (vacuum := self._state.open_vacuum) is not None:
            if time.monotonic() > until:
                raise VacuumUnderWayError(vacuum.sequence)
            time.sleep(LOOK_SECONDS)
            self._catch_up()
        gone = [name for name in names if not self._blobs.has(name)]
        if gone:
            raise MissingFileError(
                f"A vacuum has removed what no entry named: {first_ten(gone)}.",
                remedy="Run the same command again; it makes them anew.",
            )

    # --- following the chain ---

    def _catch_up(self, *, is_thorough: bool = False) -> None:
        with self._lock:
            if self._is_opened:
                self._take_all(is_thorough=is_thorough)
                return
            try:
                self._open()
            except BaseException:
                # What was half read must not be gone on from.
                self._forget()
                raise
            self._is_opened = True

    def _open(self) -> None:
        """Take in the bundles and the entries after them; if anything is wrong, the entries alone."""
        bundles = self._bundle_paths()
        try:
            self._take_bundles(bundles)
            self._take_all(is_thorough=True)
        except (IntegrityError, StorageError):
            if not bundles:
                raise
            # The entries themselves decide: a damaged bundle is only a damaged copy.
            self._forget()
            self._take_all(is_thorough=True)
            self._require_no_later(bundles)

    def _take_all(self, *, is_thorough: bool) -> None:
        if self._blobs.lists_quickly:
            self._take_listed()
            return
        while (data := self._next(is_thorough=is_thorough)) is not None:
            self._take(data)
            self._unbundled.append(data)

    def _take(self, data: bytes) -> None:
        entry = Entry.parse(data)
        if (entry.sequence, entry.previous) != (self._state.sequence + 1, self._state.head):
            raise BrokenChainError(
                f"Ledger entry {self._state.sequence + 1} does not follow the one before it.", remedy=RESTORE
            )
        self._state.fold(entry)
        self._entries.append(entry)

    def _next(self, *, is_thorough: bool) -> bytes | None:
        """Return the bytes of the next entry, or None at the end; an entry after a missing one breaks the chain.

        Listing a long folder takes a while, and the end is looked for many times: at the first look, before an entry
        is appended and when all are asked for, the folder is listed; else the places just behind are looked at.
        """
        wanted = entry_path(self._state.sequence + 1)
        data = self._blobs.find(wanted)
        if data is not None:
            return data
        if not is_thorough and not self._has_later_entries():
            return None
        # What was listed but not found a moment ago was appended in between.
        return self._blobs.find(wanted) if self._listed() else None

    def _listed(self) -> list[str]:
        """Return the names of the entries after the last that is known; without the next one the chain is broken."""
        wanted = entry_path(self._state.sequence + 1)
        later = self._blobs.names_after("ledger", entry_path(self._state.sequence))
        later = [name for name in later if is_entry(name)]
        if later and wanted not in later:
            raise BrokenChainError(f"The ledger lacks `{wanted}`, but has {first_ten(later)}.", remedy=RESTORE)
        return later

    def _take_listed(self) -> None:
        """Take in what one listing names: in a bucket a listing costs as much as a look at one place."""
        later = self._listed()
        for name, data in zip(later, self._blobs.find_each(later), strict=True):
            if data is None or name != entry_path(self._state.sequence + 1):
                raise BrokenChainError(
                    f"The ledger lacks `{entry_path(self._state.sequence + 1)}`, but has {first_ten(later)}.",
                    remedy=RESTORE,
                )
            self._take(data)
            self._unbundled.append(data)

    def _has_later_entries(self) -> bool:
        behind = range(self._state.sequence + 2, self._state.sequence + 2 + LOOK_AHEAD_ENTRIES)
        return any(self._blobs.has(entry_path(sequence)) for sequence in behind)

    # --- bundles ---

    def _bundle_paths(self) -> list[str]:
        """Return the bundles that follow one another from the start."""
        names = set(self._blobs.names_after("ledger_bundles", "ledger_bundles/"))
        return list(takewhile(names.__contains__, map(bundle_path, count(BUNDLE, BUNDLE))))

    def _take_bundles(self, paths: Sequence[str]) -> None:
        for path, data in zip(paths, self._blobs.find_each(paths), strict=True):
            for line in (data or b"").split(b"\n"):
                self._take(line)
            if bundle_path(self._state.sequence) != path:
                raise BrokenChainError(f"`{path}` does not end with the entry that its name says.", remedy=RESTORE)
        if paths:
            self._require_own_files()

    def _require_own_files(self) -> None:
        """Refuse bundles that stand for entries which say something else, or which are not there.

        The last entry's own file proves all before it, by the chain. That none is missing is seen by one listing; of a
        bucket that would be a request for every thousand entries, and is left to verifying.
        """
        last = self._blobs.find(entry_path(self._state.sequence))
        if last is None or sha256(last) != self._state.head:
            raise BrokenChainError(
                f"`{entry_path(self._state.sequence)}` is not what the bundles of entries say.", remedy=RESTORE
            )
        if self._blobs.lists_quickly:
            return
        present = set(self._blobs.names_after("ledger", "ledger/"))
        missing = [path for path in map(entry_path, range(1, self._state.sequence + 1)) if path not in present]
        if missing:
            raise BrokenChainError(f"The ledger lacks {first_ten(missing)}, which bundles have.", remedy=RESTORE)

    def _require_no_later(self, paths: Sequence[str]) -> None:
        """Refuse a ledger whose end is gone: a bundle is written after its entries, so what it has was there."""
        later = [path for path in paths if path > bundle_path(self._state.sequence)]
        follows = f'"previous":"{self._state.head}"'.encode()
        # What cannot be read says nothing.
        with suppress(StorageError):
            for path, data in zip(later, self._blobs.find_each(later), strict=True):
                if data is not None and follows in data:
                    raise BrokenChainError(
                        f"The ledger ends at entry {self._state.sequence}, but `{path}` has what came after it.",
                        remedy=RESTORE,
                    )

    def _bundle(self) -> None:
        """Keep every hundred entries in one file; what could not be kept now is kept after the next entry."""
        # The entry is appended, whatever happens here.
        with suppress(StorageError):
            while len(self._unbundled) >= BUNDLE:
                last = (self._state.sequence - len(self._unbundled)) + BUNDLE
                self._blobs.create(bundle_path(last), bundled(self._unbundled[:BUNDLE]))
                del self._unbundled[:BUNDLE]


class PastLedger(Ledger):
    """A ledger as it stood at a position: what came later is not there, and nothing can be appended."""

    def __init__(self, ledger: Ledger, position: int | datetime) -> None:
        self._entries = ledger.until(position)
        self._state = LedgerState()
        for entry in self._entries:
            self._state.fold(entry)

    def entries(self) -> list[Entry]:
        """Return the entries up to the position."""
        return list(self._entries)

    def state(self) -> LedgerState:
        """Return what was true at the position."""
        return self._state

    def append(
        self,
        kind: str,
        body: EntryBody,
        admit: Callable[[LedgerState], None] | None = None,
        *,
        names: Sequence[str] = (),
    ) -> Entry:
        """Refuse: the past does not change.

        Raises:
            RefusedError: Always.
        """
        del body, admit, names
        raise RefusedError(
            f"Nothing can be recorded as of ledger entry {self._state.sequence}: it has passed ({kind}).",
            remedy="Leave --as-of out.",
        )


def head_text(sequence: int, head: str) -> str:
    """Return a head as people and programs hand it on.

    Example:
        >>> head_text(12, "ab" * 32)[:8]
        '12:ababa'
    """
    return f"{sequence}:{head}"


def bundled(entries: Iterable[bytes]) -> bytes:
    """Return the bytes of a bundle: its entries' bytes, one per line."""
    return b"\n".join(entries)


def is_entry(path: str) -> bool:
    """Return whether a path is that of a ledger entry."""
    return re.fullmatch(r"ledger/\d{12}\.json", path) is not None


def entry_path(sequence: int) -> str:
    """Return where an entry is."""
    return f"ledger/{sequence:012d}.json"


def bundle_path(last: int) -> str:
    """Return where the bundle is whose last entry is ``last``."""
    return f"ledger_bundles/{last:012d}.jsonl"

"""What the ledger names: its entries and the manifests behind them, read and checked; other files are not read.

What belongs here: which files are named, by whom, and what is wrong with entries and manifests. What does not: hashing
what is named, or judging what nobody names.

Nothing is believed because it was right a moment ago, and nothing that is wrong hides what is behind it: entries are
read from their own files one by one, a manifest that cannot be read ends one path of the walk and not the walk.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from forecast_assets.core.errors import (
    BrokenChainError,
    ChangedFileError,
    MissingFileError,
    StorageError,
    UnknownEntryError,
    first_ten,
)
from forecast_assets.core.progress import Progress, silent
from resources.ledger.entries import KINDS
from resources.ledger.entries.folded import GENESIS
from resources.ledger.log import Entry, entry_path, head_text, is_entry
from resources.ledger.records import ProductFile
from resources.ledger.state import LedgerState
from resources.store.blobs import BlobStore, named_hash, sha256
from resources.store.manifests import Manifests, ProductVersion, acceptance_path, manifest_path

MISSING: Final = "missing"
CHANGED: Final = "changed"
UNEXPECTED: Final = "unexpected"
UNREADABLE: Final = "unreadable"
THREADS: Final = 8
# How many items a thread takes at a time.
GROUP_FILES: Final = 32
# As many missing entries in a row are named one by one.
NAMED_GAP: Final = 100

# What reading raises of JSON that is not of the form that it should have.
MALFORMED: Final = (TypeError, ValueError, AttributeError, KeyError)

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class FileFinding:
    """One file that is not as it was written.

    Attributes:
        kind: missing, changed, unexpected, or unreadable where the storage did not give its bytes.
        path: The file, below the store.
        why: What was expected and what was found.
    """

    kind: str
    path: str
    why: str


@dataclass(frozen=True)
class ChainLink:
    """What a file of the ledger says; nothing but its hash if it is no entry."""

    hash: str
    sequence: object = None
    previous: str = ""


class Survey:
    """What the ledger names: entries and manifests are read and checked, other files are not.

    Attributes:
        sequence: The last entry.
        named: SHA-256s under which entries and manifests name each path; empty for an acceptance of the first release.
        products: Product versions that are named and as they were written, by version.
        paths_to_remove: Paths that a vacuum was to remove.
        findings: What is wrong with entries and manifests, by path.

    Args:
        blobs: The store.
        pool: Threads that read.
        heads: Heads that were recorded elsewhere.
        until: The last entry that counts; what came later is not looked at. All of them if left out.
        progress: Told a stage, what is done, and all that is known of by then.
    """

    def __init__(
        self,
        blobs: BlobStore,
        pool: ThreadPoolExecutor,
        heads: Sequence[tuple[int, str]] = (),
        *,
        until: int | None = None,
        progress: Progress = silent,
    ) -> None:
        self.blobs = blobs
        self.pool = pool
        self._until = until
        self._progress = progress
        self.named: dict[str, set[str]] = {}
        self.products: dict[str, ProductVersion] = {}
        self.paths_to_remove: set[str] = set()
        self.findings: dict[str, FileFinding] = {}
        self._manifests = Manifests(blobs)
        self._batches: set[str] = set()
        # What entries repeat of manifests, and which entry does.
        self._copies: list[tuple[str, tuple[str, str, tuple[ProductFile, ...] | None]]] = []
        self._roots: dict[str, None] = {}
        # Entries by what they recorded that is recorded once only: that a run is published, or a version registered.
        self._unique_facts: dict[str, int] = {}
        self.links = self._read_entries()
        self.sequence = max(self.links, default=0)
        self._check_chain(heads)
        self._is_chain_whole = not self.findings
        self._walk_manifests()
        self._check_copies()
        self._check_batches()

    @property
    def head(self) -> str:
        """The last entry, as `head_text` writes it."""
        return head_text(self.sequence, self.links[self.sequence].hash if self.links else GENESIS)

    def has(self, sequence: int, recorded: str) -> bool:
        """Whether a recorded head is an entry; the head of an empty ledger is the beginning of every other."""
        link = self.links.get(sequence)
        return recorded == GENESIS if sequence == 0 else link is not None and link.hash == recorded

    def find(self, kind: str, path: str, why: str) -> None:
        """Note what is wrong with a file; the first word on it stands."""
        self.findings.setdefault(path, FileFinding(kind, path, why))

    def mapped(self, function: Callable[[_Item], _Found], items: Sequence[_Item]) -> Iterator[tuple[_Item, _Found]]:
        """Apply a function in several threads, a few hundred items at a time."""
        for at in range(0, len(items), GROUP_FILES * THREADS):
            some = items[at : at + GROUP_FILES * THREADS]
            yield from zip(some, self.pool.map(function, some), strict=True)

    # --- entries ---

    def _read_entries(self) -> dict[int, ChainLink]:
        names = [name for name in self.blobs.names_after("ledger", "ledger/") if is_entry(name)]
        if self._until is not None:
            names = [name for name in names if number_in(name) <= self._until]
        links: dict[int, ChainLink] = {}
        for done, (name, data) in enumerate(self.mapped(partial(bytes_or_finding, self.blobs), names), 1):
            self._progress("read, entries", done, len(names))
            if isinstance(data, FileFinding):
                self.find(data.kind, name, data.why)
            else:
                links[number_in(name)] = self._read_entry(name, data)
        return links

    def _read_entry(self, name: str, data: bytes) -> ChainLink:
        self.named[name] = {sha256(data)}
        try:
            entry = Entry.parse(data)
            self._take(entry, name)
        except (BrokenChainError, UnknownEntryError) as error:
            self.find(CHANGED, name, str(error))
        except MALFORMED as error:
            self.find(CHANGED, name, f"Its body is not what its kind says: {error!r}.")
        else:
            return ChainLink(entry.hash, entry.sequence, entry.previous)
        return _parse_link(data)

    def _take(self, entry: Entry, name: str) -> None:
        """Note what one entry names, whatever becomes of the others."""
        record, kind = LedgerState().fold(entry), KINDS[entry.kind]
        self._require_unique(name, kind.unique_fact(record))
        named = kind.references(record)
        self._batches.update(named.batches)
        for path, expected in named.files:
            self._name(name, path, expected)
        self._copies += [(name, copy) for copy in named.copies]
        self._root(name, *named.products)
        for version, checks in named.acceptances.items():
            self._name_acceptances(name, version, checks.items())
        for path, expected in named.removal_lists:
            self._name(name, path, expected)
            self.paths_to_remove.update(paths_to_remove(self.blobs, path, expected) or ())

    def _require_unique(self, by: str, fact: str) -> None:
        """Find the later of two entries that say the same; each alone is a right entry."""
        first = self._unique_facts.setdefault(fact, number_in(by)) if fact else number_in(by)
        if first != number_in(by):
            self.find(CHANGED, by, f"It {fact} again; entry {first} did.")

    def _name_acceptances(self, by: str, version: str, checks: Iterable[tuple[str, str]]) -> None:
        for check, recorded in checks:
            self._name(by, acceptance_path(version, check), recorded)

    def _name(self, by: str, path: str, expected: str) -> None:
        """Note what a file names; what it names outside of the store is its own fault, and is never read."""
        try:
            _require_inside(path)
            _require_text(expected)
        except ValueError as error:
            self.find(CHANGED, by, f"{error}.")
        else:
            self.named.setdefault(path, set()).add(expected)

    def _root(self, by: str, *versions: str) -> None:
        for version in versions:
            _require_version(version)
            self._name(by, manifest_path(version), version)
            self._roots[version] = None

    # --- the chain ---

    def _check_chain(self, heads: Sequence[tuple[int, str]]) -> None:
        self._find_gaps([*self.links, *(sequence for sequence, _ in heads if sequence > self.sequence)])
        for sequence, recorded in heads:
            if sequence in self.links and not self.has(sequence, recorded):
                self._find_rewritten(sequence, recorded)
        for sequence, link in sorted(self.links.items()):
            self._check_link(sequence, link, heads)
        for sequence, recorded in heads:
            # Of what is far behind the end, not every lacking entry is named.
            if not self.has(sequence, recorded):
                self.find(MISSING, entry_path(sequence), f"It was recorded elsewhere with the SHA-256 {recorded}.")

    def _find_gaps(self, sequences: Collection[int]) -> None:
        """Name entries that are not there though later ones are, or were."""
        wanted = 1
        for sequence in sorted(sequences):
            absent = sequence - wanted + (sequence not in self.links)
            for lacking in range(wanted, wanted + min(absent, NAMED_GAP)):
                further = f" So are {absent - NAMED_GAP:,} further ones." if absent > NAMED_GAP else ""
                self.find(MISSING, entry_path(lacking), f"Entry {sequence} is or was there.{further}")
            wanted = max(wanted, sequence + 1)

    def _find_rewritten(self, sequence: int, recorded: str) -> None:
        self.find(
            CHANGED,
            entry_path(sequence),
            f"Its SHA-256 is {self.links[sequence].hash}; the head that was recorded elsewhere is {recorded}. This "
            "entry, or one before it and all after that, were rewritten.",
        )

    def _check_link(self, sequence: int, link: ChainLink, heads: Sequence[tuple[int, str]]) -> None:
        path, before = entry_path(sequence), self.links.get(sequence - 1)
        if link.sequence is None:
            # No entry at all: there is a finding already.
            return
        if link.sequence != sequence:
            self.find(CHANGED, path, f"It says that it is entry {link.sequence}.")
        if sequence == 1 and link.previous != GENESIS:
            self.find(CHANGED, path, "It is not the first entry: it follows another one.")
        if before is None or before.hash == link.previous:
            return
        if self._is_confirmed(sequence, link, heads):
            self.find(CHANGED, entry_path(sequence - 1), f"Entry {sequence}, which follows it, names other bytes.")
            return
        is_ambiguous = sequence + 1 not in self.links and path not in self.findings
        self.find(CHANGED, path, "It does not follow the entry before it.")
        if is_ambiguous:
            self.find(CHANGED, entry_path(sequence - 1), f"Entry {sequence}, which may be wrong, names other bytes.")

    def _is_confirmed(self, sequence: int, link: ChainLink, heads: Sequence[tuple[int, str]]) -> bool:
        """Whether what comes after an entry, or a recorded head, says that its bytes are right."""
        after = self.links.get(sequence + 1)
        return (after is not None and after.previous == link.hash) or (sequence, link.hash) in heads

    # --- product versions ---

    def _walk_manifests(self) -> None:
        """Read the manifests of all products that entries name, and of all that these were made from, each once."""
        seen = dict(self._roots)
        waiting = list(seen)
        done = 0
        while waiting:
            parents: dict[str, None] = {}
            for version, made in self.mapped(self.product, waiting):
                done += 1
                if isinstance(made, FileFinding):
                    self.find(made.kind, made.path, made.why)
                else:
                    self.products[version] = made
                    self._take_product(made)
                    parents |= {parent: None for parent in made.parents if parent not in seen}
                # What these were made from is not known before they are read.
                self._progress("read, manifests", done, len(seen) + len(parents))
            waiting = list(parents)
            seen |= parents

    def _take_product(self, made: ProductVersion) -> None:
        by = manifest_path(made.version)
        for file in made.files:
            self._name(by, file.path, file.sha256)
        for parent in made.parents:
            self._name(by, manifest_path(parent), parent)

    def product(self, version: str) -> ProductVersion | FileFinding:
        """Return a product version by the hash of its manifest, or what is wrong with the manifest."""
        path = manifest_path(version)
        try:
            made = self._manifests.version(version)
            _require_readable(made)
        except MissingFileError:
            return FileFinding(MISSING, path, "It is not there.")
        except ChangedFileError:
            return FileFinding(CHANGED, path, "Its bytes do not hash to its name.")
        except StorageError as error:
            return unreadable(self.blobs, path, error)
        except MALFORMED as error:
            return FileFinding(CHANGED, path, f"It is no manifest: {error!r}.")
        return made

    def _check_copies(self) -> None:
        """Compare the files that entries name with those of the manifests."""
        for by, (name, version, files) in self._copies:
            made = self.products.get(version)
            if made is None:
                for file in files or ():
                    self._name(by, file.path, file.sha256)
            elif files != made.files:
                self.find(CHANGED, by, f"Its files of `{name}` are not those of the manifest.")

    def _check_batches(self) -> None:
        """Look for the batches of every snapshot; behind a broken entry they cannot be known."""
        if not self._is_chain_whole:
            return
        for version, made in self.products.items():
            unknown = [batch for batch in made.inputs.get("batches", ()) if batch not in self._batches]
            if unknown:
                why = f"It was made from observation batches that no entry records: {first_ten(unknown)}."
                self.find(CHANGED, manifest_path(version), why)


def paths_to_remove(blobs: BlobStore, path: str, expected: str) -> list[str] | None:
    """Return the paths that a vacuum was to remove, or None if its list is not as it was written, or is none.

    Args:
        blobs: The store.
        path: Where the list is.
        expected: Its SHA-256.
    """
    data = bytes_or_finding(blobs, path)
    if isinstance(data, FileFinding) or sha256(data) != expected:
        return None
    try:
        paths = json.loads(data)["paths"]
        for paths_to_remove in paths:
            _require_inside(paths_to_remove)
    except MALFORMED:
        return None
    return list(paths)


def bytes_or_finding(blobs: BlobStore, path: str) -> bytes | FileFinding:
    """Return the bytes under a path, or what is wrong with it.

    Raises:
        StorageError: If a bucket does not answer.
    """
    try:
        return blobs.get(path)
    except MissingFileError:
        return FileFinding(MISSING, path, "It is not there.")
    except StorageError as error:
        return unreadable(blobs, path, error)


def unreadable(blobs: BlobStore, path: str, error: StorageError) -> FileFinding:
    """Return the finding of a file that the disk does not give; a bucket that does not answer is none of a file.

    Raises:
        StorageError: The error itself, of a bucket.
    """
    if not blobs.is_local:
        raise error
    return FileFinding(UNREADABLE, path, str(error))


def _parse_link(data: bytes) -> ChainLink:
    """Return what a file that is no usable entry says of its place, so that its neighbours are judged rightly."""
    try:
        raw = json.loads(data)
        return ChainLink(sha256(data), raw["sequence"], raw["previous"])
    except (ValueError, KeyError, TypeError):
        return ChainLink(sha256(data))


def number_in(path: str) -> int:
    """Return the sequence number in the name of an entry or a bundle."""
    return int(path.rsplit("/", maxsplit=1)[-1][:12])


def _require_inside(path: object) -> None:
    """Refuse what is no path below the store: asking for it would look at files of somebody else.

    Raises:
        ValueError: If it is none.
    """
    # What has no UTF-8 cannot be asked for; encoding it raises a ValueError too.
    if not isinstance(path, str) or b"\0" in path.encode() or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} is no path below the store")


def _require_text(recorded: object) -> None:
    if not isinstance(recorded, str):
        raise ValueError(f"{recorded!r} is no SHA-256")  # noqa: TRY004


def _require_version(version: object) -> None:
    if not isinstance(version, str) or named_hash(version) != version:
        raise ValueError(f"{version!r} is no product version")


def _require_readable(made: ProductVersion) -> None:
    """Refuse a manifest of the right hash whose fields are not what they should be.

    Raises:
        ValueError: If a path, a hash or a version is none.
        TypeError: If files, inputs or batches are no list.
        AttributeError: If inputs are no mapping.
    """
    for file in made.files:
        _require_inside(file.path)
        _require_text(file.sha256)
    for parent in made.parents:
        _require_version(parent)
    for batch in made.inputs.get("batches", ()):
        _require_text(batch)

"""Is everything as it was written: the chain of the ledger, every file that it names, and whatever else is there.

What belongs here: hashing what a survey finds named, and judging what no entry names. What does not: reading entries
and manifests, mending or removing anything, or saying it to people.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, MissingFileError, StorageError, first_ten
from forecast_assets.core.progress import Progress, silent
from resources.ledger.log import BUNDLE, entry_path, head_text, is_entry
from resources.ledger.records import ProductFile
from resources.maintenance.survey import (
    CHANGED,
    GROUP_FILES,
    MISSING,
    THREADS,
    UNEXPECTED,
    FileFinding,
    Survey,
    bytes_or_finding,
    number_in,
    unreadable,
)
from resources.store.blobs import SCRATCH, Blob, BlobStore, named_hash, sha256
from resources.store.manifests import ProductVersion, manifest_path, staging_path

# What one thread takes at a time: small files are many, large ones are hashed piece by piece.
GROUP_BYTES: Final = 4 << 20
# What obstore leaves of a write that was killed.
_TORN: Final = re.compile(r"#\d+$")
_ACCEPTANCE: Final = re.compile(r"acceptances/([0-9a-f]{64})/([^/]+)\.json")
_BUNDLE: Final = re.compile(r"ledger_bundles/(\d{12})\.jsonl")
_HEAD: Final = re.compile(r"(\d{1,12}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Verification:
    """What verifying a store found.

    Attributes:
        entries: Entries of the ledger.
        head: The last one, as `head_text` writes it.
        files: Files that were looked at.
        bytes: How large they are together.
        findings: What is wrong, in the order of paths.
        leftovers: Files that no entry names and that a run which did not finish leaves; nothing is wrong with them.
        named: Paths of all files that entries name.
        confirmed: Those of the expected heads that are entries, as `head_text` writes them.
    """

    entries: int
    head: str
    files: int
    bytes: int
    findings: tuple[FileFinding, ...]
    leftovers: tuple[Blob, ...]
    named: frozenset[str]
    confirmed: frozenset[str]


def verify_store(blobs: BlobStore, *, expect_heads: Iterable[str] = (), progress: Progress = silent) -> Verification:
    """Re-hash everything that the ledger names, walk its chain, and look at everything else in the store.

    Safe while others write: what comes after the start is left out. Nothing is written.

    Args:
        blobs: The store, in a folder or in a bucket.
        expect_heads: Heads of the ledger, `SEQUENCE:HASH`, that were recorded elsewhere; each must be an entry. Only
            with one of them can a cut or rewritten tail be seen.
        progress: Told a stage, what is done, and all there is: entries, manifests, then bytes.

    Raises:
        InputError: If a head is not one.
        StorageError: If the store cannot be listed, or if a bucket does not answer.
    """
    heads = [parsed_head(text) for text in expect_heads]
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            survey = Survey(blobs, pool, heads, progress=progress)
            return _Verifier(survey, progress).verified(heads)
        finally:
            pool.shutdown(cancel_futures=True)


def is_head(text: str) -> bool:
    """Return whether a text is a head, `SEQUENCE:HASH`."""
    return _HEAD.fullmatch(text) is not None


def parsed_head(text: str) -> tuple[int, str]:
    """Return the sequence number and the hash of a head.

    Raises:
        InputError: If it is not one.

    Example:
        >>> parsed_head("12:" + "ab" * 32)[0]
        12
    """
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"`{text}` is no head of a ledger.",
            remedy=Sentence(
                "Write it as SEQUENCE:HASH, as `ledger_head` of a publication in Dagster and the output of ",
                Action("verify"),
                " have it.",
            ),
        )
    return int(found.group(1)), found.group(2)


class _Verifier:
    """Hashes what a survey found named, and tells apart what else is in the store."""

    def __init__(self, survey: Survey, progress: Progress) -> None:
        self._survey = survey
        self._blobs = survey.blobs
        self._progress = progress
        # Listed after the entries: whatever these name was there by then.
        self._present = {blob.path: blob for blob in self._blobs.everything()}
        self._whole = sum(blob.size for blob in self._present.values())
        self._done = 0
        # Files that manifests which no entry names say they have.
        self._unfinished: dict[str, set[str]] = {}

    def verified(self, heads: Sequence[tuple[int, str]]) -> Verification:
        """Check everything."""
        survey, present = self._survey, self._present
        self._check_named()
        ledger = {path for path in present if is_entry(path) or _BUNDLE.fullmatch(path)}
        self._check_bundles(sorted(path for path in ledger if _BUNDLE.fullmatch(path)))
        known = {*survey.named, *ledger}
        leftovers = self._check_others([blob for path, blob in present.items() if path not in known])
        self._progress("verified, bytes", self._whole, self._whole)
        return Verification(
            entries=len(survey.links),
            head=survey.head,
            files=len({*survey.named, *present}),
            bytes=self._whole,
            findings=tuple(sorted(survey.findings.values(), key=lambda finding: finding.path)),
            leftovers=tuple(leftovers),
            named=frozenset(survey.named),
            confirmed=frozenset(head_text(*head) for head in heads if survey.has(*head)),
        )

    def _check_named(self) -> None:
        """Hash every file that entries and manifests name; entries and manifests themselves are hashed already."""
        manifests = {manifest_path(version) for version in self._survey.products}
        read = {path for path in self._survey.named if path in manifests or is_entry(path)}
        self._advance(read)
        unread = sorted({*self._survey.named} - read - {*self._survey.findings})
        for path, finding in self._in_groups(self._check, unread):
            if finding is not None:
                self._survey.find(finding.kind, path, finding.why)

    def _check(self, path: str) -> FileFinding | None:
        expected = self._survey.named[path]
        try:
            actual = self._blobs.hash_of(path)
            wrong = {one for one in expected if one and one != actual}
            # Entries of the first release name acceptances without their hash.
            is_right = not wrong and ("" not in expected or _is_acceptance(path, self._blobs.get(path)))
        except MissingFileError:
            return FileFinding(MISSING, path, self._why_missing(path))
        except StorageError as error:
            return unreadable(self._blobs, path, error)
        if is_right:
            return None
        return FileFinding(
            CHANGED, path, f"Its SHA-256 is {actual}; recorded is {first_ten(wrong) or 'another check'}."
        )

    def _why_missing(self, path: str) -> str:
        return "A vacuum was to remove it." if path in self._survey.paths_to_remove else "It is not there."

    # --- what no entry names ---

    def _check_bundles(self, paths: Sequence[str]) -> None:
        # Entries that were appended since the entries were listed.
        newest = max((number_in(path) for path in self._present if is_entry(path)), default=0)
        for path in paths:
            last = number_in(path)
            if last > max(newest, self._survey.sequence) or last % BUNDLE or not last:
                self._survey.find(UNEXPECTED, path, f"The ledger ends at entry {self._survey.sequence}.")
            elif last <= self._survey.sequence:
                self._check_bundle(path, last)
            self._advance([path])

    def _check_bundle(self, path: str, last: int) -> None:
        """Compare a bundle with the entries; where an entry is damaged, the entry after it says what is right."""
        data = bytes_or_finding(self._blobs, path)
        if isinstance(data, FileFinding):
            self._survey.find(data.kind, path, data.why)
            return
        lines, links = data.split(b"\n"), self._survey.links
        sequences = range(last - BUNDLE + 1, last + 1)
        if len(lines) != BUNDLE:
            self._survey.find(CHANGED, path, f"It holds {len(lines)} entries, not {BUNDLE}.")
            return
        wrong = []
        for sequence, line in zip(sequences, lines, strict=True):
            link, after, copied = links.get(sequence), links.get(sequence + 1), sha256(line)
            right = {link.hash} if link is not None and entry_path(sequence) not in self._survey.findings else set()
            right |= {after.previous} if after is not None else set()
            # Where entries are gone too, nothing says what is right.
            if right and copied not in right:
                wrong.append(sequence)
        if wrong:
            self._survey.find(CHANGED, path, f"Its copies of entries are not those of the ledger: {first_ten(wrong)}.")

    def _check_others(self, others: Sequence[Blob]) -> list[Blob]:
        """Return what runs that did not finish left; anything else is a finding."""
        self._read_unfinished([blob.path for blob in others if blob.path.startswith("manifests/")])
        leftovers = []
        for path, finding in self._in_groups(self._check_other, [blob.path for blob in others]):
            if finding is None:
                leftovers.append(self._present[path])
            elif finding.kind != MISSING:
                self._survey.find(finding.kind, path, finding.why)
            # What was removed meanwhile, unnamed as it was, is nobody's loss.
        return leftovers

    def _read_unfinished(self, paths: Sequence[str]) -> None:
        versions = [named for path in paths if (named := named_hash(path)) and manifest_path(named) == path]
        for _, made in self._survey.mapped(self._survey.product, versions):
            if isinstance(made, ProductVersion):
                for file in made.files:
                    self._unfinished.setdefault(file.path, set()).add(file.sha256)

    def _check_other(self, path: str) -> FileFinding | None:
        """Return what is wrong with a file that no entry names; None if a killed run may have left it."""
        if path.startswith(f"{SCRATCH}/") or _TORN.search(path):
            return None
        try:
            why = self._why_unexpected(path)
        except MissingFileError:
            return FileFinding(MISSING, path, "It was removed meanwhile.")
        except StorageError as error:
            return unreadable(self._blobs, path, error)
        return FileFinding(UNEXPECTED, path, f"No entry names it, and {why}.") if why else None

    def _why_unexpected(self, path: str) -> str:
        if path.startswith("staging/"):
            return self._why_no_pointer(path, self._blobs.get(path).decode(errors="replace"))
        if _ACCEPTANCE.fullmatch(path):
            return "" if _is_acceptance(path, self._blobs.get(path)) else "it is not the acceptance that its name says"
        named = named_hash(path)
        wanted = self._unfinished.get(path, set()) | ({named} if named else set())
        if not wanted:
            return "nothing writes files of such a name"
        actual = self._blobs.hash_of(path)
        return "" if actual in wanted else f"its SHA-256 is {actual}, not {first_ten(wanted)}"

    def _why_no_pointer(self, path: str, version: str) -> str:
        """Return why a pointer of an unfinished run is none; empty if it points at what was made for its name."""
        if not re.fullmatch("[0-9a-f]{64}", version):
            return "it does not point at a product version"
        made = self._survey.products.get(version) or self._survey.product(version)
        if isinstance(made, FileFinding):
            is_vacuumed = made.kind == MISSING and made.path in self._survey.paths_to_remove
            return "" if is_vacuumed else f"it points at `{made.path}`: {made.why}"
        if staging_path(made.product, made.key) != path:
            return f"it points at `{made.product}` of {made.key}"
        lost = [file.path for file in made.files if not self._is_there(file)]
        return f"it points at what lacks {first_ten(lost)}" if lost else ""

    def _is_there(self, file: ProductFile) -> bool:
        # Its bytes are hashed under its own path.
        return file.path in self._present or file.path in self._survey.paths_to_remove or self._blobs.has(file.path)

    # --- work in groups ---

    def _in_groups(
        self, check: Callable[[str], FileFinding | None], paths: Sequence[str]
    ) -> Iterator[tuple[str, FileFinding | None]]:
        groups = list(self._grouped(paths))
        for group, found in self._survey.mapped(lambda group: [check(path) for path in group], groups):
            self._advance(group)
            yield from zip(group, found, strict=True)

    def _grouped(self, paths: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        size = 0
        for path in paths:
            group.append(path)
            size += self._size(path)
            if len(group) == GROUP_FILES or size >= GROUP_BYTES:
                yield group
                group, size = [], 0
        if group:
            yield group

    def _size(self, path: str) -> int:
        blob = self._present.get(path)
        return 0 if blob is None else blob.size

    def _advance(self, paths: Iterable[str]) -> None:
        self._done += sum(self._size(path) for path in paths)
        self._progress("verified, bytes", min(self._done, self._whole - 1), self._whole)


def _is_acceptance(path: str, data: bytes) -> bool:
    """Return whether an acceptance says of itself what its name says."""
    found = _ACCEPTANCE.fullmatch(path)
    try:
        said = json.loads(data)
        return found is not None and (said["product_version"], said["check"]) == found.groups()
    except (ValueError, KeyError, TypeError):
        return False

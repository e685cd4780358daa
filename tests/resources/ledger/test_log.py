"""The ledger: order, chain, races, and what cannot be read."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import AlreadyRegisteredError, BrokenChainError, StorageError, UnknownEntryError
from resources.ledger.entries import KINDS
from resources.ledger.entries.base import GENESIS
from resources.ledger.log import BUNDLE, Ledger, bundle_path, bundled, entry_path
from resources.ledger.records import canonical
from resources.ledger.state import LedgerState
from resources.store.blobs import BlobStore, sha256
from resources.store.manifests import Manifests, manifest_path
from resources.store.provenance import cpu_type
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import every_kind


def promote(name: str) -> dict[str, str]:
    return {"channel": "champion", "model_version": name, "by": "ana", "reason": "test"}


def admit_all(state: LedgerState) -> None:
    assert state is not None


def test_entries_form_a_chain(tmp_path: Path) -> None:
    ledger = Ledger(BlobStore(tmp_path))
    entries = [ledger.append("promote", promote(f"v-{n}"), admit_all) for n in range(5)]
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == GENESIS
    assert all(after.previous == before.hash for before, after in pairwise(entries))
    assert Ledger(BlobStore(tmp_path)).state().channel("champion") == "v-4"


def test_two_ledgers_on_one_folder_see_each_other(tmp_path: Path) -> None:
    first, second = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    first.append("promote", promote("a"), admit_all)
    second.append("promote", promote("b"), admit_all)
    assert first.state().channel("champion") == "b"
    assert first.state().head == second.state().head


def test_of_many_writers_each_entry_has_one_winner_and_none_is_lost(tmp_path: Path) -> None:
    def write(writer: int) -> list[int]:
        ledger = Ledger(BlobStore(tmp_path))
        return [ledger.append("promote", promote(f"w{writer}-{n}"), admit_all).sequence for n in range(10)]

    with ThreadPoolExecutor(8) as pool:
        sequences = [sequence for done in pool.map(write, range(8)) for sequence in done]
    assert sorted(sequences) == list(range(1, 81))
    assert len(Ledger(BlobStore(tmp_path)).entries()) == 80


def test_a_writer_that_lost_the_race_asks_again_whether_it_may_go_on(tmp_path: Path) -> None:
    slow, quick = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    asked: list[int] = []

    def only_first(state: LedgerState) -> None:
        asked.append(state.sequence)
        if not asked[1:]:
            quick.append("promote", promote("quick"), admit_all)
        elif state.channel("champion") == "quick":
            raise AlreadyRegisteredError("someone was quicker")

    with pytest.raises(AlreadyRegisteredError, match="quicker"):
        slow.append("promote", promote("slow"), only_first)
    assert asked == [0, 1]
    assert slow.state().channel("champion") == "quick"


@pytest.mark.parametrize("damage", ["edited", "reordered", "torn", "removed"])
def test_a_damaged_entry_breaks_the_chain_for_every_reader(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(BlobStore(tmp_path))
    for name in ("a", "b", "c"):
        ledger.append("promote", promote(name), admit_all)
    first, second = sorted((tmp_path / "ledger").glob("*.json"))[:2]
    if damage == "edited":
        raw = json.loads(first.read_bytes())
        raw["body"]["model_version"] = "z"
        first.write_bytes(canonical(raw))
    elif damage == "reordered":
        one, two = first.read_bytes(), second.read_bytes()
        first.write_bytes(two)
        second.write_bytes(one)
    elif damage == "removed":
        second.unlink()
    else:
        second.write_bytes(second.read_bytes()[:-5])
    with pytest.raises(BrokenChainError):
        Ledger(BlobStore(tmp_path)).state()


def appended_by_a_later_release(tmp_path: Path, **facts: object) -> Ledger:
    """A ledger whose second entry has something that this release does not know."""
    ledger = Ledger(BlobStore(tmp_path))
    first = ledger.append("promote", promote("a"), admit_all)
    raw = {
        "format": 1, "sequence": 2, "previous": first.hash, "kind": "promote", "recorded_at": "now",
        "body": promote("b"), **facts,
    }  # fmt: skip
    (tmp_path / "ledger/000000000002.json").write_bytes(canonical(raw))
    return Ledger(BlobStore(tmp_path))


def test_an_entry_of_a_later_release_asks_for_an_upgrade(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownEntryError, match=r"entry 2 is of the kind `abolish`; .* knows .*publish.* upgrade"
    ) as one:
        appended_by_a_later_release(tmp_path / "kind", kind="abolish").state()
    with pytest.raises(UnknownEntryError, match=r"entry 2 has the format 2; this release reads 1\..* upgrade"):
        appended_by_a_later_release(tmp_path / "format", format=2).entries()
    assert exit_code(type(one.value)) == 5
    assert appended_by_a_later_release(tmp_path / "known").state().channel("champion") == "b"


@pytest.mark.parametrize("body", [{}, {"key": "no key", "products": {}, "accepted": {}}, {"key": 3}])
def test_an_entry_whose_body_is_not_what_its_kind_says_breaks_the_chain(tmp_path: Path, body: object) -> None:
    ledger = appended_by_a_later_release(tmp_path, kind="publish", body=body)
    for _ in range(2):
        with pytest.raises(BrokenChainError, match="entry 2 of the kind `publish` cannot be read"):
            ledger.state()


def listings(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the folders that are listed from now on."""
    listed: list[str] = []
    names_after = blobs.names_after

    def noted(folder: str, path: str) -> list[str]:
        listed.append(folder)
        return names_after(folder, path)

    monkeypatch.setattr(blobs, "names_after", noted)
    return listed


def test_an_open_ledger_is_not_listed_to_find_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, other = BlobStore(tmp_path), Ledger(BlobStore(tmp_path))
    other.append("promote", promote("a"), admit_all)
    ledger, listed = Ledger(blobs), listings(blobs, monkeypatch)
    assert [ledger.state().sequence for _ in range(3)] == [1, 1, 1]
    assert listed == ["ledger_bundles", "ledger"], "the first look lists, so that a hole is found; later ones do not"
    other.append("promote", promote("b"), admit_all)
    assert ledger.state().channel("champion") == "b"
    assert listed == ["ledger_bundles", "ledger"]


@pytest.mark.parametrize("missing", [1, 3])
def test_a_hole_behind_the_end_that_an_open_ledger_knows_is_found(tmp_path: Path, missing: int) -> None:
    ledger, other = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    for number in range(5):
        other.append("promote", promote(f"v-{number}"), admit_all)
        ledger.state() if number == 0 else None
    for sequence in range(2, 2 + missing):
        (tmp_path / f"ledger/{sequence:012d}.json").unlink()
    for read in (ledger.state, ledger.entries, lambda: ledger.append("promote", promote("x"), admit_all)):
        with pytest.raises(BrokenChainError, match=r"The ledger lacks `ledger/000000000002\.json`"):
            read()


def test_a_long_hole_is_never_filled(tmp_path: Path) -> None:
    ledger, other = Ledger(BlobStore(tmp_path)), Ledger(BlobStore(tmp_path))
    assert ledger.state().sequence == 0
    for number in range(8):
        other.append("promote", promote(f"v-{number}"), admit_all)
    for sequence in range(1, 8):
        (tmp_path / f"ledger/{sequence:012d}.json").unlink()
    for read in (ledger.entries, lambda: ledger.append("promote", promote("x"), admit_all)):
        with pytest.raises(BrokenChainError, match=r"The ledger lacks `ledger/000000000001\.json`"):
            read()


# --- bundles: copies that must neither stand in the way nor stand for what is not there ---

LONG = 2 * BUNDLE + 5


@pytest.fixture(scope="module")
def long_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two full bundles and five entries after them."""
    root = tmp_path_factory.mktemp("long") / "store"
    ledger = Ledger(BlobStore(root))
    for number in range(1, LONG + 1):
        ledger.append("promote", promote(f"v-{number}"), admit_all)
    return root


@pytest.fixture
def long(long_template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(long_template, tmp_path / "store")


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << 1
    return bytes(changed)


def flipped_after(word: bytes) -> Callable[[bytes], bytes]:
    """Flip a bit in the middle of a bundle, in the value that follows a word."""
    return lambda data: flipped(data, data.index(word, len(data) // 2) + len(word))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "flip in a body": flipped_after(b'"model_version":"v'),
    "flip in the format": flipped_after(b'"format":'),
    "flip in a kind": flipped_after(b'"kind":"'),
    "flip in a previous": flipped_after(b'"previous":"'),
    "flip in the last line": lambda data: flipped(data, data.rindex(b'"model_version":"v') + 18),
    "without its last line": lambda data: data.rpartition(b"\n")[0],
    "with a line more": lambda data: data + b"\n",
    "garbage": lambda data: b"\xff\x00\n" * (len(data) // 3),
    "no entries": lambda _: b"\n".join([b'["kind"]', b"3", b"{}"]),
    "nested without end": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("last", [BUNDLE, 2 * BUNDLE])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_keeps_nobody_from_the_entries(long: Path, damage: str, last: int) -> None:
    expected = Ledger(BlobStore(long)).entries()
    bundle = long / bundle_path(last)
    data = bundle.read_bytes()
    bundle.write_bytes(DAMAGES[damage](data))
    assert bundle.read_bytes() != data
    ledger = Ledger(BlobStore(long))
    assert ledger.state().channel("champion") == f"v-{LONG}"
    assert ledger.entries() == expected
    assert ledger.append("promote", promote("next"), admit_all).sequence == LONG + 1
    assert Ledger(BlobStore(long)).state().channel("champion") == "next"


def test_a_bundle_that_the_disk_does_not_give_keeps_nobody_from_the_entries(
    long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = BlobStore(long)
    find = blobs.find

    def failing(path: str) -> bytes | None:
        if path.startswith("ledger_bundles/"):
            raise StorageError("a broken sector", remedy="Another disk.")
        return find(path)

    monkeypatch.setattr(blobs, "find", failing)
    assert Ledger(blobs).state().sequence == LONG


@pytest.mark.parametrize("last", [BUNDLE, 2 * BUNDLE])
def test_where_a_bundle_and_an_entry_are_damaged_every_look_names_the_entry(long: Path, last: int) -> None:
    (long / bundle_path(last)).write_bytes(b"")
    (long / entry_path(50)).write_bytes(b"{}")
    ledger = Ledger(BlobStore(long))
    for _ in range(3):
        with pytest.raises(BrokenChainError, match="A ledger entry cannot be read: 'format'"):
            ledger.state()
    shutil.copyfile(long / entry_path(51), long / entry_path(50))
    with pytest.raises(BrokenChainError, match="Ledger entry 50 does not follow"):
        ledger.state()


@pytest.mark.parametrize("gone", [range(91, 101), range(50, 51), range(1, 2), range(101, 102), range(200, 201)])
def test_a_bundle_does_not_hide_that_entries_are_missing(long: Path, gone: range) -> None:
    for sequence in gone:
        (long / entry_path(sequence)).unlink()
    for read in (Ledger.state, Ledger.entries, lambda ledger: ledger.append("promote", promote("x"), admit_all)):
        with pytest.raises(BrokenChainError, match=rf"The ledger lacks `{entry_path(gone[0])}`"):
            read(Ledger(BlobStore(long)))


@pytest.mark.parametrize("first", [1, 91, 100, 101, 191])
def test_what_a_bundle_has_beyond_the_last_entry_was_there(long: Path, first: int) -> None:
    """Whoever cuts the end of the ledger must not have its place taken by another history."""
    for sequence in range(first, LONG + 1):
        (long / entry_path(sequence)).unlink()
    for read in (Ledger.state, lambda ledger: ledger.append("promote", promote("x"), admit_all)):
        with pytest.raises(BrokenChainError, match=f"ends at entry {first - 1}, but `ledger_bundles/.* came after it"):
            read(Ledger(BlobStore(long)))
    assert not (long / entry_path(first)).exists()


@pytest.mark.parametrize("entries", [BUNDLE, LONG])
def test_a_forged_bundle_is_not_believed_over_the_entries(long: Path, entries: int) -> None:
    """The forger chains a whole bundle anew, so that nothing in it contradicts itself."""
    for sequence in range(entries + 1, LONG + 1):
        (long / entry_path(sequence)).unlink()
    if entries == BUNDLE:
        (long / bundle_path(2 * BUNDLE)).unlink()
    lines: list[bytes] = []
    for sequence in range(1, BUNDLE + 1):
        raw = json.loads((long / entry_path(sequence)).read_bytes())
        raw["previous"] = sha256(lines[-1]) if lines else GENESIS
        raw["body"]["by"] = "mallory"
        lines.append(canonical(raw))
    (long / bundle_path(BUNDLE)).write_bytes(bundled(lines))
    found = Ledger(BlobStore(long)).entries()
    assert {entry.body["by"] for entry in found} == {"ana"}
    assert len(found) == entries


# --- what is said once, and what later releases add ---


@pytest.fixture(scope="module")
def every_kind_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stores = open_stores(tmp_path_factory.mktemp("kinds") / "store")
    every_kind(stores)
    return stores.blobs.root


@pytest.fixture
def stores(every_kind_template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(every_kind_template, tmp_path / "store"))


@pytest.mark.parametrize(
    ("kind", "again"), [("publish", r"publishes daily/2025-01-01/stat-1/7/r0"), ("register", "registers stat-1")]
)
def test_what_is_said_once_is_not_said_again_by_whoever_writes_past_the_ledger(
    stores: Stores, kind: str, again: str
) -> None:
    first = next(entry for entry in stores.ledger.entries() if entry.kind == kind)
    head = stores.ledger.state()
    raw = {
        "format": 1, "sequence": head.sequence + 1, "previous": head.head, "kind": kind,
        "recorded_at": head.recorded_at, "body": {**first.body, "cpu": "another"},
    }  # fmt: skip
    (stores.blobs.root / entry_path(head.sequence + 1)).write_bytes(canonical(raw))
    opened = open_stores(stores.blobs.root).ledger
    for _ in range(2):
        with pytest.raises(BrokenChainError, match=f"entry {head.sequence + 1} {again} again; entry {first.sequence} "):
            opened.state()


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_a_later_release_adds_to_an_entry_is_ignored(stores: Stores, kind: str) -> None:
    def with_more(body: object) -> object:
        """Whatever has fields of its own gets one more."""
        if isinstance(body, list):
            return [with_more(each) for each in body]
        if not isinstance(body, dict):
            return body
        is_data = not {"by", "path", "key", "channel", "model_version", "batches", "cadence", "vacuum"} & body.keys()
        return {name: with_more(each) for name, each in body.items()} | ({} if is_data else {"colour": ["red"]})

    known, later = LedgerState(), LedgerState()
    added = 0
    for entry in stores.ledger.entries():
        body = with_more(entry.body) if entry.kind == kind else entry.body
        added += body != entry.body
        assert isinstance(body, dict)
        known.fold(entry)
        later.fold(replace(entry, body=body))
    assert added
    assert later == known


@pytest.mark.parametrize(
    ("kind", "field"),
    [("ingest", "trust"), ("register", "family"), ("promote", "by"), ("rollback", "reason"), ("publish", "products"),
     ("measure", "runs"), ("evaluate", "cutoffs"), ("vacuum", "listed")],
)  # fmt: skip
def test_an_entry_that_lacks_a_field_breaks_the_chain(stores: Stores, kind: str, field: str) -> None:
    entry = next(entry for entry in stores.ledger.entries() if entry.kind == kind)
    holder = entry.body["batches"][0] if kind == "ingest" else entry.body
    lacking = {name: value for name, value in holder.items() if name != field}
    assert len(lacking) == len(holder) - 1
    body = {"batches": [lacking]} if kind == "ingest" else lacking
    with pytest.raises(BrokenChainError, match=f"entry {entry.sequence} of the kind `{kind}` cannot be read.*{field}"):
        LedgerState().fold(replace(entry, body=body))


def test_a_field_that_a_later_release_adds_to_a_manifest_is_ignored_and_a_missing_one_is_not(stores: Stores) -> None:
    publication = next(iter(stores.ledger.state().publications.values()))
    version = publication.products["forecasts"]
    raw = json.loads(stores.blobs.get(manifest_path(version)))
    manifests = Manifests(stores.blobs)

    def written(facts: dict[str, object]) -> str:
        data = canonical(facts)
        stores.blobs.create(manifest_path(sha256(data)), data)
        return sha256(data)

    later = written({**raw, "colour": "red", "files": [{**file, "colour": "red"} for file in raw["files"]]})
    assert replace(manifests.version(later), version=version) == manifests.version(version)
    for field in ("inputs", "files"):
        with pytest.raises((TypeError, KeyError), match=field):
            manifests.version(written({name: value for name, value in raw.items() if name != field}))


def test_a_version_says_on_which_type_of_processor_it_was_registered(stores: Stores) -> None:
    entry = next(entry for entry in stores.ledger.entries() if entry.kind == "register")
    assert stores.registry.model_version("stat-1").cpu == cpu_type()
    old = LedgerState()
    old.fold(replace(entry, body={name: value for name, value in entry.body.items() if name != "cpu"}))
    assert old.versions["stat-1"].cpu == ""

"""What is particular to a ledger in a folder, and what later releases may add to entries."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from forecast_assets.core.errors import BrokenChainError, StorageError
from resources.ledger.entries import KINDS
from resources.ledger.log import BUNDLE, Ledger, entry_path
from resources.ledger.records import canonical
from resources.ledger.state import LedgerState
from resources.store.blobs import BlobStore, sha256
from resources.store.manifests import Manifests, manifest_path
from resources.store.provenance import cpu_type
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import every_kind, promote


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
    promote(other, "a")
    ledger, listed = Ledger(blobs), listings(blobs, monkeypatch)
    assert [ledger.state().sequence for _ in range(3)] == [1, 1, 1]
    assert listed == ["ledger_bundles", "ledger"], "the first look lists, so that a hole is found; later ones do not"
    promote(other, "b")
    assert ledger.state().channel("champion") == "b"
    assert listed == ["ledger_bundles", "ledger"]


def test_threads_that_share_a_ledger_take_each_entry_in_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Ledger(BlobStore(tmp_path))
    for number in range(4):
        promote(other, f"v-{number}")
    blobs = BlobStore(tmp_path)
    find = blobs.find

    def slow(path: str) -> bytes | None:
        found = find(path)
        time.sleep(0.01)
        return found

    monkeypatch.setattr(blobs, "find", slow)
    ledger = Ledger(blobs)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: ledger.state().sequence, range(8))) == {4}
        for number in range(8):
            promote(other, f"w-{number}")
        assert set(pool.map(lambda _: len(ledger.entries()), range(8))) == {12}
        list(pool.map(lambda number: promote(ledger, f"x-{number}"), range(8)))
    assert [entry.sequence for entry in ledger.entries()] == list(range(1, 21))


def test_a_ledger_that_rests_looks_again_when_it_has_rested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("resources.ledger.log.time.monotonic", lambda: now)
    other = Ledger(BlobStore(tmp_path))
    promote(other, "a")
    ledger = Stores.on(BlobStore(tmp_path)).read_only(rest_seconds=0.1).ledger
    assert ledger.state().channel("champion") == "a"
    promote(other, "b")
    now += 0.09
    assert ledger.state().channel("champion") == "a"
    now += 0.02
    assert ledger.state().channel("champion") == "b"
    promote(other, "c")
    assert len(ledger.entries()) == 3, "whoever asks for all entries gets all"


def test_a_look_that_failed_is_told_until_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("resources.ledger.log.time.monotonic", lambda: now)
    promote(Ledger(BlobStore(tmp_path)), "a")
    blobs = BlobStore(tmp_path)
    ledger, find = Ledger(blobs, rest_seconds=0.1), blobs.find
    assert ledger.state().channel("champion") == "a"

    def fails(path: str) -> bytes | None:
        raise StorageError(f"no answer at {now}: {path}")

    monkeypatch.setattr(blobs, "find", fails)
    assert ledger.state().sequence == 1, "within the rest nothing is looked for"
    for later, looked_at in ((0.2, 100.2), (0.05, 100.2), (0.1, 100.35)):
        now += later
        with pytest.raises(StorageError, match=f"no answer at {looked_at}"):
            ledger.state()
    monkeypatch.setattr(blobs, "find", find)
    now += 0.2
    assert [ledger.state().sequence, ledger.state().sequence] == [1, 1]


# --- bundles: a folder is listed when it is opened, so that they hide no hole ---

LONG = 2 * BUNDLE + 5


@pytest.fixture(scope="module")
def long_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two full bundles and five entries after them."""
    root = tmp_path_factory.mktemp("long") / "store"
    ledger = Ledger(BlobStore(root))
    for number in range(1, LONG + 1):
        promote(ledger, f"v-{number}")
    return root


@pytest.fixture
def long(long_template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(long_template, tmp_path / "store")


@pytest.mark.parametrize("gone", [range(91, 101), range(50, 51), range(1, 2), range(101, 102), range(200, 201)])
def test_a_bundle_does_not_hide_that_entries_are_missing(long: Path, gone: range) -> None:
    for sequence in gone:
        (long / entry_path(sequence)).unlink()
    for read in (Ledger.state, Ledger.entries, lambda ledger: promote(ledger, "x")):
        with pytest.raises(BrokenChainError, match=rf"The ledger lacks `{entry_path(gone[0])}`"):
            read(Ledger(BlobStore(long)))


# --- what later releases add ---


@pytest.fixture(scope="module")
def every_kind_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stores = open_stores(tmp_path_factory.mktemp("kinds") / "store")
    every_kind(stores)
    return stores.blobs.root


@pytest.fixture
def stores(every_kind_template: Path, tmp_path: Path) -> Stores:
    return open_stores(shutil.copytree(every_kind_template, tmp_path / "store"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_a_later_release_adds_to_an_entry_is_ignored(stores: Stores, kind: str) -> None:
    def with_more(body: object) -> object:
        """Whatever has fields of its own gets one more."""
        if isinstance(body, list):
            return [with_more(each) for each in body]
        if not isinstance(body, dict):
            return body
        is_data = (
            not {
                "by",
                "path",
                "key",
                "channel",
                "model_version",
                "batches",
                "cadence",
                "vacuum",
                "known_until",
                "signal",
                "detector",
            }
            & body.keys()
        )
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

"""What every storage of blobs promises, a folder as well as a bucket: written once, whole or not at all."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from forecast_assets.core.errors import ChangedFileError, MissingFileError, ReadOnlyError
from resources.store.blobs import CHUNK, BlobStore, sha256
from tests.support.places import Place

SALES = b"what was said"
PATH = f"observations/sales/{sha256(SALES)}.parquet"


@pytest.fixture
def store(place: Place) -> BlobStore:
    return place.blobs()


def said(store: BlobStore, path: str, what: str) -> str:
    """A pattern of an error that names the place."""
    return re.escape(f"`{store.place(path)}` {what}")


# --- writing ---


def test_a_name_is_written_once(store: BlobStore) -> None:
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert store.get("a/b") == b"first"


def test_what_is_read_only_is_read_and_never_written_nor_removed(store: BlobStore) -> None:
    store.create("a/b", b"first")
    before, sealed = store.everything(), store.read_only()
    assert (sealed.get("a/b"), sealed.names_after("a", ""), sealed.has("c")) == (b"first", ["a/b"], False)
    for write in (
        lambda: sealed.create("a/c", b"second"),
        lambda: sealed.create_addressed(PATH, SALES),
        lambda: sealed.replace("a/b", b"second"),
        lambda: sealed.renew("a/b", b"first"),
        lambda: sealed.remove("a/b"),
    ):
        with pytest.raises(ReadOnlyError, match="opened to be read only"):
            write()
    assert store.everything() == before
    assert store.create("a/c", b"second")


def test_of_many_writers_of_a_name_one_wins(place: Place) -> None:
    def write(writer: int) -> list[bool]:
        store = place.blobs()
        return [store.create(f"ledger/{name}", f"{writer}".encode()) for name in range(10)]

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert [sum(writer[name] for writer in won) for name in range(10)] == [1] * 10
    winners = [next(n for n, writer in enumerate(won) if writer[name]) for name in range(10)]
    assert [place.blobs().get(f"ledger/{name}") for name in range(10)] == [b"%d" % n for n in winners]


def test_content_is_written_again_without_a_complaint_and_other_content_is_not(place: Place, store: BlobStore) -> None:
    store.create_addressed(PATH, SALES)
    store.create_addressed(PATH, SALES)
    place.change(PATH, b"what was sold")
    with pytest.raises(ChangedFileError, match=said(store, PATH, "does not hold what its name says")):
        store.create_addressed(PATH, SALES)


def test_what_is_larger_than_one_piece_is_written_once_and_hashed(store: BlobStore, tmp_path: Path) -> None:
    large = bytes(range(256)) * (CHUNK // 128)
    path = f"predictions/{sha256(large)}.parquet"
    assert store.create(path, large)
    assert not store.create(path, large)
    assert store.hash_of(path) == sha256(large)
    assert max(len(piece) for piece in store._pieces(path)) < len(large), "a large blob is read piece by piece"
    assert store.local(path).read_bytes() == large
    assert store.local(path).is_relative_to(tmp_path)


def test_a_pointer_is_replaced_whole(store: BlobStore) -> None:
    for said_last in (b"the first", b"the second, which is longer", b""):
        store.replace("staging/forecasts/today", said_last)
        assert store.get("staging/forecasts/today") == said_last
    assert [blob.path for blob in store.everything()] == ["staging/forecasts/today"]


def test_what_is_removed_is_gone_and_removing_it_again_is_fine(store: BlobStore) -> None:
    store.create("a", b"x")
    store.remove("a")
    store.remove("a")
    assert not store.has("a")
    with pytest.raises(MissingFileError, match=said(store, "a", "is missing. Restore it from a backup")):
        store.get("a")
    with pytest.raises(MissingFileError):
        store.hash_of("a")


# --- listing ---


def test_names_come_in_order_after_the_one_that_is_named_and_from_one_folder(store: BlobStore) -> None:
    names = [f"ledger/{number:012d}.json" for number in range(1, 101)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.create(name, b"x"), [*reversed(names), "ledger_bundles/a", "a"]))
    assert store.names_after("ledger", "ledger/000000000000.json") == names
    assert store.names_after("ledger", names[97]) == names[98:]
    assert store.names_after("ledger", "ledger/000000000097x") == names[97:]
    assert store.names_after("ledger", names[99]) == []
    assert store.names_after("observations", "observations/") == []


def test_everything_is_listed_with_its_size_and_age(store: BlobStore) -> None:
    for path in ("b", "a/c", PATH):
        store.create(path, SALES)
    found = store.everything()
    assert [blob.path for blob in found] == ["a/c", "b", PATH]
    assert {blob.size for blob in found} == {len(SALES)}
    assert all(abs(blob.written_at.timestamp() - time.time()) < 60 for blob in found)


def test_blobs_come_in_the_order_in_which_they_are_asked_for_and_missing_ones_are_none(store: BlobStore) -> None:
    paths = [f"manifests/{number}.json" for number in range(40)]
    for path in paths[::2]:
        store.create(path, path.encode())
    assert [*store.find_each(paths)] == [None if at % 2 else path.encode() for at, path in enumerate(paths)]


def test_two_stores_side_by_side_do_not_see_each_other(place: Place) -> None:
    one, other = place.blobs(), place.beside("2").blobs()
    for writes, looks in ((one, other), (other, one)):
        writes.create("ledger/1", b"one")
        assert looks.find("ledger/1") is None
        assert (looks.everything(), looks.names_after("ledger", "ledger/")) == ([], [])
        writes.remove("ledger/1")


# --- hashing ---


def test_a_blob_that_nobody_touched_is_hashed_once(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(PATH, SALES)
    assert store.is_intact(PATH, sha256(SALES))
    monkeypatch.setattr(store, "hash_of", lambda _path: pytest.fail("hashed again"))
    assert store.is_intact(PATH, sha256(SALES))


def test_a_blob_that_changed_after_it_was_found_intact_is_found_changed(place: Place, store: BlobStore) -> None:
    store.create(PATH, SALES)
    assert store.is_intact(PATH, sha256(SALES))
    place.change(PATH, b"what was sold")
    assert not store.is_intact(PATH, sha256(SALES))
    place.change(PATH, SALES)
    assert store.is_intact(PATH, sha256(SALES))
    assert not store.is_intact(PATH, sha256(b"something else"))


def test_a_blob_that_is_gone_after_it_was_found_intact_is_named(store: BlobStore) -> None:
    store.create(PATH, SALES)
    assert store.is_intact(PATH, sha256(SALES))
    store.remove(PATH)
    with pytest.raises(MissingFileError, match=said(store, PATH, "is missing. Restore it from a backup")):
        store.is_intact(PATH, sha256(SALES))

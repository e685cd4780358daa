"""What is particular to a ledger and publications in a bucket: few requests, lost answers, local copies."""

from pathlib import Path

import pytest

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import BrokenChainError, ChangedFileError
from resources.ledger.log import BUNDLE, entry_path
from resources.maintenance.verification import verify_store
from resources.stores.home import Stores, open_stores
from tests.support import store_cases
from tests.support.buckets import Server
from tests.support.ledger_cases import promote
from tests.support.store_cases import assert_whole, publish, required, run_key, stage


@pytest.fixture
def stores(url: str, tmp_path: Path) -> Stores:
    return open_stores(url, tmp_path / "mirror")


@pytest.fixture
def ready(stores: Stores) -> Stores:
    """A store in which runs can be published."""
    store_cases.ingest(stores)
    store_cases.register(stores)
    return stores


# --- the ledger ---


def test_an_open_ledger_is_listed_so_that_a_long_hole_is_found_by_every_look(
    stores: Stores, url: str, tmp_path: Path
) -> None:
    known = open_stores(url, tmp_path).ledger
    for number in range(32):
        promote(stores.ledger, f"v-{number}")
        known.state() if not number else None
    for sequence in range(2, 32):
        stores.blobs.remove(entry_path(sequence))
    for ledger in (known, open_stores(url, tmp_path).ledger):
        with pytest.raises(BrokenChainError, match=r"The ledger lacks `ledger/000000000002\.json`"):
            ledger.state()


def test_an_append_whose_answer_was_lost_is_one_entry(server: Server, stores: Stores, url: str, tmp_path: Path) -> None:
    promote(stores.ledger, "a")
    server.disturb(("PUT", "lost"))
    assert promote(stores.ledger, "b").sequence == 2
    assert [entry.body["model_version"] for entry in open_stores(url, tmp_path).ledger.entries()] == ["a", "b"]


def test_a_long_ledger_is_opened_with_few_requests_and_read_with_one(
    server: Server, stores: Stores, url: str, tmp_path: Path
) -> None:
    for number in range(2 * BUNDLE + 3):
        promote(stores.ledger, f"v-{number}")
    server.requests()
    promote(stores.ledger, "last")
    assert server.requests() == {"LIST": 1, "PUT": 1}, "an append looks once, and writes once"
    ledger = open_stores(url, tmp_path).ledger
    assert ledger.state().channel("champion") == "last"
    assert server.requests() == {"LIST": 2, "GET": 2 + 1 + 4}, "two bundles, the last bundled entry, four after it"
    ledger.state()
    assert server.requests() == {"LIST": 1}
    assert ledger.state().head == stores.ledger.state().head


# --- publications ---


def test_a_publication_needs_few_requests(server: Server, ready: Stores) -> None:
    made = stage(ready, run_key())
    server.requests()
    ready.predictions.publish(run_key(), made, required)
    requests = server.requests()
    assert requests["PUT"] == 1
    assert requests["LIST"] <= 3
    assert requests.total() <= 46


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_scan_fetches_no_copy_of_what_is_damaged(ready: Stores, damage: str) -> None:
    publication = publish(ready, run_key())
    (file,) = ready.predictions.files(publication, "forecasts")
    data = bytearray(ready.blobs.get(file.path))
    data[len(data) // 2] ^= 1
    ready.blobs.remove(file.path) if damage == "missing" else ready.blobs.replace(file.path, bytes(data))
    version = ready.predictions.version(publication.products["forecasts"])
    with pytest.raises(ChangedFileError, match=file.path):
        ready.predictions.scan(version)


def test_a_scan_reads_what_was_published_although_its_copy_was_changed(ready: Stores) -> None:
    publication = publish(ready, run_key(), units=4)
    version = ready.predictions.version(publication.products["forecasts"])
    rows = ready.predictions.scan(version).collect()
    copy = ready.blobs.local(version.files[0].path)
    other = publish(ready, run_key(1), units=5)
    copy.write_bytes(ready.blobs.get(ready.predictions.files(other, "forecasts")[0].path))
    assert ready.predictions.scan(version).collect().equals(rows)


def test_a_catalogue_asks_the_bucket_for_what_is_new_only(server: Server, ready: Stores, tmp_path: Path) -> None:
    reads: list[int] = []
    for day in (0, 1, 2, 2):
        if day == len(reads):
            publish(ready, run_key(day))
        server.requests()
        store_cases.catalogue(ready, tmp_path / "catalogue")
        reads.append(server.requests()["GET"])
    assert reads[1] == reads[2] >= len(PUBLISHED), "a run costs the same, however many there were before"
    assert reads[3] == 0, "and nothing where there is none"


def test_a_store_moves_from_a_folder_to_a_bucket_by_copying_its_files(stores: Stores, tmp_path: Path) -> None:
    folder = open_stores(tmp_path / "store")
    store_cases.ingest(folder)
    store_cases.register(folder)
    publish(folder, run_key())
    for blob in folder.blobs.everything():
        stores.blobs.create(blob.path, folder.blobs.get(blob.path))
    assert stores.ledger.state().head == folder.ledger.state().head
    assert verify_store(stores.blobs).findings == ()
    publish(stores, run_key(1))
    assert assert_whole(stores) == 2

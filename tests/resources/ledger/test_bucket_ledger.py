"""The ledger and publications in a bucket: one winner per entry, nothing half-made, few requests."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import AlreadyPublishedError, BrokenChainError, ChangedFileError
from resources.ledger.log import BUNDLE, Ledger, entry_path
from resources.ledger.state import LedgerState
from resources.maintenance.verification import verify_store
from resources.store.bucket import BucketStore
from resources.stores.home import Stores, open_stores
from tests.support import store_cases
from tests.support.buckets import REPOSITORY, Server
from tests.support.store_cases import publish, required, run_key, stage


def admit_all(state: LedgerState) -> None:
    assert state is not None


def promote(ledger: Ledger, name: str) -> int:
    body = {"channel": "champion", "model_version": name, "by": "ana", "reason": "test"}
    return ledger.append("promote", body, admit_all).sequence


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


WRITER = """
import sys
from pathlib import Path
from resources.store.bucket import BucketStore
from resources.ledger.log import Ledger
ledger = Ledger(BucketStore(sys.argv[1], Path(sys.argv[2])))
sys.stdin.readline()
for number in range(5):
    body = {"channel": "champion", "model_version": f"{sys.argv[3]}-{number}", "by": "ana", "reason": "test"}
    print(ledger.append("promote", body, lambda state: None).sequence)
"""


def test_processes_that_append_at_once_each_win_their_own_entries(stores: Stores, url: str, tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(tmp_path), f"w{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
        )
        for number in range(8)
    ]  # fmt: skip
    with ThreadPoolExecutor(len(writers)) as pool:
        said = list(pool.map(lambda writer: writer.communicate("go\n", timeout=120)[0], writers))
    assert sorted(int(number) for line in said for number in line.split()) == list(range(1, 41))
    entries = stores.ledger.entries()
    assert [entry.sequence for entry in entries] == list(range(1, 41))
    assert {entry.body["model_version"] for entry in entries} == {f"w{n}-{m}" for n in range(8) for m in range(5)}


def test_an_append_whose_answer_was_lost_is_one_entry(server: Server, stores: Stores, url: str, tmp_path: Path) -> None:
    promote(stores.ledger, "a")
    server.disturb(("PUT", "lost"))
    assert promote(stores.ledger, "b") == 2
    assert [entry.body["model_version"] for entry in open_stores(url, tmp_path).ledger.entries()] == ["a", "b"]


def test_a_writer_that_lost_its_entry_to_another_takes_the_next(stores: Stores, url: str, tmp_path: Path) -> None:
    other, seen = open_stores(url, tmp_path).ledger, list[int]()

    def admit(state: LedgerState) -> None:
        seen.append(state.sequence)
        if len(seen) == 1:
            promote(other, "quick")

    body = {"channel": "champion", "model_version": "slow", "by": "ana", "reason": "test"}
    assert stores.ledger.append("promote", body, admit).sequence == 2
    assert seen == [0, 1]


@pytest.mark.parametrize("missing", [1, 2, 30])
def test_a_hole_is_found_by_every_reader(stores: Stores, url: str, tmp_path: Path, missing: int) -> None:
    known = open_stores(url, tmp_path).ledger
    for number in range(missing + 2):
        promote(stores.ledger, f"v-{number}")
        known.state() if not number else None
    for sequence in range(2, 2 + missing):
        stores.blobs.remove(entry_path(sequence))
    for ledger in (known, open_stores(url, tmp_path).ledger):
        with pytest.raises(BrokenChainError, match=r"The ledger lacks `ledger/000000000002\.json`"):
            ledger.state()


def test_a_changed_entry_breaks_the_chain(stores: Stores, url: str, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        promote(stores.ledger, name)
    stores.blobs.replace(entry_path(2), stores.blobs.get(entry_path(2)).replace(b'"b"', b'"x"'))
    with pytest.raises(BrokenChainError):
        open_stores(url, tmp_path).ledger.state()


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
    assert requests.total() <= 40


class Stopped(BaseException):
    """The process ends here."""


class Stopping(BucketStore):
    """A bucket whose user ends before one of its writes, or after its commit."""

    def __init__(self, url: str, mirror: Path, at: int | None = None) -> None:
        super().__init__(url, mirror)
        self._left = at

    def create(self, path: str, data: bytes) -> bool:
        self._stop()
        done = super().create(path, data)
        if self._left is None and path.startswith("ledger/"):
            raise Stopped
        return done

    def replace(self, path: str, data: bytes) -> None:
        self._stop()
        super().replace(path, data)

    def _stop(self) -> None:
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise Stopped


def assert_whole(stores: Stores) -> int:
    """Read every file of every publication that is visible; return how many runs there are."""
    publications = stores.ledger.state().publications.values()
    for publication in publications:
        for version in publication.products.values():
            assert stores.predictions.read(stores.predictions.version(version)).height > 0
    return len(publications)


def test_a_publisher_that_ends_before_any_of_its_writes_leaves_nothing_to_be_seen(
    ready: Stores, url: str, tmp_path: Path
) -> None:
    """The same run ends one write later each time, upon what the times before left, until it comes through."""
    for at in range(1, 200):
        try:
            publish(Stores.on(Stopping(url, tmp_path, at)), run_key())
        except Stopped:
            assert open_stores(url, tmp_path).ledger.state().publications == {}
        else:
            break
    assert at > 15, "every write of a publication was tried"
    assert assert_whole(open_stores(url, tmp_path)) == 1
    assert verify_store(ready.blobs).findings == ()


def test_a_publisher_that_ends_after_its_commit_has_published(ready: Stores, url: str, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        publish(Stores.on(Stopping(url, tmp_path)), run_key())
    assert assert_whole(ready) == 1
    with pytest.raises(AlreadyPublishedError):
        publish(ready, run_key())
    assert verify_store(ready.blobs).findings == ()


def test_readers_see_runs_whole_while_they_are_published(ready: Stores, url: str, tmp_path: Path) -> None:
    is_over, seen = threading.Event(), list[int]()

    def read(reader: int) -> None:
        stores = open_stores(url, tmp_path / f"{reader}")
        while not is_over.is_set():
            seen.append(assert_whole(stores))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read, reader) for reader in range(2)]
        try:
            for day in range(4):
                publish(ready, run_key(day))
        finally:
            is_over.set()
        for reader in readers:
            reader.result()
    assert len(set(seen)) > 2, "the readers came by several times"


def test_of_two_publishers_of_a_run_one_wins_and_the_other_is_told(ready: Stores, url: str, tmp_path: Path) -> None:
    made = stage(ready, run_key())

    def commit(number: int) -> bool:
        stores = open_stores(url, tmp_path / str(number))
        try:
            stores.predictions.publish(run_key(), made, required)
        except AlreadyPublishedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(commit, range(4))) == 1
    assert [entry.kind for entry in ready.ledger.entries()].count("publish") == 1


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damage_in_the_bucket_is_found_and_read_by_nobody(ready: Stores, damage: str) -> None:
    publication = publish(ready, run_key())
    (file,) = ready.predictions.files(publication, "forecasts")
    data = bytearray(ready.blobs.get(file.path))
    data[len(data) // 2] ^= 1
    ready.blobs.remove(file.path) if damage == "missing" else ready.blobs.replace(file.path, bytes(data))
    assert (damage, file.path) in {(finding.kind, finding.path) for finding in verify_store(ready.blobs).findings}
    version = ready.predictions.version(publication.products["forecasts"])
    for read in (ready.predictions.read, ready.predictions.scan, ready.predictions.scan_verified):
        with pytest.raises(ChangedFileError, match=file.path):
            read(version)


def test_a_scan_reads_what_was_published_although_its_copy_was_changed(ready: Stores) -> None:
    publication = publish(ready, run_key(), units=4)
    version = ready.predictions.version(publication.products["forecasts"])
    rows = ready.predictions.scan(version).collect()
    copy = ready.blobs.local(version.files[0].path)
    other = publish(ready, run_key(1), units=5)
    copy.write_bytes(ready.blobs.get(ready.predictions.files(other, "forecasts")[0].path))
    assert ready.predictions.scan(version).collect().equals(rows)


def test_the_past_of_a_bucket_is_read_as_it_was(ready: Stores) -> None:
    publish(ready, run_key())
    position = ready.ledger.state().sequence
    publish(ready, run_key(1))
    assert [*ready.as_of(position).ledger.state().publications] == [run_key()]


def test_the_catalogue_shows_both_runs_from_local_copies(ready: Stores, tmp_path: Path) -> None:
    for day in range(2):
        publish(ready, run_key(day), units=day + 3)
    path = store_cases.catalogue(ready, tmp_path / "catalogue")
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            'SELECT prediction_date, min(forecast_units) FROM "stat-1".forecasts GROUP BY ALL ORDER BY 1'
        ).fetchall()
    assert rows == [(run_key(day).prediction_date, day + 3) for day in range(2)]


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

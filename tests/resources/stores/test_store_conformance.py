"""What publications promise wherever the store is, in a folder or in a bucket: all or nothing, once, as it was."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from forecast_assets.core.errors import AlreadyPublishedError, ChangedFileError
from resources.maintenance.verification import verify_store
from resources.store.blobs import BlobStore
from resources.stores.home import Stores
from tests.support import store_cases
from tests.support.places import Place
from tests.support.store_cases import assert_whole, publish, required, run_key, stage


@pytest.fixture
def ready(place: Place) -> Stores:
    """A store in which runs can be published."""
    stores = place.open()
    store_cases.ingest(stores)
    store_cases.register(stores)
    return stores


# --- publishers that end ---


class Stopped(BaseException):
    """The process ends here."""


def stopping(blobs: BlobStore, patch: pytest.MonkeyPatch, at: int | None = None) -> BlobStore:
    """Let the user of these blobs end before one of its writes, or after its commit."""
    create, replace, left = blobs.create, blobs.replace, [at]

    def stop() -> None:
        if left[0] is not None:
            left[0] -= 1
            if not left[0]:
                raise Stopped

    def created(path: str, data: bytes) -> bool:
        stop()
        done = create(path, data)
        if at is None and path.startswith("ledger/"):
            raise Stopped
        return done

    def replaced(path: str, data: bytes) -> None:
        stop()
        replace(path, data)

    patch.setattr(blobs, "create", created)
    patch.setattr(blobs, "replace", replaced)
    return blobs


def test_a_publisher_that_ends_before_any_of_its_writes_leaves_nothing_to_be_seen(
    ready: Stores, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run ends one write later each time, upon what the times before left, until it comes through."""
    for at in range(1, 200):
        try:
            publish(Stores.on(stopping(place.blobs(), monkeypatch, at)), run_key())
        except Stopped:
            assert place.open().ledger.state().publications == {}
        else:
            break
    assert at > 15, "every write of a publication was tried"
    assert assert_whole(place.open()) == 1
    assert verify_store(ready.blobs).findings == ()


def test_a_publisher_that_ends_after_its_commit_has_published(
    ready: Stores, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        publish(Stores.on(stopping(place.blobs(), monkeypatch)), run_key())
    assert assert_whole(ready) == 1
    with pytest.raises(AlreadyPublishedError):
        publish(ready, run_key())
    assert verify_store(ready.blobs).findings == ()


# --- many at once ---


def test_readers_see_runs_whole_while_they_are_published(ready: Stores, place: Place, tmp_path: Path) -> None:
    is_over, seen = threading.Event(), list[int]()

    def read(reader: int) -> None:
        stores = Place(place.location, str(tmp_path / f"{reader}")).open()
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


def test_of_two_publishers_of_a_run_one_wins_and_the_other_is_told(ready: Stores, place: Place, tmp_path: Path) -> None:
    made = stage(ready, run_key())

    def commit(number: int) -> bool:
        stores = Place(place.location, str(tmp_path / f"{number}")).open()
        try:
            stores.predictions.publish(run_key(), made, required)
        except AlreadyPublishedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(commit, range(4))) == 1
    assert [entry.kind for entry in ready.ledger.entries()].count("publish") == 1


# --- reading ---


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damage_is_found_and_read_by_nobody_who_verifies(ready: Stores, place: Place, damage: str) -> None:
    publication = publish(ready, run_key())
    (file,) = ready.predictions.files(publication, "forecasts")
    data = bytearray(ready.blobs.get(file.path))
    data[len(data) // 2] ^= 1
    ready.blobs.remove(file.path) if damage == "missing" else place.change(file.path, bytes(data))
    assert (damage, file.path) in {(finding.kind, finding.path) for finding in verify_store(ready.blobs).findings}
    version = ready.predictions.version(publication.products["forecasts"])
    for read in (ready.predictions.read, ready.predictions.scan_verified):
        with pytest.raises(ChangedFileError, match=file.path):
            read(version)


def test_the_past_is_read_as_it_was(ready: Stores) -> None:
    publish(ready, run_key())
    position = ready.ledger.state().sequence
    publish(ready, run_key(1))
    assert [*ready.as_of(position).ledger.state().publications] == [run_key()]


def test_the_catalogue_shows_both_runs(ready: Stores, tmp_path: Path) -> None:
    for day in range(2):
        publish(ready, run_key(day), units=day + 3)
    path = store_cases.catalogue(ready, tmp_path / "catalogue")
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute(
            'SELECT prediction_date, min(forecast_units) FROM "stat-1".forecasts GROUP BY ALL ORDER BY 1'
        ).fetchall()
    assert rows == [(run_key(day).prediction_date, day + 3) for day in range(2)]

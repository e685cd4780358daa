"""The overlay: what is below is read and never written, what is written is its own."""

from pathlib import Path

import pytest

from forecast_assets.core.errors import MissingFileError, RefusedError
from resources.store.blobs import BlobStore, sha256
from resources.store.overlay import OverlayStore
from resources.stores.home import Stores

PATHS = ("manifests/a.json", "observations/sales/b.parquet", "staging/forecasts/k", "acceptances/a/check.json")


@pytest.fixture
def below(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path / "store")
    for path in PATHS:
        store.replace(path, path.encode())
    return store


@pytest.fixture
def overlay(below: BlobStore, tmp_path: Path) -> OverlayStore:
    return OverlayStore(below, tmp_path / "scratch")


def listed(store: BlobStore) -> dict[str, tuple[int, int]]:
    files = [path for path in store.root.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def test_what_is_below_is_read_through(overlay: OverlayStore, below: BlobStore) -> None:
    for path in PATHS[:2]:
        assert overlay.get(path) == path.encode()
        assert overlay.has(path)
        assert overlay.hash_of(path) == sha256(path.encode())
        assert overlay.is_intact(path, sha256(path.encode()))
        assert overlay.local(path) == below.local(path)
        assert overlay.place(path) == below.place(path)


def test_what_runs_staged_and_checks_accepted_is_not_seen(overlay: OverlayStore) -> None:
    for path in PATHS[2:]:
        assert overlay.find(path) is None
        assert not overlay.has(path)
        with pytest.raises(MissingFileError):
            overlay.get(path)
    assert overlay.names_after("staging", "staging/") == []


def test_writes_stay_above_and_are_read_before_what_is_below(overlay: OverlayStore, below: BlobStore) -> None:
    before = listed(below)
    assert overlay.create(PATHS[0], b"ours")
    assert not overlay.create(PATHS[0], b"others")
    overlay.replace("staging/forecasts/k", b"mine")
    overlay.create_addressed("manifests/c.json", b"c")
    assert [*overlay.find_each([PATHS[0], "staging/forecasts/k", "manifests/c.json"])] == [b"ours", b"mine", b"c"]
    assert overlay.local(PATHS[0]).read_bytes() == b"ours"
    assert overlay.names_after("manifests", "manifests/") == [PATHS[0], "manifests/c.json"]
    assert listed(below) == before


def test_removing_takes_away_only_what_was_written_above(overlay: OverlayStore, below: BlobStore) -> None:
    overlay.create(PATHS[0], b"ours")
    overlay.remove(PATHS[0])
    overlay.remove(PATHS[1])
    assert overlay.get(PATHS[0]) == PATHS[0].encode()
    assert below.has(PATHS[1])


def test_everything_is_what_was_written_above(overlay: OverlayStore) -> None:
    overlay.create("manifests/c.json", b"c")
    assert [blob.path for blob in overlay.everything()] == ["manifests/c.json"]


def test_nothing_can_be_committed(overlay: OverlayStore, below: BlobStore) -> None:
    stores = Stores.on(overlay)
    with pytest.raises(RefusedError, match="what is rebuilt is compared, never published"):
        stores.ledger.append("promote", {"channel": "c"}, lambda _: None)
    assert not below.names_after("ledger", "ledger/")

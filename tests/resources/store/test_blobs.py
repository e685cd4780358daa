"""What is particular to a folder: blobs are durable before anybody relies on them, and a disk's failures are told."""

import os
import time
from pathlib import Path

import pytest

from forecast_assets.core.errors import StorageError
from resources.store import blobs
from resources.store.blobs import BlobStore

PATH = "observations/sales/x.parquet"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    made = BlobStore(tmp_path)
    made.create(PATH, b"what was said")
    return made


def test_bytes_are_on_the_disk_before_they_have_their_name(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    new = "observations/prices/x.parquet"
    file, synced = store.local(new), list[tuple[str, bool]]()

    def noted(path: Path) -> None:
        synced.append((path.relative_to(store.root).parts[0] if path != store.root else ".", file.exists()))

    monkeypatch.setattr(blobs, "sync", noted)
    store.create_addressed(new, b"what was said")
    assert synced[0] == ("scratch", False)
    assert synced[1:] == [("observations", True)] * 2, "the store's own folder was synced before"
    assert list((store.root / "scratch").iterdir()) == []


def test_bytes_that_are_there_already_are_synced_too_and_young_again(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_addressed(PATH, b"what was said")
    file, synced = store.local(PATH), list[Path]()
    os.utime(file, (0, 0))
    monkeypatch.setattr(blobs, "sync", synced.append)
    store.create_addressed(PATH, b"what was said")
    assert synced[-2:] == [file, file.parent]
    assert file.stat().st_mtime > time.time() - 60


def test_a_pointer_is_on_the_disk_before_it_points(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.replace("staging/forecasts/today", b"the first")
    pointer, seen = store.local("staging/forecasts/today"), list[tuple[str, bytes]]()

    def noted(path: Path) -> None:
        seen.append((path.relative_to(store.root).parts[0], pointer.read_bytes()))

    monkeypatch.setattr(blobs, "sync", noted)
    store.replace("staging/forecasts/today", b"the second")
    assert seen == [("scratch", b"the first"), ("staging", b"the second")]
    assert list((store.root / "scratch").iterdir()) == []


def test_a_pointer_that_cannot_be_made_durable_leaves_the_one_before(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace("staging/forecasts/k", b"old")

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blobs, "sync", full)
    with pytest.raises(StorageError, match="Free some disk space"):
        store.replace("staging/forecasts/k", b"new")
    assert store.get("staging/forecasts/k") == b"old"
    assert list((store.root / "scratch").iterdir()) == []


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_an_empty_folder(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def refused(folder: str) -> object:
        if str(folder).endswith("sales"):
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StorageError, match=r"observations/sales.*Make the folder"):
        store.everything()


def test_a_folder_that_is_gone_when_it_is_listed_is_no_error(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.root / "empty").mkdir()
    listed = os.scandir

    def late(folder: str) -> object:
        if str(folder).endswith("empty"):
            Path(folder).rmdir()
        return listed(folder)

    monkeypatch.setattr(os, "scandir", late)
    assert [blob.path for blob in store.everything()] == [PATH]
    assert BlobStore(store.root / "nothing here").everything() == []


def test_a_home_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    target = tmp_path / "home"
    target.write_text("not a folder")
    for use in (lambda: BlobStore(target).create("a", b"x"), lambda: BlobStore(target).find("a")):
        with pytest.raises(StorageError, match=r"FORECAST_ASSETS_HOME|Check the disk"):
            use()

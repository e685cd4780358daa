"""Blobs: hashed once while nobody touches them, and again after."""

from pathlib import Path

import pytest

from forecast_assets.errors import ChangedFileError
from resources import blobs
from resources.blobs import BlobStore, sha256

PATH = "observations/sales/x.parquet"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    made = BlobStore(tmp_path)
    made.create(PATH, b"what was said")
    return made


def test_a_file_that_nobody_touched_is_hashed_once(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sha256(b"what was said")
    assert store.is_intact(PATH, expected)
    monkeypatch.setattr(blobs, "sha256", lambda _data: pytest.fail("hashed again"))
    assert store.is_intact(PATH, expected)


def test_a_file_that_changed_after_it_was_found_intact_is_found_changed(store: BlobStore) -> None:
    expected = sha256(b"what was said")
    assert store.is_intact(PATH, expected)
    store.local(PATH).write_bytes(b"what was sold")
    assert not store.is_intact(PATH, expected)
    store.local(PATH).write_bytes(b"what was said")
    assert store.is_intact(PATH, expected)
    assert not store.is_intact(PATH, sha256(b"something else"))


def test_a_file_that_is_gone_is_named(store: BlobStore) -> None:
    expected = sha256(b"what was said")
    assert store.is_intact(PATH, expected)
    store.local(PATH).unlink()
    with pytest.raises(ChangedFileError, match=r"x\.parquet` is missing\. Restore it from a backup"):
        store.is_intact(PATH, expected)


def test_bytes_that_are_there_already_are_synced_too(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = list[Path]()
    monkeypatch.setattr(blobs, "_fsync", synced.append)
    store.create_addressed(PATH, b"what was said")
    file = store.local(PATH)
    assert synced == [file, *list(file.parents)[:3]]

"""The operational store: whole transactions, many at once, and failures that say what to do."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from forecast_assets.core.errors import IntegrityError, StorageError
from resources.operational.model_files import ModelFile, register_model_file, registered_model_files
from resources.operational.opening import operational_rows, operational_store

TABLE = "CREATE TABLE IF NOT EXISTS notes (note TEXT UNIQUE)"


def entry(at: int) -> ModelFile:
    return ModelFile(f"{at:064d}", "m", f"/m{at}.skops", "lof", "a,b", f"2026-01-01T00:{at:02d}:00+00:00", "0" * 64)


def test_files_are_listed_the_last_first_and_the_same_bytes_once(tmp_path: Path) -> None:
    store = tmp_path / "operational/operational.sqlite"
    assert registered_model_files(store) == ()
    assert not store.exists()
    for at in (1, 2, 1):
        register_model_file(store, entry(at))
    assert registered_model_files(store) == (entry(2), entry(1))


def test_many_write_at_once_and_none_is_lost(tmp_path: Path) -> None:
    store = tmp_path / "operational.sqlite"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: register_model_file(store, entry(at)), range(40)))
    assert len(registered_model_files(store)) == 40


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    store = tmp_path / "operational.sqlite"
    with (
        pytest.raises(sqlite3.IntegrityError, match="UNIQUE"),
        operational_store(store, TABLE) as connection,
    ):
        connection.execute("INSERT INTO notes VALUES ('a'), ('a')")
    with operational_rows(store, "notes") as found:
        assert found is None
    with operational_store(store, TABLE) as connection:
        connection.execute("INSERT INTO notes VALUES ('b')")
    with operational_rows(store, "notes") as found:
        assert found is not None
        assert [row["note"] for row in found.execute("SELECT note FROM notes")] == ["b"]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            found.execute("DELETE FROM notes")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    store = tmp_path / "operational.sqlite"
    store.write_text("nothing of the kind" * 100)
    with pytest.raises(IntegrityError, match=r"is damaged: file is not a database. Move it away, or restore it"):
        registered_model_files(store)
    with pytest.raises(IntegrityError, match="is damaged"):
        register_model_file(store, entry(1))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StorageError, match=r"cannot be made: .* Make its folder writable for this user"):
        register_model_file(tmp_path / "a/operational.sqlite", entry(1))


def test_a_store_that_somebody_holds_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.operational.opening._WAIT_SECONDS", 0.1)
    store = tmp_path / "operational.sqlite"
    with (
        operational_store(store, TABLE),
        pytest.raises(StorageError, match=r"cannot be used: database is locked. .*wait for who holds it"),
    ):
        register_model_file(store, entry(1))

"""What a library's error about the disk or a stored file means to an operator."""

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.core.errors import ChangedFileError, ForecastAssetsError, InputError, StorageError
from forecast_assets.core.library_errors import as_own_error


def error_of(action: Callable[[], object]) -> Exception:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - what libraries raise is what is tested
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    path = tmp_path / "cut.parquet"
    pl.DataFrame({"a": list(range(1000))}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def test_a_cut_or_missing_file_is_an_integrity_error_whoever_reads_it(cut: Path) -> None:
    gone = cut.with_name("gone.parquet")
    for path in (cut, gone):
        for read in (
            lambda path=path: pl.scan_parquet(path).collect(),
            lambda path=path: duckdb.read_parquet(str(path)).fetchall(),
        ):
            found = as_own_error(error_of(read))
            assert isinstance(found, ChangedFileError), path
            assert "restore it from a backup" in str(found)


def test_a_full_or_read_only_disk_is_a_storage_error(tmp_path: Path) -> None:
    full = error_of(lambda: pl.DataFrame({"a": list(range(100_000))}).write_csv("/dev/full"))
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    read_only = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    refused = error_of(lambda: read_only.execute("INSERT INTO t VALUES (1)"))
    read_only.close()
    connection.close()
    for error in (full, refused, OSError(errno.EROFS, "Read-only file system")):
        found = as_own_error(error)
        assert isinstance(found, StorageError), error
        assert "Free space or make the folder writable" in str(found)


def test_a_cause_of_our_own_is_told_as_it_is() -> None:
    inner = StorageError("The shelf is full.", remedy="Buy another.")

    def wrapped() -> None:
        try:
            raise inner
        except ForecastAssetsError as error:
            raise RuntimeError("a library wraps it") from error

    assert as_own_error(error_of(wrapped)) is inner


def test_a_defect_stays_a_defect() -> None:
    assert as_own_error(ValueError("the length of parquet floors")) is None
    assert as_own_error(ZeroDivisionError("division by zero")) is None


def test_a_name_that_is_too_long_is_the_input_of_who_gave_it() -> None:
    found = as_own_error(error_of(lambda: Path("n" * 300).is_file()))
    assert isinstance(found, InputError)
    assert str(found) == "A name is too long for this disk. Give a shorter one."

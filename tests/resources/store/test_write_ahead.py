"""Switching a SQLite file to a write-ahead log while others do: waited for, and no longer than allowed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Barrier, Thread
from time import monotonic

import pytest

from resources.store.write_ahead import write_ahead


def at_once(count: int, do: Callable[[], None]) -> list[Exception]:
    """Return what failed of a call that is made in so many threads at the same moment."""
    failed: list[Exception] = []
    begin = Barrier(count)

    def call() -> None:
        begin.wait(30)
        try:
            do()
        except Exception as error:  # noqa: BLE001 - told by whoever asked
            failed.append(error)

    threads = [Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_all_who_open_a_new_file_at_the_same_moment_have_it_written_ahead(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.sqlite"

        def opened(path: Path = path) -> None:
            with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
                write_ahead(connection, 30.0)
                connection.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)")
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

        assert at_once(4, opened) == []


def test_who_holds_the_file_is_waited_for_until_it_lets_go_or_the_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "held.sqlite"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as holder,
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
    ):
        holder.execute("CREATE TABLE t (a INTEGER)")
        holder.execute("BEGIN EXCLUSIVE")
        began = monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(other, 0.2)
        assert monotonic() - began >= 0.2
        holder.execute("COMMIT")
        write_ahead(other, 0.2)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_cannot_be_written_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "there.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as reader:
        began = monotonic()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            write_ahead(reader, 30.0)
        assert monotonic() - began < 10

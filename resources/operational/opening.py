"""Opening the operational store of a home folder.

What belongs here: the one way to open it, and what its failures mean. What does not: any table.

SQLite with a write-ahead log: many read while one writes; a writer waits for another. A transaction is there whole or
not at all, whatever is killed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import IntegrityError, StorageError
from resources.store.write_ahead import write_ahead

_WAIT_SECONDS: Final = 30.0


@contextmanager
def operational_store(path: Path, *tables: str, wait_seconds: float | None = None) -> Iterator[sqlite3.Connection]:
    """Yield a connection within one transaction, which is kept if the block ends well.

    Args:
        path: Of the database; it and its folder are made if need be.
        *tables: Statement `CREATE TABLE IF NOT EXISTS ...` of each table that is used.
        wait_seconds: How long to wait for who writes; half a minute if left out.

    Raises:
        StorageError: If it cannot be written, or others write for so long.
        IntegrityError: If it is no database.
    """
    wait = _WAIT_SECONDS if wait_seconds is None else wait_seconds
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=wait, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            write_ahead(connection, wait)
            connection.execute("BEGIN IMMEDIATE")
            try:
                for table in tables:
                    connection.execute(table)
                yield connection
            except BaseException:
                # A full disk may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


@contextmanager
def operational_rows(path: Path, table: str) -> Iterator[sqlite3.Connection | None]:
    """Yield a connection that only reads; None where the table has not been made.

    Args:
        path: Of the database.
        table: Name of the table.

    Raises:
        StorageError: If it cannot be read.
        IntegrityError: If it is no database.
    """
    if not path.is_file():
        yield None
        return
    with (
        _translated(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=_WAIT_SECONDS, uri=True)) as connection,
    ):
        connection.row_factory = sqlite3.Row
        is_there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        yield connection if is_there else None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"The operational store `{path}` cannot be used: {error}.",
            remedy="Free space, make its folder writable for this user, or wait for who holds it; then run the same "
            "command again.",
        ) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise
        raise IntegrityError(
            f"The operational store `{path}` is damaged: {error}.",
            remedy="Move it away, or restore it from a backup. No published number is in it; models that were "
            "registered in it have to be vouched for, or trained anew.",
        ) from error
    except OSError as error:
        raise StorageError(
            f"The operational store `{path}` cannot be made: {error}.",
            remedy="Make its folder writable for this user, or set FORECAST_ASSETS_HOME to one that is.",
        ) from error

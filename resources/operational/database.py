"""The database of a home's operational records: SQLite, embedded, one file.

What belongs here: opening it. What does not: what any table holds; each table has a module that makes it.

Operational records (keys of callers, registered model files) are not data products: they change and end, and the ledger
does not know them. Losing the file loses them and no published number.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import StorageError

FILE_NAME: Final = "operational.db"
# Another process may be writing; a write takes milliseconds.
_WAIT_SECONDS: Final = 10.0


@contextmanager
def transaction(path: Path, schema: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection in which everything is done or nothing.

    Args:
        path: The file; its folder is made if it is missing.
        schema: `CREATE TABLE IF NOT EXISTS` statements of the tables that are used.

    Raises:
        StorageError: If the disk refuses, or another process holds the file for too long.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(schema)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"The operational records in {path} cannot be read or written: {error}.",
            remedy="Free space, or make the folder writable for this user, then try again; no published number is "
            "touched.",
            path=path,
        ) from error

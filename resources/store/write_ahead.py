"""A SQLite file with a write-ahead log, as it is asked for by each who opens it.

What belongs here: the switch to it. What does not: opening files, or any table.
"""

import sqlite3
from time import monotonic, sleep
from typing import Final

_AGAIN_SECONDS: Final = 0.01


def write_ahead(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Have a file written ahead, so that many read while one writes.

    Of two who open a new file at the same moment one is refused at once: SQLite waits for whoever writes, but not where
    both would switch.

    Args:
        connection: Outside of a transaction.
        wait_seconds: For so long it is tried again.

    Raises:
        sqlite3.OperationalError: If others hold the file for so long, or it cannot be written.
    """
    until = monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # The code may be extended by a cause in its higher bits.
            if (
                error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                or monotonic() >= until
            ):
                raise
            sleep(_AGAIN_SECONDS)
        else:
            return

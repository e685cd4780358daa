"""Rows as lines of text, and the digest of them: what was written and what is read back are compared by it.

What belongs here: the one form of a row that every database is held to. What does not: any database.

Decimals have six digits behind the point, texts are quoted where they have to be, an empty text is `""` and null is
nothing, floats are the shortest text that reads back as the same float.
"""

import hashlib
import io
from typing import Final

import polars as pl

# Rows that are in memory at a time.
BATCH: Final = 65_536


def lines_of(rows: pl.DataFrame) -> bytes:
    """Return rows as lines of CSV without a header; the same rows in several parts are the same lines."""
    buffer = io.BytesIO()
    rows.write_csv(buffer, include_header=False, null_value="", quote_style="necessary", line_terminator="\n")
    return buffer.getvalue()


class ContentDigest:
    """SHA-256 of the lines of rows, and how many there are.

    Attributes:
        rows: How many there were so far.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._sha256 = hashlib.sha256()

    def add(self, rows: int, lines: bytes) -> None:
        """Take in some rows by their lines."""
        self.rows += rows
        self._sha256.update(lines)

    @property
    def hex(self) -> str:
        """The digest as 64 hexadecimal digits."""
        return self._sha256.hexdigest()

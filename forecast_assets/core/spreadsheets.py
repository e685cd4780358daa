"""Texts of others in files that spreadsheets open.

What belongs here: making such a text no formula. What does not: files.

A spreadsheet that opens a CSV file takes a cell that begins with `=`, `+`, `-` or `@` for a formula, however it is
quoted, and a formula can send what stands beside it to somebody. With an apostrophe in front it is a text.
"""

from collections.abc import Collection
from typing import Final

import polars as pl

# Space in front is passed over by some of them, and signs of full width are taken for the usual ones.
_BEGINS: Final = r"^\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"


def without_formulas(frame: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    """Return a frame in whose texts a cell that would be a formula begins with an apostrophe.

    Args:
        frame: Any rows.
        columns: Columns whose texts somebody else wrote.

    Example:
        >>> rows = pl.DataFrame({"comment": ["=1+1", "good", None, "-5"], "label": ["-", "", "", ""]})
        >>> without_formulas(rows, ["comment"])["comment"].to_list()
        ["'=1+1", 'good', None, "'-5"]
    """
    texts = [pl.col(name) for name in columns if frame.schema[name] == pl.String]
    return frame.with_columns(
        pl.when(text.str.contains(_BEGINS)).then("'" + text).otherwise(text).alias(text.meta.output_name())
        for text in texts
    )

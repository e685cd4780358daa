"""Small frames as Markdown tables.

What belongs here: the form of a table in Dagster's metadata and on pages. What does not: what it says, or Dagster.
"""

import re
from typing import Final

import polars as pl

# What would end a cell, begin a tag, a link or an entity, or set a word in other letters; within a word `_` does not.
_MARKS: Final = re.compile(r"[\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_])")


def markdown_table(frame: pl.DataFrame) -> str:
    r"""Return a small frame as a Markdown table, which shows values as they are, whatever characters they have.

    Example:
        >>> print(markdown_table(pl.DataFrame({"sku_id": ["A|B", "<b>", "*"]})))
        | sku_id |
        | --- |
        | A\|B |
        | \<b\> |
        | \* |
    """
    lines = [
        " | ".join(map(literal, frame.columns)),
        " | ".join("---" for _ in frame.columns),
        *(" | ".join("" if value is None else literal(str(value)) for value in row) for row in frame.iter_rows()),
    ]
    return "\n".join(f"| {line} |" for line in lines)


def literal(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return " ".join(_MARKS.sub(r"\\\g<0>", text).splitlines())

"""Small frames as Markdown tables.

What belongs here: the form of a table in Dagster's metadata and on pages. What does not: what it says, or Dagster.
"""

import polars as pl


def markdown_table(frame: pl.DataFrame) -> str:
    """Return a small frame as a Markdown table."""
    lines = [
        " | ".join(frame.columns),
        " | ".join("---" for _ in frame.columns),
        *(" | ".join("" if value is None else str(value) for value in row) for row in frame.iter_rows()),
    ]
    return "\n".join(f"| {line} |" for line in lines)

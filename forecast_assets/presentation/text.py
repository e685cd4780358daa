"""Progress lines and text tables.

What belongs here: the form of what is printed. What does not: what is said.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Final

import polars as pl
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from resources.orchestration import Progress

REPORT_EVERY_SECONDS: Final = 2.0
WIDTH: Final = 150


@contextmanager
def progress_lines() -> Iterator["Progress"]:
    """Print how far long work is, to standard error: a moving line on a terminal, else a line now and then."""
    started = time.monotonic()
    last: dict[str, float] = {}
    moving = sys.stderr.isatty()

    def report(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_over = done >= total
        if not is_over and now - last.get(stage, 0.0) < (0.1 if moving else REPORT_EVERY_SECONDS):
            return
        last[stage] = now
        share = f"{done / total:4.0%}" if total else "100%"
        line = f"  {now - started:6.1f} s  {stage:<40} {share}  {done:,} of {total:,}"
        print(f"\r\x1b[2K{line}" if moving else line, end="" if moving else "\n", file=sys.stderr, flush=True)  # noqa: T201

    try:
        yield report
    finally:
        if moving:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)  # noqa: T201


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> str:
    """Return rows as a text table; numbers to the right."""
    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(columns):
        numeric = any(isinstance(row[at], int | float) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    buffer = StringIO()
    Console(file=buffer, width=WIDTH, force_terminal=False, markup=False).print(grid)
    return buffer.getvalue().rstrip()


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        # What rounds to nothing has no sign.
        return f"{round(value, 3) + 0.0:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame for reading: decimals as floats, dates as text."""
    return frame.with_columns(pl.selectors.decimal().cast(pl.Float64), pl.selectors.temporal().cast(pl.String))

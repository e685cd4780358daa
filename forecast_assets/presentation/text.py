"""Progress lines and text tables.

What belongs here: the form of what is printed. What does not: what is said.
"""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Final

import polars as pl
from rich.console import Console
from rich.table import Table

from forecast_assets.core.wording import moment_text

if TYPE_CHECKING:
    from forecast_assets.core.progress import Progress
    from resources.stores.home import Stores

REPORT_EVERY_SECONDS: Final = 2.0
WIDTH: Final = 150
_FIGURE: Final = re.compile(r"-?[\d,]+(\.\d+%?|%)")


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
        numeric = any(is_number(row[at]) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    buffer = StringIO()
    Console(file=buffer, width=WIDTH, force_terminal=False, markup=False).print(grid)
    return buffer.getvalue().rstrip()


def is_number(value: object) -> bool:
    """Whether a cell is a number, or a decimal or percentage as text.

    Example:
        >>> is_number(3), is_number("35.0%"), is_number("2.5"), is_number("94% risk")
        (True, True, True, False)
    """
    return isinstance(value, int | float) or (isinstance(value, str) and _FIGURE.fullmatch(value) is not None)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        # What rounds to nothing has no sign.
        return f"{round(value, 3) + 0.0:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Branch:
    """A line of a tree and what is below it."""

    label: str
    below: tuple["Branch", ...] = ()


def tree(root: Branch) -> str:
    """Return a tree as text, one line each; lines are not wrapped, so that they can be searched.

    Example:
        >>> print(tree(Branch("a", (Branch("b", (Branch("c"),)), Branch("d")))))
        a
        ├── b
        │   └── c
        └── d
    """
    return "\n".join((root.label, *_lines(root.below)))


def _lines(below: Sequence[Branch]) -> Iterator[str]:
    for at, branch in enumerate(below, start=1):
        is_last = at == len(below)
        yield f"{'└── ' if is_last else '├── '}{branch.label}"
        yield from (f"{'    ' if is_last else '│   '}{line}" for line in _lines(branch.below))


def position_text(stores: "Stores") -> str:
    """Say at which position of the ledger the stores stand."""
    state = stores.ledger.state()
    return f"As of ledger entry {state.sequence}, {moment_text(state.recorded_at)}: what came later is not shown."


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame for reading: decimals as floats, dates as text."""
    return frame.with_columns(pl.selectors.decimal().cast(pl.Float64), pl.selectors.temporal().cast(pl.String))

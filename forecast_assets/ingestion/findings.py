"""What is wrong with the rows of one feed, as data: everything at once, each with what to do.

What belongs here: the finding, and what a contract alone can tell about a frame.
What does not: what needs other batches (``gaps``, ``intake``), reading sources, or printing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import TIMESTAMP, Column, Contract
from forecast_assets.core.errors import FIRST, ContractError
from forecast_assets.core.numbering import has_repeated_keys

_SHOWN_ROWS: Final = 3
_FLOATS: Final = (pl.Float64, pl.Float32)
_DATES: Final = (pl.Date, TIMESTAMP)
# A frame with these is not what the contract describes, so that nothing further can be asked of it.
UNFIT: Final = frozenset({"columns", "types", "empty", "date out of range"})
# Days outside are slips or placeholders (0001-01-01, 9999-12-31), on which reckoning with days fails.
FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2200, 12, 31)
# A plan may be known, and an order received, years before or after; moments have that much more room.
_MOMENTS_BEYOND: Final = timedelta(days=3660)
# Longer names are rows that ran together, as are those with a line break.
LONGEST_TEXT: Final = 200


@dataclass(frozen=True)
class FeedFinding:
    """One thing that is wrong with a feed, or that somebody should look at.

    Attributes:
        feed: Which feed.
        kind: What sort of thing, for example `too small` or `missing days`.
        is_error: Whether it stops the ingest; a warning does not.
        rows: How many rows, or days, it is about.
        message: What is wrong and which, the first ten.
        remedy: What to do.
        column: The column that it is about, if it is one.
    """

    feed: str
    kind: str
    is_error: bool
    rows: int
    message: str
    remedy: str
    column: str = ""


def is_in_range(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Whether days or moments lie in the years that can be reckoned with; null where there is none."""
    if dtype == pl.Date:
        return value.is_between(pl.lit(FIRST_DAY), pl.lit(LAST_DAY))
    midnight = datetime.min.time()
    first = datetime.combine(FIRST_DAY - _MOMENTS_BEYOND, midnight)
    last = datetime.combine(LAST_DAY + _MOMENTS_BEYOND, midnight)
    return value.is_between(pl.lit(first).dt.replace_time_zone("UTC"), pl.lit(last).dt.replace_time_zone("UTC"))


def is_broken_text(value: pl.Expr) -> pl.Expr:
    """Whether a name has control characters or is too long: the trace of a stray quote in a CSV, which joins rows."""
    return value.str.contains(r"\p{Cc}") | (value.str.len_chars() > LONGEST_TEXT)


def has_dates_in_range(frame: pl.DataFrame) -> bool:
    """Whether all days and moments of a frame can be reckoned with."""
    tests = [is_in_range(pl.col(name), dtype) for name, dtype in frame.schema.items() if dtype in _DATES]
    return not tests or bool(frame.select(pl.all_horizontal(test.all() for test in tests)).item())


def require_no_errors(findings: Iterable[FeedFinding]) -> None:
    """Stop if any finding is an error.

    Raises:
        ContractError: With every error; its `findings` are all of them, the warnings too.
    """
    found = list(findings)
    errors = [finding for finding in found if finding.is_error]
    if not errors:
        return
    first = errors[0].feed
    lines = [error.message if error.feed == first else f"{error.feed}: {error.message}" for error in errors]
    remedies = list(dict.fromkeys(error.remedy for error in errors))[:FIRST]
    raise ContractError(first, lines, remedy=f"{' '.join(remedies)} Nothing was stored.", findings=found)


def contract_findings(
    contract: Contract, frame: pl.DataFrame, reported: Mapping[str, int] | None = None
) -> list[FeedFinding]:
    """Return everything in which a frame breaks its contract.

    Args:
        contract: Of the feed.
        frame: Any rows and columns.
        reported: Columns of which the reader has said already that so many values are missing.

    Returns:
        Findings about columns, types, missing values, ranges and keys; empty if the contract holds.
    """
    known = reported or {}
    absent = [name for name in contract.names if name not in frame.columns and name not in known]
    extra = [name for name in frame.columns if name not in contract.names]
    unfit = [*_columns(contract, frame, absent, extra), *_types(contract, frame)]
    if unfit or not set(contract.names) <= set(frame.columns):
        return unfit
    if frame.is_empty():
        return [_error(contract, "empty", 0, "it has no rows", "Check the source and the date range.")]
    values = [finding for column in contract.columns for finding in _values(contract, column, frame, known)]
    return [*values, *_duplicates(contract, frame)]


def _error(contract: Contract, kind: str, rows: int, message: str, remedy: str, column: str = "") -> FeedFinding:
    return FeedFinding(contract.name, kind, is_error=True, rows=rows, message=message, remedy=remedy, column=column)


def _columns(contract: Contract, frame: pl.DataFrame, absent: list[str], extra: list[str]) -> list[FeedFinding]:
    found = []
    if absent:
        message = f"it lacks the columns {absent}; found {frame.columns}"
        found.append(_error(contract, "columns", frame.height, message, f"Add them: it needs {contract.names}."))
    if extra:
        message = f"it has columns that the contract does not know: {extra}"
        found.append(_error(contract, "columns", frame.height, message, f"Drop them: it needs {contract.names}."))
    return found


def _types(contract: Contract, frame: pl.DataFrame) -> list[FeedFinding]:
    wrong = [
        f"{column.name} is {frame.schema[column.name]}, not {column.dtype}"
        for column in contract.columns
        if column.name in frame.columns and frame.schema[column.name] != column.dtype
    ]
    if not wrong:
        return []
    return [_error(contract, "types", frame.height, f"columns of other types: {', '.join(wrong)}", "Cast them.")]


def _values(contract: Contract, column: Column, frame: pl.DataFrame, reported: Mapping[str, int]) -> list[FeedFinding]:
    """Return what is wrong with the values of one column, asked in one pass."""
    asked = dict(questions(column))
    if not asked:
        return []
    counts = frame.lazy().select(**{kind: (test.fill_null(value=False)).sum() for kind, (test, _) in asked.items()})
    found = counts.collect().row(0, named=True)
    if found.get("missing values", 0) <= reported.get(column.name, 0):
        found.pop("missing values", None)
    return [
        _error(
            contract,
            kind,
            rows,
            f"column `{column.name}` {asked[kind][1]} in {rows:,} rows, first: {_rows(frame, asked[kind][0])}",
            f"Correct `{column.name}` at the source: {column.description}.{_hint(contract, kind, column.name)}",
            column.name,
        )
        for kind, rows in found.items()
        if rows
    ]


def _hint(contract: Contract, kind: str, column: str = "") -> str:
    """Return how else than at the source a table of the user's own may be mended, with a blank before it."""
    if kind == "too large" and column.endswith("_units"):
        return " If it is right, a larger unit will do: unit_factor = 0.001 in the mapping takes grams as kilograms."
    if contract.name == "sales" and kind in {"too small", "duplicate keys"}:
        return (
            ' If the rows are lines of receipts, say aggregate = "sum" in the mapping: the lines of a day are added '
            "up, returns netted."
        )
    return ""


def questions(column: Column) -> Iterable[tuple[str, tuple[pl.Expr, str]]]:
    """Return what is asked of a column's values: what kind of thing, whether a row has it, and its words."""
    value = pl.col(column.name)
    if not column.nullable:
        yield "missing values", (value.is_null(), "is missing")
    if column.dtype in _FLOATS:
        yield "not finite", (~value.is_finite(), "is not a finite number")
    if column.at_least is not None:
        yield "too small", (value < column.at_least, f"is below {column.at_least:g}")
    if column.at_most is not None:
        yield "too large", (value.is_finite() & (value > column.at_most), f"is above {column.at_most:g}")
    if column.one_of is not None:
        yield "unknown value", (~value.is_in(column.one_of), f"is none of {', '.join(column.one_of)}")
    if column.dtype == pl.String and not column.may_be_empty:
        yield "empty text", (value.str.len_bytes() == 0, "is empty text")
    if column.dtype == pl.String:
        yield "broken text", (is_broken_text(value), _BROKEN)
    if column.dtype in _DATES:
        yield "date out of range", (~is_in_range(value, column.dtype), _BEYOND)


_BROKEN: Final = (
    f"has line breaks, control characters or over {LONGEST_TEXT} characters (perhaps a stray quote in a CSV)"
)
_BEYOND: Final = f"is outside {FIRST_DAY.year} to {LAST_DAY.year}"


def _rows(frame: pl.DataFrame, test: pl.Expr) -> str:
    first = frame.lazy().filter(test).head(_SHOWN_ROWS).collect().select(pl.all().cast(pl.String))
    return "; ".join(str(row) for row in first.rows(named=True))


def _duplicates(contract: Contract, frame: pl.DataFrame) -> list[FeedFinding]:
    key = list(contract.key)
    keys = frame.select(key).drop_nulls()
    if not has_repeated_keys(keys, key):
        return []
    doubtful = keys.filter(keys.hash_rows().is_duplicated())
    repeated = doubtful.group_by(key).len().filter(pl.col("len") > 1).sort(key)
    shown = [
        f"{dict(zip(key, row[:-1], strict=True))} x{row[-1]}"
        for row in repeated.head(FIRST).select(pl.all().cast(pl.String)).iter_rows()
    ]
    message = f"{repeated.height:,} duplicate keys {key}: {', '.join(shown)}"
    rows = int(repeated["len"].sum()) - repeated.height
    remedy = "Remove the repeated rows at the source; a correction needs a later known_at."
    remedy += _hint(contract, "duplicate keys")
    return [_error(contract, "duplicate keys", rows, message, remedy)]

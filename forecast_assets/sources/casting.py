"""Columns of general tables as the contracts want them: strictly, and what cannot be read is said row by row.

What belongs here: from text, numbers and dates of any table to the contract's types.
What does not: which column is which (``table_mapping``), or opening files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import TIMESTAMP, Column
from forecast_assets.core.errors import FIRST, first_ten
from forecast_assets.ingestion.findings import FIRST_DAY, LAST_DAY, FeedFinding, is_in_range
from forecast_assets.sources.text_days import FORMS, ISO, SERIAL, Days, has_short_years, moment_days, text_days
from forecast_assets.sources.text_numbers import plain_numbers

_TRUE: Final = ("true", "t", "yes", "y", "1")
_FALSE: Final = ("false", "f", "no", "n", "0")
_MOMENTS: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_ZONED: Final = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z")


@dataclass(frozen=True)
class Notation:
    """How a table writes its values.

    Attributes:
        date_format: Of dates written as text, as somebody said it; None for the form that is found.
        known_at_format: Of moments written as text; None for ISO 8601.
        decimal_comma: Whether numbers are written as 1.234,5; None where nobody says it, which is False here.
        missing_values: Texts that stand for no value.
        time_zone: IANA name of the zone whose day counts for moments; None for what they say, or UTC.
        day_forms: Form that was found, by the contract's column; 2025-06-30 where there is none.
        doubts: Why a column cannot be read without a word more, by the contract's column.
    """

    date_format: str | None = None
    known_at_format: str | None = None
    decimal_comma: bool | None = None
    missing_values: Sequence[str] = ()
    time_zone: str | None = None
    day_forms: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, FeedFinding] = field(default_factory=dict)


@dataclass(frozen=True)
class RowSource:
    """Where rows come from, for messages.

    Attributes:
        name: Of the file, table or query.
        first_row: Number of the first row of data: 2 in a CSV, whose first line has the names.
    """

    name: str
    first_row: int = 1


def cast_column(
    values: pl.Series, column: Column, notation: Notation, *, feed: str, row_source: RowSource
) -> tuple[pl.Series, list[FeedFinding]]:
    """Return a column in the contract's type; what cannot be read is null there, and a finding.

    Args:
        values: [rows] as the table has them.
        column: What the contract wants.
        notation: How the table writes values.
        feed: For the finding.
        row_source: For the finding.

    Example:
        >>> from forecast_assets.contracts import SALES
        >>> units = SALES.columns[-1]
        >>> made, found = cast_column(
        ...     pl.Series(["1,5", "x"]),
        ...     units,
        ...     Notation(decimal_comma=True),
        ...     feed="sales",
        ...     row_source=RowSource("a.csv", 2),
        ... )
        >>> made.to_list(), found[0].message
        ([1.5, None], "a.csv: `sales_units` cannot be read as a number in 1 rows: row 3 'x'")
    """
    if column.name in notation.doubts:
        return _nothing(values, column.dtype).alias(column.name), [notation.doubts[column.name]]
    given = without_marks(values, notation.missing_values)
    days = _as_days(given, column.name, notation) if column.dtype == pl.Date else None
    made = _cast(given, column.dtype, notation) if days is None else _in_range(days.days)
    found = [] if days is None else _unzoned(days, given, column.name, feed, row_source)
    bad = made.is_null() & given.is_not_null()
    if not bad.any():
        return made.alias(column.name), found
    what, remedy = _WORDS.get(column.dtype, ("a value", ""))
    if days is not None and given.dtype == pl.String and has_short_years(given.filter(bad)):
        remedy = f"{_SHORT_YEARS} {remedy}"
    shown = _shown(given, bad, row_source)
    message = f"{row_source.name}: `{column.name}` cannot be read as {what} in {shown}"
    unreadable = FeedFinding(feed, "unreadable", True, int(bad.sum()), message, remedy, column.name)
    return made.alias(column.name), [*found, unreadable]


def _shown(values: pl.Series, is_named: pl.Series, row_source: RowSource) -> str:
    """Return how many rows there are, and the first ten with their numbers and values."""
    at = is_named.arg_true()
    said = values.cast(pl.String) if values.dtype.is_temporal() else values
    shown = [f"row {row + row_source.first_row} {said[row]!r}" for row in at.head(FIRST + 1).to_list()[:FIRST]]
    left = f" and {len(at) - FIRST:,} more" if len(at) > FIRST else ""
    return f"{len(at):,} rows: {first_ten(shown)}{left}"


def _unzoned(days: Days, given: pl.Series, name: str, feed: str, row_source: RowSource) -> list[FeedFinding]:
    """Return a warning on moments that were taken as days of UTC although they are not at its midnight."""
    rows = int(days.is_unzoned.sum())
    shown = _shown(given, days.is_unzoned, row_source)
    message = f"{row_source.name}: `{name}` is a moment, taken as its day in UTC, where it is not midnight, in {shown}"
    remedy = 'Say time_zone = "Europe/Berlin", or where its days begin at midnight; "UTC" if days of UTC are meant.'
    return [FeedFinding(feed, "days of moments", False, rows, message, remedy)] if rows else []


def unreadable_values(made: pl.Series, values: pl.Series, notation: Notation) -> pl.Series:
    """[rows] Say which value of a column could not be read, in words; null where it could, or where there is none.

    Args:
        made: [rows] as `cast_column` returns it.
        values: [rows] as the table has them.
        notation: How the table writes values.

    Example:
        >>> unreadable_values(pl.Series("units", [1.0, None]), pl.Series(["1", "x"]), Notation()).to_list()
        [None, "`units` cannot be read: 'x'"]
    """
    given = without_marks(values, notation.missing_values)
    is_bad = made.is_null() & given.is_not_null()
    said = pl.format("`{}` cannot be read: '{}'", pl.lit(made.name), pl.lit(given.cast(pl.String, strict=False)))
    return pl.select(pl.when(is_bad).then(said)).to_series()


def joined_words(one: pl.Series, other: pl.Series) -> pl.Series:
    """[rows] Join what was said of each row; null where nothing was.

    Example:
        >>> joined_words(pl.Series(["a", None, None]), pl.Series(["b", "c", None])).to_list()
        ['a; b', 'c', None]
    """
    both = pl.concat_str(pl.lit(one), pl.lit(other), separator="; ", ignore_nulls=True)
    return pl.select(pl.when(one.is_not_null() | other.is_not_null()).then(both)).to_series()


def without_marks(values: pl.Series, missing_values: Sequence[str] = ()) -> pl.Series:
    """Return a column without blanks around its texts, and without the texts that stand for no value."""
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        return values
    stripped = values.str.strip_chars()
    is_mark = stripped.is_in(["", *missing_values])
    return stripped.set(is_mark, None)


def _cast(values: pl.Series, dtype: Any, notation: Notation) -> pl.Series:
    if dtype == pl.String:
        return _as_text(values)
    if dtype == TIMESTAMP:
        return _in_range(_as_moment(values, notation))
    if dtype == pl.Boolean:
        return _as_flag(values)
    return _as_number(values, dtype, notation)


def _nothing(values: pl.Series, dtype: Any) -> pl.Series:
    return pl.Series(values.name, [None], dtype=dtype).new_from_index(0, len(values))


def _in_range(values: pl.Series) -> pl.Series:
    return values.set(~pl.select(is_in_range(pl.lit(values), values.dtype)).to_series().fill_null(value=True), None)


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype.is_float() or values.dtype.is_decimal():
        # An identifier that was stored as a number with a fraction: 12.0 is 12, and 12.5 is not an identifier.
        whole = values.cast(pl.Int64, strict=False)
        return whole.set((whole.cast(pl.Float64) != values.cast(pl.Float64)).fill_null(value=False), None).cast(
            pl.String
        )
    return values.cast(pl.String, strict=False)


def _as_number(values: pl.Series, dtype: Any, notation: Notation) -> pl.Series:
    if values.dtype == pl.String:
        values = plain_numbers(values, is_comma=notation.decimal_comma is True)
    if not (values.dtype == pl.String or values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        return _nothing(values, dtype)
    number = values.cast(pl.Float64, strict=False)
    if dtype == pl.Float64:
        return number
    whole = number.cast(dtype, strict=False)
    return whole.set((whole.cast(pl.Float64) != number).fill_null(value=False), None)


def _as_flag(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    if not (values.dtype == pl.String or values.dtype.is_integer() or values.dtype == pl.Null):
        return _nothing(values, pl.Boolean)
    text = values.cast(pl.String).str.to_lowercase()
    meaning = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
    return text.replace_strict(meaning, default=None, return_dtype=pl.Boolean)


def _as_days(values: pl.Series, name: str, notation: Notation) -> Days:
    nowhere = pl.Series(values.name, [False], dtype=pl.Boolean).new_from_index(0, len(values))
    if values.dtype == pl.Date:
        return Days(values, nowhere)
    if isinstance(values.dtype, pl.Datetime):
        return moment_days(values, notation.time_zone)
    if values.dtype.is_integer():
        values = values.cast(pl.String)  # 20250630, or 45838 as spreadsheets count days
    if values.dtype != pl.String:
        return Days(_nothing(values, pl.Date), nowhere)
    asked = notation.date_format
    if asked is None or asked in FORMS:
        read = text_days(values, asked or notation.day_forms.get(name, ISO), notation.time_zone)
        if asked in {None, SERIAL}:
            return read
        exact = values.str.to_date(asked, strict=False)
        return Days(pl.select(pl.coalesce(read.days, exact)).to_series(), read.is_unzoned)
    return Days(values.str.to_date(asked, strict=False), nowhere)


def _as_moment(values: pl.Series, notation: Notation) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        zoned = values.dt.replace_time_zone("UTC") if values.dtype.time_zone is None else values
        return zoned.dt.convert_time_zone("UTC").cast(TIMESTAMP)
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if values.dtype != pl.String:
        return _nothing(values, TIMESTAMP)
    if notation.known_at_format:
        return _parsed(pl.lit(values), [notation.known_at_format])
    iso = pl.lit(values).str.replace(" ", "T", literal=True).str.replace(r"Z$", "+00:00")
    return _parsed(iso, [*_ZONED, *_MOMENTS])


def _parsed(text: pl.Expr, formats: Sequence[str]) -> pl.Series:
    """Read moments, each by the first format that fits; those without a zone are UTC."""
    tries = []
    for form in formats:
        moment = text.str.to_datetime(form, time_unit="us", strict=False, exact=True)
        is_zoned = "%z" in form or "%Z" in form
        tries.append(moment.dt.convert_time_zone("UTC") if is_zoned else moment.dt.replace_time_zone("UTC"))
    return pl.select(pl.coalesce(tries)).to_series()


_SHORT_YEARS: Final = (
    'Years with two digits are not guessed at: write all four, or say date_format = "%d.%m.%y" or its like.'
)
_YEARS: Final = f"years are {FIRST_DAY.year} to {LAST_DAY.year}"
_WORDS: Final[dict[Any, tuple[str, str]]] = {
    pl.String: ("an identifier", "Identifiers are text or whole numbers: correct them at the source."),
    pl.Float64: (
        "a number",
        "Write numbers as 1234.5, or as 1.234,5 and say decimal_comma = true; or say missing_values = [...].",
    ),
    pl.Int32: ("a whole number", "Write whole numbers, or say missing_values = [...]."),
    pl.Boolean: ("yes or no", "Write true or false, yes or no, 1 or 0."),
    pl.Date: (
        "a date",
        f'Write dates as 2025-06-30, or say date_format, for example "%d.%m.%Y"; {_YEARS}.',
    ),
    TIMESTAMP: (
        "a moment",
        f"Write moments as 2025-07-01T06:00:00Z (UTC), or say known_at_format; {_YEARS}.",
    ),
}

"""How one file writes its values, found out from all of it where nobody says it, and told.

What belongs here: which columns are looked at together, when that settles nothing, and how what was found is said. What
does not: the forms themselves (``text_numbers``, ``text_days``), and casting by them (``casting``).

Numbers of one file are written alike, so that `0,5` in one column says what `1.234` means in another. Days may differ
from column to column; one that can be read in two ways is read as another one is that cannot.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import Column
from forecast_assets.core.errors import FIRST, first_ten
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.sources.casting import Notation, RowSource, without_marks
from forecast_assets.sources.text_days import ISO, SERIAL, found_form
from forecast_assets.sources.text_files import LAST_RESORT, TextForm, TextTable, encoding_name, separator_name
from forecast_assets.sources.text_numbers import DecimalMark, found_decimal_mark, is_doubtful

_NUMBERS: Final = (pl.Float64, pl.Int32)
_SHOWN_DAY: Final = {"d": "30", "m": "06", "b": "Jun", "Y": "2025", "y": "25"}
_QUIET: Final = ("utf-8", "utf-8-sig")

Columns = Mapping[str, tuple[Column, pl.Series]]


@dataclass(frozen=True)
class FoundNotation:
    """How a file writes its values.

    Attributes:
        notation: To cast by, with the doubts that keep columns from being read.
        keys: What was found and nobody had said, as keys of a mapping with their values; nothing that is usual.
    """

    notation: Notation
    keys: Mapping[str, Any]


def find_notation(
    asked: Notation,
    columns: Columns,
    *,
    feed: str,
    row_source: RowSource,
    text: TextTable | None = None,
    form: TextForm | None = None,
) -> FoundNotation:
    """Find out how a file writes numbers and days.

    Args:
        asked: What somebody says of it, which counts.
        columns: By their names in the contract: what the contract wants, and [rows] values.
        feed: For doubts.
        row_source: For doubts.
        text: How the bytes of a text file were understood; None of a table with types.
        form: What somebody said of them.

    Example:
        >>> from forecast_assets.contracts import SALES
        >>> columns = {"sales_units": (SALES.columns[-1], pl.Series(["1.234", "0,5"]))}
        >>> find_notation(Notation(), columns, feed="sales", row_source=RowSource("a.csv")).keys
        {'decimal_comma': True}
    """
    texts = {name: (column, without_marks(values, asked.missing_values)) for name, (column, values) in columns.items()}
    is_comma, number_doubts = _numbers(asked, texts, _has_found_separator(text, form), feed, row_source)
    forms, day_doubts = _days(asked, texts, feed, row_source)
    keys = _file_keys(text, form)
    if is_comma and asked.decimal_comma is None:
        keys["decimal_comma"] = True
    unusual = sorted({each for each in forms.values() if each != ISO})
    if unusual:
        keys["date_format"] = unusual[0]
    notation = replace(asked, decimal_comma=is_comma, day_forms=forms, doubts={**number_doubts, **day_doubts})
    return FoundNotation(notation, keys)


def notation_finding(feed: str, name: str, rows: int, keys: Mapping[str, Any]) -> FeedFinding:
    """Return the word on how a file was taken that nobody had described.

    Args:
        feed: Of the file.
        name: Of the file.
        rows: That it has.
        keys: What was found.
    """
    said = ", ".join(f"{name} = {toml_value(value)}" for name, value in keys.items())
    remedy = f"If that is right, say it for all files to come: {said}."
    return FeedFinding(feed, "notation", False, rows, f"{name} is taken as {notation_words(keys)}", remedy)


def notation_words(keys: Mapping[str, Any]) -> str:
    """Return what was found in words.

    Example:
        >>> notation_words({"separator": ";", "decimal_comma": True, "date_format": "%d.%m.%Y"})
        'fields parted by `;`, numbers written as 1.234,5, days written as 30.06.2025'
    """
    words: dict[str, Callable[[Any], str]] = {
        "encoding": _encoding_words,
        "separator": lambda found: f"fields parted by {separator_name(found)}",
        "decimal_comma": lambda found: f"numbers written as {'1.234,5' if found else '1,234.5'}",
        "date_format": lambda found: f"days written as {day_example(found)}",
    }
    return ", ".join(word(keys[name]) for name, word in words.items() if name in keys)


def _encoding_words(encoding: str) -> str:
    return f"text in {encoding_name(encoding)}{' (it is not UTF-8)' if encoding == LAST_RESORT else ''}"


def day_example(form: str) -> str:
    """Return 30 June 2025 as a form writes it.

    Example:
        >>> day_example("%d.%m.%Y"), day_example("excel")
        ('30.06.2025', "a spreadsheet's 45838")
    """
    if form == SERIAL:
        return "a spreadsheet's 45838"
    shown = form
    for letter, example in _SHOWN_DAY.items():
        shown = shown.replace(f"%{letter}", example)
    return shown


def toml_value(value: Any) -> str:
    """Return a value as a mapping has it.

    Example:
        >>> toml_value(";"), toml_value(True), toml_value(0.001)
        ('";"', 'true', '0.001')
    """
    if isinstance(value, bool):
        return str(value).lower()
    # What JSON escapes in a text, TOML reads the same.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _file_keys(text: TextTable | None, form: TextForm | None) -> dict[str, Any]:
    asked = form or TextForm()
    if text is None:
        return {}
    keys: dict[str, Any] = {}
    if asked.encoding is None and text.encoding not in _QUIET:
        keys["encoding"] = text.encoding
    if asked.separator is None and text.separator != ",":
        keys["separator"] = text.separator
    return keys


def _has_found_separator(text: TextTable | None, form: TextForm | None) -> bool:
    """Whether a file is of no usual dialect and nobody has said so: then `1.234` says too little."""
    return text is not None and text.separator != "," and (form is None or form.separator is None)


def _numbers(
    asked: Notation, texts: Columns, is_other_dialect: bool, feed: str, row_source: RowSource
) -> tuple[bool, dict[str, FeedFinding]]:
    """Return whether decimals follow a comma, and the columns of which nothing says it."""
    numbers = {
        name: values
        for name, (column, values) in texts.items()
        if column.dtype in _NUMBERS and values.dtype == pl.String
    }
    if asked.decimal_comma is not None:
        return asked.decimal_comma, {}
    mark = found_decimal_mark(numbers.values())
    mark = replace(mark, point_doubt=mark.point_doubt and is_other_dialect)
    return mark.is_comma, {
        name: doubt
        for name, values in numbers.items()
        if (doubt := _number_doubt(name, values, mark, feed, row_source))
    }


def _number_doubt(
    name: str, values: pl.Series, mark: DecimalMark, feed: str, row_source: RowSource
) -> FeedFinding | None:
    rows = is_doubtful(values, mark)
    if not rows.any():
        return None
    message = (
        f"{row_source.name}: `{name}` has numbers that may be thousands or decimals, and none that tells which, in "
        f"{_first(values, rows, row_source)}"
    )
    remedy = "Say decimal_comma = true if 1.234,5 is how numbers are written, decimal_comma = false if 1,234.5 is."
    # The whole column is left unread.
    return FeedFinding(feed, "doubtful", True, values.len() - values.null_count(), message, remedy, name)


def _days(
    asked: Notation, texts: Columns, feed: str, row_source: RowSource
) -> tuple[dict[str, str], dict[str, FeedFinding]]:
    """Return the forms of columns of days, and those of which nothing says the form."""
    if asked.date_format is not None:
        return {}, {}
    days = {
        name: values.cast(pl.String)
        for name, (column, values) in texts.items()
        if column.dtype == pl.Date and (values.dtype == pl.String or values.dtype.is_integer())
    }
    found = {name: found_form(values) for name, values in days.items()}
    certain = {each.form for each in found.values() if each.form and not each.other}
    forms, doubts = {}, {}
    for name, each in found.items():
        settled = sorted(certain & {each.form, each.other})
        if each.other and len(settled) != 1:
            doubts[name] = _day_doubt(name, days[name], str(each.form), each.other, feed, row_source)
        elif each.form:
            forms[name] = settled[0] if each.other else each.form
    return forms, doubts


def _day_doubt(name: str, values: pl.Series, form: str, other: str, feed: str, row_source: RowSource) -> FeedFinding:
    rows = values.is_not_null()
    message = (
        f"{row_source.name}: `{name}` can be read as {day_example(form)} and as {day_example(other)}, and no value "
        f"tells which, in {_first(values, rows, row_source)}"
    )
    remedy = f'Say date_format = "{form}" (the day first) or date_format = "{other}" (the month first).'
    return FeedFinding(feed, "doubtful", True, int(rows.sum()), message, remedy, name)


def _first(values: pl.Series, is_named: pl.Series, row_source: RowSource) -> str:
    at = is_named.arg_true().to_list()
    shown = first_ten(f"row {row + row_source.first_row} {values[row]!r}" for row in at[:FIRST])
    return f"{len(at):,} rows: {shown}{f' and {len(at) - FIRST:,} more' if len(at) > FIRST else ''}"

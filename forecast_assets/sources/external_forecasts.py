"""Reader of external forecasts: one CSV or Parquet file, any number of prediction dates.

What belongs here: from a file to typed rows, and everything that is wrong with the file by itself. What does not:
comparing it with a snapshot (``forecasts_fit``), storing or publishing.

Of CSV every value is read as text and parsed here, so that an id `0007` stays one and what is not a number is named
with its row instead of turning a whole column into text.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS, QUANTILES, Column
from forecast_assets.core.actions import Sentence
from forecast_assets.core.errors import FIRST, InputError, SourceError, first_line, first_ten
from forecast_assets.core.keys import Cadence
from forecast_assets.core.quantities import DECIMALS
from forecast_assets.hierarchy.membership import NODE
from forecast_assets.ingestion.findings import FIRST_DAY, LAST_DAY, LONGEST_TEXT, is_broken_text, is_in_range
from forecast_assets.sources.casting import Notation, RowSource
from forecast_assets.sources.notations import FoundNotation, find_notation
from forecast_assets.sources.text_days import FORMS, ISO, text_days
from forecast_assets.sources.text_files import TextForm, TextTable, read_text_table
from forecast_assets.sources.text_numbers import plain_numbers

MEAN: Final = "forecast_units"
ROW: Final = "row"
_ROW_KEY: Final = ["prediction_date", "store_id", "sku_id", "step"]
_IDS: Final = ("store_id", "sku_id", *NODE)
_DATES: Final = ("prediction_date", "target_date")
# More units of one SKU in one store on one day are a slip of the unit, and would not fit the published type.
LARGEST_UNITS: Final = 1e9
# A day as text; what follows it may be a time.
_DATE: Final = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
# The lowest quantile up to the one probability, and the highest from the other on, are held against the mean.
LOW: Final = 0.1
HIGH: Final = 0.9
BEYOND_TIMES: Final = 10
_BROKEN: Final = f"with line breaks, control characters or over {LONGEST_TEXT} characters (perhaps a stray quote)"
_ROUNDING: Final = 10.0**-DECIMALS
_QUANTILE_NAME: Final = re.compile(r"q\d+_units")


@dataclass(frozen=True)
class ForecastsFile:
    """What a file says.

    Attributes:
        name: Its name, without folders.
        sha256: Of its bytes.
        columns: Columns that were renamed: its name to ours.
        quantile_columns: Quantiles that it has, in the order of their probability.
        rows: One row per SKU, store and step: `row` (counted from 1), `prediction_date, store_id, sku_id, step,
            target_date, forecast_units` and the quantiles; null where a value is missing or cannot be read.
        upper: Rows of nodes above SKU-store: `row, prediction_date, step, forecast_units` and the node.
        unreadable: One sentence per column with values that cannot be read.
        found: How it writes texts, numbers and days, as far as nobody said so and it is not the usual way: keys such as
            `separator` and their values.
    """

    name: str
    sha256: str
    columns: Mapping[str, str]
    quantile_columns: tuple[str, ...]
    rows: pl.DataFrame
    upper: pl.DataFrame
    unreadable: tuple[str, ...]
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dates(self) -> list[date]:
        """Its prediction dates, oldest first."""
        return self.rows["prediction_date"].drop_nulls().unique().sort().to_list()

    @property
    def levels(self) -> list[float]:
        """Probabilities of the quantiles that it has."""
        return [QUANTILES[QUANTILE_COLUMNS.index(name)] for name in self.quantile_columns]

    def of(self, day: date) -> "ForecastsFile":
        """Return what it says of one prediction date."""
        is_day = pl.col("prediction_date") == day
        return replace(self, rows=self.rows.filter(is_day), upper=self.upper.filter(is_day))

    def within(self, horizon: int) -> "ForecastsFile":
        """Return what it says of the first steps, up to a horizon in days."""
        is_near = pl.col("step").is_null() | (pl.col("step") <= horizon)
        return replace(self, rows=self.rows.filter(is_near), upper=self.upper.filter(is_near))


def parse_columns(text: str) -> dict[str, str]:
    """Read `theirs=ours,theirs=ours` as a mapping.

    Raises:
        InputError: If it is not of that form, or gives one column two names.

    Example:
        >>> parse_columns("qty=forecast_units, day=target_date")
        {'qty': 'forecast_units', 'day': 'target_date'}
    """
    pairs = [tuple(part.strip() for part in pair.split("=")) for pair in text.split(",") if pair.strip()]
    theirs, ours = [pair[0] for pair in pairs], [pair[-1] for pair in pairs]
    is_readable = all(len(pair) == 2 and all(pair) for pair in pairs)  # noqa: PLR2004
    if not is_readable or len(set(theirs)) < len(pairs) or len(set(ours)) < len(pairs):
        raise InputError(
            f"`{text}` does not say which column is which.",
            remedy='Write theirs=ours, each once, with commas between: --columns "qty=forecast_units,day=target_date".',
        )
    return dict(zip(theirs, ours, strict=True))


def read_forecasts_file(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    day: date | None = None,
    form: TextForm | None = None,
    notation: Notation | None = None,
) -> ForecastsFile:
    """Read a file of forecasts.

    Args:
        path: A `.parquet` or `.csv` file with `store_id, sku_id`, `target_date` or `step`, `forecast_units`, any of the
            quantile columns, and `prediction_date` unless ``day`` is given. Rows without SKU or store are of the upper
            node in `product_level, product_node, store_level, store_node`. Other columns are left out.
        columns: Its names of columns to ours.
        day: The prediction date of all rows, for a file without that column.
        form: What is known of a CSV's encoding and separator.
        notation: What is known of how it writes numbers and days.

    Raises:
        SourceError: If it cannot be read, is empty, or its columns cannot be told; all that is wrong with them at once.
    """
    content = _content(path)
    frame, text = _frame(path, content, form)
    frame = _rename(path, frame, columns or {})
    if day is not None and "prediction_date" not in frame.columns:
        frame = frame.with_columns(pl.lit(day).alias("prediction_date"))
        day = None
    _require_columns(path, frame, day)
    given = tuple(name for name in QUANTILE_COLUMNS if name in frame.columns)
    found = _found_notation(path, frame, text, form, notation or Notation())
    typed, unreadable = _typed(path, frame, given, found.notation)
    is_upper = pl.any_horizontal(pl.col("store_id", "sku_id").is_null()) & pl.all_horizontal(pl.col(NODE).is_not_null())
    return ForecastsFile(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        columns=dict(columns or {}),
        quantile_columns=given,
        rows=typed.filter(~is_upper).drop(NODE),
        upper=typed.filter(is_upper).select(ROW, "prediction_date", "step", MEAN, *NODE),
        unreadable=unreadable,
        found=found.keys,
    )


def choose_horizon(file: ForecastsFile, cadence: Cadence, wanted: int | None) -> tuple[int, list[str]]:
    """Return the horizon of the file's runs in days, and what is wrong with it.

    Args:
        file: The file.
        cadence: Rhythm of the runs.
        wanted: Horizon that was asked for; steps after it are left out. Without it, how far the file looks ahead.

    Raises:
        HorizonError: If the cadence does not allow what was asked for.
    """
    if wanted is not None:
        return cadence.horizon(wanted), []
    found = int(file.rows["step"].max() or 0)  # type: ignore[arg-type]
    if cadence.shortest_horizon <= found <= cadence.longest_horizon:
        return found, []
    problem = (
        f"it looks {found} days ahead, where a {cadence.name} run has a horizon of {cadence.shortest_horizon} to "
        f"{cadence.longest_horizon} days: give more days, name a shorter --horizon or another --cadence"
    )
    return min(max(found, 1), cadence.longest_horizon), [problem]


def file_problems(file: ForecastsFile, horizon: int) -> list[str]:
    """Return one sentence per kind of mistake in the rows of a file, each with the first ten rows or series.

    Args:
        file: The file, all of it.
        horizon: Days ahead that every series needs.
    """
    rows = file.within(horizon).rows
    step, units = pl.col("step"), (MEAN, *file.quantile_columns)
    kinds = {
        **{f"no `{name}`": _is_missing(rows, name) for name in ("prediction_date", "store_id", "sku_id", *units)},
        "neither `step` nor `target_date`": _is_missing(rows, "step") & _is_missing(rows, "target_date"),
        "a `target_date` that is not `prediction_date` plus `step`": pl.col("disagrees"),
        "a day on or before the prediction date": step < 1,
        **{f"a negative `{name}`": pl.col(name) < 0 for name in units},
        **{f"a `{name}` {_BROKEN}": is_broken_text(pl.col(name)) for name in ("store_id", "sku_id")},
        f"a mean of {LARGEST_UNITS:,.0f} units or more": pl.col(MEAN) >= LARGEST_UNITS,
        **{f"a `{q}` of {LARGEST_UNITS:,.0f} units or more": pl.col(q) >= LARGEST_UNITS for q in file.quantile_columns},
        **_apart(file),
        **{f"a `{high}` below `{low}`": pl.col(high) < pl.col(low) for low, high in pairwise(file.quantile_columns)},
        "the same prediction date, store, SKU and step as another row": pl.struct(_ROW_KEY).is_duplicated()
        & pl.all_horizontal(pl.col(_ROW_KEY).is_not_null()),
    }
    found = [_rows_where(rows, condition, words) for words, condition in kinds.items()]
    return [*file.unreadable, *filter(None, found), *_holes(rows, horizon)]


def _apart(file: ForecastsFile) -> dict[str, pl.Expr]:
    """Say where a mean and an outer quantile cannot be of one distribution of demand.

    As demand is not negative, its mean is at least (1 - p) times its p-quantile (Markov's inequality). Where demand
    is rare a mean may lie above a high quantile. Demand beyond that quantile then exceeds it on average by at least the
    gap over 1 - p; more than ``BEYOND_TIMES`` times the quantile plus one unit is not believed.
    """
    # Where the mean by itself is a mistake, that is said already.
    mean = pl.when(pl.col(MEAN).is_between(0, LARGEST_UNITS, closed="left")).then(pl.col(MEAN))
    found = dict(zip(file.quantile_columns, file.levels, strict=True))
    said = {}
    low, high = min(found, key=found.__getitem__, default=""), max(found, key=found.__getitem__, default="")
    if low and found[low] <= LOW:
        said[f"a mean below `{low}`"] = mean < (1 - found[low]) * pl.col(low) - _ROUNDING
    if high and found[high] >= HIGH:
        furthest = pl.col(high) + (1 - found[high]) * BEYOND_TIMES * (pl.col(high) + 1)
        said[f"a mean far above `{high}`"] = mean > furthest + _ROUNDING
    return said


def _is_missing(rows: pl.DataFrame, name: str) -> pl.Expr:
    """Where there is no value, rather than one that cannot be read."""
    is_null = pl.col(name).is_null()
    return is_null & ~pl.col(_flag(name)) if _flag(name) in rows.columns else is_null


def problem_list(name: str, problems: Iterable[str | Sentence]) -> SourceError:
    """Return one error that says everything that is wrong with a file."""
    said = list(problems)
    numbered = [Sentence("; " if at > 1 else "", f"({at}) ", problem) for at, problem in enumerate(said, start=1)]
    return SourceError(
        Sentence(f"{name} cannot be published: ", *numbered, "."),
        remedy="Correct all of this at its source and ingest the file again; nothing of it was published.",
        file=name,
        problems=said,
    )


def _content(path: Path) -> bytes:
    if path.suffix.lower() not in {".parquet", ".csv"}:
        raise SourceError(f"{path} has no known format.", remedy="Give a file that ends in .parquet or .csv.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.", remedy="Give a file that is there.") from error


def _frame(path: Path, content: bytes, form: TextForm | None) -> tuple[pl.DataFrame, TextTable | None]:
    text = read_text_table(path, form, content=content) if path.suffix.lower() == ".csv" else None
    frame = _parquet(path, content) if text is None else text.frame
    if frame.is_empty():
        raise SourceError(f"{path} has no rows.", remedy="Give a file with a row per SKU, store and day ahead.")
    return frame, text


def _parquet(path: Path, content: bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {first_line(error)}.",
            remedy="Write or copy it again; it may be cut short.",
        ) from error


def _rename(path: Path, frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    unknown = [name for name in columns if name not in frame.columns]
    taken = [
        ours for theirs, ours in columns.items() if ours in frame.columns and ours not in columns and theirs != ours
    ]
    if unknown or taken:
        wrong = [f"it has no column {unknown}"] * bool(unknown) + [f"it has {taken} already"] * bool(taken)
        raise SourceError(
            f"The columns of {path.name} cannot be renamed: {'; '.join(wrong)}. Found: {frame.columns}.",
            remedy="Write --columns theirs=ours with columns that the file has.",
        )
    return frame.rename(dict(columns))


def _require_columns(path: Path, frame: pl.DataFrame, day: date | None) -> None:
    found = set(frame.columns)
    wrong = [f"it lacks `{name}`" for name in ("store_id", "sku_id", MEAN) if name not in found]
    if not found & {"step", "target_date"}:
        wrong.append("it has neither `target_date` nor `step`")
    if "prediction_date" not in found:
        wrong.append("it lacks `prediction_date`, and no --date was given")
    elif day is not None:
        wrong.append("it has its own `prediction_date`: leave out --date")
    unknown = sorted(name for name in found - set(QUANTILE_COLUMNS) if _QUANTILE_NAME.fullmatch(name))
    if unknown:
        wrong.append(f"{unknown} are not among the quantiles here, {', '.join(QUANTILE_COLUMNS)}")
    if wrong:
        raise SourceError(
            f"The columns of {path.name} cannot be used: {'; '.join(wrong)}. Found: {frame.columns}.",
            remedy='Add or drop them, or say which is which: --columns "qty=forecast_units,day=target_date".',
        )


def _found_notation(
    path: Path, frame: pl.DataFrame, text: TextTable | None, form: TextForm | None, asked: Notation
) -> FoundNotation:
    types = {
        **dict.fromkeys((MEAN, *QUANTILE_COLUMNS), pl.Float64),
        **dict.fromkeys(_DATES, pl.Date),
        "step": pl.Int32,
    }
    columns = {name: (Column(name, types[name], ""), frame[name]) for name in frame.columns if name in types}
    return find_notation(asked, columns, feed="", row_source=RowSource(path.name), text=text, form=form)


def _typed(
    path: Path, frame: pl.DataFrame, quantiles: tuple[str, ...], notation: Notation
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the rows in our types, and one sentence per column with values that cannot be read."""
    raw = frame.with_row_index(ROW, offset=1)
    plain = _in_plain_writing(raw, notation)
    readers = {
        **{name: _text(name) for name in _IDS},
        **{name: _day(name, plain.schema.get(name)) for name in _DATES},
        **{name: _number(name) for name in (MEAN, *quantiles)},
        "step": _whole("step"),
    }
    present = {name: reader for name, reader in readers.items() if name in frame.columns}
    try:
        typed = plain.select(pl.col(ROW).cast(pl.Int64), *present.values())
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            f"{path.name} has columns of types that cannot be used: {first_line(error)}.",
            remedy="Write ids as text, dates as dates or 2024-06-11, and units as numbers.",
        ) from error
    lost = {name: _lost(raw, typed, name) for name in present if name not in _IDS}
    types = {**dict.fromkeys(_IDS, pl.String), **dict.fromkeys(_DATES, pl.Date), "step": pl.Int32}
    absent = [pl.lit(None, types[name]).alias(name) for name in types if name not in present]
    flags = [flag.alias(_flag(name)) for name, flag in lost.items()]
    unreadable = [
        _doubt(name, notation) if name in notation.doubts else _unreadable(raw.filter(flag), name)
        for name, flag in lost.items()
        if flag.any()
    ]
    return _dated(typed.with_columns(*absent, *flags)), tuple(unreadable)


def _in_plain_writing(raw: pl.DataFrame, notation: Notation) -> pl.DataFrame:
    """Return texts of numbers as 1234.5 and texts of days as days; null where nothing says how to read them."""
    texts = [name for name, dtype in raw.schema.items() if dtype == pl.String]
    numbers = [name for name in texts if name in {MEAN, *QUANTILE_COLUMNS, "step"}]
    days = [name for name in texts if name in _DATES]
    plain = [plain_numbers(raw[name], is_comma=notation.decimal_comma is True) for name in numbers]
    read = raw.with_columns(*plain, *(_text_days(raw[name], notation) for name in days))
    doubtful = [name for name in notation.doubts if name in {*numbers, *days}]
    return read.with_columns(pl.lit(None, read.schema[name]).alias(name) for name in doubtful)


def _text_days(texts: pl.Series, notation: Notation) -> pl.Series:
    """Return days; of a moment with a zone the day that is written, which is that of whoever made the forecast."""
    asked = notation.date_format
    if asked is not None and asked not in FORMS:
        return texts.str.to_date(asked, strict=False)
    is_iso = texts.str.contains(_DATE).fill_null(value=False)
    iso = texts.set(~is_iso, None).str.head(10).str.to_date("%Y-%m-%d", strict=False)
    read = text_days(texts, asked or notation.day_forms.get(texts.name, ISO)).days
    return pl.select(pl.coalesce(iso, read)).to_series().alias(texts.name)


def _doubt(name: str, notation: Notation) -> str:
    option = "--date-format" if name in _DATES else "--decimal-comma or --no-decimal-comma"
    return f"{notation.doubts[name].message}; say which with {option}"


def _flag(name: str) -> str:
    """Name of the column that says where a value was there but could not be read."""
    return f"{name}_is_unreadable"


def _lost(raw: pl.DataFrame, typed: pl.DataFrame, name: str) -> pl.Series:
    is_lost = raw[name].is_not_null() & typed[name].is_null()
    return is_lost & (raw[name] != "") if raw.schema[name] == pl.String else is_lost


def _text(name: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    return pl.when(text != "").then(text).alias(name)


def _number(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number.round(DECIMALS)).alias(name)


def _whole(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(number == number.floor()).then(number).cast(pl.Int32, strict=False).alias(name)


def _day(name: str, dtype: Any) -> pl.Expr:
    if isinstance(dtype, pl.Date | pl.Datetime):
        return _in_range(pl.col(name).cast(pl.Date))
    return pl.lit(None, pl.Date).alias(name)


def _in_range(day: pl.Expr) -> pl.Expr:
    return pl.when(is_in_range(day, pl.Date)).then(day)


def _dated(typed: pl.DataFrame) -> pl.DataFrame:
    """Fill step from target date or the other way round, and say where both are there and do not agree."""
    start, target, step = pl.col("prediction_date"), pl.col("target_date"), pl.col("step")
    counted = (target - start).dt.total_days().cast(pl.Int32)
    return typed.with_columns(
        step=step.fill_null(counted),
        target_date=target.fill_null(start + pl.duration(days=step)),
        disagrees=(step != counted).fill_null(value=False),
    )


def _unreadable(lost: pl.DataFrame, name: str) -> str:
    what = "a date such as 2024-06-11" if name in _DATES else "a whole number" if name == "step" else "a finite number"
    shown = [
        f"row {row}: {value}" for row, value in lost.select(ROW, pl.col(name).cast(pl.String)).head(FIRST).iter_rows()
    ]
    more = f" and {lost.height - FIRST} more" if lost.height > FIRST else ""
    years = f"; years are {FIRST_DAY.year} to {LAST_DAY.year}" if name in _DATES else ""
    return f"a `{name}` that is not {what} in {lost.height} rows ({', '.join(shown)}{more}{years})"


def _rows_where(rows: pl.DataFrame, condition: pl.Expr, words: str) -> str | None:
    failing = rows.filter(condition)[ROW]
    return f"{words} in {len(failing)} of {rows.height} rows (row {first_ten(failing)})" if len(failing) else None


def _holes(rows: pl.DataFrame, horizon: int) -> list[str]:
    """Say which series lack steps."""
    series = _ROW_KEY[:-1]
    steps = rows.filter(pl.col("step").is_between(1, horizon)).drop_nulls(_ROW_KEY)
    found = steps.group_by(series).agg(pl.col("step").unique().sort()).sort(series)
    gappy = found.filter(pl.col("step").list.len() < horizon)
    shown = [
        f"{store}/{sku} on {day} lacks {first_ten(sorted(set(range(1, horizon + 1)) - set(steps)))}"
        for day, store, sku, steps in gappy.head(FIRST).iter_rows()
    ]
    more = f" and {gappy.height - FIRST} more" if gappy.height > FIRST else ""
    said = f"{gappy.height} series lack steps of the {horizon} days ahead ({'; '.join(shown)}{more})"
    return [said] if shown else []

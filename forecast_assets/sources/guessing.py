"""A mapping guessed from files, to start from: what they seem to be, with every doubt as a comment.

What belongs here: from files to the text of a mapping. What does not: which column is which (``column_roles``), how
values are written (``notations``), or what may stand in a mapping (``table_mapping``).

A guess is written down, never acted on: nothing is taken in before somebody has read it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import FEEDS, Column
from forecast_assets.contracts.feeds import LARGEST_UNITS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import SourceError, first_ten
from forecast_assets.sources.casting import Notation, RowSource, cast_column
from forecast_assets.sources.column_roles import Roles, find_roles, plain_name
from forecast_assets.sources.databases import read_database, table_names
from forecast_assets.sources.notations import day_example, find_notation, toml_value
from forecast_assets.sources.tables import CSV_ENDINGS, read_parquet
from forecast_assets.sources.text_days import found_form
from forecast_assets.sources.text_files import TextForm, TextTable, read_text_table

# A table is that of the first feed of which it has these columns.
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "purchase_orders": ("order_id", "sku_id", "event_date", "ordered_units"),
    "inventory_positions": ("sku_id", "event_date", "on_hand_units"),
    "stock_status": ("sku_id", "event_date", "out_of_stock_hours"),
    "sales": ("sku_id", "event_date", "sales_units"),
    "prices": ("sku_id", "event_date", "unit_price"),
    "events": ("event_name", "event_date"),
}
_TYPES: Final = {column.name: column for contract in FEEDS.values() for column in contract.columns}
_KEY: Final = ["sku_id", "store_id", "event_date"]
_DATABASES: Final = (".duckdb", ".ddb", ".db")
_LAST_NUMBER: Final = r"\d[\d_.\- ]*$"
_FIRST_NUMBER: Final = r"^[\d_\- ]*\d"
_ONE_STORE: Final = "S1"
_KILO: Final = 1000.0
_PERIODS: Final = r"^(?:\d{4}\W?)?(?:kw|week|wk|w|cw|sem|semana|semaine|month|monat)\W?\d{1,2}(?:\W?\d{4})?$"
# So many columns named after days or weeks are a row per article, with the days beside each other.
_WIDE: Final = 5


@dataclass(frozen=True)
class _Table:
    """Files with the same columns, which seem to be deliveries of one table, or a table of a database."""

    paths: tuple[Path, ...]
    frame: pl.DataFrame
    text: TextTable | None = None
    in_database: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{first_ten(path.name for path in self.paths)} {self.in_database}".rstrip()

    @property
    def place(self) -> dict[str, tuple[Any, str]]:
        """The keys that say where it is."""
        if self.in_database:
            return {"database": (str(self.paths[0]), ""), "table": (self.in_database, "")}
        pattern = _pattern(self.paths)
        others = sorted({path.name for path in _matching(pattern)} - {path.name for path in self.paths})
        return {"file": (pattern, f"doubt: that takes {first_ten(others)} too" if others else "")}


@dataclass
class _GuessedFeed:
    """One `[[feed]]` in the making: keys with values and doubts, in their order."""

    keys: dict[str, tuple[Any, str]] = field(default_factory=dict)
    columns: dict[str, tuple[Any, str]] = field(default_factory=dict)
    levels: dict[str, tuple[Any, str]] = field(default_factory=dict)
    constants: dict[str, tuple[Any, str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def guess_mapping(paths: Sequence[Path]) -> Sentence:
    """Return the text of a mapping for some files, with its doubts as comments.

    Args:
        paths: CSV or Parquet files, those with the same columns become one feed; or DuckDB databases, whose tables
            become one each.

    Raises:
        SourceError: If a file cannot be read, or it cannot be told what its rows are, with its columns and what is
            missing.
    """
    feeds = [_guessed(table) for table in _tables(paths)]
    body = "\n\n".join(_written(feed) for feed in feeds)
    return Sentence(
        f"# Guessed from {first_ten(path.name for path in paths)}. Where a comment says `doubt`, look; then:\n#\n#   ",
        Action("ingest check table", {"mapping": "mapping.toml"}),
        "\n#   ",
        Action("ingest table", {"mapping": "mapping.toml"}),
        "\n\n",
        _line("source", "till", "doubt: who says so? lower-case letters, digits, underscores"),
        _line("declared_lag_hours", 6, "doubt: how long after midnight (UTC) is a day complete?"),
        f"\n{body}\n",
    )


def _tables(paths: Sequence[Path]) -> list[_Table]:
    """Return the files, those with the same columns, format and dialect together."""
    found: dict[tuple[Any, ...], _Table] = {}
    for table in (table for path in paths for table in _read(path)):
        dialect = (table.text.encoding, table.text.separator) if table.text else table.in_database
        key = (tuple(table.frame.columns), dialect)
        before = found.get(key)
        found[key] = table if before is None else _joined(before, table)
    return list(found.values())


def _read(path: Path) -> Iterator[_Table]:
    ending = path.suffix.lower()
    if ending in CSV_ENDINGS:
        text = read_text_table(path)
        yield _Table((path,), text.frame, text)
    elif ending == ".parquet":
        yield _Table((path,), read_parquet(path))
    elif ending in _DATABASES:
        for name in table_names(path):
            yield _Table((path,), read_database(path, table=name), in_database=name)
    else:
        raise SourceError(
            f"{path} is neither CSV, Parquet nor a DuckDB database.",
            remedy=f"Save a spreadsheet as CSV; name files with one of {[*CSV_ENDINGS, '.parquet', *_DATABASES]}.",
        )


def _joined(table: _Table, other: _Table) -> _Table:
    return replace(
        table,
        paths=(*table.paths, *other.paths),
        frame=pl.concat([table.frame, other.frame], how="vertical_relaxed"),
    )


def _guessed(table: _Table) -> _GuessedFeed:
    name = table.name
    if table.frame.is_empty():
        raise SourceError(f"{name} has no rows.", remedy="Give a file with rows to guess from.")
    _require_long(name, table.frame.columns)
    roles = find_roles(table.frame)
    feed = next((feed for feed, needed in _NEEDED.items() if set(needed) <= set(roles.columns)), None)
    feed = feed or _hierarchy(roles)
    if feed is None:
        raise _unknown(name, table.frame.columns, roles)
    return _feed(feed, table, roles)


def _require_long(name: str, columns: Sequence[str]) -> None:
    periods = [
        column for column in columns if found_form(pl.Series([column])).form or re.match(_PERIODS, column.lower())
    ]
    if len(periods) >= _WIDE:
        raise SourceError(
            f"{name} has a column per day or week: {first_ten(periods)}. A row has to be one article, store and day.",
            remedy="Turn the columns into rows, for example with UNPIVOT in DuckDB or `Unpivot columns` in a "
            "spreadsheet; of weekly figures ask the source for the days.",
        )


def _hierarchy(roles: Roles) -> str | None:
    """Return which hierarchy a table without days is, if it has levels."""
    if not roles.levels or "event_date" in roles.columns:
        return None
    return (
        "product_hierarchy" if "sku_id" in roles.columns else "store_hierarchy" if "store_id" in roles.columns else None
    )


def _unknown(name: str, columns: Sequence[str], roles: Roles) -> SourceError:
    lacking = [column for column in _NEEDED["sales"] if column not in roles.columns]
    return SourceError(
        f"It cannot be told what the rows of {name} are: no column was taken for {first_ten(lacking)}. "
        f"Found: {list(columns)}.",
        remedy=Sentence("Name them yourself: ", Action("ingest table", {"example": True})),
    )


def _feed(name: str, table: _Table, roles: Roles) -> _GuessedFeed:
    contract = FEEDS[name]
    wanted = {*contract.names, *(["list_price"] if name == "prices" else [])}
    used = Roles({ours: theirs for ours, theirs in roles.columns.items() if ours in wanted}, roles.doubts, roles.levels)
    feed = _GuessedFeed(keys={"feed": (name, ""), **table.place})
    notation = _write_notation(feed, name, table, used)
    feed.columns |= {
        ours: (theirs, used.doubts.get(ours, "")) for ours, theirs in used.columns.items() if ours != theirs
    }
    if name in {"product_hierarchy", "store_hierarchy"}:
        feed.levels |= {_level_name(level): (level, "the widest first") for level in roles.levels}
    _write_assumptions(feed, name, used)
    if name == "sales":
        sales, findings = _cast(table, used, notation)
        if "days of moments" in findings:
            feed.keys["time_zone"] = ("UTC", "doubt: moments are not at midnight UTC; whose day is it? Europe/Berlin")
        _write_sales(feed, sales)
    used = replace(used, levels=roles.levels if feed.levels else ())
    left = used.without(table.frame.columns)
    if left:
        feed.remarks.append(f"not used: {', '.join(map(repr, left))}")
    return feed


def _pattern(paths: Sequence[Path]) -> str:
    """Return a name for one file or many: what they begin and end with, but for numbers, and `*` for the rest.

    Numbers count days, months or deliveries, and the next file has another one.
    """
    names = [str(path) for path in paths]
    if len(names) == 1:
        return names[0]
    begin = _common_begin(names)
    end = _common_begin([name[len(begin) :][::-1] for name in names])[::-1]
    return f"{re.sub(_LAST_NUMBER, '', begin)}*{re.sub(_FIRST_NUMBER, '', end)}"


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]


def _common_begin(names: Sequence[str]) -> str:
    letters = takewhile(lambda at: len(set(at)) == 1, zip(*names, strict=False))
    return "".join(at[0] for at in letters)


def _level_name(column: str) -> str:
    name = plain_name(column) or "level"
    return f"{name}_level" if name in {*_TYPES, "skuid", "storeid"} else name


def _write_notation(feed: _GuessedFeed, name: str, table: _Table, roles: Roles) -> Notation:
    """Write how the files are written, and settle what can be read in two ways, with the doubt."""
    columns = {ours: (_column(ours), table.frame[theirs]) for ours, theirs in roles.columns.items()}
    row_source = RowSource(table.paths[0].name)
    found = find_notation(Notation(), columns, feed=name, row_source=row_source, text=table.text, form=TextForm())
    feed.keys |= {key: (value, _example(key, value)) for key, value in found.keys.items()}
    doubtful_days = [ours for ours in found.notation.doubts if _column(ours).dtype == pl.Date]
    if len(doubtful_days) < len(found.notation.doubts):
        is_comma = table.text is not None and table.text.separator != ","
        feed.keys["decimal_comma"] = (is_comma, "doubt: numbers can be read as 1234 and as 1.234, and none tells which")
    if doubtful_days:
        form = str(found_form(table.frame[roles.columns[doubtful_days[0]]].cast(pl.String)).form)
        feed.keys["date_format"] = (form, "doubt: the day first or the month first? no value tells")
    said = {key: feed.keys[key][0] for key in ("decimal_comma", "date_format") if key in feed.keys}
    return replace(found.notation, doubts={}, day_forms=found.notation.day_forms, **said)


def _column(ours: str) -> Column:
    return _TYPES.get(ours) or Column(ours, pl.Float64, "price", nullable=True)


def _example(key: str, value: Any) -> str:
    return {"date_format": day_example(str(value)), "decimal_comma": "1.234,5"}.get(key, "")


def _write_assumptions(feed: _GuessedFeed, name: str, roles: Roles) -> None:
    """Write what a feed needs and the files do not say."""
    contract = FEEDS[name]
    if "store_id" in contract.names and "store_id" not in roles.columns and name != "store_hierarchy":
        feed.constants["store_id"] = (_ONE_STORE, "doubt: no column names a store, so it is one")
    if name in {"prices", "events"} and "known_at" not in roles.columns:
        feed.keys["known_days_ahead"] = (0, "doubt: how many days before its day it is known, such as 28 for a plan")
    if name == "inventory_positions":
        feed.constants["lead_time_days"] = (3.0, "doubt: mean days from order to arrival")
        feed.constants["lead_time_deviation_days"] = (1.0, "doubt: their standard deviation")
    if name == "stock_status" and "trading_hours" not in roles.columns:
        feed.constants["trading_hours"] = (16.0, "doubt: hours that a store is open")


def _cast(table: _Table, roles: Roles, notation: Notation) -> tuple[pl.DataFrame, set[str]]:
    """Return the key and the units of sales, as far as they can be read, and the kinds of what was found."""
    made = [
        cast_column(table.frame[roles.columns[name]], _column(name), notation, feed="sales", row_source=RowSource(""))
        for name in (*_KEY, "sales_units")
        if name in roles.columns
    ]
    frame = pl.DataFrame([series for series, _ in made])
    if "store_id" not in frame.columns:
        frame = frame.with_columns(store_id=pl.lit(_ONE_STORE))
    return frame.drop_nulls(), {finding.kind for _, found in made for finding in found}


def _write_sales(feed: _GuessedFeed, sales: pl.DataFrame) -> None:
    """Write what the rows of sales seem to be: lines or days, with which sign and unit, and what silence means."""
    units = sales["sales_units"]
    negative, positive = int((units < 0).sum()), int((units > 0).sum())
    repeated = sales.height - sales.select(_KEY).unique().height
    factor = -1.0 if negative > positive else 1.0
    if repeated or (negative if factor > 0 else positive):
        why = f"{repeated:,} rows repeat an SKU, store and day" if repeated else f"{negative:,} rows are below zero"
        feed.keys["aggregate"] = ("sum", f"doubt: {why}, as lines of receipts and returns do")
    largest = max(abs(float(units.max() or 0)), abs(float(units.min() or 0)))  # type: ignore[arg-type]
    while largest * abs(factor) > LARGEST_UNITS:
        factor /= _KILO
    if factor != 1:
        what = "most quantities are below zero" if abs(factor) == 1 else f"quantities go up to {largest:,.0f}"
        feed.keys["unit_factor"] = (factor, f"doubt: {what}")
    _write_silence(feed, sales)


def _write_silence(feed: _GuessedFeed, sales: pl.DataFrame) -> None:
    day = pl.col("event_date")
    series = sales.group_by("sku_id", "store_id").agg(
        days=day.n_unique(), span=(day.max() - day.min()).dt.total_days() + 1
    )
    holes = int((series["span"] - series["days"]).sum())
    zeros = int((sales["sales_units"] == 0).sum())
    if not holes:
        return
    why = f"{holes:,} days of series are missing between others, and {zeros:,} rows say 0"
    feed.keys["missing_days"] = ("zero", f"doubt: {why}; does silence mean that nothing was sold?")
    silent = _silent_days(sales)
    if silent:
        feed.remarks.append(f"no row at all on {first_ten(silent)}: closed, or not delivered?")


def _silent_days(sales: pl.DataFrame) -> list[str]:
    """Return the days between the first and the last on which no store has a row."""
    said = sales.select("event_date").unique()
    every = said.select(pl.date_range(pl.col("event_date").min(), pl.col("event_date").max()).alias("event_date"))
    return every.join(said, on="event_date", how="anti").sort("event_date")["event_date"].cast(pl.String).to_list()


def _written(feed: _GuessedFeed) -> str:
    parts = ["[[feed]]\n" + "".join(_line(name, *pair) for name, pair in feed.keys.items())]
    for title, pairs in (("columns", feed.columns), ("levels", feed.levels), ("constants", feed.constants)):
        if pairs:
            parts.append(f"[feed.{title}]\n" + "".join(_line(name, *pair) for name, pair in pairs.items()))
    parts += [f"# {_one_line(remark)}\n" for remark in feed.remarks]
    return "".join(parts).rstrip("\n")


def _line(name: str, value: Any, comment: str = "") -> str:
    said = f"{name} = {toml_value(value)}"
    return f"{said:<35} # {_one_line(comment)}\n" if comment else f"{said}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""Reader of general tables: CSV, Parquet and DuckDB, as a mapping says.

What belongs here: from a table's columns to batches, with what follows where a source does not say it.
What does not: the mapping's own rules (``table_mapping``), reading single values (``casting``), judging batches.

What follows where a source does not say it:

- `known_at`: the end of the event day plus the declared lag; of memberships the start of their event date; of prices
  events and closures `known_days_ahead` days before their day. Never the time of ingestion.
- A purchase order that has been received is two rows: placed, known at the end of its day; and received, known at the
  end of that one.
- `price_ratio`: over the list price; without one, over the highest price that the series held in the trailing year.
- `is_promotion`: not said, so false. `store_node` of events: all stores. A row of closures: closed.
  Memberships without a date hold since 1970.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import ALL_STORES, FEEDS, TIMESTAMP, Column
from forecast_assets.core.errors import SourceError, first_ten
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch, Tolerance
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows
from forecast_assets.sources.casting import Notation, RowSource, cast_column, joined_words, unreadable_values
from forecast_assets.sources.databases import read_database
from forecast_assets.sources.line_sums import LineSums, without_negative
from forecast_assets.sources.notations import Columns, find_notation, notation_finding
from forecast_assets.sources.price_ratios import held_prices
from forecast_assets.sources.table_mapping import EXTRA_COLUMNS, FeedTable, TableMapping, read_mapping, unit_columns
from forecast_assets.sources.text_files import TextForm, TextTable, read_text_table
from resources.stores.moments import PLANNED

SINCE_EVER: Final = date(1970, 1, 1)

_SERIES: Final = ["sku_id", "store_id"]
_MEMBERS: Final = {"product_hierarchy": "sku_id", "store_hierarchy": "store_id"}
_OF_LEVELS: Final = ("depth", "level_name", "node_id")
CSV_ENDINGS: Final = (".csv", ".tsv", ".txt", ".gz")
# Carried beside the contract's columns, to say of a row that is set aside which one it is and what is wrong with it.
_ROW: Final = "_row_number"
_UNREADABLE: Final = "_unreadable"
# Products with a factor such as 0.001 are rounded so far, to the noise of binary fractions.
_UNIT_DIGITS: Final = 9
_BELOW_ZERO: Final = {
    "inventory_positions": ("on_hand_units", "which count as nothing on hand"),
    "sales": ("sales_units", "more returned than sold, which count as 0 sold"),
}
_LARGEST_RATIO: Final = next(column.at_most for column in FEEDS["prices"].columns if column.name == "price_ratio")
_LIST_PRICE: Final = Column("list_price", pl.Float64, "price without promotion", nullable=True, at_least=0)


@dataclass(frozen=True)
class _Fetched:
    """The columns of one file, table or query, and how a text file's bytes were understood."""

    frame: pl.DataFrame
    text: TextTable | None = None


@dataclass(frozen=True)
class _SourceTable:
    """One file, table or query: its name, and how to fetch it."""

    name: str
    fetch: Callable[[], _Fetched]


@dataclass(frozen=True)
class _CastRows:
    """Rows in the contract's types, as far as the table has them, and what could not be read."""

    frame: pl.DataFrame
    findings: tuple[FeedFinding, ...]
    name: str


def read_tables(path: Path, stored: StoredRows = NO_STORED_ROWS) -> Iterator[Batch]:
    """Read every table of a mapping, one at a time.

    Args:
        path: The mapping; files and databases are relative to it.
        stored: What the store holds already, for what depends on earlier days: the reference price of a year.

    Returns:
        One batch per file, table or query, in the order of the mapping and of the file names. Values that cannot be
        read are null and findings of the batch.

    Raises:
        SourceError: If the mapping, a file or a database cannot be used.
    """
    mapping = read_mapping(path)
    tables = [(table, _tables(table, path.parent)) for table in mapping.feed]
    return (batch for table, found in tables for batch in _Feed(mapping, table, stored).batches(found))


def _tables(table: FeedTable, folder: Path) -> list[_SourceTable]:
    if table.database is not None:
        path = folder / table.database
        name = f"{path.name} {table.table or 'query'}"
        return [_SourceTable(name, lambda: _Fetched(read_database(path, table=table.table, query=table.query)))]
    return [_file(path, table) for path in _matching(folder, str(table.file))]


def _matching(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern; marks in the mapping's own folder are part of its name, as are those of a file."""
    given = folder / pattern
    is_pattern = any(mark in pattern for mark in "*?[") and not given.is_file()
    base, parts = (
        (Path(given.anchor), given.relative_to(given.anchor)) if Path(pattern).is_absolute() else (folder, pattern)
    )
    found = sorted(base.glob(str(parts))) if is_pattern else [given]
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        raise SourceError(
            f"There is no file {missing[0] if missing else given}.", remedy="Correct `file` in the mapping."
        )
    return found


def _file(path: Path, table: FeedTable) -> _SourceTable:
    if path.suffix.lower() == ".parquet":
        return _SourceTable(path.name, lambda: _Fetched(read_parquet(path)))
    if path.suffix.lower() in CSV_ENDINGS:
        return _SourceTable(path.name, partial(_read_csv, path, table))
    raise SourceError(
        f"{path} is neither CSV nor Parquet.", remedy=f"Name it with one of {[*CSV_ENDINGS, '.parquet']}."
    )


def read_parquet(path: Path) -> pl.DataFrame:
    """Read one Parquet file.

    Raises:
        SourceError: If it is none.
    """
    try:
        return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {str(error).rstrip('.')}.", remedy="Write or copy it again."
        ) from error


def _read_csv(path: Path, table: FeedTable) -> _Fetched:
    """Read the columns that are needed, all as text: what it means is the mapping's business."""
    ours = (*FEEDS[table.feed].names, *EXTRA_COLUMNS.get(table.feed, ()))
    named = [*table.columns.values(), *table.levels.values(), *ours]
    text = read_text_table(path, _form(table), wanted=named)
    return _Fetched(text.frame, text)


def _form(table: FeedTable) -> TextForm:
    return TextForm(table.encoding, table.separator)


class _Feed:
    """One `[[feed]]` of a mapping."""

    def __init__(self, mapping: TableMapping, table: FeedTable, stored: StoredRows) -> None:
        hours = mapping.declared_lag_hours if table.declared_lag_hours is None else table.declared_lag_hours
        self._table = table
        self._contract = FEEDS[table.feed]
        self._stored = stored
        self._source = table.source or mapping.source
        self._trust = mapping.trust if table.trust is None else table.trust
        self._lag = timedelta(hours=hours)
        self._notation = Notation(
            table.date_format,
            table.known_at_format,
            table.decimal_comma,
            tuple(table.missing_values),
            time_zone=table.time_zone,
        )
        self._told: Mapping[str, object] = {}

    def batches(self, tables: Sequence[_SourceTable]) -> Iterator[Batch]:
        """Return one batch per table; prices whose ratio looks back a year, and sums of lines, are one batch."""
        rows: Iterator[_CastRows] = (self._typed(table) for table in tables)
        if self._table.aggregate is not None:
            rows = iter([self._summed(rows)])
        said = {*self._table.columns, *self._table.constants}
        if self._contract.name == "prices" and not said & {"price_ratio", "list_price"}:
            rows = iter([_together(list(rows))])
        return (self._batch(each) for each in rows)

    def _typed(self, table: _SourceTable) -> _CastRows:
        """Fetch a table and cast its columns; those that are missing are findings unless something follows for them."""
        fetched = table.fetch()
        raw = fetched.frame
        row_source = RowSource(table.name, 1 if fetched.text is None else fetched.text.first_row)
        absent = sorted({*self._table.columns.values(), *self._table.levels.values()} - set(raw.columns))
        findings = [self._absent(row_source, absent, raw)] if absent else []
        columns = self._present(raw)
        notation, noticed = self._found_notation(columns, fetched, row_source)
        findings += noticed
        made = []
        unreadable = pl.Series([None], dtype=pl.String).new_from_index(0, raw.height)
        for column, values in columns.values():
            series, found = cast_column(values, column, notation, feed=self._contract.name, row_source=row_source)
            made.append(series)
            findings += found
            if found:
                unreadable = joined_words(unreadable, unreadable_values(series, values, notation))
        frame = pl.DataFrame(made)
        if self._table.on_invalid == "quarantine":
            frame = frame.with_columns(_row_numbers(frame, row_source), unreadable.alias(_UNREADABLE))
        return _CastRows(self._unpivoted(frame) if self._table.levels else frame, tuple(findings), table.name)

    def _present(self, raw: pl.DataFrame) -> Columns:
        """Return the columns that a table has, or that are constant, by the contract's names."""
        found = ((column, self._values(raw, column)) for column in self._wanted())
        return {column.name: (column, values) for column, values in found if values is not None}

    def _found_notation(
        self, columns: Columns, fetched: _Fetched, row_source: RowSource
    ) -> tuple[Notation, list[FeedFinding]]:
        """Return how a table writes its values, and a word on it if nobody said so, and no table before was alike."""
        feed = self._contract.name
        said = {name: pair for name, pair in columns.items() if name not in self._table.constants}
        found = find_notation(
            self._notation, said, feed=feed, row_source=row_source, text=fetched.text, form=_form(self._table)
        )
        if not found.keys or found.keys == self._told:
            return found.notation, []
        self._told = found.keys
        return found.notation, [notation_finding(feed, row_source.name, fetched.frame.height, found.keys)]

    def _wanted(self) -> list[Column]:
        """Return the columns to look for: the contract's, and what stands for some of them."""
        if self._table.levels:
            nodes = [Column(name, pl.String, "node of a level") for name in self._table.levels.values()]
            return [*(column for column in self._contract.columns if column.name not in _OF_LEVELS), *nodes]
        return [*self._contract.columns, *([_LIST_PRICE] if self._contract.name in EXTRA_COLUMNS else [])]

    def _values(self, raw: pl.DataFrame, column: Column) -> pl.Series | None:
        if column.name in self._table.constants:
            return _repeated(column.name, self._table.constants[column.name], raw.height)
        name = self._table.columns.get(column.name, column.name)
        return raw[name] if name in raw.columns else None

    def _absent(self, row_source: RowSource, absent: list[str], raw: pl.DataFrame) -> FeedFinding:
        message = f"{row_source.name} lacks the columns {absent} that the mapping names; found {raw.columns}"
        remedy = "Correct `columns` in the mapping, or `separator` if all names stand in one."
        return FeedFinding(
            self._contract.name, "columns", is_error=True, rows=raw.height, message=message, remedy=remedy
        )

    def _unpivoted(self, wide: pl.DataFrame) -> pl.DataFrame:
        """Return one row per member and level of a hierarchy with a column per level; a repeated one counts once."""
        ours = [*(column.name for column in self._contract.columns), _ROW, _UNREADABLE]
        kept = [name for name in ours if name in wide.columns]
        levels = [
            wide.select(*kept, depth=pl.lit(depth, pl.Int32), level_name=pl.lit(level), node_id=wide[column])
            for depth, (level, column) in enumerate(self._table.levels.items(), start=1)
            if column in wide.columns
        ]
        return pl.concat(levels).unique(maintain_order=True) if levels else wide

    def _summed(self, tables: Iterable[_CastRows]) -> _CastRows:
        """Return the sums of the lines of all tables, so that it does not matter how they were cut."""
        parts, findings, names = [], list[FeedFinding](), []
        for rows in tables:
            lines = self._with_known_at(rows.frame)
            if set(self._contract.names) - set(lines.columns):
                return rows
            parts.append(LineSums.of(lines))
            findings += rows.findings
            names.append(rows.name)
        sums = LineSums.together(parts)
        findings.append(sums.finding(self._table.unit_factor))
        return _CastRows(sums.rows(self._table.unit_factor), tuple(findings), first_ten(names))

    def _in_units(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return quantities of the source in units; those of sums are already."""
        factor = self._table.unit_factor
        names = [name for name in unit_columns(self._contract) if name in frame.columns]
        if factor == 1 or self._table.aggregate is not None:
            return frame
        return frame.with_columns((pl.col(name) * factor).round(_UNIT_DIGITS) for name in names)

    def _signed(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[FeedFinding]]:
        """Return zero for what is below it and may be: nothing is on hand, or more came back than was sold."""
        feed = self._contract.name
        column, what = _BELOW_ZERO.get(feed, ("", ""))
        is_there = {*_SERIES, "event_date", column} <= set(frame.columns)
        if not is_there or (feed == "sales" and self._table.aggregate is None):
            return frame, []
        return without_negative(frame, column, feed=feed, what=what)

    def _batch(self, rows: _CastRows) -> Batch:
        frame, signs = self._signed(self._in_units(self._completed(rows.frame)))
        findings = [*rows.findings, *self._unknowable(rows.frame), *signs]
        if set(self._contract.names) <= set(frame.columns):
            frame = frame.select(
                *self._contract.names, *(name for name in (_ROW, _UNREADABLE) if name in frame.columns)
            )
            others = [name for name in self._contract.key if name != "event_date"]
            frame = frame.sort("event_date", *others, maintain_order=True)
        carried = {name: frame[name] for name in (_ROW, _UNREADABLE) if name in frame.columns}
        frame = frame.drop(carried)
        quarantines = self._table.on_invalid == "quarantine"
        return Batch(
            self._contract.name,
            self._source,
            self._trust,
            self._lag,
            frame,
            delivery=rows.name,
            findings=tuple(findings),
            listed_days=self._table.listed_days if self._table.missing_days == "zero" else None,
            row_numbers=carried.get(_ROW),
            unreadable=carried.get(_UNREADABLE),
            quarantine=Tolerance(self._table.tolerated_rows, self._table.tolerated_percent) if quarantines else None,
            derived=self._derived(rows.frame),
            far_values=self._table.far_values,
        )

    def _derived(self, said: pl.DataFrame) -> tuple[str, ...]:
        """Return columns that depend on which other rows were there when they were read."""
        is_looked_up = self._contract.name == "prices" and not {"price_ratio", "list_price"} & set(said.columns)
        return ("price_ratio",) if is_looked_up else ()

    def _completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add what follows where the source does not say it."""
        name = self._contract.name
        missing = [column for column in self._contract.columns if column.name not in frame.columns]
        frame = frame.with_columns(
            pl.lit(None, column.dtype).alias(column.name) for column in missing if column.nullable
        )
        follows = {
            **{feed: {"store_node": pl.lit(ALL_STORES)} for feed in ("events", "covariates")},
            "prices": {"is_promotion": pl.lit(value=False)},
            "store_closures": {"is_closed": pl.lit(value=True)},
            **{feed: {"event_date": pl.lit(SINCE_EVER)} for feed in _MEMBERS},
        }.get(name, {})
        frame = frame.with_columns(
            rule.alias(column) for column, rule in follows.items() if column not in frame.columns
        )
        frame = self._with_known_at(frame)
        return self._with_ratio(frame) if name == "prices" else frame

    def _with_known_at(self, frame: pl.DataFrame) -> pl.DataFrame:
        if "event_date" not in frame.columns or self._unknowable(frame):
            return frame
        if self._contract.name == "purchase_orders" and "known_at" not in frame.columns:
            return _placed_and_received(frame, self._lag)
        said = pl.col("known_at") if "known_at" in frame.columns else pl.lit(None, TIMESTAMP)
        # Without a readable day any moment does: the row is refused for its day.
        return frame.with_columns(known_at=pl.coalesce(said, self._moment(), midnight(pl.lit(SINCE_EVER))))

    def _moment(self) -> pl.Expr:
        """When a row became known of which nobody says it."""
        day = pl.col("event_date")
        if self._contract.name in _MEMBERS:
            return midnight(day)
        if self._table.known_days_ahead is not None:
            return midnight(day - timedelta(days=self._table.known_days_ahead))
        return midnight(day + timedelta(days=1)) + self._lag

    def _unknowable(self, frame: pl.DataFrame) -> list[FeedFinding]:
        """Return a finding if plans do not say when they were known."""
        # A covariate of which nobody says more was observed: it is known when its day is complete.
        is_plan = self._contract.name in PLANNED - {"covariates"}
        if not is_plan or "known_at" in frame.columns or self._table.known_days_ahead is not None:
            return []
        message = "nothing says when its rows became known"
        remedy = "Say known_days_ahead = 28 (days before their day; 0 for not ahead), or map known_at."
        return [FeedFinding(self._contract.name, "columns", True, frame.height, message, remedy, "known_at")]

    def _with_ratio(self, frame: pl.DataFrame) -> pl.DataFrame:
        if "price_ratio" in frame.columns or not {"unit_price", "event_date", *_SERIES} <= set(frame.columns):
            return frame
        if "list_price" in frame.columns:
            return frame.with_columns(price_ratio=_ratio(pl.col("list_price")))
        if "known_at" not in frame.columns:
            # That is a finding already; nothing is stored.
            return frame.with_columns(price_ratio=pl.lit(None, pl.Float64))
        ratio = _ratio(held_prices(frame, self._stored, self._source))
        # The contract's bound is for what sources say; of a price that is far out a finding tells.
        return frame.with_columns(price_ratio=ratio.clip(upper_bound=_LARGEST_RATIO))


def _together(rows: list[_CastRows]) -> _CastRows:
    frame = pl.concat([each.frame for each in rows], how="diagonal")
    findings = tuple(finding for each in rows for finding in each.findings)
    return _CastRows(frame, findings, first_ten(each.name for each in rows))


def _row_numbers(frame: pl.DataFrame, row_source: RowSource) -> pl.Series:
    first = row_source.first_row
    return pl.int_range(first, first + frame.height, eager=True).alias(_ROW)


def _repeated(name: str, value: Any, height: int) -> pl.Series:
    return pl.Series(name, [value]).new_from_index(0, height)


def _placed_and_received(orders: pl.DataFrame, lag: timedelta) -> pl.DataFrame:
    """Return a row per order as placed, and one as received; of one placed and received on a day only the latter."""
    placed_on, received_on = pl.col("event_date"), pl.col("received_date")
    placed = orders.filter(received_on.is_null() | (received_on != placed_on)).with_columns(
        received_date=pl.lit(None, pl.Date), known_at=midnight(placed_on + timedelta(days=1)) + lag
    )
    received = orders.filter(received_on.is_not_null()).with_columns(
        known_at=midnight(received_on + timedelta(days=1)) + lag
    )
    return pl.concat([placed, received])


def _ratio(reference: pl.Expr | pl.Series) -> pl.Expr:
    """Price over a reference price; where that is 0, everything is free and nothing is reduced."""
    over = pl.lit(reference) if isinstance(reference, pl.Series) else reference
    return pl.when(over == 0).then(1.0).otherwise(pl.col("unit_price") / over).round(6)

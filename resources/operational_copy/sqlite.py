"""A copy in SQLite: a file below the home, quantities as whole millionths, so that each is exact.

What belongs here: its tables and statements. What does not: what is copied, or when.

Many read while one writes. A view shows quantities in units, as the float that is nearest: `SUM` over millionths of the
tables is exact, over units of a view it is a float's.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import SCALE, UNITS, to_units
from resources.operational_copy.content import BATCH
from resources.operational_copy.databases import (
    MARK,
    CopyReader,
    CopyWriter,
    is_ready,
    name_taken,
    not_available,
    other_tables,
)
from resources.operational_copy.layout import (
    FORMAT,
    FORMAT_TABLE,
    RUN_COLUMNS,
    RUNS,
    CopiedRun,
    cadence_view,
    has_prediction_id,
    newest_rows,
    prediction_id,
    row_order,
    run_of,
    run_values,
    runs_columns,
)
from resources.store.sql import identifier, text
from resources.store.write_ahead import write_ahead

_WAIT_SECONDS: Final = 60.0
_TYPES: Final = {pl.Int32: "INTEGER", UNITS: "INTEGER", pl.Boolean: "INTEGER", pl.Float64: "REAL"}
_RECORDED: Final[Mapping[type, str]] = {int: "INTEGER"}
_OF_RUN: Final = " AND ".join(f"{name} = ?" for name in RUN_COLUMNS)
_ELSEWHERE: Final = "move the file aside"


class SqliteCopy:
    """A copy in a file.

    Args:
        path: Of the file; it and its folder are made if need be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self._path)

    @contextmanager
    def reading(self, ledger: str) -> Iterator[CopyReader | None]:
        """Yield the copy as it stands: see `CopyDatabase.reading`."""
        if not self._path.is_file():
            yield None
            return
        with self._opened(f"{self._path.absolute().as_uri()}?mode=ro") as connection:
            connection.execute("BEGIN")
            transaction = _SqliteTransaction(connection, self.place)
            yield transaction if transaction.is_ready(ledger) else None

    @contextmanager
    def writing(self, ledger: str) -> Iterator[CopyWriter]:
        """Yield the copy within one transaction: see `CopyDatabase.writing`."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_available(self.place, str(error)) from error
        with self._opened(f"{self._path.absolute().as_uri()}?mode=rwc") as connection:
            write_ahead(connection, _WAIT_SECONDS)
            connection.execute("BEGIN IMMEDIATE")
            try:
                transaction = _SqliteTransaction(connection, self.place)
                transaction.prepare(ledger)
                yield transaction
            except BaseException:
                # A full disk may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _opened(self, uri: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(uri, timeout=_WAIT_SECONDS, isolation_level=None, uri=True)) as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            why = str(error)
            if why.startswith(("no such", "table ")) or "has no column" in why:
                raise other_tables(self.place, why, "Move the file aside") from error
            if type(error) is sqlite3.DatabaseError:
                raise other_tables(self.place, f"the file is damaged ({why})", "Move the file aside") from error
            raise not_available(self.place, why) from error


class _SqliteTransaction:
    """One transaction on a copy in SQLite."""

    def __init__(self, connection: sqlite3.Connection, place: str) -> None:
        self._connection = connection
        self._place = place

    # --- making it ---

    def is_ready(self, ledger: str) -> bool:
        """Return whether the tables are there and of this release."""
        names = self._names("table")
        found = None
        if FORMAT_TABLE in names:
            row = self._connection.execute(f"SELECT format, ledger FROM {FORMAT_TABLE}").fetchone()  # noqa: S608
            found = (0, "") if row is None else (int(row[0]), str(row[1]))
        return is_ready(self._place, found, names, ledger, _ELSEWHERE)

    def prepare(self, ledger: str) -> None:
        """Make the tables that are missing; of an earlier release, all of them anew."""
        if not self.is_ready(ledger):
            for view in self._names("view"):
                if self._is_own(view):
                    self._connection.execute(f"DROP VIEW {identifier(view)}")
            for table in (*PUBLISHED, RUNS, FORMAT_TABLE):
                self._connection.execute(f"DROP TABLE IF EXISTS {table}")
            self._connection.execute(
                f"CREATE TABLE {FORMAT_TABLE} (format INTEGER NOT NULL, ledger TEXT NOT NULL) STRICT"
            )
            self._connection.execute(f"INSERT INTO {FORMAT_TABLE} VALUES (?, ?)", (FORMAT, ledger))  # noqa: S608
        recorded = [f"{name} {_RECORDED.get(kind, 'TEXT')}" for name, kind in runs_columns().items()]
        self._table(RUNS, recorded, RUN_COLUMNS)
        for product in PUBLISHED:
            contract = PRODUCTS[product]
            columns = [f"{_stored(name, kind)} {_TYPES.get(kind, 'TEXT')}" for name, kind in contract.schema.items()]
            self._table(product, columns, contract.key)

    def _table(self, name: str, columns: Sequence[str], key: Sequence[str]) -> None:
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(key)})) "
            "STRICT, WITHOUT ROWID"
        )

    # --- reading ---

    def runs(self) -> list[CopiedRun]:
        """Return the runs: see `CopyReader.runs`."""
        order = ", ".join(RUN_COLUMNS)
        columns = runs_columns()
        if RUNS not in self._names("table"):
            return []
        rows = self._connection.execute(f"SELECT {', '.join(columns)} FROM {RUNS} ORDER BY {order}")  # noqa: S608
        return [run_of([_read(value, kind) for value, kind in zip(row, columns.values(), strict=True)]) for row in rows]

    def count(self, product: str, key: RunKey | None = None) -> int:
        """Return how many rows there are: see `CopyReader.count`."""
        if product not in self._names("table"):
            return 0
        where = "" if key is None else f" WHERE {_OF_RUN}"
        query = f"SELECT count(*) FROM {product}{where}"  # noqa: S608
        (found,) = self._connection.execute(query, () if key is None else _key_values(key)).fetchone()
        return int(found)

    def rows(self, product: str, key: RunKey) -> Iterator[pl.DataFrame]:
        """Yield rows in the order of the key: see `CopyReader.rows`."""
        schema = PRODUCTS[product].schema
        if product not in self._names("table"):
            return
        names = ", ".join(_stored(name, kind) for name, kind in schema.items())
        query = f"SELECT {names} FROM {product} WHERE {_OF_RUN} ORDER BY {', '.join(row_order(product))}"  # noqa: S608
        cursor = self._connection.execute(query, _key_values(key))
        while rows := cursor.fetchmany(BATCH):
            values = zip(*rows, strict=True)
            yield pl.DataFrame(
                [_series(name, kind, column) for (name, kind), column in zip(schema.items(), values, strict=True)]
            )

    def views(self) -> set[tuple[str, str]]:
        """Return the views: see `CopyReader.views`."""
        own = (view.partition(".") for view in self._names("view") if self._is_own(view))
        return {(version, name) for version, _, name in own}

    # --- writing ---

    def insert(self, product: str, rows: pl.DataFrame, lines: bytes) -> None:
        """Add rows: see `CopyWriter.insert`."""
        del lines
        marks = ", ".join("?" * rows.width)
        stored = rows.select(_as_stored(name, kind) for name, kind in rows.schema.items())
        self._connection.executemany(f"INSERT INTO {product} VALUES ({marks})", stored.rows())  # noqa: S608

    def remove(self, key: RunKey) -> None:
        """Remove a run: see `CopyWriter.remove`."""
        for table in (*PUBLISHED, RUNS):
            self._connection.execute(f"DELETE FROM {table} WHERE {_OF_RUN}", _key_values(key))  # noqa: S608

    def remove_strays(self) -> int:
        """Remove rows of no run: see `CopyWriter.remove_strays`."""
        key = ", ".join(RUN_COLUMNS)
        return sum(
            self._connection.execute(
                f"DELETE FROM {product} WHERE ({key}) NOT IN (SELECT {key} FROM {RUNS})"  # noqa: S608
            ).rowcount
            for product in PUBLISHED
        )

    def record(self, run: CopiedRun) -> None:
        """Record a run: see `CopyWriter.record`."""
        values = [_written(value) for value in run_values(run)]
        self._connection.execute(f"INSERT INTO {RUNS} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608

    def show(self, model_version: str, cadence: str) -> None:
        """Make the views of a version: see `CopyWriter.show`."""
        taken = {name: kind for kind in ("table", "view", "index") for name in self._names(kind)}
        for product in PUBLISHED:
            name = f"{model_version}.{cadence_view(cadence, product)}"
            if name not in taken:
                query = newest_rows(product, cadence, model_version, _shown(product))
                self._connection.execute(f"CREATE VIEW {identifier(name)} AS /* {MARK} */ {query}")
            elif not self._is_own(name):
                raise name_taken(self._place, f"the view `{name}`")

    def hide(self, model_version: str, cadence: str) -> None:
        """Remove the views of a version: see `CopyWriter.hide`."""
        for product in PUBLISHED:
            name = f"{model_version}.{cadence_view(cadence, product)}"
            if self._is_own(name):
                self._connection.execute(f"DROP VIEW {identifier(name)}")

    def _names(self, kind: str) -> list[str]:
        return [name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = ?", (kind,))]

    def _is_own(self, view: str) -> bool:
        query = f"SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = ? AND sql LIKE {text(f'%{MARK}%')}"  # noqa: S608
        return self._connection.execute(query, (view,)).fetchone() is not None


def _stored(name: str, kind: Any) -> str:
    return f"{name}_millionths" if kind == UNITS else name


def _shown(product: str) -> str:
    shown = [
        f"f.{_stored(name, kind)} / {SCALE}.0 AS {name}" if kind == UNITS else f"f.{name}"
        for name, kind in PRODUCTS[product].schema.items()
    ]
    if has_prediction_id(product):
        shown.append(f"{prediction_id('f.prediction_date')} AS prediction_id")
    return ", ".join(shown)


def _as_stored(name: str, kind: Any) -> pl.Expr:
    column = pl.col(name)
    if kind == UNITS:
        return column.to_physical().cast(pl.Int64)
    if kind == pl.Date:
        return column.cast(pl.String)
    return column.cast(pl.Int64) if kind == pl.Boolean else column


def _series(name: str, kind: Any, values: Sequence[Any]) -> pl.Series:
    if kind == UNITS:
        whole = pl.Series(name, values, dtype=pl.Int64)
        return to_units(whole.fill_null(0).to_numpy(), name, whole.is_not_null().to_numpy())
    if kind == pl.Date:
        return pl.Series(name, values, dtype=pl.String).str.to_date("%Y-%m-%d")
    if kind == pl.Boolean:
        return pl.Series(name, values, dtype=pl.Int64).cast(pl.Boolean)
    return pl.Series(name, values, dtype=kind)


def _key_values(key: RunKey) -> list[Any]:
    return [_written(value) for value in vars(key).values()]


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _read(value: Any, kind: type) -> Any:
    if value is None or kind in (str, int):
        return value
    return datetime.fromisoformat(value) if kind is datetime else date.fromisoformat(value)

"""A copy in PostgreSQL: tables in a schema of its own, decimals as NUMERIC(18, 6), a schema of views per version.

What belongs here: its tables and statements. What does not: what is copied, or when.

Who writes holds one lock for the length of a transaction, so that of two copiers the later sees what the first left.
Texts of keys compare byte by byte: rows then come back in the order of the published files, whatever the server's
language, and an index over them costs less.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.addresses import without_password
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS
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
from resources.postgresql.connecting import connected, error_line, plain_address, require_psycopg
from resources.store.sql import identifier, text

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMA: Final = "operational_copy"
# Any number: who else uses the database for other things takes another one.
_LOCK: Final = 4_304_304_305
_LOCK_SECONDS: Final = 60
# Bytes of rows that are read back at a time.
_PART: Final = 16 << 20
_TYPES: Final = {
    pl.Int32: "INTEGER", UNITS: "NUMERIC(18, 6)", pl.Boolean: "BOOLEAN", pl.Float64: "DOUBLE PRECISION",
    pl.Date: "DATE",
}  # fmt: skip
_TEXT: Final = 'TEXT COLLATE "C"'
_RECORDED: Final[Mapping[type, str]] = {int: "BIGINT", date: "DATE", datetime: "TIMESTAMPTZ"}
_OF_RUN: Final = " AND ".join(f"{name} = %s" for name in RUN_COLUMNS)
_ELSEWHERE: Final = "name another database in FORECAST_ASSETS_OPERATIONAL_COPY"


class PostgresqlCopy:
    """A copy in a database of a server.

    Args:
        url: Of the database, as `postgresql://user:password@host/name`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        return without_password(plain_address(self._url))

    @contextmanager
    def reading(self, ledger: str) -> Iterator[CopyReader | None]:
        """Yield the copy as it stands: see `CopyDatabase.reading`."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            transaction = _PostgresqlTransaction(connection, self.place)
            yield transaction if transaction.is_ready(ledger) else None

    @contextmanager
    def writing(self, ledger: str) -> Iterator[CopyWriter]:
        """Yield the copy within one transaction: see `CopyDatabase.writing`."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            transaction = _PostgresqlTransaction(connection, self.place)
            transaction.prepare(ledger)
            yield transaction

    @contextmanager
    def _connected(self) -> Iterator["Connection[Any]"]:
        require_psycopg("An operational copy")
        from psycopg import Error, errors

        try:
            with connected(self._url, lock_seconds=_LOCK_SECONDS) as connection:
                yield connection
        except errors.InsufficientPrivilege as error:
            raise not_available(self.place, error_line(error)) from error
        except (errors.ProgrammingError, errors.DatatypeMismatch) as error:
            remedy = f"DROP SCHEMA {SCHEMA} CASCADE"
            raise other_tables(self.place, error_line(error), remedy) from error
        except Error as error:
            raise not_available(self.place, error_line(error)) from error


class _PostgresqlTransaction:
    """One transaction on a copy in PostgreSQL."""

    def __init__(self, connection: "Connection[Any]", place: str) -> None:
        self._connection = connection
        self._place = place

    # --- making it ---

    def is_ready(self, ledger: str) -> bool:
        """Return whether the tables are there and of this release."""
        tables = self._tables()
        found = None
        if FORMAT_TABLE in tables:
            row = self._execute(f"SELECT format, ledger FROM {SCHEMA}.{FORMAT_TABLE}").fetchone()  # noqa: S608
            found = (0, "") if row is None else (int(row[0]), str(row[1]))
        return is_ready(self._place, found, tables, ledger, _ELSEWHERE)

    def prepare(self, ledger: str) -> None:
        """Make the tables that are missing; of an earlier release, all of them anew."""
        if not self.is_ready(ledger):
            for version, view in self.views():
                self._execute(f"DROP VIEW {identifier(version)}.{identifier(view)}")
            for table in (*PUBLISHED, RUNS, FORMAT_TABLE):
                self._execute(f"DROP TABLE IF EXISTS {SCHEMA}.{table}")
            # Who may not make a schema finds one that was made for them.
            if not self._exists("SELECT 1 FROM pg_namespace WHERE nspname = %s", SCHEMA):
                self._execute(f"CREATE SCHEMA {SCHEMA}")
            self._execute(f"CREATE TABLE {SCHEMA}.{FORMAT_TABLE} (format INTEGER NOT NULL, ledger TEXT NOT NULL)")
            self._execute(f"INSERT INTO {SCHEMA}.{FORMAT_TABLE} VALUES (%s, %s)", (FORMAT, ledger))  # noqa: S608
        there = self._tables()
        if RUNS not in there:
            recorded = [f"{name} {_RECORDED.get(kind, _TEXT)}" for name, kind in runs_columns().items()]
            self._table(RUNS, recorded, RUN_COLUMNS)
        for product in PUBLISHED:
            if product in there:
                continue
            contract = PRODUCTS[product]
            columns = [f"{name} {_TYPES.get(kind, _TEXT)}" for name, kind in contract.schema.items()]
            self._table(product, columns, contract.key)
            self._execute(f"COMMENT ON TABLE {SCHEMA}.{product} IS {text(f'{contract.description} {MARK}')}")
            for column in contract.columns:
                self._execute(f"COMMENT ON COLUMN {SCHEMA}.{product}.{column.name} IS {text(column.description)}")

    def _table(self, name: str, columns: Sequence[str], key: Sequence[str]) -> None:
        self._execute(f"CREATE TABLE {SCHEMA}.{name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(key)}))")

    # --- reading ---

    def runs(self) -> list[CopiedRun]:
        """Return the runs: see `CopyReader.runs`."""
        if RUNS not in self._tables():
            return []
        columns, order = ", ".join(runs_columns()), ", ".join(RUN_COLUMNS)
        return [run_of(row) for row in self._execute(f"SELECT {columns} FROM {SCHEMA}.{RUNS} ORDER BY {order}")]  # noqa: S608

    def count(self, product: str, key: RunKey | None = None) -> int:
        """Return how many rows there are: see `CopyReader.count`."""
        if product not in self._tables():
            return 0
        where = "" if key is None else f" WHERE {_OF_RUN}"
        query = f"SELECT count(*) FROM {SCHEMA}.{product}{where}"  # noqa: S608
        (found,) = self._execute(query, () if key is None else _key_values(key)).fetchone() or (0,)
        return int(found)

    def rows(self, product: str, key: RunKey) -> Iterator[pl.DataFrame]:
        """Yield rows in the order of the key: see `CopyReader.rows`."""
        if product not in self._tables():
            return
        schema = PRODUCTS[product].schema
        # `t` and `f` as the server writes them are no words for who reads them here.
        names = ", ".join(f"{name}::text" if kind == pl.Boolean else name for name, kind in schema.items())
        query = (
            f"COPY (SELECT {names} FROM {SCHEMA}.{product} WHERE {_OF_RUN} "  # noqa: S608
            f"ORDER BY {', '.join(row_order(product))}) TO STDOUT (FORMAT csv)"
        )
        part = bytearray()
        with self._connection.cursor() as cursor, cursor.copy(query.encode(), _key_values(key)) as copy:
            for row in copy:
                part += row
                if len(part) >= _PART:
                    yield _frame(bytes(part), product)
                    part.clear()
        if part:
            yield _frame(bytes(part), product)

    def views(self) -> set[tuple[str, str]]:
        """Return the views: see `CopyReader.views`."""
        query = (
            "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE relkind = 'v' AND obj_description(pg_class.oid, 'pg_class') LIKE %s"
        )
        return {(version, name) for version, name in self._execute(query, (f"%{MARK}",))}

    # --- writing ---

    def insert(self, product: str, rows: pl.DataFrame, lines: bytes) -> None:
        """Add rows: see `CopyWriter.insert`."""
        query = f"COPY {SCHEMA}.{product} ({', '.join(rows.columns)}) FROM STDIN (FORMAT csv)"
        with self._connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            copy.write(lines)

    def remove(self, key: RunKey) -> None:
        """Remove a run: see `CopyWriter.remove`."""
        for table in (*PUBLISHED, RUNS):
            self._execute(f"DELETE FROM {SCHEMA}.{table} WHERE {_OF_RUN}", _key_values(key))  # noqa: S608

    def remove_strays(self) -> int:
        """Remove rows of no run: see `CopyWriter.remove_strays`."""
        same = " AND ".join(f"run.{name} = f.{name}" for name in RUN_COLUMNS)
        return sum(
            self._execute(
                f"DELETE FROM {SCHEMA}.{product} AS f "  # noqa: S608
                f"WHERE NOT EXISTS (SELECT 1 FROM {SCHEMA}.{RUNS} AS run WHERE {same})"
            ).rowcount
            for product in PUBLISHED
        )

    def record(self, run: CopiedRun) -> None:
        """Record a run: see `CopyWriter.record`."""
        values = run_values(run)
        self._execute(f"INSERT INTO {SCHEMA}.{RUNS} VALUES ({', '.join(['%s'] * len(values))})", values)  # noqa: S608

    def show(self, model_version: str, cadence: str) -> None:
        """Make the views of a version: see `CopyWriter.show`."""
        own, schema = self.views(), identifier(model_version)
        missing = [each for each in PUBLISHED if (model_version, cadence_view(cadence, each)) not in own]
        if missing and not self._exists("SELECT 1 FROM pg_namespace WHERE nspname = %s", model_version):
            self._execute(f"CREATE SCHEMA {schema}")
        for product in missing:
            name = cadence_view(cadence, product)
            view = f"{schema}.{identifier(name)}"
            if self._exists("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", view):
                raise name_taken(self._place, f"the view {view}")
            query = newest_rows(product, cadence, model_version, _shown(product), f"{SCHEMA}.")
            self._execute(f"CREATE VIEW {view} AS {query}")
            said = f"{PRODUCTS[product].description} The newest revision of each {cadence} run. {MARK}"
            self._execute(f"COMMENT ON VIEW {view} IS {text(said)}")

    def hide(self, model_version: str, cadence: str) -> None:
        """Remove the views of a version: see `CopyWriter.hide`."""
        own, schema = self.views(), identifier(model_version)
        names = [cadence_view(cadence, product) for product in PUBLISHED]
        views = [f"DROP VIEW {schema}.{identifier(name)}" for name in names if (model_version, name) in own]
        if views:
            self._unless_used(views)
            self._unless_used([f"DROP SCHEMA {schema}"])

    def _unless_used(self, statements: Sequence[str]) -> None:
        """Remove something; what somebody built on it stays, and it with that."""
        from psycopg.errors import DependentObjectsStillExist

        with suppress(DependentObjectsStillExist), self._connection.transaction():
            for statement in statements:
                self._execute(statement)

    def _tables(self) -> list[str]:
        query = "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s"
        return [name for (name,) in self._execute(f"{query} AND relkind IN ('r', 'p', 'v', 'm', 'f')", (SCHEMA,))]

    def _exists(self, query: str, name: str) -> bool:
        return self._execute(query, (name,)).fetchone() is not None

    def _execute(self, query: str, values: Sequence[Any] | None = None) -> Any:
        return self._connection.execute(query.encode(), values or None)


def _shown(product: str) -> str:
    shown = [f"f.{name}" for name in PRODUCTS[product].names]
    if has_prediction_id(product):
        day = "to_char(f.prediction_date, 'YYYY-MM-DD')"
        shown.append(f"{prediction_id(day)} AS prediction_id")
    return ", ".join(shown)


def _key_values(key: RunKey) -> list[Any]:
    return [*vars(key).values()]


def _frame(lines: bytes, product: str) -> pl.DataFrame:
    return pl.read_csv(lines, has_header=False, schema=PRODUCTS[product].schema)

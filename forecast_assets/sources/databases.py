"""Tables of other people's DuckDB databases, only ever read.

What belongs here: opening a database read-only and fetching one table or query. What does not: what its columns mean.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from forecast_assets.core.errors import SourceError, first_line, first_ten

# Neither files nor the network from within a query.
_LOCKED: Final[dict[str, str | bool | int | float | list[str]]] = {"enable_external_access": "false"}
# Days of moments do not depend on where this machine stands; and there is no way back from either.
_SESSION: Final = "SET TimeZone = 'UTC'; SET lock_configuration = true"


def read_database(path: Path, *, table: str | None = None, query: str | None = None) -> pl.DataFrame:
    """Fetch one table, or the result of one query, of a DuckDB database; moments with a zone are in UTC.

    Args:
        path: The database.
        table: Name of a table or view, with its schema if it needs one.
        query: SQL; give one of the two.

    Raises:
        SourceError: If the database cannot be opened, or has no such table, or the query fails, is not one SELECT, or
            returns a column twice.
    """
    import duckdb

    with _opened(path) as connection:
        try:
            relation = connection.table(table) if table else connection.sql(_one_select(connection, query or "", path))
            _require_single_columns(relation.columns, path)
            return pl.DataFrame(relation.to_arrow_table())
        except duckdb.CatalogException as error:
            found = first_ten(_tables(connection)) or "nothing"
            raise SourceError(
                f"{path} lacks what the mapping names: {first_line(error)}. Found: {found}.",
                remedy="Correct `table` or `query` in the mapping.",
            ) from error
        except duckdb.Error as error:
            raise SourceError(
                f"{path} cannot be read: {first_line(error)}.", remedy="Write `query` as one SELECT."
            ) from error


def table_names(path: Path) -> list[str]:
    """Return the tables and views of a DuckDB database.

    Args:
        path: The database.

    Raises:
        SourceError: If it cannot be opened.
    """
    with _opened(path) as connection:
        return _tables(connection)


def _opened(path: Path) -> Any:
    import duckdb

    if not path.is_file():
        raise SourceError(f"There is no database {path}.", remedy="Correct `database` in the mapping.")
    try:
        connection = duckdb.connect(str(path), read_only=True, config=_LOCKED)
        connection.execute(_SESSION)
    except duckdb.Error as error:
        raise SourceError(
            f"{path} cannot be opened: {first_line(error)}.",
            remedy="Close the program that writes to it, or give a copy; and make sure that it is a DuckDB database.",
        ) from error
    return connection


def _one_select(connection: Any, query: str, path: Path) -> str:
    """Return the query if it is one SELECT: COPY and its like write files, even from a database opened read-only."""
    import duckdb

    found = [statement.type for statement in connection.extract_statements(query)]
    if found != [duckdb.StatementType.SELECT]:
        named = ", ".join(kind.name for kind in found) or "nothing"
        raise SourceError(
            f"The query for {path} is not one SELECT; it is: {named}.",
            remedy="Write `query` as one SELECT; of PIVOT, name the values: PIVOT ... ON column IN (...).",
        )
    return query


def _require_single_columns(columns: Sequence[str], path: Path) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise SourceError(
            f"The query for {path} returns columns twice: {first_ten(twice)}.",
            remedy="Name each column once: SELECT a.sku_id AS sku_id, b.price AS price ...",
        )


def _tables(connection: Any) -> list[str]:
    """Return the names of all tables and views, with their schemas where these are not `main`."""
    rows = connection.sql("SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL").fetchall()
    return [name if schema == "main" else f"{schema}.{name}" for schema, name in rows]

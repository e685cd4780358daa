"""Tables of other people's DuckDB databases, only ever read.

What belongs here: opening a database read-only and fetching one table or query. What does not: what its columns mean.
"""

from pathlib import Path
from typing import Any

import polars as pl

from forecast_assets.errors import SourceError, first_ten


def read_database(path: Path, *, table: str | None = None, query: str | None = None) -> pl.DataFrame:
    """Fetch one table, or the result of one query, of a DuckDB database.

    Args:
        path: The database.
        table: Name of a table or view, with its schema if it needs one.
        query: SQL; give one of the two.

    Raises:
        SourceError: If the database cannot be opened, or has no such table, or the query fails.
    """
    import duckdb

    if not path.is_file():
        raise SourceError(f"There is no database {path}.", remedy="Correct `database` in the mapping.")
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise SourceError(
            f"{path} cannot be opened: {_first_line(error)}",
            remedy="Close the program that writes to it, or give a copy; and make sure that it is a DuckDB database.",
        ) from error
    with connection:
        try:
            relation = connection.table(table) if table else connection.sql(query or "")
            if relation is None:
                raise SourceError(f"The query for {path} returns no rows.", remedy="Write `query` as one SELECT.")
            return pl.DataFrame(relation.to_arrow_table())
        except duckdb.CatalogException as error:
            found = first_ten(_tables(connection)) or "nothing"
            raise SourceError(
                f"{path} lacks what the mapping names: {_first_line(error)} Found: {found}.",
                remedy="Correct `table` or `query` in the mapping.",
            ) from error
        except duckdb.Error as error:
            raise SourceError(
                f"{path} cannot be read: {_first_line(error)}", remedy="Write `query` as one SELECT."
            ) from error


def _tables(connection: Any) -> list[str]:
    """Return the names of all tables and views, with their schemas where these are not `main`."""
    rows = connection.sql("SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL").fetchall()
    return [name if schema == "main" else f"{schema}.{name}" for schema, name in rows]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

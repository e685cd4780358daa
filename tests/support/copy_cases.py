"""Databases that runs are copied to, runs by hand, and how a copy is spoiled.

What belongs here: what tests of the operational copy share. What does not: what they ask of it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.keys import RunKey
from resources.operational_copy.databases import SQLITE, CopyDatabase, copy_database
from resources.operational_copy.layout import row_order
from resources.operational_copy.writing import RunToCopy
from tests.support.mirrors import postgresql, require
from tests.support.store_cases import product_frame

LEDGER = "ab" * 32
PUBLISHED_AT = datetime(2025, 7, 1, 8, tzinfo=UTC)


class Target:
    """A database by the name of its kind, with what somebody else does to it."""

    def __init__(self, kind: str, address: str, path: Path) -> None:
        self.kind, self.address, self.path = kind, address, path
        # Of tables, as that kind names them.
        self.schema = "" if kind == SQLITE else "operational_copy."
        self.setting = SQLITE if kind == SQLITE else address

    @property
    def database(self) -> CopyDatabase:
        return copy_database(self.setting, self.path)

    def run(self, statement: str, *names: object) -> list[Any]:
        """Run a statement as somebody else; `{0}` stands for where the tables are, `{1}` for the first name."""
        query = statement.format(self.schema, *names)
        if self.kind == SQLITE:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                return connection.execute(query).fetchall()
        import psycopg

        with psycopg.connect(self.address, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def column(self, name: str) -> str:
        """A column of units, as the tables of that kind call it."""
        return f"{name}_millionths" if self.kind == SQLITE else name

    def view(self, version: str, name: str) -> str:
        return f'"{version}.{name}"' if self.kind == SQLITE else f'"{version}".{name}'


@pytest.fixture(scope="session")
def copy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require(find_spec("psycopg"), "psycopg")
    with postgresql(tmp_path_factory.mktemp("copies") / "postgresql") as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    path = tmp_path / "copy" / "copy.sqlite"
    if request.param == SQLITE:
        return Target(SQLITE, "", path)
    return new_database(request.getfixturevalue("copy_server"), path)


def new_database(server: str, path: Path) -> Target:
    import psycopg

    name = f"copy_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return Target("postgresql", f"{server.rsplit('/', 1)[0]}/{name}", path)


def frames_of(key: RunKey, units: int = 4) -> dict[str, pl.DataFrame]:
    """Return every product of a run, in the order of its key."""
    return {name: product_frame(name, key, units).sort(row_order(name)) for name in PUBLISHED}


def run_to_copy(key: RunKey, frames: dict[str, pl.DataFrame] | None = None, size: int = 5) -> RunToCopy:
    """Return a run of rows by hand, which come a few at a time."""
    rows = frames_of(key) if frames is None else frames
    return RunToCopy(
        key,
        7,
        PUBLISHED_AT,
        {name: f"version of {name} of {key}" for name in rows},
        {name: frame.height for name, frame in rows.items()},
        lambda name: rows[name].iter_slices(size),
    )


def read_back(database: CopyDatabase, key: RunKey, product: str) -> pl.DataFrame:
    with database.reading(LEDGER) as reader:
        assert reader is not None
        return pl.concat([*reader.rows(product, key)] or [pl.DataFrame(schema=PRODUCTS[product].schema)])

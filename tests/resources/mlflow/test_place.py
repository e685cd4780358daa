"""Where a mirror is, and what is made of databases and servers that are not as they should be."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from forecast_assets.core.errors import InputError, MirrorConflictError, MirrorUnavailableError
from forecast_assets.settings import Settings
from resources.mlflow import place as places
from resources.mlflow.place import SEED, SEED_RELEASE, MirrorPlace, line_without_password, prepare
from tests.support.mirrors import free_port

# MLflow makes a database by all its migrations, in a process of its own.
MAKE = """
import sys
from mlflow.tracking import MlflowClient
MlflowClient(sys.argv[1], sys.argv[1]).search_experiments()
"""


def embedded(folder: Path) -> MirrorPlace:
    return MirrorPlace(folder / "mlflow", "forecast-assets")


def in_order(statement: str) -> tuple[str, ...]:
    """A statement's clauses, and what a column may be, in order: MLflow writes sets in that of a process's hashes."""
    ordered = re.sub(r"IN \(([^)]*)\)", lambda found: f"IN ({', '.join(sorted(found[1].split(', ')))})", statement)
    return tuple(sorted(re.split(r", (?=CONSTRAINT |FOREIGN KEY|CHECK )", ordered.removesuffix(" )"))))


def schema(database: Path) -> set[tuple[str, tuple[str, ...]]]:
    """Tables and indexes as they are made, without the layout of the text."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(name, in_order(" ".join(sql.split()))) for name, sql in rows}


@pytest.mark.timeout(600)
def test_the_ready_database_is_the_one_that_mlflow_makes(tmp_path: Path) -> None:
    """A new release of MLflow fails here until the ready database is made anew."""
    assert version("mlflow-skinny") == SEED_RELEASE
    made = tmp_path / "made.db"
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", MAKE, f"sqlite:///{made}"], check=True, cwd=tmp_path, env=environment)
    place = embedded(tmp_path)
    prepare(place)
    assert schema(place.database) == schema(made)
    with closing(sqlite3.connect(made)) as theirs, closing(sqlite3.connect(place.database)) as ours:
        for table in ("alembic_version", "workspaces"):
            query = f"SELECT * FROM {table}"  # noqa: S608 - two names that stand here
            assert ours.execute(query).fetchall() == theirs.execute(query).fetchall()
        assert ours.execute("SELECT count(*) FROM experiments").fetchone() == (0,)


def test_a_ready_database_is_there_at_once_and_stays(tmp_path: Path) -> None:
    place = embedded(tmp_path)
    # What it takes to load libraries is not what is measured.
    prepare(MirrorPlace(tmp_path / "before", "m"))
    started = time.process_time()
    prepare(place)
    assert time.process_time() - started < 3
    inode = place.database.stat().st_ino
    prepare(place)
    assert place.database.stat().st_ino == inode
    assert [each.name for each in place.folder.iterdir()] == ["mlflow.db"]


def test_of_two_at_once_one_database_stays(tmp_path: Path) -> None:
    place = embedded(tmp_path)
    both = [threading.Thread(target=prepare, args=(place,)) for _ in range(4)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [each.name for each in place.folder.iterdir()] == ["mlflow.db"]
    assert "alembic_version" in {name for name, _ in schema(place.database)}


def test_of_another_release_mlflow_makes_its_own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SEED_RELEASE", "0.0.1")
    place = embedded(tmp_path)
    prepare(place)
    assert schema(place.database) == set()


@pytest.mark.parametrize("found", ["0a8213491aaa", "ffffffffffff"])
def test_a_database_of_another_release_is_refused_and_not_changed(tmp_path: Path, found: str) -> None:
    place = embedded(tmp_path)
    prepare(place)
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (found,))
    before = place.database.read_bytes()
    with pytest.raises(MirrorConflictError, match=f"another release of MLflow .its schema is {found}") as refused:
        prepare(place)
    assert "Move `" in str(refused.value)
    assert place.database.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    place = embedded(tmp_path)
    place.folder.mkdir()
    place.database.write_bytes(b"not a database at all" * 100)
    with pytest.raises(MirrorUnavailableError, match="file is not a database"):
        prepare(place)
    assert place.database.read_bytes() == b"not a database at all" * 100


def test_a_server_that_is_down_is_told_soon_and_without_its_password(tmp_path: Path) -> None:
    place = MirrorPlace(tmp_path, "m", f"http://ana:secret@127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(MirrorUnavailableError, match="does not answer") as refused:
        prepare(place)
    assert time.monotonic() - started < 20
    assert "secret" not in str(refused.value)
    assert "`mlflow sync`" in str(refused.value)


def test_a_database_server_that_is_down_is_told_soon_and_without_its_password(tmp_path: Path) -> None:
    place = MirrorPlace(tmp_path, "m", f"postgresql://ana:secret@127.0.0.1:{free_port()}/mlflow")
    started = time.monotonic()
    with pytest.raises(MirrorUnavailableError, match="cannot be opened") as refused:
        prepare(place)
    assert time.monotonic() - started < 20
    assert "secret" not in str(refused.value)


def test_without_a_driver_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match="needs the library `psycopg`") as refused:
        prepare(MirrorPlace(tmp_path, "m", "postgresql://127.0.0.1:1/mlflow"))
    assert 'pip install "psycopg[binary]"' in str(refused.value)


def test_passwords_are_not_told() -> None:
    assert (
        line_without_password(ValueError("at postgresql://ana:secret@db/x:\nmore")) == "at postgresql://ana:***@db/x:"
    )
    assert line_without_password(ValueError()) == "ValueError"


@pytest.mark.parametrize("address", ["ftp://x/y", "mysql://x/y", "sqlite:///x", "databricks", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="mlflow_uri"):
        Settings(mlflow_uri=address)


def test_the_ready_database_names_no_machine() -> None:
    text = SEED.read_text()
    assert len(text) < 100_000
    assert "INSERT INTO" in text
    assert "/" not in "".join(line for line in text.splitlines() if line.startswith("INSERT"))

"""Homes to be backed up: a small store, databases that services write to, and archived events."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from forecast_assets.settings import Settings
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import ingest, publish, register, run_key

EVENTS = "serving/events/date=2025-01-01"


def settings_of(home: Path, **given: Any) -> Settings:
    return Settings(**{"home": home, "mlflow": False, **given})


def stores_of(settings: Settings) -> Stores:
    return open_stores(settings.store, settings.mirror_folder)


def small_home(home: Path, runs: int = 2, **given: Any) -> Settings:
    """A home with so many published runs, a champion, and what else cannot be made again."""
    settings = settings_of(home, **given)
    stores = stores_of(settings)
    ingest(stores)
    register(stores)
    for day in range(runs):
        publish(stores, run_key(day), 4 + day)
    stores.registry.promote("stat-1", by="ana", reason="first")
    say(settings, "the first")
    archive(settings, b"events of a day")
    return settings


def say(settings: Settings, what: str, database: str = "operational") -> None:
    """Keep something in a database of the home, as services do."""
    path = settings.operational_path.with_name(f"{database}.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS said (what TEXT)")
        connection.execute("INSERT INTO said VALUES (?)", (what,))


def said(home: Path, database: str = "operational") -> list[str]:
    """Return what a database of a home has."""
    with closing(sqlite3.connect(home / "operational" / f"{database}.sqlite")) as connection:
        return [what for (what,) in connection.execute("SELECT what FROM said ORDER BY rowid")]


def archive(settings: Settings, data: bytes) -> Path:
    """Leave a file of archived events."""
    path = settings.events_folder.parent.parent / EVENTS / f"{hashlib.sha256(data).hexdigest()}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def tree(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, without what is not finished."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and "scratch" not in path.relative_to(folder).parts
    }


def content(stores: Stores) -> dict[str, str]:
    """Return the SHA-256 of every file that counts in a store, by path: nothing unfinished."""
    return {
        blob.path: stores.blobs.hash_of(blob.path)
        for blob in stores.blobs.everything()
        if not blob.path.startswith("scratch/")
    }


def no_pages(*_: Any) -> dict[str, bytes]:
    return {}

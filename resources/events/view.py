"""The DuckDB view over the archive: `operational.prediction_events`.

What belongs here: the file that holds it. What does not: the archive's files.

The view is in a file of its own. A catalogue shows one position of the ledger for good, and events are in no ledger:
this view shows what the archive has when it is asked.
"""

from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb

from resources.catalogue.build import STORAGE_VERSION
from resources.events.archive import COLUMNS, EventArchive, empty_file
from resources.store.files import sync, write_whole
from resources.store.sql import file_pattern, identifier, text

# DuckDB names a database after its file.
NAME: Final = "operational.duckdb"
_VIEW: Final = "prediction_events"


def build_view(archive: EventArchive, path: Path) -> Path:
    """Write the file that holds the view, if it is not there; return its path.

    Args:
        archive: What it shows.
        path: Of the file.

    Raises:
        OSError: If it cannot be written.
    """
    # Without any file there would be no columns.
    empty = archive.folder / "empty" / "empty.parquet"
    if not empty.exists():
        write_whole(empty, empty_file())
        sync(empty.parent)
    if path.exists():
        return path
    scratch = path.with_name(f".{path.name}-{uuid4().hex}")
    source = f"read_parquet({file_pattern(archive.folder, '*/*.parquet')}, hive_partitioning=false)"
    try:
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH {text(scratch)} AS built (STORAGE_VERSION '{STORAGE_VERSION}')")
            connection.execute(f"CREATE VIEW built.{_VIEW} AS SELECT {', '.join(COLUMNS)} FROM {source}")  # noqa: S608
            what = "Predictions that were answered in real time, days that are over. Grain: one event."
            connection.execute(f"COMMENT ON VIEW built.{_VIEW} IS {text(what)}")
            for column, words in COLUMNS.items():
                connection.execute(f"COMMENT ON COLUMN built.{_VIEW}.{identifier(column)} IS {text(words)}")
            connection.execute("DETACH built")
        scratch.chmod(0o444)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path

"""Files of anomaly models that were trained on this home: which bytes may be loaded.

What belongs here: registering a file by its hash, and looking it up. What does not: what is in the file.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Final

from resources.operational.opening import operational_rows, operational_store

_NAME: Final = "model_files"
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    detector TEXT NOT NULL,
    features TEXT NOT NULL,
    trained_at TEXT NOT NULL,
    data_sha256 TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True)
class ModelFile:
    """A file that was registered.

    Attributes:
        sha256: Of its bytes.
        name: Of the model.
        path: Where it was written, absolute.
        detector: Name of the method.
        features: Names, in the order of training, parted by commas; one with a comma in it between quotes.
        trained_at: ISO 8601, UTC.
        data_sha256: Of the file that it was trained on.
    """

    sha256: str
    name: str
    path: str
    detector: str
    features: str
    trained_at: str
    data_sha256: str


_COLUMNS: Final = tuple(each.name for each in fields(ModelFile))


def register_model_file(store: Path, file: ModelFile) -> None:
    """Register a file; the same bytes again only move it to where they are now.

    Raises:
        StorageError: If the store cannot be written.
    """
    places = ", ".join("?" * len(_COLUMNS))
    with operational_store(store, _TABLE) as connection:
        connection.execute(f"INSERT OR REPLACE INTO {_NAME} VALUES ({places})", astuple(file))  # noqa: S608


def registered_model_files(store: Path) -> Sequence[ModelFile]:
    """Return all files, the one trained last first."""
    with operational_rows(store, _NAME) as connection:
        if connection is None:
            return ()
        found = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM {_NAME} ORDER BY trained_at DESC, sha256"  # noqa: S608
        ).fetchall()
    return tuple(ModelFile(*row) for row in found)

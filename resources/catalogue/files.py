"""Where catalogues are: one name for tools to open, and a folder for each catalogue that was built.

What belongs here: names and places of catalogues, and removing one. What does not: what is in a catalogue.

DuckDB names a database after its file, and since 2.0 after the file that a symbolic link leads to; tools save that name
with every query. So each catalogue is a file of one name in a folder of its own, and the link has the same name.
"""

import shutil
from pathlib import Path
from typing import Final

# The link, and the file in each folder.
NAME: Final = "catalogue.duckdb"


def catalogue_files(folder: Path) -> list[Path]:
    """Return the catalogues in a folder, also those that earlier releases built, which lie in no folder of their own.

    Args:
        folder: Where catalogues live.
    """
    return sorted([*folder.glob(f"catalogue-*/{NAME}"), *folder.glob("catalogue-*.duckdb")])


def unfinished(folder: Path) -> list[Path]:
    """Return what builds that were killed left, files, links and folders."""
    return sorted(folder.glob(".catalogue*"))


def remove(path: Path) -> None:
    """Remove a catalogue with its folder, or what is left of a build; a connection keeps what it has open."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    if path.name == NAME:
        shutil.rmtree(path.parent, ignore_errors=True)

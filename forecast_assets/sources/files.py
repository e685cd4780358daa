"""Source folders and files: opened with errors that say what is wrong, written all or nothing.

What belongs here: folders, files, columns and types. What does not: what any format means.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from forecast_assets.core.actions import Sentence
from forecast_assets.core.errors import SourceError, StorageError, first_ten


def require_folder(folder: Path, files: Iterable[str], what: str | Sentence) -> None:
    """Refuse a folder that lacks files.

    Raises:
        SourceError: Naming the folder or the files that are missing.
    """
    if not folder.is_dir():
        remedy = Sentence("Give the folder that holds ", what, ".")
        raise SourceError(f"There is no folder {folder}.", remedy=remedy, folder=folder)
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        found = sorted(path.name for path in folder.iterdir())
        raise SourceError(
            f"{folder} lacks {first_ten(missing)}. Found: {first_ten(found) or 'nothing'}.",
            remedy=Sentence("Give the folder that holds ", what, ", complete."),
            folder=folder,
            missing=missing,
        )


def require_single(path: Path, columns: Iterable[str], wanted: Iterable[str] | None = None) -> None:
    """Refuse a CSV in whose line of names a column comes twice, of which only one would be read.

    Args:
        path: The file.
        columns: Its columns as Polars names them: the second `a` is `a_duplicated_0`.
        wanted: Columns that matter; all of them if it is None.

    Raises:
        SourceError: Naming the columns.
    """
    found = list(dict.fromkeys(columns))
    twice = [name for name in found if f"{name}_duplicated_0" in found and (wanted is None or name in set(wanted))]
    if twice:
        raise SourceError(
            f"{path} has columns of the same name: {first_ten(twice)}.",
            remedy="Keep one of each, or rename the other in the first line.",
        )


def scan_parquet(path: Path, schema: Mapping[str, Any]) -> pl.LazyFrame:
    """Open a Parquet file lazily, with exactly the columns of `schema`, in its order.

    Args:
        path: The file.
        schema: Column names to Polars types, or to a tuple of types each of which will do.

    Raises:
        SourceError: If the file is not Parquet, lacks columns, or has columns of other types.
    """
    frame = pl.scan_parquet(path, glob=False)
    try:
        found = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as Parquet: {error}.", remedy="Copy or download it again; it may be cut short."
        ) from error
    missing = [name for name in schema if name not in found]
    if missing:
        raise SourceError(
            f"{path.name} lacks the columns {missing}. Found: {found.names()}.",
            remedy=f"Add them to {path}, or give a file that has them.",
        )
    wrong = [
        f"{name} is {found[name]}, not {_named(schema[name])}"
        for name in schema
        if found[name] not in _all(schema[name])
    ]
    if wrong:
        raise SourceError(
            f"{path.name} has columns of other types: {first_ten(wrong)}.", remedy=f"Write {path} with these types."
        )
    return frame.select(list(schema))


def write_folder(folder: Path, label: str, facts: Mapping[str, Any], write: Callable[[Path], None]) -> bool:
    """Write a folder all or nothing, unless it is there already.

    Args:
        folder: New or empty; or one written before from the same facts, which is left as it is.
        label: Name of the JSON file that holds the facts.
        facts: What the content follows from.
        write: Called with an empty folder to fill, the label included.

    Returns:
        Whether it was written; False if it was there already.

    Raises:
        SourceError: If the folder holds anything else.
        StorageError: If it cannot be written.
    """
    if _is_labelled(folder / label, facts):
        return False
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SourceError(
            f"{folder} already holds something else, which is never mixed with or replaced.",
            remedy="Choose a new folder, or remove this one first.",
        )
    try:
        _install(folder, write)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be written: {error}.",
            remedy="Free space, or choose a folder that you may write to; nothing was left there.",
        ) from error
    return True


def _install(folder: Path, write: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        write(draft)
        # A rename replaces an empty folder in one step.
        draft.rename(folder)


def _is_labelled(path: Path, facts: Mapping[str, Any]) -> bool:
    if not path.is_file():
        return False
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return False
    return isinstance(found, dict) and all(found.get(name) == fact for name, fact in facts.items())


def _all(types: Any) -> tuple[Any, ...]:
    return types if isinstance(types, tuple) else (types,)


def _named(types: Any) -> str:
    return " or ".join(str(one) for one in _all(types))

"""The BI catalogue: DuckDB files that hold nothing but views over what the ledger has published.

What belongs here: building catalogues and swapping them safely. What does not: the SQL of the views, and data. A
catalogue, and the small Parquet files that its audit views read, can be thrown away and made again at any time.

Each build makes a new file in a folder of its own, read-only on disk, and moves a symbolic link. Replacing the file
itself would not be safe: a client that is connected read-write leaves a write-ahead log which DuckDB would replay onto
the new file.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, StorageError
from forecast_assets.core.spans import span
from resources.catalogue.audit import AuditRows
from resources.catalogue.files import NAME, catalogue_files, remove, unfinished
from resources.catalogue.views import statements
from resources.store.blobs import sha256, translated
from resources.store.sql import text
from resources.stores.products import PredictionStore

# Every DuckDB driver since 1.0 opens files of this storage version.
STORAGE_VERSION: Final = "v1.0.0"
# Rows of the audit views, below the folder of catalogues.
ROWS: Final = "rows"

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


def refresh_catalogue(store: PredictionStore, folder: Path, connect: Connect = duckdb.connect) -> Path:
    """Build the catalogue of the ledger's head after something was recorded; where it is there, only look.

    Args:
        store: Where the ledger and the files are.
        folder: Where catalogues live.
        connect: Opens an in-memory DuckDB connection; called if there is something to build.

    Returns:
        The catalogue file that `catalogue.duckdb` points at.

    Raises:
        StorageError: If it cannot be built; what is recorded stays so.
    """
    try:
        with span("catalogue"):
            return _refreshed(store, folder, connect, anew=False)
    except (duckdb.Error, StorageError) as error:
        # Its own remedy is for what records something, and may say that nothing was.
        what = error.message if isinstance(error, StorageError) else str(error)
        raise StorageError(
            Sentence("What is recorded stays, but the BI catalogue could not be built: ", what),
            remedy=Sentence("Then: ", Action("catalogue")),
        ) from error


def build_catalogue(
    store: PredictionStore, folder: Path, connection: duckdb.DuckDBPyConnection, *, anew: bool = False
) -> Path:
    """Build the catalogue of the ledger's head and point `catalogue.duckdb` at it.

    Args:
        store: Where the ledger and the files are.
        folder: Where catalogues live.
        connection: An in-memory DuckDB connection to build with.
        anew: Whether to build it, and the rows of its audit views, also where they are there.

    Returns:
        The catalogue file. The link beside it already points there.

    Raises:
        StorageError: If the folder cannot be written.
    """
    return _refreshed(store, folder, lambda: nullcontext(connection), anew=anew)


def write_catalogue(store: PredictionStore, out: Path, connection: duckdb.DuckDBPyConnection) -> Path:
    """Write a catalogue of its own: of a past position of the ledger, say. No link points at it, nothing follows it.

    Args:
        store: Where the ledger and the files are, perhaps as of a past position.
        out: The new file.
        connection: An in-memory DuckDB connection to build with.

    Returns:
        The folder beside the file with the rows of its audit views; both belong together.

    Raises:
        InputError: If the file is there, or its folder is not.
        StorageError: If it cannot be written.
    """
    if out.exists():
        raise InputError(f"`{out}` exists.", remedy="Choose another name, or remove it first.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"The folder `{out.parent}` does not exist.", remedy="Create it first.")
    folder = out.absolute().with_name(f"{out.name}.{ROWS}")
    with translated(out):
        _build_file(list(statements(store, AuditRows(store, folder))), out.absolute(), connection)
    return folder


def superseded_files(folder: Path, before: datetime) -> list[Path]:
    """Return old catalogues, rows of audit views that no other catalogue names, and what killed builds left.

    A connection keeps a catalogue that is removed, but opens the files that its views name when it is asked. So all
    that a connection needs stays if it was opened at that moment or later.

    Args:
        folder: Where catalogues live.
        before: Catalogues that another one took the place of before that moment may go, and files written before it.
    """
    present = (folder / NAME).resolve()
    moment = before.timestamp()
    built = sorted(((path.stat().st_mtime, path) for path in catalogue_files(folder)), reverse=True)
    # The newest that was built before then was still being opened.
    going = [path for at, path in [one for one in built if one[0] < moment][1:] if path.resolve() != present]
    torn = [path for path in unfinished(folder) if path.lstat().st_mtime < moment]
    named = _rows_named([path for _, path in built if path not in going])
    rows = [] if named is None else [path for path in (folder / ROWS).glob("*.parquet*") if path.name not in named]
    return sorted([*going, *torn, *(path for path in rows if path.stat().st_mtime < moment)])


def _rows_named(catalogues: Iterable[Path]) -> set[str] | None:
    """Return the names of all files of rows that catalogues read; None if one of them cannot be asked."""
    named: set[str] = set()
    for path in catalogues:
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                sql = connection.execute("SELECT sql FROM duckdb_views() WHERE schema_name = 'audit'").fetchall()
        except duckdb.Error:
            return None
        named |= {name for (sql,) in sql for name in re.findall(rf"/{ROWS}/([^/']+)'", sql)}
    return named


def _refreshed(store: PredictionStore, folder: Path, connect: Connect, *, anew: bool) -> Path:
    while True:
        with translated(folder):
            rows = AuditRows(store, folder / ROWS, anew=anew)
            sequence = rows.state.sequence
            target = _built(list(statements(store, rows)), sequence, folder, None if anew else folder / NAME, connect)
            with _exclusive_lock(folder):
                # Another publication came in between: its catalogue must not be hidden behind this one.
                if store.ledger.state().sequence == sequence:
                    _point(folder / NAME, target)
                    return target
                if target != (folder / NAME).resolve():
                    remove(target)


def _built(sql: Sequence[str], sequence: int, folder: Path, present: Path | None, connect: Connect) -> Path:
    """Return a catalogue file that says this: the one that the present link points at, if it is that, or a new one.

    Its name holds a hash of all it says, head and paths of files among it: a store that was made anew, cut or moved has
    another catalogue, even if it has as many entries.
    """
    content = sha256("\n".join(sql).encode())
    name = f"catalogue-{sequence:012d}-{content[:12]}"
    if present is not None and _is_as_built(present, name):
        return present.resolve()
    # A name of its own: nobody may have left a write-ahead log for it, and of two builders at once both are right.
    finished = folder / f"{name}-{uuid4().hex[:8]}"
    draft = folder / f".{finished.name}"
    draft.mkdir()
    try:
        with connect() as connection:
            _build_file(sql, draft / NAME, connection)
        draft.rename(finished)
    finally:
        remove(draft)
    return finished / NAME


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the ledger and move the link: of two, the later must not show the earlier."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        # Not every file system has locks; a link that went back there is mended by the next build.
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _is_as_built(link: Path, name: str) -> bool:
    """Return whether the link points at a file of that name to which nobody has written since.

    Whoever may write to everything may also open a read-only file to write.
    """
    target = link.resolve()
    is_named = target.name == NAME and target.parent.name.startswith(f"{name}-")
    if not (link.is_symlink() and is_named and target.exists()):
        return False
    return not _log(target).exists() and target.stat().st_mtime_ns <= link.lstat().st_mtime_ns


def _log(target: Path) -> Path:
    return target.with_name(f"{target.name}.wal")


def _build_file(sql: Iterable[str], target: Path, connection: duckdb.DuckDBPyConnection) -> None:
    scratch = target.with_name(f".{target.name}")
    try:
        connection.execute(f"ATTACH {text(scratch)} AS built (STORAGE_VERSION '{STORAGE_VERSION}')")
        try:
            # One transaction: alone, every statement would wait for the disk.
            connection.begin()
            for statement in sql:
                connection.execute(statement)
            connection.commit()
            connection.execute("CHECKPOINT built")
        except BaseException:
            # What failed is to be told, not that its transaction stands in the way of detaching.
            with suppress(duckdb.Error):
                connection.rollback()
            raise
        finally:
            connection.execute("DETACH built")
        scratch.chmod(0o444)
        scratch.rename(target)
    finally:
        scratch.unlink(missing_ok=True)
        _log(scratch).unlink(missing_ok=True)


def _point(link: Path, target: Path) -> None:
    place = Path(target.parent.name, target.name)
    if link.is_symlink() and link.readlink() == place:
        return
    scratch = link.with_name(f".{link.name}-{uuid4().hex[:8]}")
    try:
        scratch.symlink_to(place)
        scratch.replace(link)
    finally:
        scratch.unlink(missing_ok=True)

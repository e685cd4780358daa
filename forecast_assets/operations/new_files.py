"""Files that commands write for people: new, of a known format, and whole or not there.

What belongs here: refusing names, and the move into place. What does not: what is in a file.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import polars as pl

from forecast_assets.core.errors import InputError, StorageError, first_ten
from forecast_assets.core.spreadsheets import without_formulas
from resources.store.blobs import translated

# Endings of files of rows.
FRAMES: Final = (".parquet", ".csv")
# Columns of published rows with what people wrote.
_WORDS: Final = ("by", "note", "scope")


def write_frame(frame: pl.DataFrame, out: Path) -> None:
    """Write rows to a new file, by its ending.

    Raises:
        InputError: If the name has none of `FRAMES` as its ending, the file exists, or its folder does not.
        StorageError: If the disk refuses.
    """
    with new_file(out, FRAMES) as scratch:
        if out.suffix == ".parquet":
            frame.write_parquet(scratch)
        else:
            without_formulas(frame, [name for name in _WORDS if name in frame.columns]).write_csv(scratch)


@contextmanager
def new_file(out: Path, formats: Sequence[str]) -> Iterator[Path]:
    """Yield where to write a file that appears under its name when the block ends well, and not at all otherwise.

    Args:
        out: Name of the file.
        formats: Endings that it may have, such as `.csv`.

    Raises:
        InputError: If the name has none of the endings, the file exists, or its folder does not.
        StorageError: If the disk refuses.
    """
    require_new(out, formats)
    with whole_file(out) as scratch:
        yield scratch


@contextmanager
def whole_file(out: Path) -> Iterator[Path]:
    """Yield where to write a file that takes its name, and the place of what had it, when the block ends well.

    Args:
        out: Name of the file.

    Raises:
        StorageError: If the disk refuses.
    """
    scratch = _scratch(out)
    with translated(out):
        try:
            yield scratch
            scratch.replace(out)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def whole_files(outs: Sequence[Path], *, overwrite: bool) -> Iterator[Sequence[Path]]:
    """Yield where to write files that belong together, and take their names when the block ends well, in their order.

    The last tells that all are there: one that it replaces goes before the others come. Of several processes that end
    at once each names all its files before the next does.

    Args:
        outs: Names of the files, in one folder.
        overwrite: Whether what has got such a name meanwhile is replaced.

    Raises:
        InputError: If it is not, and something has.
        StorageError: If the disk refuses.
    """
    scratches = [_scratch(out) for out in outs]
    with translated(outs[-1]):
        try:
            yield scratches
            with _one_at_a_time(outs[-1].parent):
                _require_free(outs, overwrite=overwrite)
                outs[-1].unlink(missing_ok=True)
                for scratch, out in zip(scratches, outs, strict=True):
                    scratch.replace(out)
        finally:
            for scratch in scratches:
                scratch.unlink(missing_ok=True)


def _scratch(out: Path) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}")


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for other processes that name files in a folder, where its disk has such locks."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def require_text(path: Path) -> None:
    """Refuse a name whose bytes are no text: no library that reads or writes files takes it.

    Raises:
        InputError: If so.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The name {str(path)!a} is not UTF-8.", remedy="Rename it.") from error


def require_name(out: Path) -> None:
    """Refuse what names a folder by where it is, such as `.` and `..`, where a name of a file is wanted.

    Raises:
        InputError: If so.
    """
    if out.name in ("", ".."):
        raise InputError(f"`{out}` is no name of a file.", remedy=f"Name one in it, such as {out / 'scores'}.")


def require_place(outs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse names that are taken, unless they may be, before the work that would end in them.

    Raises:
        InputError: If a file exists, the folder does not, or a name is too long for its disk.
        StorageError: If the folder cannot be written.
    """
    folder = outs[0].absolute().parent
    if not folder.is_dir():
        raise InputError(f"The folder `{outs[0].parent}` does not exist.", remedy="Create it first.")
    too_long = [out.name for out in outs if len(os.fsencode(_scratch(out).name)) > os.pathconf(folder, "PC_NAME_MAX")]
    if too_long:
        raise InputError(f"The name `{too_long[0]}` is too long for this disk.", remedy="Choose a shorter one.")
    _require_free(outs, overwrite=overwrite)
    if not os.access(folder, os.W_OK):
        raise StorageError(
            f"Not permitted to write into `{folder}`.", remedy="Make it writable for this user, or choose another."
        )


def _require_free(outs: Sequence[Path], *, overwrite: bool) -> None:
    # A link that leads nowhere is there too.
    there = [out for out in outs if os.path.lexists(out)]
    taken = [str(out) for out in there if not (overwrite and (out.is_file() or out.is_symlink()))]
    if taken:
        other = "" if overwrite else ", or give --overwrite to replace what is there"
        raise InputError(
            f"{first_ten(taken)} {'exists' if len(taken) == 1 else 'exist'}{' and is no file' if overwrite else ''}.",
            remedy=f"Choose another name{other}.",
            taken=taken,
        )


def require_new(out: Path, formats: Sequence[str]) -> None:
    """Refuse a name before the work that would end in it.

    Raises:
        InputError: If the name has none of the endings, the file exists, or its folder does not.
    """
    if out.suffix not in formats:
        raise InputError(f"`{out}` has no known format.", remedy=f"End it in {' or '.join(formats)}.")
    if out.exists():
        raise InputError(f"`{out}` exists.", remedy="Choose another name, or remove it first.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"The folder `{out.parent}` does not exist.", remedy="Create it first.")

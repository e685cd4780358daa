"""Failures of the disk and of stored files that surface inside libraries, as the project's own errors.

What belongs here: telling what a library's error means to an operator. What does not: errors raised on purpose.

Stores translate what they do themselves. Lazy scans, Dagster's database and writers of export files touch the disk deep
inside libraries, each with an error of its own; here is the one place where those become the project's own, with a
remedy, for every door.
"""

import errno
from typing import Final

from forecast_assets.core.errors import ChangedFileError, ForecastAssetsError, InputError, StorageError, first_line

_DISK: Final = frozenset({errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EIO, errno.EFBIG})
_DISK_WORDS: Final = (
    "No space left", "Read-only file system", "Permission denied", "readonly database", "disk is full",
    "disk I/O error", "unable to open database file", "os error 28", "os error 30", "os error 13",
)  # fmt: skip
# What the Parquet readers of Polars, Arrow and DuckDB say of a file that is cut, changed or gone.
_FILE_WORDS: Final = (
    "out of specification", "parquet", "No such file or directory", "invalid thrift", "snappy",
    "zstd", "magic bytes",
)  # fmt: skip
_FILE_LIBRARIES: Final = ("polars", "pyarrow", "duckdb")


def as_own_error(error: BaseException) -> ForecastAssetsError | None:
    """Return what a library's error, or one that caused it, means to an operator; None for what is a defect.

    Args:
        error: Not one of the project's own.
    """
    for cause in _causes(error):
        if isinstance(cause, ForecastAssetsError):
            return cause
        if isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG:
            return InputError("A name is too long for this disk.", remedy="Give a shorter one.")
        if _is_disk(cause):
            return StorageError(
                f"The disk refused: {first_line(cause)}.",
                remedy="Free space or make the folder writable for this user, then run the same command again; what "
                "is published stays as it is.",
            )
        if _is_stored_file(cause):
            return ChangedFileError(
                f"A stored file cannot be read: {first_line(cause)}.",
                remedy="It is missing, cut or changed since it was written: restore it from a backup.",
            )
    return None


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (inner := found[-1].__cause__ or found[-1].__context__) is not None and inner not in found:
        found.append(inner)
    return found


def _is_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _DISK:
        return True
    return any(word in str(error) for word in _DISK_WORDS)


def _is_stored_file(error: BaseException) -> bool:
    is_library = type(error).__module__.split(".")[0].lstrip("_") in _FILE_LIBRARIES
    if not (is_library or isinstance(error, FileNotFoundError)):
        return False
    return ".parquet" in str(error) or any(word in str(error) for word in _FILE_WORDS)

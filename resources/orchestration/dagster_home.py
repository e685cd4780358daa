"""Dagster's own state below the home folder: its instance, and what it remembers of runs.

What belongs here: opening the instance, which runs are under way, runs whose process was killed, writing the history
quickly, and what to do when it cannot be written. What does not: launching anything.

Dagster's history is for people: what is published follows from the ledger alone.
"""

import errno
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import dagster as dg

from forecast_assets.core.errors import StorageError
from resources.store.blobs import translated

# Which process runs a job, so that one that was killed can be told from one that works.
PROCESS_TAG: Final = "forecast_assets/process"

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
# The second is how a backfill that was launched in the UI names the partition of each of its runs.
_PARTITION_TAGS: Final = ("dagster/partition", "dagster/asset_partition_range_start")
# Runs of assets that were chosen by hand.
_BY_HAND: Final = "__ASSET_JOB"
_RUN_KEY_TAG: Final = "dagster/run_key"
_UNFINISHED: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
)


@dataclass(frozen=True)
class Launches:
    """What Dagster remembers of the runs of one job.

    Attributes:
        instance: Dagster's instance.
        job: Name of the job.
    """

    instance: dg.DagsterInstance
    job: str

    def is_under_way(self, request: dg.RunRequest) -> bool:
        """Whether a run of the request's partition waits or works, whoever launched it."""
        close_runs_of_dead_processes(self.instance)
        unfinished = self.instance.get_runs(dg.RunsFilter(statuses=list(_UNFINISHED)))
        partition = str(request.partition_key)
        return any(run.job_name in {self.job, _BY_HAND} and partition in _partitions_of(run) for run in unfinished)

    def is_job_under_way(self) -> bool:
        """Whether any run of the job waits or works."""
        close_runs_of_dead_processes(self.instance)
        unfinished = dg.RunsFilter(job_name=self.job, statuses=list(_UNFINISHED))
        return bool(self.instance.get_runs(unfinished, limit=1))

    def has_run(self, request: dg.RunRequest) -> bool:
        """Whether this very request was launched before."""
        tags = {_RUN_KEY_TAG: str(request.run_key)}
        return bool(self.instance.get_runs(dg.RunsFilter(job_name=self.job, tags=tags), limit=1))


def _partitions_of(run: dg.DagsterRun) -> set[str]:
    return {run.tags[tag] for tag in _PARTITION_TAGS if tag in run.tags}


def prepare_dagster_home(folder: Path) -> Path:
    """Create the Dagster home with its configuration.

    Raises:
        StorageError: If it cannot be written.
    """
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "dagster.yaml"
        ours = files("resources").joinpath("dagster.yaml").read_bytes()
        if not target.exists():
            scratch = target.with_name(f".{target.name}.{os.getpid()}")
            scratch.write_bytes(ours)
            scratch.replace(target)
    return folder


def open_instance(folder: Path) -> dg.DagsterInstance:
    """Open the Dagster instance of a home folder, creating it when missing.

    Raises:
        StorageError: If it cannot be read or written.
    """
    prepare_dagster_home(folder)
    with translated(folder), history_written(folder):
        instance = dg.DagsterInstance.from_config(str(folder))
        close_runs_of_dead_processes(instance)
        return instance


@contextmanager
def history_written(folder: Path) -> Iterator[None]:
    """Write Dagster's history quickly, and turn failures to do so into StorageError with what to do."""
    from sqlalchemy.exc import DBAPIError

    try:
        with _kept_open(folder):
            yield
    except DBAPIError as error:
        raise _not_written(folder, str(error.orig)) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise _not_written(folder, str(error)) from error


@contextmanager
def _kept_open(folder: Path) -> Iterator[None]:
    """Keep each database of the history open while the block runs.

    Dagster opens and closes one for each of a run's several hundred writes. Whoever closes a SQLite database last moves
    its log into it and syncs both, and whoever opens it first reads the log again; with an idle reader on it neither
    happens before the end. A commit then need not wait for the disk: a power cut can cost the newest events, but cannot
    tear the file, and a process that is killed loses none.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    kept: dict[str, sqlite3.Connection] = {}

    def opened(connection: object, _: object) -> None:
        # What is wrong with a database, Dagster's own next statement says.
        if isinstance(connection, sqlite3.Connection):
            with suppress(sqlite3.Error):
                _write_quickly(connection, folder, kept)

    event.listen(Engine, "connect", opened)
    try:
        yield
    finally:
        event.remove(Engine, "connect", opened)
        for reader in kept.values():
            reader.close()


def _write_quickly(connection: sqlite3.Connection, folder: Path, kept: dict[str, sqlite3.Connection]) -> None:
    database = _pragma(connection, "database_list", column=2)
    if not Path(database).is_relative_to(folder.resolve()) or _pragma(connection, "journal_mode") != "wal":
        return
    connection.execute("PRAGMA synchronous = NORMAL")
    if database not in kept:
        reader = sqlite3.connect(database, check_same_thread=False)
        kept[database] = reader
        # Only who has read something counts as a reader.
        _pragma(reader, "schema_version")


def _pragma(connection: sqlite3.Connection, name: str, column: int = 0) -> str:
    with closing(connection.execute(f"PRAGMA {name}")) as rows:
        return str(rows.fetchone()[column])


def _not_written(folder: Path, why: str) -> StorageError:
    return StorageError(f"Dagster's history in `{folder}` cannot be written: {why}.", remedy=_remedy(why, folder))


def _remedy(message: str, folder: Path) -> str:
    if any(word in message for word in ("full", "disk I/O", "No space", "too large", "quota")):
        return "Free some disk space and run the same command again; the ledger says what is published."
    if any(word in message for word in ("readonly", "Read-only", "unable to open", "Permission")):
        return "Make the folder writable for this user, or set FORECAST_ASSETS_HOME to one that is."
    return f"Move `{folder}` aside and run the same command again: it holds the past of the UI, no data."


def process_tags() -> Mapping[str, str]:
    """Return the tags that say which process runs a job."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}


def close_runs_of_dead_processes(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process on this host was killed; Dagster cannot notice by itself."""
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        host, _, process = run.tags.get(PROCESS_TAG, "").partition(":")
        if host == socket.gethostname() and not _is_alive(int(process)):
            instance.report_run_failed(run, "Its process was killed; what is published stands in the ledger.")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Dagster's history: runs under way, runs whose process was killed, and a history that cannot be written."""

import errno
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from forecast_assets.cli.exit_codes import exit_code
from forecast_assets.core.errors import StorageError
from resources.orchestration.dagster_home import (
    PROCESS_TAG,
    Launches,
    close_runs_of_dead_processes,
    history_written,
    open_instance,
    process_tags,
)

# What SQLite calls waiting for the disk at each commit.
FULL = 2
WRITES_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
import dagster as dg
from resources.orchestration.dagster_home import history_written, open_instance, process_tags

@dg.job
def feature_pipeline(): ...

folder = Path(sys.argv[1])
instance = open_instance(folder)
with history_written(folder):
    run = instance.create_run_for_job(feature_pipeline, status=dg.DagsterRunStatus.STARTED, tags=process_tags())
    instance.report_engine_event("one", run)
    instance.report_engine_event("two", run)
    os.kill(os.getpid(), signal.SIGKILL)
"""
REQUEST = dg.RunRequest(run_key="snapshot/2025-01-02/7", partition_key="2025-01-02")


@dg.job
def feature_pipeline() -> None:
    """Stands for any job."""


def started(instance: dg.DagsterInstance, job: str = "feature_pipeline", **tags: str) -> dg.DagsterRun:
    tagged = {key.replace("__", "/"): value for key, value in tags.items()}
    return instance.create_run_for_job(
        feature_pipeline if job == "feature_pipeline" else named(job), status=dg.DagsterRunStatus.STARTED, tags=tagged
    )


def named(name: str) -> dg.JobDefinition:
    @dg.job(name=name)
    def one() -> None:
        """Stands for any job."""

    return one


@pytest.mark.parametrize(
    ("job", "tags", "expected"),
    [
        ("feature_pipeline", {"dagster__partition": "2025-01-02"}, True),
        ("feature_pipeline", {"dagster__partition": "2025-01-03"}, False),
        ("daily_scoring", {"dagster__partition": "2025-01-02"}, False),
        ("__ASSET_JOB", {"dagster__asset_partition_range_start": "2025-01-02"}, True),
    ],
    ids=["the-same", "another-day", "another-job", "a-backfill-from-the-ui"],
)
def test_a_run_of_the_same_partition_is_under_way(job: str, tags: dict[str, str], expected: bool) -> None:
    instance = dg.DagsterInstance.ephemeral()
    launches = Launches(instance, "feature_pipeline")
    assert not launches.is_under_way(REQUEST)
    run = started(instance, job, **tags)
    assert launches.is_under_way(REQUEST) is expected
    instance.report_run_failed(run)
    assert not launches.is_under_way(REQUEST)


def test_a_request_is_known_to_have_run() -> None:
    instance = dg.DagsterInstance.ephemeral()
    launches = Launches(instance, "feature_pipeline")
    assert not launches.has_run(REQUEST)
    instance.report_run_failed(started(instance, dagster__run_key=str(REQUEST.run_key)))
    assert launches.has_run(REQUEST)


def test_a_run_whose_process_is_gone_is_not_under_way() -> None:
    instance = dg.DagsterInstance.ephemeral()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host, _, _ = process_tags()[PROCESS_TAG].partition(":")
    dead = instance.create_run_for_job(
        feature_pipeline,
        status=dg.DagsterRunStatus.STARTED,
        tags={PROCESS_TAG: f"{host}:{gone.pid}", "dagster/partition": "2025-01-02"},
    )
    alive = instance.create_run_for_job(
        feature_pipeline, status=dg.DagsterRunStatus.STARTED, tags={**process_tags(), "dagster/partition": "2025-01-03"}
    )
    assert not Launches(instance, "feature_pipeline").is_under_way(REQUEST)
    close_runs_of_dead_processes(instance)
    statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses == {dead.run_id: dg.DagsterRunStatus.FAILURE, alive.run_id: dg.DagsterRunStatus.STARTED}


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("database or disk is full", "Free some disk space and run the same command again"),
        ("disk I/O error", "Free some disk space and run the same command again"),
        ("attempt to write a readonly database", "Make the folder writable"),
        ("unable to open database file", "Make the folder writable"),
        ("file is not a database", "aside and run the same command again: it holds the past of the UI, no data"),
    ],
)
def test_a_history_that_cannot_be_written_is_a_storage_error(tmp_path: Path, message: str, remedy: str) -> None:
    with pytest.raises(StorageError, match=f"cannot be written: {message}. .*{remedy}") as caught:
        write_badly(tmp_path, OperationalError("INSERT", None, sqlite3.OperationalError(message)))
    assert exit_code(type(caught.value)) == 6


def test_no_room_for_the_history_is_a_storage_error_and_a_defect_stays_one(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Free some disk space"):
        write_badly(tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(BrokenPipeError):
        write_badly(tmp_path, BrokenPipeError())


def write_badly(folder: Path, error: Exception) -> None:
    with history_written(folder):
        raise error


def test_a_damaged_history_says_that_no_data_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "runs.db").write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(StorageError, match="it holds the past of the UI, no data"):
        open_instance(tmp_path).get_runs()


def test_output_of_steps_is_not_captured(tmp_path: Path) -> None:
    with open_instance(tmp_path) as instance:
        assert type(instance.compute_log_manager).__name__ == "NoOpComputeLogManager"


def test_the_history_stays_open_while_a_run_writes_it_and_is_whole_afterwards(tmp_path: Path) -> None:
    instance = open_instance(tmp_path)
    with history_written(tmp_path):
        run = started(instance)
        instance.report_run_failed(run)
        # Without a reader, whoever wrote last would have moved the log into the database.
        assert {log.name for log in tmp_path.rglob("*.db-wal")} >= {f"{run.run_id}.db-wal", "runs.db-wal"}
    assert not [*tmp_path.rglob("*.db-wal")]
    events = instance.all_logs(run.run_id)
    assert events
    assert events == open_instance(tmp_path).all_logs(run.run_id)


def test_databases_of_others_are_left_as_they_are(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with history_written(tmp_path / "dagster"), engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode = WAL"))
        assert connection.execute(text("PRAGMA synchronous")).scalar() == FULL
    engine.dispose()


def test_a_killed_run_leaves_every_event_it_wrote(tmp_path: Path) -> None:
    open_instance(tmp_path)
    killed = subprocess.run([sys.executable, "-c", WRITES_AND_IS_KILLED, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    instance = open_instance(tmp_path)
    (run,) = instance.get_runs()
    told = [entry.dagster_event.message for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    assert told[:2] == ["one", "two"]
    for database in tmp_path.rglob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

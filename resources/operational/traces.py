"""Which trace a run, a training or an ingest was made in, and how long its parts took.

What belongs here: keeping both by subject, and looking them up. What does not: making spans, or deciding what is
recorded (`forecast_assets.telemetry`). Nothing of it is in a hash: a store without it has the same numbers.

The subject of a run is its key as people see it, `daily/2025-06-30/stat-1/28/r0`; of a training `train/VERSION`; of an
ingest `ingest/BATCH`, by the id of each batch.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import ForecastAssetsError
from resources.operational.opening import operational_rows, operational_store

_TRACES: Final = "traces"
_TRACES_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {_TRACES} (
    subject TEXT PRIMARY KEY,
    traceparent TEXT NOT NULL,
    recorded_at TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
_TIMES: Final = "run_times"
_TIMES_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {_TIMES} (
    subject TEXT PRIMARY KEY,
    ended_at TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
# What is recorded here is worth a moment's wait, not a run's.
_WAIT_SECONDS: Final = 1.0
_KEPT_DAYS: Final = 400


@dataclass(frozen=True)
class RunTimes:
    """How long a run took.

    Attributes:
        subject: The run's key, as text.
        ended_at: When, ISO 8601 in UTC.
        seconds: In all.
        stage_seconds: By stage.
        checks_passed: How many checks passed.
        checks_failed: How many did not.
        is_done: Whether it ended well.
    """

    subject: str
    ended_at: str
    seconds: float
    stage_seconds: Mapping[str, float]
    checks_passed: int
    checks_failed: int
    is_done: bool


class TraceStore:
    """The traces and times of one home, in a file of their own; a failure here never reaches who calls.

    Args:
        path: Of the database; made with the first record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, traceparent: str, *subjects: str) -> None:
        """Keep the trace of subjects; the newest of each counts."""
        with (
            suppress(ForecastAssetsError),
            operational_store(self._path, _TRACES_TABLE, wait_seconds=_WAIT_SECONDS) as own,
        ):
            values = [(subject, traceparent, _now()) for subject in subjects]
            own.executemany(f"INSERT OR REPLACE INTO {_TRACES} VALUES (?, ?, ?)", values)  # noqa: S608
            _forget_old(own, _TRACES, "recorded_at")

    def traceparent_of(self, subject: str) -> str | None:
        """Return the trace of a subject, as W3C Trace Context has it; None where none was recorded, or can be read."""
        with suppress(ForecastAssetsError), operational_rows(self._path, _TRACES) as own:
            if own is not None:
                query = f"SELECT traceparent FROM {_TRACES} WHERE subject = ?"  # noqa: S608
                row = own.execute(query, (subject,)).fetchone()
                return None if row is None else str(row[0])
        return None

    def record_times(self, times: RunTimes) -> None:
        """Keep how long a run took; the newest counts."""
        with (
            suppress(ForecastAssetsError),
            operational_store(self._path, _TIMES_TABLE, wait_seconds=_WAIT_SECONDS) as own,
        ):
            values = (times.subject, times.ended_at, json.dumps(asdict(times), sort_keys=True))
            own.execute(f"INSERT OR REPLACE INTO {_TIMES} VALUES (?, ?, ?)", values)  # noqa: S608
            _forget_old(own, _TIMES, "ended_at")

    def newest_times(self, cadence: str) -> RunTimes | None:
        """Return how long the newest run of a cadence took; None where none was recorded, or can be read."""
        with suppress(ForecastAssetsError), operational_rows(self._path, _TIMES) as own:
            if own is not None:
                query = f"SELECT document FROM {_TIMES} WHERE subject LIKE ? ORDER BY ended_at DESC LIMIT 1"  # noqa: S608
                row = own.execute(query, (f"{cadence}/%",)).fetchone()
                return None if row is None else RunTimes(**json.loads(row[0]))
        return None

    def last_times(self, cadences: Collection[str], most: int) -> list[RunTimes]:
        """Return how long the last runs of cadences took, the newest first; none where none can be read.

        Args:
            cadences: Their names.
            most: Runs at most.
        """
        with suppress(ForecastAssetsError), operational_rows(self._path, _TIMES) as own:
            if own is not None:
                query = f"SELECT document FROM {_TIMES} ORDER BY ended_at DESC"  # noqa: S608
                times = (RunTimes(**json.loads(row[0])) for row in own.execute(query))
                return [*islice((each for each in times if each.subject.partition("/")[0] in cadences), most)]
        return []

    def _written(self, table: str) -> AbstractContextManager[sqlite3.Connection]:
        return operational_store(self._path, table, wait_seconds=_WAIT_SECONDS)


def _forget_old(connection: sqlite3.Connection, table: str, column: str) -> None:
    oldest = f"datetime('now', '-{_KEPT_DAYS} days')"
    connection.execute(f"DELETE FROM {table} WHERE datetime({column}) < {oldest}")  # noqa: S608


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

"""What Dagster remembers of runs that failed, for whoever looks after a home.

What belongs here: which runs failed and stayed so, why, and whether the history can be read. What does not: telling
anybody, or launching a run again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dagster as dg

from forecast_assets.core.errors import StorageError, first_line
from forecast_assets.core.health import FailedRun

_PARTITION: Final = "dagster/partition"
# Runs that are looked at: more fail in a week only where something else is wrong.
_MOST: Final = 200
_WORDS: Final = 300


class DagsterHistory:
    """The history of an instance.

    Args:
        instance: Dagster's instance.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def failed_runs(self, since: datetime) -> Sequence[FailedRun]:
        """Return runs that failed since a moment and that no later run of their job and partition made good.

        Raises:
            StorageError: If the history cannot be read.
        """
        with _translated():
            return list(self._failed(since))

    def _failed(self, since: datetime) -> Iterator[FailedRun]:
        ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS], updated_after=since)
        seen = set()
        # The newest first: what comes after it of the same job and partition is over.
        for record in self._instance.get_run_records(ended, limit=_MOST):
            run = record.dagster_run
            what = run.job_name, run.tags.get(_PARTITION, "")
            if what in seen:
                continue
            seen.add(what)
            if run.status is dg.DagsterRunStatus.FAILURE:
                failed_at = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
                yield FailedRun(*what, run.run_id, failed_at, *self._why(run.run_id))

    def _why(self, run_id: str) -> tuple[tuple[tuple[str, str], ...], str]:
        """Return the blocking checks that failed in a run, and what went wrong in one line."""
        kinds = {
            dg.DagsterEventType.ASSET_CHECK_EVALUATION,
            dg.DagsterEventType.STEP_FAILURE,
            dg.DagsterEventType.RUN_FAILURE,
        }
        checks, words = [], ""
        for entry in self._instance.all_logs(run_id, of_type=kinds):
            event = entry.dagster_event
            if event is None:
                continue
            if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                said = event.asset_check_evaluation_data
                if not said.passed and said.severity is dg.AssetCheckSeverity.ERROR:
                    checks.append((said.check_name, str(said.description or "")[:_WORDS]))
            elif event.event_type is dg.DagsterEventType.STEP_FAILURE:
                error = event.step_failure_data.error
                innermost = error
                while innermost is not None and innermost.cause is not None:
                    innermost = innermost.cause
                words = "" if innermost is None else innermost.message.strip().splitlines()[0][:_WORDS]
            else:
                words = words or str(event.message or "").splitlines()[0][:_WORDS]
        return tuple(checks), words.rstrip(".")

    def trouble(self) -> str:
        """Return nothing: it is open."""
        return ""


class HomeHistory:
    """The history of a home, opened to be read each time, and never made.

    Args:
        folder: Dagster's home.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def failed_runs(self, since: datetime) -> Sequence[FailedRun]:
        """Return runs that failed since a moment; none where nothing has run.

        Raises:
            StorageError: If the history cannot be read.
        """
        return self._asked(lambda history: history.failed_runs(since), ())

    def trouble(self) -> str:
        """Return why it cannot be read; empty if it can, or if nothing has run."""
        try:
            self._asked(lambda history: history.failed_runs(datetime.now(UTC)), ())
        except StorageError as error:
            return str(error.message)
        return ""

    def _asked(
        self, ask: Callable[[DagsterHistory], Sequence[FailedRun]], otherwise: Sequence[FailedRun]
    ) -> Sequence[FailedRun]:
        # Opening an instance would make what is not there.
        if not (self._folder / "dagster.yaml").exists():
            return otherwise
        with _translated():
            instance = dg.DagsterInstance.from_config(str(self._folder))
            try:
                return ask(DagsterHistory(instance))
            finally:
                instance.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (DBAPIError, dg.DagsterError, OSError) as error:
        raise StorageError(
            f"Dagster's history cannot be read: {first_line(error)}.",
            remedy="Mend it, or move its folder aside: it holds the past of the UI, no data.",
        ) from error

"""Running jobs in this process, through Dagster: what the commands do.

What belongs here: launching jobs, ingesting batches, and turning Dagster's failures into the project's errors.
What does not: parsing arguments, printing, or computing.
"""

import os
import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError

from checks.asset_checks import LINEAGE_CHECK
from checks.expectations import validate_feed
from forecast_assets.definitions import FEATURE_PIPELINE, TRAINING, build_defs, scoring_job
from forecast_assets.errors import (
    ChangedFileError,
    ContractError,
    ForecastAssetsError,
    IncompleteInputsError,
    InputError,
    NotAcceptedError,
    StorageError,
)
from forecast_assets.history import History
from forecast_assets.keys import CADENCES, RunKey, require_version_name
from forecast_assets.run_inputs import require_servable
from forecast_assets.settings import Settings
from forecast_assets.sources.batch import Batch
from forecast_assets.sources.intake import check_batch
from partitions import model_versions, scoring_partition
from resources.blobs import translated
from resources.catalogue import build_catalogue
from resources.ledger import Publication
from resources.observation_store import IngestReport
from resources.orchestration import Progress, ProgressReporter
from resources.stores import Stores, open_stores

# Which process runs a job, so that one that was killed can be told from one that works.
PROCESS_TAG: Final = "forecast_assets/process"

# Dagster logs every event at DEBUG; a person wants our own progress and the errors.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        publication: The published run.
        is_new: Whether this call published it; False if it was there already.
        checks_passed: How many checks passed on the way.
    """

    publication: Publication
    is_new: bool
    checks_passed: int


class Runner:
    """Runs the project's jobs on one home folder.

    Args:
        settings: Where state lives and how much of the machine to use.
        report: Called with stage, done and total while long work goes on.
    """

    def __init__(self, settings: Settings, report: Progress | None = None) -> None:
        self.settings = settings
        self._report = report

    @cached_property
    def stores(self) -> Stores:
        """The stores of the home folder."""
        return open_stores(self.settings.store_folder)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance below the home folder; the UI shows the same."""
        folder = prepare_dagster_home(self.settings)
        with translated(folder):
            instance = dg.DagsterInstance.from_config(str(folder))
        close_runs_of_dead_processes(instance)
        return instance

    def history(self, day: date) -> History:
        """Return the history behind the staged snapshot of a day."""
        return History.of(self.stores.predictions.staged("feature_snapshots", day), self.stores.observations)

    def ingest(self, batches: Iterable[Batch]) -> IngestReport:
        """Check, store and record batches; nothing becomes visible unless all are in order.

        Raises:
            ContractError: If a batch breaks its contract, has gaps, or fails an expectation.
        """
        checked = list(batches)
        for at, batch in enumerate(checked):
            self._say("check batches", at, len(checked))
            self._require_expected(check_batch(batch, self._held(batch)))
        records = []
        for at, batch in enumerate(checked):
            self._say("store batches", at, len(checked))
            records.append(
                self.stores.observations.write(
                    batch.frame,
                    feed=batch.feed,
                    source=batch.source,
                    trust=batch.trust,
                    declared_lag=batch.declared_lag,
                )
            )
        report = self.stores.observations.record(records)
        self._say("ingest", len(checked), len(checked))
        self._tell_dagster(report)
        return report

    def _held(self, batch: Batch) -> pl.LazyFrame | None:
        """Return what the store holds of a batch's feed already."""
        return self.stores.observations.scan(self.stores.observations.batches(), batch.feed)

    def _require_expected(self, batch: Batch) -> None:
        folder = self.settings.expectations_folder
        with translated(folder):
            outcome = validate_feed(batch.frame, batch.feed, folder, run_name=f"ingest {batch.feed} {batch.source}")
        if not outcome.success:
            raise ContractError(batch.feed, outcome.failed)

    def snapshot(self, day: date) -> str:
        """Make the feature snapshot of a date; return its version.

        Raises:
            IncompleteInputsError: If inputs are missing.
        """
        self._require_partition(day)
        self._run(FEATURE_PIPELINE, partition_key=day.isoformat())
        return self.stores.predictions.staged("feature_snapshots", day).version

    def _require_partition(self, day: date) -> None:
        start = self.stores.ledger.state().start_date
        if start is not None and day < start:
            raise InputError(f"{day} lies before the store's first day, {start}.", remedy="Choose a later date.")
        if day >= datetime.now(UTC).date():
            raise IncompleteInputsError(day, [f"{day} is not over (UTC)"])

    def train(self, *, family: str, version: str, cutoff: date, horizon: int | None = None) -> None:
        """Train and register a model version as of a cutoff."""
        require_version_name(version)
        self.snapshot(cutoff)
        self.instance.add_dynamic_partitions(str(model_versions.name), [version])
        config = {"family": family, "cutoff": cutoff.isoformat(), "horizon": horizon}
        self._run(TRAINING, partition_key=version, config={"ops": {"model_artifacts": {"config": config}}})

    def score(self, key: RunKey) -> Outcome:
        """Score and publish one date with one version; if that is published already, say so and do nothing."""
        require_servable(key, self.stores.predictions.model_version(key.model_version))
        if key in self.stores.ledger.state().publications:
            # A run that was killed between its commit and its catalogue left the catalogue behind.
            self.refresh_catalogue()
            return Outcome(self.stores.predictions.publication(key), is_new=False, checks_passed=0)
        self.snapshot(key.prediction_date)
        self.instance.add_dynamic_partitions(str(model_versions.name), [key.model_version])
        passed = self._run(
            scoring_job(CADENCES[key.cadence]),
            partition_key=scoring_partition(key.prediction_date, key.model_version),
            config={"resources": {"run": {"config": self._run_settings(key.forecast_horizon)}}},
        )
        publication = self.stores.predictions.publication(key)
        self.refresh_catalogue()
        return Outcome(publication, is_new=True, checks_passed=passed)

    def _run_settings(self, horizon: int) -> dict[str, Any]:
        """Return the whole configuration of the run resource: what is left out would fall back to its defaults."""
        settings = self.settings
        return {
            "horizon": horizon,
            "history_days": settings.history_days,
            "risk_paths": settings.risk_paths,
            **({} if settings.workers is None else {"workers": settings.workers}),
        }

    def refresh_catalogue(self) -> Path:
        """Build the BI catalogue of the ledger's head, if it is not there yet.

        Raises:
            StorageError: If it cannot be built; what is published stays so.
        """
        import duckdb

        try:
            with duckdb.connect() as connection:
                return build_catalogue(self.stores.predictions, self.settings.catalogue_folder, connection)
        except (duckdb.Error, StorageError) as error:
            raise StorageError(
                f"The run is published, but the BI catalogue could not be built: {error}",
                remedy="Then: forecast-assets catalogue",
            ) from error

    def _run(self, job: str, *, partition_key: str, config: dict[str, Any] | None = None) -> int:
        defs = build_defs({"progress": CallbackProgress(self._report)} if self._report else None, self.settings)
        try:
            result = defs.resolve_job_def(job).execute_in_process(
                run_config={**_QUIET, **(config or {})},
                instance=self.instance,
                partition_key=partition_key,
                tags={PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"},
            )
        except DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        except DagsterAssetCheckFailedError as error:
            raise self._refusal(self._failed_checks()) from error
        return sum(evaluation.passed for evaluation in result.get_asset_check_evaluations())

    @staticmethod
    def _refusal(failed: list[str]) -> ForecastAssetsError:
        why = f"Nothing was published, since a check failed: {'; '.join(failed)}."
        if any(LINEAGE_CHECK in sentence.split(":")[0] for sentence in failed):
            return ChangedFileError(why, remedy="Restore the files named here from a backup.")
        return NotAcceptedError(why, remedy="Look at the failing rows in the UI: make ui.")

    def _failed_checks(self) -> list[str]:
        """Return what the failed checks of the newest run said."""
        newest = self.instance.get_runs(limit=1)[0].run_id
        logged = self.instance.all_logs(newest, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        events = [entry.dagster_event.asset_check_evaluation_data for entry in logged if entry.dagster_event]
        return [f"{event.check_name}: {event.description}" for event in events if not event.passed]

    def _say(self, stage: str, done: int, total: int) -> None:
        if self._report:
            self._report(stage, done, total)

    def _tell_dagster(self, report: IngestReport) -> None:
        for batch in report.added:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset_key=["observations", batch.feed],
                    metadata={
                        "source": batch.source,
                        "trust": batch.trust,
                        "dagster/row_count": batch.rows,
                        "first_event_date": batch.first_event_date.isoformat(),
                        "last_event_date": batch.last_event_date.isoformat(),
                        "sha256": batch.sha256,
                        "ledger_sequence": batch.sequence,
                    },
                )
            )


def close_runs_of_dead_processes(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process on this host was killed; Dagster cannot notice by itself."""
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        host, _, process = run.tags.get(PROCESS_TAG, "").partition(":")
        if host == socket.gethostname() and not _is_alive(int(process)):
            instance.report_run_failed(run, "The process of this run was killed; nothing of it was published.")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class CallbackProgress(ProgressReporter):
    """Hands progress to a function instead of the run's log."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def reporter(self, log: Any) -> Progress:
        """Return the function."""
        del log
        return self._report


def prepare_dagster_home(settings: Settings) -> Path:
    """Create the Dagster home with its configuration, and name it in this process's environment.

    Raises:
        StorageError: If it cannot be written.
    """
    folder = settings.dagster_folder
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "dagster.yaml"
        if not target.exists():
            target.write_bytes(files("resources").joinpath("dagster.yaml").read_bytes())
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def ui_command(settings: Settings, *, host: str, port: int) -> Sequence[str]:
    """Return the command that serves the Dagster UI on the home folder."""
    prepare_dagster_home(settings)
    executable = shutil.which("dg") or str(Path(os.sys.executable).with_name("dg"))  # type: ignore[attr-defined]
    return [executable, "dev", "--host", host, "--port", str(port)]

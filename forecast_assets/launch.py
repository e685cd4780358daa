"""Running Dagster's jobs in this process, so that the UI shows what a command did.

What belongs here: launching jobs, and turning Dagster's failures into the project's errors. What does not: the order of
a use case (operations), parsing arguments, printing, or computing.
"""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError

from checks.acceptance import LINEAGE_CHECK
from forecast_assets.accuracy.run_days import RunKnowledgeCache
from forecast_assets.automation.mirror import MirrorResource
from forecast_assets.backtesting.backtest import BacktestOutcome
from forecast_assets.contracts import BACKTEST_REPORTS, CHANNEL_ASSIGNMENTS, FORECAST_ACCURACY
from forecast_assets.core.errors import ChangedFileError, ForecastAssetsError, NotAcceptedError
from forecast_assets.core.keys import CADENCES
from forecast_assets.core.progress import silent
from forecast_assets.core.run import CorrectionRequest, RunOptions, RunRequest, TrainingRequest
from forecast_assets.definitions import (
    ANOMALIES,
    DRIFT,
    FEATURE_PIPELINE,
    TRAINING,
    accuracy_job,
    assignment_job,
    build_defs,
    evidence_job,
    review_job,
    scoring_job,
    stores_resource,
)
from forecast_assets.forecast_overrides.assets import overrides_job
from forecast_assets.operations.use_cases import UseCases
from forecast_assets.settings import Settings
from forecast_assets.training.stage import ARTIFACTS
from partitions import model_versions, scoring_partition
from resources.ledger.entries.ingest import BatchRecord
from resources.orchestration.configs import AssignmentConfig, CorrectionConfig, MeasurementConfig, TrainingConfig
from resources.orchestration.dagster_home import history_written, open_instance, prepare_dagster_home, process_tags
from resources.orchestration.dagster_resources import CallbackProgress
from resources.orchestration.metadata import product_metadata

Config = dict[str, Any]

# Dagster logs every event at DEBUG; a person wants our own progress and the errors.
_QUIET: Final[Config] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_ACCURACY_JOBS: Final = frozenset(accuracy_job(cadence) for cadence in CADENCES.values())
_TRIAL_JOBS: Final = frozenset(job(cadence) for cadence in CADENCES.values() for job in (assignment_job, evidence_job))


class Runner(UseCases):
    """The use cases of a home folder, whose jobs Dagster runs in this process."""

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance below the home folder; the UI shows the same."""
        return open_instance(self.settings.dagster_folder)

    # --- jobs ---

    def make_snapshot(self, day: date, correction: CorrectionRequest | None = None) -> None:
        """Run the feature pipeline of a date."""
        self._run(FEATURE_PIPELINE, partition_key=day.isoformat(), config=_run_config(self.options, None, correction))

    def train_version(self, request: TrainingRequest) -> None:
        """Run the training of a version."""
        self._show_version(request.model_version)
        config = {"ops": {ARTIFACTS: {"config": TrainingConfig.of(request).model_dump()}}}
        self._run(TRAINING, partition_key=request.model_version, config=config)

    def publish_run(self, request: RunRequest) -> int:
        """Run the scoring of a date with a version; return how many checks passed."""
        key = request.key
        self._show_version(key.model_version)
        of_overrides = request.correction is not None and request.correction.of_overrides
        job = overrides_job if of_overrides else scoring_job
        return self._run(
            job(CADENCES[key.cadence]),
            partition_key=scoring_partition(key.prediction_date, key.model_version),
            config=_run_config(request.options, str(key), request.correction),
        )

    def measure_day(self, cadence: str, day: date, *, shows: bool, cache: RunKnowledgeCache) -> None:
        """Run the measurement of a day."""
        operation = f"{cadence}__{FORECAST_ACCURACY.name}"
        config = {"ops": {operation: {"config": MeasurementConfig(shows=shows).model_dump()}}}
        self._run(
            accuracy_job(CADENCES[cadence]),
            partition_key=day.isoformat(),
            config=config,
            resources={"run_knowledge": cache},
        )

    def assign_date(self, cadence: str, day: date, *, shows: bool) -> None:
        """Run the assignment of a date."""
        operation = f"{cadence}__{CHANNEL_ASSIGNMENTS.name}"
        config = {"ops": {operation: {"config": AssignmentConfig(shows=shows).model_dump()}}}
        self._run(assignment_job(CADENCES[cadence]), partition_key=day.isoformat(), config=config)

    def judge_challenger(self, cadence: str, day: date) -> None:
        """Run the weighing of a trial."""
        self._run(evidence_job(CADENCES[cadence]), partition_key=day.isoformat(), config={})

    def judge_drift(self, day: date) -> None:
        """Run the judgement of a day's inputs and of the errors of forecasts."""
        self._run(DRIFT, partition_key=day.isoformat(), config={})

    def judge_series(self, day: date) -> None:
        """Run the judgement of the series of a day's snapshot."""
        self._run(ANOMALIES, partition_key=day.isoformat(), config={})

    def review_week(self, cadence: str, last_day: date) -> None:
        """Run the review of a week."""
        self._run(review_job(CADENCES[cadence]), partition_key=last_day.isoformat(), config={})

    def _show_version(self, version: str) -> None:
        """Make a version a partition, so that its runs can be launched and seen in the UI."""
        with history_written(self.settings.dagster_folder):
            self.instance.add_dynamic_partitions(str(model_versions.name), [version])

    def _run(self, job: str, *, partition_key: str, config: Config, resources: Mapping[str, Any] | None = None) -> int:
        # Whoever calls this says what was done, and lets the mirror follow then.
        shared = {
            "stores": stores_resource(self.settings, self.stores), "mirror": MirrorResource(None), **(resources or {})
        }  # fmt: skip
        if self.progress is not silent:
            shared["progress"] = CallbackProgress(self.progress)
        # Named here, so that of several processes each reads what its own run's checks said.
        run_id = str(uuid4())
        try:
            with history_written(self.settings.dagster_folder):
                result = (
                    build_defs(shared, self.settings)
                    .resolve_job_def(job)
                    .execute_in_process(
                        run_config={**_QUIET, **config},
                        instance=self.instance,
                        run_id=run_id,
                        partition_key=partition_key,
                        tags=process_tags(),
                    )
                )
        except DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        except DagsterAssetCheckFailedError as error:
            raise self._refusal(job, self._failed_checks(run_id)) from error
        return sum(evaluation.passed for evaluation in result.get_asset_check_evaluations())

    @staticmethod
    def _refusal(job: str, failed: list[str]) -> ForecastAssetsError:
        what = "No measurement was recorded" if job in _ACCURACY_JOBS else "Nothing was published"
        what = "Nothing was recorded" if job in _TRIAL_JOBS else what
        why = f"{what}, since a check failed: {'; '.join(failed)}."
        if any(LINEAGE_CHECK in sentence.split(":")[0] for sentence in failed):
            return ChangedFileError(why, remedy="Restore the files named here from a backup.")
        return NotAcceptedError(why, remedy="Look at the failing rows in the UI: make ui.")

    def _failed_checks(self, run_id: str) -> list[str]:
        """Return what the failed checks of a run said."""
        logged = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        events = [entry.dagster_event.asset_check_evaluation_data for entry in logged if entry.dagster_event]
        return [f"{event.check_name}: {event.description}" for event in events if not event.passed]

    # --- what people see ---

    def show_batches(self, added: Iterable[BatchRecord]) -> tuple[str, ...]:
        """Show batches in the UI; they are recorded already, so that no failure here may look like one of the ingest.

        Returns:
            What to tell a person if it did not work.
        """
        return self._shown("data", (_materialization(batch) for batch in added))

    def show_backtest(self, outcome: BacktestOutcome, shown: Mapping[str, str]) -> tuple[str, ...]:
        """Show a backtest report in the UI; it is recorded already.

        Args:
            outcome: The report.
            shown: Markdown by name.

        Returns:
            What to tell a person if it did not work.
        """
        record = outcome.record
        pictures = {name: dg.MetadataValue.md(text) for name, text in shown.items()}
        metadata = product_metadata(BACKTEST_REPORTS, outcome.product, outcome.report, pictures)
        event = dg.AssetMaterialization(
            asset_key=BACKTEST_REPORTS.name,
            partition=record.model_version,
            metadata={**metadata, "ledger_sequence": record.sequence},
        )
        return self._shown("report", [event], versions=[record.model_version])

    def _shown(
        self, what: str, events: Iterable[dg.AssetMaterialization], versions: Sequence[str] = ()
    ) -> tuple[str, ...]:
        try:
            with history_written(self.settings.dagster_folder):
                if versions:
                    self.instance.add_dynamic_partitions(str(model_versions.name), versions)
                for event in events:
                    self.instance.report_runless_asset_event(event)
        except Exception as error:  # noqa: BLE001 whatever Dagster's storage raises, the ledger has it
            return (f"The {what} is recorded, but the Dagster UI will not show it: {error}",)
        return ()


def _run_config(options: RunOptions, key: str | None, correction: CorrectionRequest | None) -> Config:
    """Return the whole configuration of the run resource: what is left out would fall back to its defaults."""
    asked = {
        "key": key,
        "history_days": options.history_days,
        "risk_paths": options.risk_paths,
        "workers": options.workers,
        "correction": None if correction is None else CorrectionConfig.of(correction).model_dump(),
    }
    return {"resources": {"run": {"config": {name: value for name, value in asked.items() if value is not None}}}}


def _materialization(batch: BatchRecord) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
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


def ui_command(settings: Settings, *, host: str, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command that serves the Dagster UI on the home folder, and the environment that it needs."""
    folder = prepare_dagster_home(settings.dagster_folder)
    executable = shutil.which("dg") or str(Path(sys.executable).with_name("dg"))
    return [executable, "dev", "--host", host, "--port", str(port)], {"DAGSTER_HOME": str(folder)}

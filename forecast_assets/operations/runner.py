"""Running jobs in this process, through Dagster: what the commands do.

What belongs here: launching jobs, ingesting batches, and turning Dagster's failures into the project's errors.
What does not: parsing arguments, printing, or computing.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError

from checks.asset_checks import LINEAGE_CHECK
from checks.expectations import validate_feed
from forecast_assets.accuracy.inputs import due_days
from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.errors import (
    ChangedFileError,
    ForecastAssetsError,
    IncompleteInputsError,
    InputError,
    NotAcceptedError,
)
from forecast_assets.core.keys import CADENCES, RunKey, require_version_name
from forecast_assets.corrections.restatements import require_change, restatement
from forecast_assets.definitions import FEATURE_PIPELINE, TRAINING, accuracy_job, build_defs, scoring_job
from forecast_assets.history.as_known import History
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import Finding
from forecast_assets.ingestion.held import NOTHING_HELD, Held
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches, inspect_batches
from forecast_assets.models.external import artifact as external
from forecast_assets.scoring.context import require_external_forecasts, require_horizon, require_servable
from forecast_assets.settings import Settings
from partitions import model_versions, scoring_partition
from resources.catalogue.build import refresh_catalogue
from resources.ledger.entries.ingest import BatchRecord
from resources.ledger.entries.publish import Publication
from resources.orchestration.dagster_home import history_written, open_instance, prepare_dagster_home, process_tags
from resources.orchestration.glue import Progress, ProgressReporter
from resources.store.blobs import translated
from resources.stores.home import Stores, open_stores

# Dagster logs every event at DEBUG; a person wants our own progress and the errors.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_ACCURACY_JOBS = frozenset(accuracy_job(cadence) for cadence in CADENCES.values())


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
        return open_stores(self.settings.store, self.settings.mirror_folder)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance below the home folder; the UI shows the same."""
        return open_instance(self.settings.dagster_folder)

    def history(self, day: date) -> History:
        """Return the history behind the staged snapshot of a day."""
        return History.of(self.stores.predictions.staged("feature_snapshots", day), self.stores.observations)

    def ingest(self, batches: Iterable[Batch]) -> IngestOutcome:
        """Check, store and record batches; nothing becomes visible unless all are in order.

        Args:
            batches: What a reader returns; made one by one, so that only one is in memory, if the reader does so.

        Raises:
            ContractError: With everything that is wrong with any of the batches.
        """
        expect = partial(_unexpected, self.settings.expectations_folder)
        outcome = ingest_batches(batches, self.stores.observations, expect=expect, report=self.say)
        return replace(outcome, notes=(*outcome.notes, *self._tell_dagster(outcome.added)))

    def inspect(self, batches: Iterable[Batch]) -> list[Finding]:
        """Return everything that `ingest` would find; nothing is stored, not even the home folder is made."""
        with TemporaryDirectory(prefix="forecast-assets-") as scratch:
            return inspect_batches(batches, self.held(), expect=partial(_unexpected, Path(scratch)), report=self.say)

    def held(self) -> Held:
        """Return what the store holds, or nothing if there is no store yet."""
        if not self.stores.ledger.state().sequence:
            return NOTHING_HELD
        return Held.by(self.stores.observations, self.stores.observations.batches)

    def snapshot(self, day: date) -> str:
        """Make the feature snapshot of a date; return its version.

        Raises:
            IncompleteInputsError: If inputs are missing.
        """
        self._require_partition(day)
        self._run(FEATURE_PIPELINE, partition_key=day.isoformat())
        return self.stores.predictions.staged("feature_snapshots", day).version

    def _require_day_of_the_store(self, day: date) -> None:
        start = self.stores.ledger.state().start_date
        if start is not None and day < start:
            raise InputError(f"{day} lies before the store's first day, {start}.", remedy="Choose a later date.")

    def _require_partition(self, day: date) -> None:
        self._require_day_of_the_store(day)
        if day >= datetime.now(UTC).date():
            raise IncompleteInputsError(day, [f"{day} is not over (UTC)"])

    def train(self, *, family: str, version: str, cutoff: date, horizon: int | None = None) -> None:
        """Train and register a model version as of a cutoff."""
        require_version_name(version)
        self.snapshot(cutoff)
        self._show_version(version)
        config = {"family": family, "cutoff": cutoff.isoformat(), "horizon": horizon}
        self._run(TRAINING, partition_key=version, config={"ops": {"model_artifacts": {"config": config}}})

    def register_external(
        self, version: str, external_forecasts: Sequence[str], *, cutoff: date, evaluated_on: date
    ) -> None:
        """Register a version made elsewhere.

        Args:
            version: Its name.
            external_forecasts: Product versions that its first file was stored as, oldest date first.
            cutoff: First prediction date of that file; calibration sees nothing after it.
            evaluated_on: Prediction date of the snapshot whose sales past dates of the file are measured on.
        """
        self._show_version(version)
        config = {
            "family": external.FAMILY,
            "cutoff": cutoff.isoformat(),
            "external_forecasts": list(external_forecasts),
            "evaluated_on": evaluated_on.isoformat(),
        }
        self._run(TRAINING, partition_key=version, config={"ops": {"model_artifacts": {"config": config}}})

    def score(self, key: RunKey) -> Outcome:
        """Score and publish one date with one version; if that is published already, say so and do nothing."""
        if key in self.stores.ledger.state().publications:
            # A run that was killed between its commit and its catalogue left the catalogue behind.
            self.refresh_catalogue()
            return Outcome(self.stores.predictions.publication(key), is_new=False, checks_passed=0)
        self.require_possible(key)
        require_external_forecasts(self.stores, key, self.stores.registry.model_version(key.model_version))
        self.snapshot(key.prediction_date)
        return self._publish(key)

    def correct(self, key: RunKey, *, by: str, reason: str, known_until: datetime | None = None) -> Outcome:
        """Publish a new revision of a run, from what has become known since; the revisions before it stay.

        Args:
            key: The run; whatever revision it names, the newest is corrected.
            by: Who decided.
            reason: Why.
            known_until: Moment of knowledge, in UTC; by default that of the newest word on the days up to the run's.

        Raises:
            InputError: If who or why is missing, or the moment is earlier than the newest revision's own
                or yet to come.
            NotPublishedError: If nothing is published under the key.
            NothingToCorrectError: If no input has changed.
            AlreadyPublishedError: If another correction was quicker.
        """
        if not by.strip() or not reason.strip():
            raise InputError("A correction needs who and why.", remedy="Give --by and --reason some text.")
        if known_until is not None and known_until > datetime.now(UTC):
            raise InputError(
                f"Nobody knows yet what will be known by {known_until:%Y-%m-%d %H:%M} UTC.",
                remedy="Leave --known-until out for the newest word there is.",
            )
        self.stores.predictions.publication(replace(key, revision=0))
        newest = self.stores.predictions.revisions(key)[-1]
        found = require_change(restatement(self.stores, newest, known_until))
        settings = {"known_until": found.now_known_until.isoformat(), "by": by, "reason": reason}
        revision = replace(newest.key, revision=newest.key.revision + 1)
        self.require_possible(revision)
        self._run(
            FEATURE_PIPELINE,
            partition_key=key.prediction_date.isoformat(),
            config={"resources": {"run": {"config": self._run_settings(key.forecast_horizon) | settings}}},
        )
        return self._publish(revision, {"revision": revision.revision, **settings})

    def _publish(self, key: RunKey, correction: Mapping[str, Any] | None = None) -> Outcome:
        self._show_version(key.model_version)
        settings = {**self._run_settings(key.forecast_horizon), **(correction or {})}
        passed = self._run(
            scoring_job(CADENCES[key.cadence]),
            partition_key=scoring_partition(key.prediction_date, key.model_version),
            config={"resources": {"run": {"config": settings}}},
        )
        publication = self.stores.predictions.publication(key)
        self.refresh_catalogue()
        return Outcome(publication, is_new=True, checks_passed=passed)

    def measure(self, cadence: str, first: date | None = None, last: date | None = None) -> list[date]:
        """Measure the published forecasts of every day that is due, oldest first; each day is recorded by itself.

        Args:
            cadence: Rhythm of the runs.
            first: First day to look at; None for the first that any run looks at.
            last: Last day to look at; None for the last that any run looks at.

        Returns:
            The days that were measured; none if nothing has changed since they last were.

        Raises:
            LostRaceError: If another process recorded other numbers of a day in between; run again.
            NotAcceptedError: If a check failed; days before it stay measured.
        """
        due = due_days(self.stores, cadence, first, last)
        operation = f"{cadence}__{FORECAST_ACCURACY.name}"
        for at, day in enumerate(due):
            self.say("measure days", at, len(due))
            config = {"ops": {operation: {"config": {"shows": day == due[-1]}}}}
            self._run(accuracy_job(CADENCES[cadence]), partition_key=day.isoformat(), config=config)
        self.say("measure days", len(due), len(due))
        self.refresh_catalogue()
        return due

    def require_possible(self, key: RunKey) -> None:
        """Refuse a run that no input can make possible.

        Raises:
            InputError: If the date is no prediction date of the cadence, or lies before the store's first day.
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If the version may not serve the date.
            HorizonError: If the version was not trained as far ahead.
        """
        CADENCES[key.cadence].require_date(key.prediction_date)
        self._require_day_of_the_store(key.prediction_date)
        model = self.stores.registry.model_version(key.model_version)
        require_servable(key, model)
        require_horizon(self.stores, key, model)

    def _show_version(self, version: str) -> None:
        """Make a version a partition, so that its runs can be launched and seen in the UI."""
        with history_written(self.settings.dagster_folder):
            self.instance.add_dynamic_partitions(str(model_versions.name), [version])

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
            StorageError: If it cannot be built; what is recorded stays so.
        """
        return refresh_catalogue(self.stores.predictions, self.settings.catalogue_folder)

    def _run(self, job: str, *, partition_key: str, config: dict[str, Any] | None = None) -> int:
        defs = build_defs({"progress": CallbackProgress(self._report)} if self._report else None, self.settings)
        # Named here, so that of several processes each reads what its own run's checks said.
        run_id = str(uuid4())
        try:
            with history_written(self.settings.dagster_folder):
                result = defs.resolve_job_def(job).execute_in_process(
                    run_config={**_QUIET, **(config or {})},
                    instance=self.instance,
                    run_id=run_id,
                    partition_key=partition_key,
                    tags=process_tags(),
                )
        except DagsterExecutionInterruptedError as error:
            raise KeyboardInterrupt from error
        except DagsterAssetCheckFailedError as error:
            raise self._refusal(job, self._failed_checks(run_id)) from error
        return sum(evaluation.passed for evaluation in result.get_asset_check_evaluations())

    @staticmethod
    def _refusal(job: str, failed: list[str]) -> ForecastAssetsError:
        what = "No measurement was recorded" if job in _ACCURACY_JOBS else "Nothing was published"
        why = f"{what}, since a check failed: {'; '.join(failed)}."
        if any(LINEAGE_CHECK in sentence.split(":")[0] for sentence in failed):
            return ChangedFileError(why, remedy="Restore the files named here from a backup.")
        return NotAcceptedError(why, remedy="Look at the failing rows in the UI: make ui.")

    def _failed_checks(self, run_id: str) -> list[str]:
        """Return what the failed checks of a run said."""
        logged = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        events = [entry.dagster_event.asset_check_evaluation_data for entry in logged if entry.dagster_event]
        return [f"{event.check_name}: {event.description}" for event in events if not event.passed]

    def say(self, stage: str, done: int, total: int) -> None:
        """Report how far long work is, if anybody listens."""
        if self._report:
            self._report(stage, done, total)

    def _tell_dagster(self, added: Iterable[BatchRecord]) -> tuple[str, ...]:
        """Show batches in the UI; they are recorded already, so that no failure here may look like one of the ingest.

        Returns:
            What to tell a person if it did not work.
        """
        try:
            with history_written(self.settings.dagster_folder):
                for batch in added:
                    self.instance.report_runless_asset_event(_materialization(batch))
        except Exception as error:  # noqa: BLE001 whatever Dagster's storage raises, the ledger has the batches
            return (f"The data is recorded, but the Dagster UI will not show it: {error}",)
        return ()


def _unexpected(folder: Path, batch: Batch) -> list[str]:
    """Return what Great Expectations finds unexpected in a batch; its results are kept in a folder."""
    with translated(folder):
        return validate_feed(batch.frame, batch.feed, folder, run_name=f"ingest {batch.feed} {batch.source}").failed


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


class CallbackProgress(ProgressReporter):
    """Hands progress to a function instead of the run's log."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def reporter(self, log: Any) -> Progress:
        """Return the function."""
        del log
        return self._report


def ui_command(settings: Settings, *, host: str, port: int) -> Sequence[str]:
    """Return the command that serves the Dagster UI on the home folder."""
    prepare_dagster_home(settings.dagster_folder)
    executable = shutil.which("dg") or str(Path(os.sys.executable).with_name("dg"))  # type: ignore[attr-defined]
    return [executable, "dev", "--host", host, "--port", str(port)]

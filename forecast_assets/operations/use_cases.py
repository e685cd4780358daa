"""What doors do with a home folder: ingest, train, publish, correct, measure.

What belongs here: the order of each use case and its typed result. What does not: parsing, printing, computing a
number, or Dagster: whoever runs its jobs says how (forecast_assets.launch).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from checks.expectations import validate_feed
from forecast_assets.accuracy.inputs import due_days
from forecast_assets.accuracy.run_days import RunKnowledgeCache
from forecast_assets.backtesting.backtest import BacktestOutcome, BacktestRequest, run_backtests
from forecast_assets.contracts import SALES
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import IncompleteInputsError, InputError, first_ten
from forecast_assets.core.keys import CADENCES, RunKey, require_version_name
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.run import CorrectionRequest, RunOptions, RunRequest, TrainingRequest
from forecast_assets.core.spans import outermost, whole
from forecast_assets.corrections.restatements import require_change, restatement, source_snapshot
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version
from forecast_assets.history import History
from forecast_assets.history.observed import observed_until
from forecast_assets.history.silence import silences
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.closures import closures_batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches, inspect_batches
from forecast_assets.ingestion.quarantine import released_batch
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows
from forecast_assets.ingestion.taking_back import keep_what_was_said_again, require_no_other_word
from forecast_assets.lifecycle.retraining import DueTraining, due_training
from forecast_assets.lifecycle.stage import TrialContext, due_dates, due_day
from forecast_assets.models.external.artifact import FAMILY as EXTERNAL
from forecast_assets.operations.batches import find_batch, quarantined
from forecast_assets.operations.challengers import offer_challenger
from forecast_assets.operations.overrides import require_other_overrides
from forecast_assets.reviews.stage import newest_week, require_reviewable, week_end
from forecast_assets.scoring.preconditions import require_given, require_possible
from forecast_assets.settings import Settings
from forecast_assets.training.stage import require_free
from resources.catalogue.build import refresh_catalogue
from resources.ledger.entries.challenge import Challenge
from resources.ledger.entries.ingest import BatchRecord, ReadRange
from resources.ledger.entries.publish import Publication
from resources.ledger.present import present, present_of_days
from resources.store.blobs import translated
from resources.stores.home import Stores, open_stores


@dataclass(frozen=True)
class RunOutcome:
    """What a run did.

    Attributes:
        publication: The published run.
        is_new: Whether this call published it; False if it was there already.
        checks_passed: How many checks passed on the way.
    """

    publication: Publication
    is_new: bool
    checks_passed: int


@dataclass(frozen=True)
class RetrainingOutcome:
    """What a call for retraining did.

    Attributes:
        trained: The version that was trained, with the reason; or why none was.
        challenger: The trial that it began; or why there was none.
    """

    trained: DueTraining | str
    challenger: Challenge | str


class UseCases(ABC):
    """What doors do with one home folder.

    Args:
        settings: Where state lives and how much of the machine to use.
        progress: Called with stage, done and total while long work goes on.

    Attributes:
        settings: As given.
        progress: As given; nobody listens by default.
    """

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        self.settings = settings
        self.progress = progress or silent
        self._snapshots: dict[date, tuple[str, ...]] = {}

    # --- jobs ---

    @abstractmethod
    def make_snapshot(self, day: date, correction: CorrectionRequest | None = None) -> None:
        """Make the feature snapshot of a date, or that of a correction's moment of knowledge."""

    @abstractmethod
    def train_version(self, request: TrainingRequest) -> None:
        """Train and register a model version."""

    @abstractmethod
    def publish_run(self, request: RunRequest) -> int:
        """Score, check and publish a run; return how many checks passed."""

    @abstractmethod
    def measure_day(self, cadence: str, day: date, *, shows: bool, cache: RunKnowledgeCache) -> None:
        """Measure and record the published forecasts of a day."""

    @abstractmethod
    def assign_date(self, cadence: str, day: date, *, shows: bool) -> None:
        """Record which version each store follows on a prediction date."""

    @abstractmethod
    def judge_challenger(self, cadence: str, day: date) -> None:
        """Weigh the evidence of the running trial as of its newest measured day, and record the verdict."""

    @abstractmethod
    def judge_drift(self, day: date) -> None:
        """Judge the inputs of a day and the errors of forecasts, and record what is found."""

    @abstractmethod
    def judge_series(self, day: date) -> None:
        """Judge the series of a day's snapshot, and record what is found."""

    @abstractmethod
    def review_week(self, cadence: str, last_day: date) -> None:
        """Review a week, and record its figures and what they propose."""

    @abstractmethod
    def show_batches(self, added: Iterable[BatchRecord]) -> tuple[str, ...]:
        """Show recorded batches to people; return what to tell if that did not work."""

    # --- the home ---

    @cached_property
    def stores(self) -> Stores:
        """The stores of the home folder."""
        return open_stores(self.settings.store, self.settings.mirror_folder)

    @property
    def options(self) -> RunOptions:
        """How runs are made here."""
        settings = self.settings
        return RunOptions(settings.history_days, settings.risk_paths, settings.workers)

    def history(self, day: date) -> History:
        """Return the history behind the staged snapshot of a day."""
        return History.of(self.stores.predictions.staged("feature_snapshots", day), self.stores.observations)

    def refresh_catalogue(self) -> Path:
        """Build the BI catalogue of the ledger's head, if it is not there yet.

        Raises:
            StorageError: If it cannot be built; what is recorded stays so.
        """
        return refresh_catalogue(self.stores.predictions, self.settings.catalogue_folder)

    # --- ingest ---

    def ingest(self, batches: Iterable[Batch], read: Sequence[ReadRange] = ()) -> IngestOutcome:
        """Check, store and record batches; nothing becomes visible unless all are in order.

        Args:
            batches: What a reader returns; made one by one, so that only one is in memory, if the reader does so.
            read: Messages that they were made from.

        Raises:
            ContractError: With everything that is wrong with any of the batches.
        """
        return self._ingested(batches, read=read)

    def _ingested(
        self, batches: Iterable[Batch], *, by: str = "", reason: str = "", read: Sequence[ReadRange] = ()
    ) -> IngestOutcome:
        expect = partial(_unexpected, self.settings.expectations_folder)
        with outermost("ingest") as now:
            outcome = ingest_batches(
                batches,
                self.stores.observations,
                expect=expect,
                progress=self.progress,
                by=by,
                reason=reason,
                read=read,
            )
            now.note(batches_added=len(outcome.added), batches_known=len(outcome.known))
        return replace(outcome, notes=(*outcome.notes, *self.show_batches(outcome.added)))

    def say_closed(
        self, stores: Sequence[str], first: date, last: date, *, by: str, reason: str, is_closed: bool = True
    ) -> IngestOutcome:
        """Record on which days stores were, or will be, closed; or open after all.

        Raises:
            InputError: If who or why is missing, a store is not known, or the days are none or too many.
        """
        require_decision("A closure", by, reason)
        now = present(self.stores.ledger.state())
        batch = closures_batch(stores, first, last, self.stored_rows(), is_closed=is_closed, now=now)
        return self._ingested([batch], by=by, reason=reason)

    def retract(self, batch: str, *, by: str, reason: str, counts_again: bool = False) -> BatchRecord:
        """Take a batch back: snapshots made from now on leave it out; what was made from it stays as it is.

        Args:
            batch: Its number, id, or the first digits of the id.
            by: Who decides.
            reason: Why.
            counts_again: Undo an earlier retraction instead.

        Raises:
            InputError: If there is no such batch, if this is so already, or if who or why is missing.
        """
        require_decision("Taking back a batch", by, reason)
        found = find_batch(self.stores, batch)
        if not counts_again:
            keep_what_was_said_again(self.stores.observations, found, by=by, reason=reason)
        if counts_again:
            require_no_other_word(self.stores.observations, found)
        self.stores.observations.retract(found.batch_id, by=by, reason=reason, counts_again=counts_again)
        return found

    def release(self, batch: str, *, by: str, reason: str, rows: Sequence[int] = ()) -> IngestOutcome:
        """Take quarantined rows in as they were read.

        Args:
            batch: The batch that holds them: its number, id, or the first digits of the id.
            by: Who decides.
            reason: Why.
            rows: Numbers of the rows in their file; all that are open if there are none.

        Raises:
            InputError: If there are no such rows, if one of them lacks what its feed needs, or who or why is missing.
        """
        require_decision("Releasing rows", by, reason)
        found = find_batch(self.stores, batch)
        aside = quarantined(self.stores).filter(pl.col("batch_id") == found.batch_id, pl.col("is_open"))
        chosen = aside.filter(pl.col("row_number").is_in(rows)) if rows else aside
        absent = sorted({*rows} - {*chosen["row_number"]})
        if absent or chosen.is_empty():
            raise InputError(
                f"Batch {found.batch_id[:12]} has no open quarantined row {first_ten(absent) or 'at all'}.",
                remedy=Sentence("See which there are: ", Action("ingest quarantine list"), "."),
            )
        reading = {each.source: each.listed_days for each in silences(self.stores.observations.batches())}
        released = released_batch(found, chosen)
        # What a person does with some rows changes nothing of what the source's silence means.
        listed_days = reading.get(found.source) if released.feed == SALES.name else None
        return self._ingested([replace(released, listed_days=listed_days)], by=by, reason=reason)

    def inspect(self, batches: Iterable[Batch]) -> list[FeedFinding]:
        """Return everything that `ingest` would find; nothing is stored, not even the home folder is made."""
        with TemporaryDirectory(prefix="forecast-assets-") as scratch:
            expect = partial(_unexpected, Path(scratch))
            return inspect_batches(batches, self.stored_rows(), expect=expect, progress=self.progress)

    def stored_rows(self) -> StoredRows:
        """Return what the store holds, or nothing if there is no store yet."""
        if not self.stores.ledger.state().sequence:
            return NO_STORED_ROWS
        return StoredRows.by(self.stores.observations, self.stores.observations.batches)

    # --- snapshots and versions ---

    def snapshot(self, day: date) -> str:
        """Make the feature snapshot of a date; return its version.

        Raises:
            IncompleteInputsError: If inputs are missing.
        """
        self._require_day_of_the_store(day)
        if day >= present_of_days(self.stores.ledger.state()).date():
            raise IncompleteInputsError(day, [f"{day} is not over (UTC)"])
        known = tuple(batch.batch_id for batch in self.stores.observations.batches())
        # Training on a date and then running it asks for the same snapshot twice.
        if self._snapshots.get(day) != known or not self.stores.predictions.is_staged("feature_snapshots", day):
            self.make_snapshot(day)
            self._snapshots[day] = known
        return self.stores.predictions.staged("feature_snapshots", day).version

    def _require_day_of_the_store(self, day: date) -> None:
        start = self.stores.ledger.state().start_date
        if start is not None and day < start:
            raise InputError(f"{day} lies before the store's first day, {start}.", remedy="Choose a later date.")

    @whole("train")
    def train(self, *, family: str, version: str, cutoff: date, horizon: int | None = None) -> None:
        """Train and register a model version as of a cutoff."""
        require_version_name(version, is_new=True)
        require_free(self.stores, version)
        self.snapshot(cutoff)
        self.train_version(TrainingRequest(version, family, cutoff, horizon))

    def register_external(self, version: str, given: Sequence[str], *, cutoff: date, evaluated_on: date) -> None:
        """Register an external version.

        Args:
            version: Its name.
            given: Product versions that its first file was stored as, oldest date first.
            cutoff: First prediction date of that file; calibration sees nothing after it.
            evaluated_on: Prediction date of the snapshot whose sales past dates of the file are measured on.
        """
        self.train_version(
            TrainingRequest(version, EXTERNAL, cutoff, given_versions=tuple(given), evaluated_on=evaluated_on)
        )

    def retrain(self) -> RetrainingOutcome:
        """Train the version that is due by drift or by time, and make it challenger if its gates pass.

        A version that was trained before and is no challenger yet is offered too, so that a call that was interrupted
        in between is taken up.
        """
        due = due_training(
            self.stores, weeks=self.settings.retraining_weeks, now=present_of_days(self.stores.ledger.state())
        )
        if isinstance(due, DueTraining):
            self.snapshot(due.request.cutoff)
            self.train_version(due.request)
        return RetrainingOutcome(due, offer_challenger(self.stores))

    # --- drift ---

    def drift(self, day: date | None = None) -> date:
        """Judge the inputs of a day and the errors of forecasts, and record what is found; return the day.

        Args:
            day: The day; by default the newest with sales that is over.

        Raises:
            IncompleteInputsError: If inputs of the day are missing.
            LostRaceError: If another process recorded a judgement in between; run again.
        """
        chosen = day or observed_until(self.stores)
        self.snapshot(chosen)
        self.judge_drift(chosen)
        return chosen

    def anomalies(
        self,
        day: date | None = None,
        *,
        earlier: int = 0,
        left_out: Callable[[IncompleteInputsError], None] = lambda _: None,
    ) -> date:
        """Judge the series of a day's snapshot, and record what is found; return the day.

        Args:
            day: The day; by default the newest with sales that is over.
            earlier: Of so many days before it snapshots are made first, where they are missing or of other features.
            left_out: Called with why, for each of these days of which inputs are missing.

        Raises:
            IncompleteInputsError: If inputs of the day are missing.
            NotReadyError: If there are too few snapshots before the day.
            LostRaceError: If another process recorded a judgement in between; run again.
        """
        chosen = day or observed_until(self.stores)
        start = self.stores.ledger.state().start_date or chosen
        before = (chosen - timedelta(days=back) for back in range(earlier, 0, -1))
        for each in before:
            if each < start or self._has_snapshot_of_these_features(each):
                continue
            try:
                self.snapshot(each)
            except IncompleteInputsError as error:
                left_out(error)
        self.snapshot(chosen)
        self.judge_series(chosen)
        return chosen

    def _has_snapshot_of_these_features(self, day: date) -> bool:
        predictions = self.stores.predictions
        return predictions.is_staged("feature_snapshots", day) and predictions.staged("feature_snapshots", day).facts[
            "feature_version"
        ] == feature_version(DEFAULT_SPECS)

    # --- reviews ---

    def review(self, cadence: str, week: str | None = None) -> date:
        """Review a week and record it; return its Sunday.

        Args:
            cadence: Rhythm of the runs.
            week: ISO week; by default the newest that is over and of which a day was measured.

        Raises:
            InputError: If it is no week, or not over.
            NotReadyError: If there is no champion, or nothing of the week was measured.
            LostRaceError: If another process recorded a review of it in between; run again.
        """
        state = self.stores.ledger.state()
        now = present_of_days(state)
        last_day = newest_week(state, cadence, now) if week is None else week_end(week)
        require_reviewable(state, cadence, last_day, now)
        self.review_week(cadence, last_day)
        return last_day

    # --- runs ---

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
        require_possible(self.stores, key)

    @whole("run")
    def score(self, key: RunKey) -> RunOutcome:
        """Score and publish one date with one version; if that is published already, say so and do nothing."""
        if key in self.stores.ledger.state().publications:
            # A run that was killed between its commit and its catalogue left the catalogue behind.
            self.refresh_catalogue()
            self.assign(key.cadence)
            return RunOutcome(self.stores.predictions.publication(key), is_new=False, checks_passed=0)
        self.require_possible(key)
        require_given(self.stores, key, self.stores.registry.model_version(key.model_version))
        self.snapshot(key.prediction_date)
        outcome = self._published(RunRequest(key, self.options))
        self.assign(key.cadence)
        return outcome

    @whole("run")
    def correct(self, key: RunKey, *, by: str, reason: str, known_until: datetime | None = None) -> RunOutcome:
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
        require_decision("A correction", by, reason)
        if known_until is not None and known_until > present(self.stores.ledger.state()):
            raise InputError(
                f"Nobody knows yet what will be known by {known_until:%Y-%m-%d %H:%M} UTC.",
                remedy="Leave --known-until out for the newest word there is.",
            )
        self.stores.predictions.publication(replace(key, revision=0))
        newest = self.stores.predictions.revisions(key)[-1]
        found = require_change(restatement(self.stores, newest, known_until))
        correction = CorrectionRequest(found.now_known_until, by, reason)
        revision = replace(newest.key, revision=newest.key.revision + 1)
        self.require_possible(revision)
        self.make_snapshot(key.prediction_date, correction)
        return self._published(RunRequest(revision, self.options, correction))

    @whole("run")
    def publish_overrides(self, key: RunKey, *, by: str, reason: str) -> RunOutcome:
        """Publish a new revision of a run for overrides that it does not have yet; the revisions before it stay.

        Nothing is forecast anew: the revision goes on from the untouched forecasts of the one before it.

        Args:
            key: The run; whatever revision it names, the newest is revised.
            by: Who decided.
            reason: Why.

        Raises:
            InputError: If who or why is missing.
            NotPublishedError: If nothing is published under the key.
            NothingToCorrectError: If the overrides and rules in force are those that the newest revision has.
            AlreadyPublishedError: If another revision was quicker.
        """
        require_decision("A revision", by, reason)
        self.stores.predictions.publication(replace(key, revision=0))
        newest = self.stores.predictions.revisions(key)[-1]
        require_other_overrides(self.stores, newest)
        moment = datetime.fromisoformat(source_snapshot(self.stores, newest.products).facts["known_until"])
        revision = replace(newest.key, revision=newest.key.revision + 1)
        self.require_possible(revision)
        correction = CorrectionRequest(moment, by, reason, of_overrides=True)
        return self._published(RunRequest(revision, self.options, correction))

    def _published(self, request: RunRequest) -> RunOutcome:
        passed = self.publish_run(request)
        publication = self.stores.predictions.publication(request.key)
        self.refresh_catalogue()
        return RunOutcome(publication, is_new=True, checks_passed=passed)

    # --- champion and challenger ---

    def assign(self, cadence: str) -> list[date]:
        """Record which version each store follows, on every date that is due; see `lifecycle.stage.due_dates`.

        Args:
            cadence: Rhythm of the runs.

        Returns:
            The dates; none before the first trial of the cadence, and if nothing has changed.

        Raises:
            LostRaceError: If another process assigned a date by other terms meanwhile; run again.
        """
        due = due_dates(self.stores.ledger.state(), cadence)
        for day in due:
            self.assign_date(cadence, day, shows=day == due[-1])
        if due:
            self.refresh_catalogue()
        return due

    def judge(self, cadence: str) -> date | None:
        """Measure the days of the running trial that are due, then weigh its evidence.

        Args:
            cadence: Rhythm of the runs.

        Returns:
            The newest measured day, if something was weighed; None if nothing has changed, or nothing was measured yet.

        Raises:
            NotReadyError: If no trial runs.
            LostRaceError: If another process did the same with other sales; run again.
        """
        self.measure(cadence, TrialContext(self.stores, cadence).trial().first_day)
        due = due_day(self.stores.ledger.state(), cadence)
        if due is not None:
            self.judge_challenger(cadence, due)
            self.refresh_catalogue()
        return due

    # --- how good they are ---

    def backtest(self, request: BacktestRequest) -> BacktestOutcome:
        """Judge a version at past cutoffs, record the report and show it in SQL; see `backtesting.backtest`."""
        outcome = run_backtests(self.stores, self.settings, request, self.progress)
        self.refresh_catalogue()
        return outcome

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
        due, cache = due_days(self.stores, cadence, first, last), RunKnowledgeCache()
        for at, day in enumerate(due):
            self.progress("measure days", at, len(due))
            self.measure_day(cadence, day, shows=day == due[-1], cache=cache)
        self.progress("measure days", len(due), len(due))
        self.refresh_catalogue()
        return due


def _unexpected(folder: Path, batch: Batch) -> list[str]:
    """Return what Great Expectations finds unexpected in a batch; its results are kept in a folder."""
    with translated(folder):
        return validate_feed(batch.frame, batch.feed, folder, run_name=f"ingest {batch.feed} {batch.source}").failed

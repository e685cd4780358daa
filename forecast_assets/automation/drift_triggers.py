"""When drift is judged, when a version is trained anew, and when it becomes challenger.

What belongs here: deciding that one of these is due, or saying why it is not. What does not: the rules
(`lifecycle.retraining`), judging or training. Nothing here makes a champion.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import dagster as dg

from forecast_assets.automation.refusals import Refusals
from forecast_assets.automation.triggers import first_request
from forecast_assets.core.errors import NotReadyError
from forecast_assets.core.keys import DAILY, last_day_over
from forecast_assets.lifecycle.retraining import DueTraining, due_challenger, due_training
from forecast_assets.operations.challengers import offer_challenger
from forecast_assets.presentation.actions import error_text
from forecast_assets.settings import Settings
from forecast_assets.training.stage import ARTIFACTS
from partitions import model_versions
from resources.ledger.entries.challenge import Challenge
from resources.ledger.entries.drift import DriftRecords
from resources.ledger.entries.judged_days import JudgedDays
from resources.ledger.present import present_of_days
from resources.orchestration.configs import TrainingConfig
from resources.orchestration.dagster_home import Launches
from resources.orchestration.dagster_resources import StoresResource
from resources.stores.home import Stores

# Drift and what follows from it may wait longer than a run.
DRIFT_SECONDS: Final = 300
DAYS_LOOKED_BACK: Final = 14


def build_drift_sensor(stores: StoresResource, job: str) -> dg.SensorDefinition:
    """Build the sensor that judges each day once its snapshot is there."""

    @dg.sensor(
        name="drift_when_snapshot_is_there",
        job_name=job,
        minimum_interval_seconds=DRIFT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges the inputs of each day and the errors of forecasts, oldest first, after the newest that "
        "was judged; of a store in which none was, the newest day.",
    )
    def drift(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return drift_request(stores.reopened(), Launches(context.instance, job))

    return drift


def drift_request(stores: Stores, launches: Launches, now: datetime | None = None) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the oldest day that is due, or why there is none.

    Args:
        stores: Where everything is.
        launches: What has been launched.
        now: Moment that decides which days are over; by default the present.
    """
    state = stores.ledger.state()
    try:
        due, newest = days_to_judge(stores, state.part(DriftRecords), now)
    except NotReadyError as error:
        return dg.SkipReason(error_text(error))
    if not due:
        return dg.SkipReason(f"Every day with a snapshot up to {newest} is judged.")
    request = dg.RunRequest(run_key=f"drift/{due[0]}/{state.sequence}", partition_key=due[0].isoformat())
    return first_request([lambda: request], launches)


def days_to_judge(stores: Stores, judged: JudgedDays[Any], now: datetime | None) -> tuple[list[date], date]:
    """Return the days that are due, and the newest with sales.

    Args:
        stores: Where everything is.
        judged: The days that were judged.
        now: Moment that decides which days are over; None for the present.

    Returns:
        Days with a snapshot after the newest that was judged, oldest first; of a store in which none was, the
        newest day.

    Raises:
        NotReadyError: If there are no sales yet.
    """
    newest = stores.observations.newest_day("sales", until=last_day_over(now or present_of_days(stores.ledger.state())))
    after = max(judged.by_day, default=newest - timedelta(days=1))
    days = [newest - timedelta(days=back) for back in reversed(range(DAYS_LOOKED_BACK))]
    due = [day for day in days if day > after and stores.predictions.is_staged("feature_snapshots", day)]
    return due, newest


def build_retraining_schedule(settings: Settings, stores: StoresResource, job: str) -> dg.ScheduleDefinition:
    """Build the schedule that trains a version anew when the newest is some weeks behind."""

    @dg.schedule(
        name="retraining_after_some_weeks",
        job_name=job,
        cron_schedule=f"30 {settings.schedule_hour_utc} * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Trains a version of the champion's family when the newest has not seen the last "
        f"{settings.retraining_weeks} weeks; it becomes the challenger if its gates pass.",
    )
    def retraining(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = due_training(
            stores.reopened(),
            weeks=settings.retraining_weeks,
            now=context.scheduled_execution_time.astimezone(UTC),
            by_drift=False,
        )
        if isinstance(due, str):
            return dg.SkipReason(due)
        answer = _training_once(due, Launches(context.instance, job))
        if isinstance(answer, dg.RunRequest):
            context.instance.add_dynamic_partitions(str(model_versions.name), [due.request.model_version])
        return answer

    return retraining


def build_retraining_sensor(stores: StoresResource, job: str) -> dg.SensorDefinition:
    """Build the sensor that trains a version anew when a change is told that no version has seen."""

    @dg.sensor(
        name="retraining_when_drift_is_told",
        job_name=job,
        minimum_interval_seconds=DRIFT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains a version of the champion's family once two weeks of a change that no version has seen are "
        "known, and no feed is broken; it becomes the challenger if its gates pass.",
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        opened = stores.reopened()
        due = due_training(opened, weeks=0, now=present_of_days(opened.ledger.state()))
        if isinstance(due, str):
            return dg.SkipReason(due)
        answer = _training_once(due, Launches(context.instance, job))
        if isinstance(answer, dg.SkipReason):
            return answer
        added = model_versions.build_add_request([due.request.model_version])
        return dg.SensorResult(run_requests=[answer], dynamic_partitions_requests=[added])

    return retraining


def training_request(due: DueTraining) -> dg.RunRequest:
    """Return the request for a training: once per version, whoever asks."""
    config = TrainingConfig.of(due.request).model_dump()
    return dg.RunRequest(
        run_key=f"retraining/{due.request.model_version}",
        partition_key=due.request.model_version,
        run_config={"ops": {ARTIFACTS: {"config": config}}},
        tags={"forecast_assets/reason": due.reason[:200]},
    )


def _training_once(due: DueTraining, launches: Launches) -> dg.RunRequest | dg.SkipReason:
    # Its key names no ledger entry: a training that failed is for somebody to look at.
    return first_request(
        [lambda: training_request(due)], launches, launched_before="was launched before: look at it in the UI"
    )


def build_challenger_sensor(stores: StoresResource) -> dg.SensorDefinition:
    """Build the sensor that makes a version challenger that was trained by rule and passes its gates."""

    @dg.sensor(
        name="challenger_when_gates_pass",
        minimum_interval_seconds=DRIFT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes the newest version that was trained by rule the challenger, if its gates pass and nobody "
        "chose another one. The ledger says so under the name `automation`. Never moves the champion.",
    )
    def challenger(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(challenger_answer(stores.reopened(), Refusals(context)))

    return challenger


def challenger_answer(stores: Stores, refusals: Refusals) -> str:
    """Make the version that is due challenger, if it passes its gates; say what was done, or why nothing was.

    Args:
        stores: Where everything is.
        refusals: What was refused at an earlier tick is judged again after the next ledger entry only.
    """
    due, state = due_challenger(stores), stores.ledger.state()
    if isinstance(due, str):
        return due
    known = refusals.still(due.model_version, state)
    if known is not None:
        return known
    seen = state.sequence
    moved = offer_challenger(stores)
    if isinstance(moved, Challenge):
        return f"`{moved.model_version}` is {moved.channel} (ledger entry {moved.sequence}): {moved.reason}."
    refusals.keep(due.model_version, DAILY.name, moved, seen=seen, state=stores.ledger.state())
    return moved

"""When runs start: the daily schedule, and sensors that wait for inputs, snapshots and promotions.

What belongs here: deciding that a run is due, or naming what it waits for. What does not: running anything.

A channel (champion) is resolved here, once, when a run is launched; the run itself names its version.
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Final

import dagster as dg

from forecast_assets.errors import NotReadyError
from forecast_assets.keys import Cadence, RunKey
from forecast_assets.settings import Settings
from forecast_assets.snapshots.assets import known_history, readiness
from partitions import model_versions, scoring_partition
from resources.stores import Stores, open_stores

CHAMPION: Final = "champion"
SENSOR_SECONDS: Final = 60
DAYS_LOOKED_BACK: Final = 14


def build_schedules(settings: Settings, feature_pipeline: str) -> list[dg.ScheduleDefinition]:
    """Build the daily schedule: the snapshot of the day that has just ended, if its inputs are complete."""

    @dg.schedule(
        name="daily_at_the_scheduled_hour",
        job_name=feature_pipeline,
        cron_schedule=f"0 {settings.schedule_hour_utc} * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Makes yesterday's feature snapshot; scoring with the champion follows it.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        yesterday = context.scheduled_execution_time.date() - timedelta(days=1)
        return _snapshot_request(open_stores(settings.store_folder), yesterday, settings.feed_tolerance)

    return [daily]


def build_sensors(
    settings: Settings, feature_pipeline: str, scoring_jobs: Mapping[Cadence, str]
) -> list[dg.SensorDefinition]:
    """Build the sensors: snapshot when inputs are complete, scoring when snapshot and champion are there."""

    @dg.sensor(
        name="snapshot_when_inputs_are_complete",
        job_name=feature_pipeline,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Launches the snapshot of the newest day once all its inputs are there; says what is missing.",
    )
    def snapshot(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        del context
        return snapshot_request(open_stores(settings.store_folder), settings.feed_tolerance)

    return [snapshot, *(_scoring_sensor(settings, cadence, job) for cadence, job in scoring_jobs.items())]


def snapshot_request(stores: Stores, feed_tolerance: float) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the first day that is due and complete, or what is waited for.

    Due are the days after the newest snapshot; in a store without a snapshot of the last days, the newest day alone.
    """
    try:
        newest = stores.observations.newest_day("sales")
    except NotReadyError as error:
        return dg.SkipReason(str(error))
    due = _days_after(newest, lambda day: stores.predictions.is_staged("feature_snapshots", day))
    if not due:
        return dg.SkipReason(f"The snapshot of {newest} is there.")
    answers = [_snapshot_request(stores, day, feed_tolerance) for day in due]
    return next((answer for answer in answers if isinstance(answer, dg.RunRequest)), answers[0])


def _days_after(newest: date, is_done: Callable[[date], bool]) -> list[date]:
    """Return the days after the last that is done, up to the newest; the newest alone if none of the last is done."""
    days = [newest - timedelta(days=back) for back in range(DAYS_LOOKED_BACK)]
    done = next((at for at, day in enumerate(days) if is_done(day)), 1)
    return list(reversed(days[:done]))


def _snapshot_request(stores: Stores, day: date, feed_tolerance: float) -> dg.RunRequest | dg.SkipReason:
    if stores.predictions.is_staged("feature_snapshots", day):
        return dg.SkipReason(f"The snapshot of {day} is there.")
    if stores.ledger.state().start_date is None:
        return dg.SkipReason("Nothing has been ingested: forecast-assets ingest ...")
    state = readiness(known_history(stores, day), feed_tolerance)
    if not state.is_complete:
        return dg.SkipReason(f"Waiting for the inputs of {day}: {'; '.join(state.missing)}.")
    # A run that failed is asked for again once something has changed: an ingest is a ledger entry.
    return dg.RunRequest(run_key=f"snapshot/{day}/{stores.ledger.state().sequence}", partition_key=day.isoformat())


def _scoring_sensor(settings: Settings, cadence: Cadence, job: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{cadence.name}_scoring_when_snapshot_and_champion_are_there",
        job_name=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Scores the newest snapshot with the champion: after the feature pipeline, or after a promotion.",
    )
    def scoring(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        del context
        return scoring_request(open_stores(settings.store_folder), cadence)

    return scoring


def scoring_request(stores: Stores, cadence: Cadence) -> dg.SensorResult | dg.SkipReason:
    """Return the request for the first day that is due with the champion, or why there is none."""
    state = stores.ledger.state()
    champion = state.channel(CHAMPION)
    if champion is None:
        return dg.SkipReason("No champion: forecast-assets promote VERSION --by NAME --reason TEXT.")
    newest = stores.observations.newest_day("sales")

    def key_of(day: date) -> RunKey:
        return RunKey(cadence.name, day, champion, cadence.default_horizon)

    due = _days_after(newest, lambda day: key_of(day) in state.publications)
    if not due:
        done = state.publications[key_of(newest)]
        return dg.SkipReason(f"{done.key} is published (ledger entry {done.sequence}).")
    ready = [day for day in due if stores.predictions.is_staged("feature_snapshots", day)]
    if not ready:
        return dg.SkipReason(f"Waiting for the snapshot of {due[0]}.")
    day = ready[0]
    snapshot = stores.predictions.staged("feature_snapshots", day).version
    run_key = f"{key_of(day)}/{snapshot[:12]}/{state.sequence}"
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=run_key, partition_key=scoring_partition(day, champion))],
        dynamic_partitions_requests=[model_versions.build_add_request([champion])],
    )

"""When prediction events are moved.

What belongs here: deciding that days are to be moved, or saying why not. What does not: moving them.
"""

from datetime import UTC, timedelta

import dagster as dg

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.operations.prediction_events import events_store
from forecast_assets.presentation.actions import error_text
from forecast_assets.settings import Settings


def build_events_schedule(settings: Settings, job: str) -> dg.ScheduleDefinition:
    """Build the schedule that moves the prediction events of days that are over."""

    @dg.schedule(
        name="prediction_events_of_the_day_before",
        job_name=job,
        cron_schedule=f"15 {settings.schedule_hour_utc} * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Moves predictions that were answered in real time to Parquet once their day is over, and lets the "
        f"event store forget those of more than {settings.event_retention_days} days ago.",
    )
    def events(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
        try:
            is_any = any(each <= day for each in events_store(settings).days())
        except ForecastAssetsError as error:
            return dg.SkipReason(error_text(error))
        if not is_any:
            return dg.SkipReason(f"The event store has no event of {day} or before.")
        return dg.RunRequest(run_key=f"{job}/{day}", partition_key=day.isoformat())

    return events

"""When weeks are reviewed.

What belongs here: deciding that a review is due, or saying why it is not. What does not: reviewing.
"""

from datetime import UTC

import dagster as dg

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.keys import WEEKLY, Cadence, last_day_over
from forecast_assets.presentation.actions import error_text
from forecast_assets.reviews.stage import require_reviewable
from forecast_assets.settings import Settings
from resources.orchestration.dagster_resources import StoresResource


def build_review_schedule(
    settings: Settings, stores: StoresResource, cadence: Cadence, job: str
) -> dg.ScheduleDefinition:
    """Build the schedule that reviews the week that has ended, on Tuesdays: on Mondays its Sunday is being measured."""

    @dg.schedule(
        name=f"{cadence.name}_review_of_the_week",
        job_name=job,
        cron_schedule=f"45 {settings.schedule_hour_utc} * * 2",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Reviews the week that has ended, of {cadence.name} runs; proposes changes of the policy, makes "
        "none.",
    )
    def review(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time.astimezone(UTC)
        last_day = WEEKLY.newest_date(last_day_over(now))
        try:
            require_reviewable(stores.reopened().ledger.state(), cadence.name, last_day, now)
        except ForecastAssetsError as error:
            return dg.SkipReason(error_text(error))
        return dg.RunRequest(run_key=f"{job}/{last_day}", partition_key=last_day.isoformat())

    return review

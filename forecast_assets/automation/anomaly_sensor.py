"""When the series of a snapshot are judged.

What belongs here: deciding that a day is due, or saying why none is. What does not: judging, or training a detector.
"""

from datetime import date, datetime, timedelta
from functools import partial

import dagster as dg

from forecast_assets.automation.drift_triggers import DAYS_LOOKED_BACK, DRIFT_SECONDS, days_to_judge
from forecast_assets.automation.triggers import first_request
from forecast_assets.core.errors import NotReadyError
from forecast_assets.feature_anomalies.snapshots import restated_days
from forecast_assets.feature_anomalies.stage import require_judgeable
from forecast_assets.presentation.actions import error_text
from resources.ledger.entries.anomalies import AnomalyRecords
from resources.orchestration.dagster_home import Launches
from resources.orchestration.dagster_resources import StoresResource
from resources.stores.home import Stores


def build_anomaly_sensor(stores: StoresResource, job: str) -> dg.SensorDefinition:
    """Build the sensor that judges the series of each day once its snapshot is there."""

    @dg.sensor(
        name="anomalies_when_snapshot_is_there",
        job_name=job,
        minimum_interval_seconds=DRIFT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges the series of each day's snapshot, oldest first, after the newest day that was judged, "
        "once there are snapshots enough before it; of a store in which none was, the newest day. A day of the last "
        "two weeks whose snapshot was made anew with other bytes is judged again.",
    )
    def anomalies(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return anomaly_request(stores.reopened(), Launches(context.instance, job))

    return anomalies


def anomaly_request(stores: Stores, launches: Launches, now: datetime | None = None) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the oldest day that is due and can be judged, or why there is none.

    Args:
        stores: Where everything is.
        launches: What has been launched.
        now: Moment that decides which days are over; by default the present.
    """
    state = stores.ledger.state()
    try:
        due, newest = days_to_judge(stores, state.part(AnomalyRecords), now)
    except NotReadyError as error:
        return dg.SkipReason(error_text(error))
    looked_back = (newest - timedelta(days=back) for back in reversed(range(DAYS_LOOKED_BACK)))
    due = [*restated_days(stores, looked_back), *due]
    if not due:
        return dg.SkipReason(f"The series of every snapshot up to {newest} are judged.")

    def ask(day: date) -> dg.RunRequest | str:
        try:
            require_judgeable(stores, day)
        except NotReadyError as error:
            return error_text(error)
        return dg.RunRequest(run_key=f"anomalies/{day}/{state.sequence}", partition_key=day.isoformat())

    # A day that cannot be judged, or whose run failed, does not hold up those after it.
    return first_request([partial(ask, day) for day in due], launches)

"""The outbox in Dagster: a sensor tells every destination what was recorded.

What belongs here: context in, and what the UI says of it. What does not: what is told, or how.

The sensor tells by itself, without a run: there is nothing to look at afterwards but how far each destination is.
"""

from typing import Final

import dagster as dg

from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.operations.outbox import deliver_events, home_destinations, home_outbox, home_traces
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.outbox import delivery_text
from forecast_assets.settings import Settings
from resources.orchestration.dagster_resources import StoresResource
from resources.stores.home import Stores

OUTBOX_SENSOR: Final = "events_are_delivered"
_SENSOR_SECONDS: Final = 30
# Dagster gives an evaluation a minute; a broker that does not answer takes its own time after that.
_TELLING_SECONDS: Final = 30.0


def build_outbox_sensor(settings: Settings, stores: StoresResource) -> dg.SensorDefinition:
    """Build the sensor that tells destinations what they lack."""

    @dg.sensor(
        name=OUTBOX_SENSOR,
        target=None,
        minimum_interval_seconds=_SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells the broker and webhooks every ledger entry and operational event, in order and none left "
        "out; while one does not answer, says so and catches up later.",
    )
    def deliver(_context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(told_text(settings, stores.reopened()))

    return deliver


def told_text(settings: Settings, stores: Stores) -> str:
    """Tell every destination what it lacks, and return what was told; whatever fails is said and tried again."""
    try:
        done = deliver_events(
            stores,
            home_outbox(settings),
            home_destinations(settings),
            traces=home_traces(settings),
            seconds=_TELLING_SECONDS,
        )
    except ForecastAssetsError as error:
        return error_text(error)
    return delivery_text(done)

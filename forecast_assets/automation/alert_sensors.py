"""Alerts in Dagster: a sensor that evaluates them every half minute, and one that does so as soon as a run fails.

What belongs here: calling the use case, and saying what came of it. What does not: what is looked at, or who is told.
"""

from typing import Final

import dagster as dg

from forecast_assets.alerts.evaluating import AlertEvaluator
from forecast_assets.alerts.rendering import evaluation_text
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.presentation.actions import error_text
from forecast_assets.settings import Settings
from resources.orchestration.dagster_home import close_runs_of_dead_processes
from resources.orchestration.dagster_resources import StoresResource
from resources.orchestration.run_history import DagsterHistory

# What is wrong is to be told within a minute: one evaluation may take half of it.
ALERT_SECONDS: Final = 30


def build_alert_sensors(settings: Settings, stores: StoresResource) -> list[dg.SensorDefinition]:
    """Build both sensors; what one has read is not read again by the other."""
    evaluator = AlertEvaluator(settings)

    @dg.sensor(
        name="alerts_every_half_minute",
        minimum_interval_seconds=ALERT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at feeds, runs, stored bytes, drift, accuracy, the service, disks and mirrors; opens and "
        "closes alerts, and tells whoever FORECAST_ASSETS_ALERT_TO names. It launches nothing.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(evaluated(evaluator, stores, context.instance))

    @dg.run_failure_sensor(
        name="alerts_when_a_run_fails",
        minimum_interval_seconds=ALERT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates alerts as soon as a run has failed.",
    )
    def failures(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        return dg.SkipReason(evaluated(evaluator, stores, context.instance))

    return [alerts, failures]


def evaluated(evaluator: AlertEvaluator, stores: StoresResource, instance: dg.DagsterInstance) -> str:
    """Evaluate alerts, and say what came of it.

    Args:
        evaluator: Of the home.
        stores: Where everything is.
        instance: Dagster's, which knows the runs.
    """
    close_runs_of_dead_processes(instance)
    try:
        done = evaluator.evaluate(DagsterHistory(instance), stores.reopened())
    except ForecastAssetsError as error:
        return error_text(error)
    return evaluation_text(done)

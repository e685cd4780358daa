"""The asset of applied overrides: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.contracts import FORECAST_OVERRIDES, RECONCILED_FORECASTS
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import Cadence
from forecast_assets.forecast_overrides.stage import override
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource


def overrides_job(cadence: Cadence) -> str:
    """Return the name of the job that makes a revision for overrides alone, from the forecasts that are published."""
    return f"{cadence.name}_overrides"


def build_forecast_overrides_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset of applied overrides of a cadence."""

    @scoring_asset(cadence, FORECAST_OVERRIDES, start, group="planning", deps=[RECONCILED_FORECASTS.name])
    def forecast_overrides(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        scored = run_context(context, cadence, stores, run, progress)
        correction = scored.request.correction
        if context.job_name == overrides_job(cadence) and (correction is None or not correction.of_overrides):
            raise InputError(
                f"`{context.job_name}` makes revisions for overrides alone, and {scored.key} is asked for as a run.",
                remedy=Sentence(
                    "Let the command launch it: ", Action("overrides publish", {"by": "NAME", "reason": "TEXT"}), "."
                ),
            )
        return run_stage(override, FORECAST_OVERRIDES, scored)

    return forecast_overrides

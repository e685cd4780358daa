"""The asset of applied overrides: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.contracts import FORECAST_OVERRIDES, RECONCILED_FORECASTS
from forecast_assets.core.keys import Cadence
from forecast_assets.forecast_overrides.stage import override
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource


def build_forecast_overrides_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset of applied overrides of a cadence."""

    @scoring_asset(cadence, FORECAST_OVERRIDES, start, group="planning", deps=[RECONCILED_FORECASTS.name])
    def forecast_overrides(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        return run_stage(override, FORECAST_OVERRIDES, run_context(context, cadence, stores, run, progress))

    return forecast_overrides

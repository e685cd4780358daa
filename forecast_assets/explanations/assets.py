"""The explanation asset: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.contracts import (
    BASE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
)
from forecast_assets.core.keys import Cadence
from forecast_assets.explanations.stage import explain
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource


def build_forecast_explanations_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the explanation asset of a cadence."""

    @scoring_asset(
        cadence,
        FORECAST_EXPLANATIONS,
        start,
        group="explanations",
        deps=[BASE_FORECASTS.name, RECONCILED_FORECASTS.name, FORECAST_OVERRIDES.name, STOCKOUT_RISKS.name],
    )
    def forecast_explanations(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        return run_stage(explain, FORECAST_EXPLANATIONS, run_context(context, cadence, stores, run, progress))

    return forecast_explanations

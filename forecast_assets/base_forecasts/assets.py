"""The base forecast asset: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.base_forecasts.stage import forecast_base
from forecast_assets.contracts import BASE_FORECASTS
from forecast_assets.core.keys import Cadence
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource


def build_base_forecasts_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the base forecast asset of a cadence."""

    @scoring_asset(
        cadence,
        BASE_FORECASTS,
        start,
        group="base_forecasts",
        deps=["feature_snapshots", "evaluation_reports"],
        notes=["Also writes `base_node_forecasts`: the same for the upper nodes that reconciliation listens to."],
    )
    def base_forecasts(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        return run_stage(forecast_base, BASE_FORECASTS, run_context(context, cadence, stores, run, progress))

    return base_forecasts

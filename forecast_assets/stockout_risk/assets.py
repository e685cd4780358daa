"""The stock-out risk asset: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.contracts import FORECAST_OVERRIDES, RECONCILED_FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.keys import Cadence
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from forecast_assets.stockout_risk.stage import assess_risks
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource


def build_stockout_risks_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the stock-out risk asset of a cadence."""

    @scoring_asset(
        cadence,
        STOCKOUT_RISKS,
        start,
        group="stockout_risk",
        deps=["feature_snapshots", RECONCILED_FORECASTS.name, FORECAST_OVERRIDES.name],
    )
    def stockout_risks(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        return run_stage(assess_risks, STOCKOUT_RISKS, run_context(context, cadence, stores, run, progress))

    return stockout_risks

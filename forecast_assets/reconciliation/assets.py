"""The reconciliation asset: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.contracts import BASE_FORECASTS, RECONCILED_FORECASTS
from forecast_assets.core.keys import Cadence
from forecast_assets.reconciliation.stage import reconcile
from forecast_assets.scoring.assets import run_context, run_stage, scoring_asset
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource


def build_reconciled_forecasts_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the reconciliation asset of a cadence."""

    @scoring_asset(
        cadence,
        RECONCILED_FORECASTS,
        start,
        group="reconciliation",
        deps=[BASE_FORECASTS.name],
    )
    def reconciled_forecasts(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        return run_stage(reconcile, RECONCILED_FORECASTS, run_context(context, cadence, stores, run, progress))

    return reconciled_forecasts

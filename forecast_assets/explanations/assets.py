"""The explanation asset: orchestration only."""

from datetime import date

import dagster as dg
import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, RECONCILED_FORECASTS, STOCKOUT_RISKS
from forecast_assets.explanations.explaining import explanation_frame
from forecast_assets.keys import Cadence
from forecast_assets.run_inputs import RunInputs
from resources.orchestration import (
    RunSettings,
    StoresResource,
    product_metadata,
    run_key,
    scoring_asset,
    write_run_product,
)


def build_forecast_explanations_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the explanation asset of a cadence."""

    @scoring_asset(
        cadence.name,
        FORECAST_EXPLANATIONS,
        start,
        stage="explanations",
        deps=["base_forecasts", RECONCILED_FORECASTS.name, STOCKOUT_RISKS.name],
    )
    def forecast_explanations(
        context: dg.AssetExecutionContext, stores: StoresResource, run: RunSettings
    ) -> dg.MaterializeResult[None]:
        opened = stores.open()
        key = run_key(context, cadence.name, run)
        risks = opened.predictions.staged("stockout_risks", key)
        reconciled = opened.predictions.version(risks.inputs["reconciled_forecasts"])
        base = opened.predictions.version(reconciled.inputs["base_forecasts"])
        behind = RunInputs.behind(opened, key, risks)
        frame = explanation_frame(
            opened.predictions.read(base),
            opened.predictions.read(reconciled),
            opened.predictions.read(risks),
            behind.features,
        )
        inputs = {
            **behind.inputs,
            "base_forecasts": base.version,
            "reconciled_forecasts": reconciled.version,
            "stockout_risks": risks.version,
        }
        version = write_run_product(opened, FORECAST_EXPLANATIONS, frame, key, inputs, behind.facts)
        return dg.MaterializeResult(metadata=product_metadata(FORECAST_EXPLANATIONS, version, frame, _extra(frame)))

    return forecast_explanations


def _extra(frame: pl.DataFrame) -> dict[str, object]:
    drivers = [name for name in frame.columns if name.endswith("_units")]
    return {f"total_{name}": float(frame[name].sum()) for name in drivers}

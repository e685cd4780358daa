"""The reconciliation asset: orchestration only."""

from datetime import date

import dagster as dg
import polars as pl

from forecast_assets.contracts import BASE_FORECASTS, RECONCILED_FORECASTS
from forecast_assets.core.errors import first_ten
from forecast_assets.core.keys import Cadence
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.reconciliation.reconciling import OF_BASE, coherence_report, reconciled_frame
from forecast_assets.scoring.context import RunInputs
from resources.orchestration.glue import (
    RunSettings,
    StoresResource,
    markdown_table,
    product_metadata,
    run_key,
    scoring_asset,
    write_run_product,
)


def build_reconciled_forecasts_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the reconciliation asset of a cadence."""

    @scoring_asset(cadence.name, RECONCILED_FORECASTS, start, stage="reconciliation", deps=[BASE_FORECASTS.name])
    def reconciled_forecasts(
        context: dg.AssetExecutionContext, stores: StoresResource, run: RunSettings
    ) -> dg.MaterializeResult[None]:
        opened = stores.open()
        key = run_key(context, cadence.name, run)
        base = opened.predictions.staged("base_forecasts", key)
        nodes = opened.predictions.staged("base_node_forecasts", key)
        behind = RunInputs.behind(opened, key, base)
        forecast = opened.predictions.read(base, OF_BASE)
        above = opened.predictions.read(nodes)
        frame = reconciled_frame(forecast, above, behind.hierarchy)
        inputs = {**behind.inputs, "base_forecasts": base.version, "base_node_forecasts": nodes.version}
        extra = {
            **_extra(frame),
            **_unassigned(behind.hierarchy),
            "gaps_before": _gaps(forecast, above, behind.hierarchy),
        }
        version = write_run_product(opened, RECONCILED_FORECASTS, frame, key, inputs, behind.facts)
        return dg.MaterializeResult(metadata=product_metadata(RECONCILED_FORECASTS, version, frame, extra))

    return reconciled_forecasts


def _gaps(base: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy) -> dg.MetadataValue:
    """Show how far the nodes' own forecasts were from the sums of their series, by level."""
    report = coherence_report(base, nodes, hierarchy).with_columns(pl.col(pl.Float64).round(2))
    return dg.MetadataValue.md(markdown_table(report))


def _unassigned(hierarchy: Hierarchy) -> dict[str, object]:
    """Name the members without a place, where there are any."""
    members = {"unassigned_products": hierarchy.unassigned_products, "unassigned_stores": hierarchy.unassigned_stores}
    return {name: first_ten(found) for name, found in members.items() if found}


def _extra(frame: pl.DataFrame) -> dict[str, object]:
    base, reconciled = pl.col("base_units").cast(pl.Float64), pl.col("reconciled_units").cast(pl.Float64)
    moved = frame.select(
        before=base.sum(), after=reconciled.sum(), moved=(reconciled - base).abs().sum() / base.sum()
    ).row(0, named=True)
    return {
        "base_units_in_all": round(moved["before"], 1),
        "reconciled_units_in_all": round(moved["after"], 1),
        "share_of_units_moved": round(moved["moved"] or 0.0, 4),
    }

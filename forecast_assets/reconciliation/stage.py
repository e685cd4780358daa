"""The stage that makes base forecasts coherent: every node the sum of what is below it.

What belongs here: from a run's base forecasts to reconciled ones. What does not: the method (reconciling), or Dagster.
"""

from functools import partial

import polars as pl

from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS, RECONCILED_FORECASTS
from forecast_assets.core.errors import first_ten
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.reconciliation.reconciling import OF_BASE, coherence_report, reconciled_frame
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.stage import StageResult, Summary


def reconcile(run: RunContext) -> StageResult:
    """Reconcile the base forecasts of a run.

    Raises:
        NotStagedError: If there are none.
    """
    base, nodes = run.upstream(BASE_FORECASTS.name), run.upstream(BASE_NODE_FORECASTS.name)
    forecast, above = run.read(base, OF_BASE), run.read(nodes)
    frame = reconciled_frame(forecast, above, run.hierarchy)
    inputs = {**run.inputs, BASE_FORECASTS.name: base.version, BASE_NODE_FORECASTS.name: nodes.version}
    return StageResult(
        {RECONCILED_FORECASTS.name: frame}, inputs, run.facts, partial(_summary, frame, forecast, above, run.hierarchy)
    )


def _summary(frame: pl.DataFrame, base: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy) -> Summary:
    return {**_moved(frame), **_unassigned(hierarchy), "gaps_before": _gaps(base, nodes, hierarchy)}


def _gaps(base: pl.DataFrame, nodes: pl.DataFrame, hierarchy: Hierarchy) -> pl.DataFrame:
    """Show how far the nodes' own forecasts were from the sums of their series, by level."""
    return coherence_report(base, nodes, hierarchy).with_columns(pl.col(pl.Float64).round(2))


def _unassigned(hierarchy: Hierarchy) -> Summary:
    """Name the members without a place, where there are any."""
    members = {"unassigned_products": hierarchy.unassigned_products, "unassigned_stores": hierarchy.unassigned_stores}
    return {name: first_ten(found) for name, found in members.items() if found}


def _moved(frame: pl.DataFrame) -> Summary:
    base, reconciled = pl.col("base_units").cast(pl.Float64), pl.col("reconciled_units").cast(pl.Float64)
    moved = frame.select(
        before=base.sum(), after=reconciled.sum(), moved=(reconciled - base).abs().sum() / base.sum()
    ).row(0, named=True)
    return {
        "base_units_in_all": round(moved["before"], 1),
        "reconciled_units_in_all": round(moved["after"], 1),
        "share_of_units_moved": round(moved["moved"] or 0.0, 4),
    }

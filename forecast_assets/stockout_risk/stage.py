"""The stage that assesses how likely stock runs out, and what would be lost.

What belongs here: from a run's reconciled forecasts to its risks. What does not: the methods (assessing), or Dagster.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import (
    BASE_FORECASTS,
    INVENTORY_POSITIONS,
    OPEN_ORDER_DAYS,
    PURCHASE_ORDERS,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
    Contract,
)
from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.history import History
from forecast_assets.models.demand import uncensor, usual_lost_share
from forecast_assets.models.stock_status.model import StatusProbabilities
from forecast_assets.plots import as_markdown_image, risk_calendar_png
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.stage import StageResult, Summary
from forecast_assets.stockout_risk.assessing import of_reconciled, risk_frame
from forecast_assets.stockout_risk.inventory import supply_at
from resources.store.manifests import ProductVersion

# All that is read of base forecasts here.
OF_BASE: Final = ("step", "demand_class", "lost_share")


def assess_risks(run: RunContext) -> StageResult:
    """Assess the stock-out risks of a run.

    Raises:
        NotStagedError: If there are no reconciled forecasts.
    """
    reconciled = run.upstream(RECONCILED_FORECASTS.name)
    base = run.version(reconciled.inputs[BASE_FORECASTS.name])
    frame = _assess(run, reconciled, run.read(base, OF_BASE))
    inputs = {**run.inputs, RECONCILED_FORECASTS.name: reconciled.version}
    facts = {**run.facts, "risk_paths": run.options.risk_paths}
    return StageResult({STOCKOUT_RISKS.name: frame}, inputs, facts, partial(_summary, frame))


def _assess(run: RunContext, reconciled: ProductVersion, base: pl.DataFrame) -> pl.DataFrame:
    history, artifact, panel = run.history, run.artifact, run.panel
    run.release_panel()
    supply = supply_at(
        panel.series,
        _rows(history, INVENTORY_POSITIONS, since=history.cutoff),
        _orders(history),
        history.cutoff,
    )
    forecast = run.read(reconciled, of_reconciled(supply))
    rho = _rho(base, artifact.rho)
    share = _lost_share(run, panel)
    forecast_lost = base["lost_share"].to_numpy().reshape(panel.series.height, -1)
    status = _status(run, panel)
    return risk_frame(
        forecast, panel, supply, rho, artifact.risk_thresholds, run.options.risk_paths,
        lost_share=share, forecast_lost_share=forecast_lost, status=status,
    )  # fmt: skip


def _status(run: RunContext, panel: Panel) -> StatusProbabilities | None:
    """What the version's classifier says of all series; None where it has none, or no status is known."""
    model = run.artifact.stock_status
    if model is None or not panel.knows_stock_status:
        return None
    groups = run.hierarchy.product_groups(run.artifact.group_level)
    return model.assess(panel, groups, run.hierarchy, run.options.workers)


def _lost_share(run: RunContext, panel: Panel) -> Floats | None:
    """[n] share of demand that usually meets an empty shelf, by the demand that the forecasts rest on."""
    if not panel.knows_stock_status:
        return None
    groups = run.hierarchy.product_groups(run.artifact.group_level)
    return usual_lost_share(panel, uncensor(panel, run.artifact.factors(panel, groups)))


def _orders(history: History) -> pl.DataFrame:
    """Return the orders that may still be open."""
    return _rows(history, PURCHASE_ORDERS, since=history.cutoff - timedelta(days=OPEN_ORDER_DAYS - 1))


def _rows(history: History, contract: Contract, since: date | None = None) -> pl.DataFrame:
    rows = history.feed(contract.name, since=since)
    return pl.DataFrame(schema=contract.schema) if rows is None else rows.collect()


def _rho(base: pl.DataFrame, by_class: Mapping[str, float]) -> Floats:
    """[n] correlation between the days of a series, by its demand class."""
    classes = base.filter(pl.col("step") == 1)["demand_class"]
    return classes.replace_strict(by_class, default=0.0, return_dtype=pl.Float64).to_numpy()


def _summary(frame: pl.DataFrame) -> Summary:
    bands = (
        frame.group_by("risk_method", "risk_band")
        .agg(rows=pl.len(), lost_units=pl.col("expected_lost_units").sum())
        .sort("risk_method", "risk_band")
    )
    calendar = as_markdown_image(risk_calendar_png(frame), "mean stock-out probability by day and band")
    return {"bands": bands, "risk_over_the_horizon": calendar}

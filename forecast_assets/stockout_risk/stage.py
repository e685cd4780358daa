"""The stage that assesses how likely stock runs out, and what would be lost.

What belongs here: from a run's reconciled forecasts to its risks. What does not: the methods (assessing), or Dagster.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

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
from forecast_assets.history import History
from forecast_assets.models.artifact import Artifact
from forecast_assets.plots import as_markdown_image, risk_calendar_png
from forecast_assets.scoring.context import RunContext, policy_facts
from forecast_assets.scoring.stage import StageResult, Summary
from forecast_assets.stockout_risk.assessing import assessed, of_reconciled, rated_by
from forecast_assets.stockout_risk.inventory import Supply, supply_at
from resources.ledger.entries.policy import PolicyRecord
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
    inputs = {**run.inputs, RECONCILED_FORECASTS.name: reconciled.version, **run.overrides_input}
    frame = _assess(run, reconciled, inputs, run.read(base, OF_BASE))
    facts = {**run.facts, "risk_paths": run.options.risk_paths, **policy_facts(run.policy_of_overrides)}
    return StageResult({STOCKOUT_RISKS.name: frame}, inputs, facts, partial(_summary, frame))


def _assess(run: RunContext, reconciled: ProductVersion, inputs: Mapping[str, Any], base: pl.DataFrame) -> pl.DataFrame:
    history, panel = run.history, run.panel
    run.release_panel()
    supply = supply_of(history, panel.series)
    groups = run.hierarchy.product_groups(run.artifact.group_level)
    rated = rated_by(panel, groups, run.hierarchy, run.artifact, run.options.workers)
    forecast = run.forecasts(reconciled, inputs, of_reconciled(supply))
    thresholds = band_thresholds(run.policy_of_overrides, run.artifact)
    return assessed(forecast, base, panel, supply, rated, run.artifact.rho, thresholds, run.options.risk_paths)


def band_thresholds(policy: PolicyRecord, artifact: Artifact) -> Mapping[str, float]:
    """Return the lowest probability of each band above the first: of a policy, or of a version until one is applied."""
    return vars(policy.policy.risk_bands) if policy.sequence else artifact.risk_thresholds


def supply_of(history: History, series: pl.DataFrame) -> Supply:
    """Return stock, terms and open orders of some series as known to a history."""
    positions = _rows(history, INVENTORY_POSITIONS, since=history.cutoff)
    return supply_at(series, positions, _orders(history), history.cutoff)


def _orders(history: History) -> pl.DataFrame:
    """Return the orders that may still be open."""
    return _rows(history, PURCHASE_ORDERS, since=history.cutoff - timedelta(days=OPEN_ORDER_DAYS - 1))


def _rows(history: History, contract: Contract, since: date | None = None) -> pl.DataFrame:
    rows = history.feed(contract.name, since=since)
    return pl.DataFrame(schema=contract.schema) if rows is None else rows.collect()


def _summary(frame: pl.DataFrame) -> Summary:
    bands = (
        frame.group_by("risk_method", "risk_band")
        .agg(rows=pl.len(), lost_units=pl.col("expected_lost_units").sum())
        .sort("risk_method", "risk_band")
    )
    calendar = as_markdown_image(risk_calendar_png(frame), "mean stock-out probability by day and band")
    return {"bands": bands, "risk_over_the_horizon": calendar}

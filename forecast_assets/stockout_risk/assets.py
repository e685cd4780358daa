"""The stock-out risk asset: orchestration only."""

from datetime import date, timedelta
from typing import Final

import dagster as dg
import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.contracts import (
    INVENTORY_POSITIONS,
    OPEN_ORDER_DAYS,
    PURCHASE_ORDERS,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
    Contract,
)
from forecast_assets.core.keys import Cadence
from forecast_assets.features.panel import Panel
from forecast_assets.history.as_known import History
from forecast_assets.models.demand import uncensor, usual_lost_share
from forecast_assets.models.family import statistical_part
from forecast_assets.models.statistical.effects import lay_out_factors
from forecast_assets.plots import as_markdown_image, risk_calendar_png
from forecast_assets.scoring.context import RunInputs, release_panel
from forecast_assets.stockout_risk.assessing import of_reconciled, risk_frame
from forecast_assets.stockout_risk.inventory import supply_at
from resources.orchestration.glue import (
    RunSettings,
    StoresResource,
    markdown_table,
    product_metadata,
    run_key,
    scoring_asset,
    write_run_product,
)
from resources.store.manifests import ProductVersion

# All that is read of base forecasts here.
OF_BASE: Final = ("step", "demand_class", "lost_share")


def build_stockout_risks_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the stock-out risk asset of a cadence."""

    @scoring_asset(
        cadence.name,
        STOCKOUT_RISKS,
        start,
        stage="stockout_risk",
        deps=["feature_snapshots", RECONCILED_FORECASTS.name],
    )
    def stockout_risks(
        context: dg.AssetExecutionContext, stores: StoresResource, run: RunSettings
    ) -> dg.MaterializeResult[None]:
        opened = stores.open()
        key = run_key(context, cadence.name, run)
        reconciled = opened.predictions.staged("reconciled_forecasts", key)
        base = opened.predictions.version(reconciled.inputs["base_forecasts"])
        behind = RunInputs.behind(opened, key, reconciled)
        frame = _assess(behind, reconciled, opened.predictions.read(base, OF_BASE), run.risk_paths)
        inputs = {**behind.inputs, "reconciled_forecasts": reconciled.version}
        facts = {**behind.facts, "risk_paths": run.risk_paths}
        version = write_run_product(opened, STOCKOUT_RISKS, frame, key, inputs, facts)
        return dg.MaterializeResult(metadata=product_metadata(STOCKOUT_RISKS, version, frame, _extra(frame)))

    return stockout_risks


def _assess(run: RunInputs, reconciled: ProductVersion, base: pl.DataFrame, paths: int) -> pl.DataFrame:
    history, artifact, panel = run.history, run.artifact, run.panel
    release_panel()
    supply = supply_at(
        panel.series,
        _rows(history, INVENTORY_POSITIONS, since=history.cutoff),
        _orders(history),
        history.cutoff,
    )
    forecast = run.stores.predictions.read(reconciled, of_reconciled(supply))
    rho = _rho(base, artifact.rho)
    share = _lost_share(run, panel)
    foreseen = base["lost_share"].to_numpy().reshape(panel.series.height, -1)
    return risk_frame(
        forecast, panel, supply, rho, artifact.risk_thresholds, paths, lost_share=share, foreseen_share=foreseen
    )


def _lost_share(run: RunInputs, panel: Panel) -> npt.NDArray[np.float64] | None:
    """[n] share of demand that usually meets an empty shelf, by the demand that the forecasts rest on."""
    part, factors = statistical_part(run.artifact), None
    if np.isnan(panel.out_of_stock_share).all():
        return None
    if part is not None:
        groups = run.hierarchy.product_groups(part.group_level)
        factors = lay_out_factors(panel, part.effects, groups).product[:, : panel.history_days]
    return usual_lost_share(panel, uncensor(panel, factors))


def _orders(history: History) -> pl.DataFrame:
    """Return the orders that may still be open."""
    return _rows(history, PURCHASE_ORDERS, since=history.cutoff - timedelta(days=OPEN_ORDER_DAYS - 1))


def _rows(history: History, contract: Contract, since: date | None = None) -> pl.DataFrame:
    rows = history.feed(contract.name, since=since)
    return pl.DataFrame(schema=contract.schema) if rows is None else rows.collect()


def _rho(base: pl.DataFrame, by_class: dict[str, float]) -> npt.NDArray[np.float64]:
    """[n] correlation between the days of a series, by its demand class."""
    classes = base.filter(pl.col("step") == 1)["demand_class"]
    return classes.replace_strict(by_class, default=0.0, return_dtype=pl.Float64).to_numpy()


def _extra(frame: pl.DataFrame) -> dict[str, object]:
    bands = (
        frame.group_by("risk_method", "risk_band")
        .agg(rows=pl.len(), lost_units=pl.col("expected_lost_units").sum())
        .sort("risk_method", "risk_band")
    )
    return {
        "bands": dg.MetadataValue.md(markdown_table(bands)),
        "risk_over_the_horizon": dg.MetadataValue.md(
            as_markdown_image(risk_calendar_png(frame), "mean stock-out probability by day and band")
        ),
    }

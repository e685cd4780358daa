"""The explanation asset: orchestration only."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from forecast_assets.contracts import FORECAST_EXPLANATIONS, PRICES, RECONCILED_FORECASTS, STOCKOUT_RISKS
from forecast_assets.core.keys import Cadence
from forecast_assets.explanations.circumstances import Circumstances, events_by_store
from forecast_assets.explanations.explaining import OF_BASE, OF_RECONCILED, OF_RISKS, explanation_frame
from forecast_assets.explanations.levels_above import largest_gaps
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.features.specs import LONGEST_DAYS
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.as_known import History
from forecast_assets.plots import telling_series
from forecast_assets.scoring.context import RunInputs
from forecast_assets.scoring.pictures import Chosen, driver_pictures
from resources.orchestration.glue import (
    RunSettings,
    StoresResource,
    markdown_table,
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
        forecast = opened.predictions.read(base, OF_BASE)
        moved = opened.predictions.read(reconciled, OF_RECONCILED)
        nodes = opened.predictions.read(opened.predictions.version(reconciled.inputs["base_node_forecasts"]))
        told = _circumstances(behind, forecast, largest_gaps(forecast, moved, nodes, behind.hierarchy))
        risk = opened.predictions.read(risks, OF_RISKS)
        frame = explanation_frame(forecast, moved, risk, told)
        inputs = {
            **behind.inputs,
            "base_forecasts": base.version,
            "reconciled_forecasts": reconciled.version,
            "stockout_risks": risks.version,
        }
        version = write_run_product(opened, FORECAST_EXPLANATIONS, frame, key, inputs, behind.facts)
        shown = _extra(frame, telling_series(forecast, risk))
        return dg.MaterializeResult(metadata=product_metadata(FORECAST_EXPLANATIONS, version, frame, shown))

    return forecast_explanations


def _circumstances(run: RunInputs, base: pl.DataFrame, gaps: pl.DataFrame) -> Circumstances:
    history, hierarchy, horizon = run.history, run.hierarchy, run.key.forecast_horizon
    classes = base.filter(pl.col("step") == 1).select(*SERIES_KEY, "demand_class")
    facts = (
        run.features.join(_places(hierarchy, run.artifact.group_level), on=SERIES_KEY, how="left")
        .join(_last_days(history, classes.filter(demand_class="ended")), on=SERIES_KEY, how="left")
        .sort(SERIES_KEY)
    )
    return Circumstances(
        feeds=frozenset(batch.feed for batch in history.batches),
        series=facts,
        plan=_plan(history, horizon),
        events=_events(history, hierarchy.series["store_id"], horizon),
        gaps=gaps,
    )


def _places(hierarchy: Hierarchy, group_level: str) -> pl.DataFrame:
    """Return each series' places in the hierarchies, and the group that a new one borrows from."""
    group = pl.Series(hierarchy.product_groups(group_level))
    kin = pl.lit("all products") if group_level == "total" else pl.format(f"{group_level} {{}}", group)
    return hierarchy.series.with_columns(
        borrowed_from=pl.format("{} in {}", kin, "store_id"),
        has_product_place=~pl.col("sku_id").is_in(hierarchy.unassigned_products),
        has_store_place=~pl.col("store_id").is_in(hierarchy.unassigned_stores),
    )


def _last_days(history: History, series: pl.DataFrame) -> pl.DataFrame:
    """Return the last day with a row of sales of some series, as far back as a snapshot looks."""
    since = history.cutoff - timedelta(days=LONGEST_DAYS - 1)
    rows = history.said("sales", since=since) if series.height else None
    if rows is None:
        return pl.DataFrame(schema={**dict.fromkeys(SERIES_KEY, pl.String), "last_day": pl.Date})
    known = rows.join(series.lazy(), on=SERIES_KEY, how="semi")
    return known.group_by(SERIES_KEY).agg(last_day=pl.col("event_date").max()).collect()


def _plan(history: History, horizon: int) -> pl.DataFrame:
    """Return what is planned for the days ahead; no rows where there is no plan, or no feed."""
    rows = history.feed("prices", since=history.cutoff + timedelta(days=1), ahead_days=horizon)
    if rows is None:
        rows = pl.LazyFrame(schema=PRICES.schema)
    planned = rows.select(
        *SERIES_KEY,
        target_date="event_date",
        planned_price_ratio="price_ratio",
        is_promotion_planned="is_promotion",
    )
    return planned.collect()


def _events(history: History, stores: pl.Series, horizon: int) -> pl.DataFrame | None:
    rows = history.feed("events", since=history.cutoff + timedelta(days=1), ahead_days=horizon)
    if rows is None:
        return None
    return events_by_store(rows.collect(), stores, history.membership("store_hierarchy"))


def _extra(frame: pl.DataFrame, chosen: Chosen) -> dict[str, object]:
    drivers = [name for name in frame.columns if name.endswith("_units")]
    wants = frame.filter(pl.col("not_computed") != "").group_by("not_computed").agg(rows=pl.len())
    most = wants.sort("rows", "not_computed", descending=True).head(10)
    return {
        **{name: dg.MetadataValue.md(picture) for name, picture in driver_pictures(frame, chosen).items()},
        "not_computed": dg.MetadataValue.md(markdown_table(most)),
        **{f"total_{name}": float(frame[name].sum()) for name in drivers},
    }

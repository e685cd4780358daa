"""The base forecast asset: orchestration only."""

from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from forecast_assets.base_forecasts.external import external_frames
from forecast_assets.base_forecasts.forecasting import base_frames
from forecast_assets.base_forecasts.quality import deciding_inputs
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS
from forecast_assets.core.keys import Cadence
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.family import TrainedArtifact, forecast, reference_of
from forecast_assets.models.statistical.nodes import forecast_nodes
from forecast_assets.plots import as_markdown_image, demand_class_png, telling_series
from forecast_assets.scoring.context import RunInputs
from forecast_assets.scoring.pictures import fan_pictures
from resources.orchestration.glue import (
    Progress,
    ProgressReporter,
    RunSettings,
    StoresResource,
    markdown_table,
    product_metadata,
    run_key,
    scoring_asset,
    write_run_product,
)


def build_base_forecasts_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the base forecast asset of a cadence."""

    @scoring_asset(
        cadence.name,
        BASE_FORECASTS,
        start,
        stage="base_forecasts",
        deps=["feature_snapshots", "evaluation_reports"],
        notes=["Also writes `base_node_forecasts`: the same for the upper nodes that reconciliation listens to."],
    )
    def base_forecasts(
        context: dg.AssetExecutionContext,
        stores: StoresResource,
        run: RunSettings,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        opened = stores.open()
        start_from = RunInputs.newest(opened, run_key(context, cadence.name, run), run.known_until_moment)
        base, nodes, inputs = _forecast(start_from, progress.reporter(context.log), run.workers)
        write_run_product(opened, BASE_NODE_FORECASTS, nodes, start_from.key, inputs, start_from.facts)
        version = write_run_product(opened, BASE_FORECASTS, base, start_from.key, inputs, start_from.facts)
        return dg.MaterializeResult(
            metadata=product_metadata(BASE_FORECASTS, version, base, _extra(start_from, base, nodes))
        )

    return base_forecasts


def _forecast(
    run: RunInputs, report: Progress, workers: int | None
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """Return the forecasts of series and upper nodes, and the versions of what they were made from."""
    if isinstance(run.artifact, ExternalArtifact):
        return _take_over(run, run.artifact)
    return *_fit_and_forecast(run, run.artifact, report, workers), run.inputs


def _take_over(run: RunInputs, artifact: ExternalArtifact) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    made = run.external_forecasts
    frames = external_frames(run.key, run.panel, run.stores.predictions.read(made), run.hierarchy, artifact)
    return *frames, {**run.inputs, made.product: made.version}


def _fit_and_forecast(
    run: RunInputs, artifact: TrainedArtifact, report: Progress, workers: int | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    hierarchy, panel = run.hierarchy, run.panel
    made = forecast(
        panel,
        artifact,
        hierarchy.product_groups(artifact.group_level),
        progress=lambda done, total: report("series forecast", done, total),
        workers=workers,
    )
    nodes = forecast_nodes(
        panel,
        made.statistical,
        hierarchy,
        made.part,
        agreed_with=made.beside_statistical,
        progress=report,
        workers=workers,
    )
    return base_frames(run.key, panel, made.series, nodes)


def _extra(run: RunInputs, base: pl.DataFrame, nodes: pl.DataFrame) -> dict[str, object]:
    used = (
        base.filter(pl.col("step") == 1)
        .group_by("demand_class", "model_used", "is_fallback")
        .agg(series=pl.len(), units_on_day_one=pl.col("base_units").sum())
        .sort("demand_class", "model_used", "is_fallback")
    )
    fans = fan_pictures(run.history, base, telling_series(base))
    return {
        **_unusual(run, base),
        "models": dg.MetadataValue.md(markdown_table(used)),
        **{name: dg.MetadataValue.md(picture) for name, picture in fans.items()},
        "demand_classes": dg.MetadataValue.md(as_markdown_image(demand_class_png(base), "series by demand class")),
        "fallback_series": int(used.filter("is_fallback")["series"].sum()),
        "upper_node_rows": nodes.height,
    }


def _unusual(run: RunInputs, base: pl.DataFrame) -> dict[str, object]:
    """Show by which inputs rows are unlike training, where the version knows what training was like."""
    reference = reference_of(run.artifact)
    if reference is None:
        return {}
    score = base["out_of_distribution_score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    rows = deciding_inputs(run.panel, reference, score.reshape(run.panel.series.height, -1))
    return {"out_of_distribution_by_input": dg.MetadataValue.md(markdown_table(rows))}

"""The stage that forecasts each series, and each informative upper node, by itself.

What belongs here: from a run to its base forecasts. What does not: making them coherent, or Dagster.
"""

from functools import partial
from typing import Any

import numpy as np
import polars as pl

from forecast_assets.base_forecasts.external import external_frames
from forecast_assets.base_forecasts.forecasting import base_frames
from forecast_assets.base_forecasts.quality import deciding_inputs
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.family import TrainedArtifact, forecast, reference_of
from forecast_assets.models.statistical.nodes import forecast_nodes
from forecast_assets.plots import as_markdown_image, demand_class_png, telling_series
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.pictures import fan_pictures
from forecast_assets.scoring.stage import StageResult, Summary


def forecast_base(run: RunContext) -> StageResult:
    """Forecast the series and the upper nodes of a run.

    Raises:
        NotStagedError: If the snapshot, or the file of a version made elsewhere, is not there.
        NotAcceptedError: If the model version may not serve the run.
    """
    run.start()
    base, nodes, inputs = _forecast(run)
    frames = {BASE_NODE_FORECASTS.name: nodes, BASE_FORECASTS.name: base}
    return StageResult(frames, inputs, run.facts, partial(_summary, run, base, nodes))


def _forecast(run: RunContext) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """Return the forecasts of series and upper nodes, and the versions of what they were made from."""
    if isinstance(run.artifact, ExternalArtifact):
        return _take_over(run, run.artifact)
    return *_fit_and_forecast(run, run.artifact), run.inputs


def _take_over(run: RunContext, artifact: ExternalArtifact) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    made = run.external_forecasts
    frames = external_frames(run.key, run.panel, run.read(made), run.hierarchy, artifact)
    return *frames, {**run.inputs, made.product: made.version}


def _fit_and_forecast(run: RunContext, artifact: TrainedArtifact) -> tuple[pl.DataFrame, pl.DataFrame]:
    hierarchy, panel = run.hierarchy, run.panel
    made = forecast(
        panel,
        artifact,
        hierarchy.product_groups(artifact.group_level),
        progress=lambda done, total: run.progress("series forecast", done, total),
        workers=run.options.workers,
    )
    nodes = forecast_nodes(
        panel,
        made.statistical,
        hierarchy,
        made.part,
        agreed_with=made.beside_statistical,
        progress=lambda done, total: run.progress("upper nodes forecast", done, total),
        workers=run.options.workers,
    )
    return base_frames(run.key, panel, made.series, nodes)


def _summary(run: RunContext, base: pl.DataFrame, nodes: pl.DataFrame) -> Summary:
    used = (
        base.filter(pl.col("step") == 1)
        .group_by("demand_class", "model_used", "is_fallback")
        .agg(series=pl.len(), units_on_day_one=pl.col("base_units").sum())
        .sort("demand_class", "model_used", "is_fallback")
    )
    return {
        **_unusual(run, base),
        "models": used,
        **fan_pictures(run.history, base, telling_series(base)),
        "demand_classes": as_markdown_image(demand_class_png(base), "series by demand class"),
        "fallback_series": int(used.filter("is_fallback")["series"].sum()),
        "upper_node_rows": nodes.height,
    }


def _unusual(run: RunContext, base: pl.DataFrame) -> Summary:
    """Show by which inputs rows are unlike training, where the version knows what training was like."""
    reference = reference_of(run.artifact)
    if reference is None:
        return {}
    score = base["out_of_distribution_score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    rows = deciding_inputs(run.panel, reference, score.reshape(run.panel.series.height, -1))
    return {"out_of_distribution_by_input": rows}

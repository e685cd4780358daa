"""The stage that forecasts each series, and each informative upper node, by itself.

What belongs here: from a run to its base forecasts. What does not: making them coherent, or Dagster.
"""

from functools import partial

import numpy as np
import polars as pl

from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.base_forecasts.quality import deciding_inputs
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS
from forecast_assets.history.quarantined import is_touched, quarantined_rows
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.plots import as_markdown_image, demand_class_png, notable_series
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.pictures import fan_pictures
from forecast_assets.scoring.stage import StageResult, Summary


def forecast_base(run: RunContext) -> StageResult:
    """Forecast the series and the upper nodes of a run.

    Raises:
        NotStagedError: If the snapshot, or what the run has to be given from outside, is not there.
        NotAcceptedError: If the model version may not serve the run.
    """
    run.start()
    aside = quarantined_rows(run.history, since=run.history.cutoff)
    is_quarantined = is_touched(run.panel.series, aside).to_numpy() if aside["is_open"].any() else None
    base, nodes = forecast_frames(run.key, run.panel, run.hierarchy, run.family, _forecast(run), is_quarantined)
    given = {} if run.given is None else {run.given.product: run.given.version}
    frames = {BASE_NODE_FORECASTS.name: nodes, BASE_FORECASTS.name: base}
    return StageResult(frames, {**run.inputs, **given}, run.facts, partial(_summary, run, base, nodes))


def _forecast(run: RunContext) -> Forecasts:
    inputs = ForecastInputs(
        panel=run.panel,
        product_groups=run.hierarchy.product_groups(run.artifact.group_level),
        hierarchy=run.hierarchy,
        given_rows=None if run.given is None else run.read(run.given),
        key=run.key,
        workers=run.options.workers,
        progress=run.progress,
    )
    return run.family.forecast(run.artifact, inputs)


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
        **fan_pictures(run.history, base, notable_series(base)),
        "demand_classes": as_markdown_image(demand_class_png(base), "series by demand class"),
        "fallback_series": int(used.filter("is_fallback")["series"].sum()),
        "upper_node_rows": nodes.height,
    }


def _unusual(run: RunContext, base: pl.DataFrame) -> Summary:
    """Show by which inputs rows are unlike training, where the version knows what training was like."""
    reference = run.artifact.reference
    if reference is None:
        return {}
    score = base["out_of_distribution_score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    rows = deciding_inputs(run.panel, reference, score.reshape(run.panel.series.height, -1))
    return {"out_of_distribution_by_input": rows}

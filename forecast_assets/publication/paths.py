"""Sample paths of a run, made anew from what it publishes.

What belongs here: from published rows, the version and the history to paths. What does not: drawing them, or any sum.

Paths are stored nowhere. They follow from the mean and the quantiles of each row, from how the version has learned that
errors hang together, and from whether a series sells by the piece; whoever has these makes the same paths.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS
from forecast_assets.core.arrays import Bools
from forecast_assets.core.quantities import SCALE, from_units
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.sample_paths.drawing import JointPaths, factors_of, series_keys
from forecast_assets.models.sample_paths.marginals import Marginals
from forecast_assets.scoring.context import RunContext

_SERIES = ["store_id", "sku_id"]


def paths_of_run(run: RunContext, forecasts: pl.DataFrame) -> JointPaths | None:
    """Return the sample paths of a run's demand; None where its version has not learned how errors hang together.

    Args:
        run: The run.
        forecasts: `forecasts`, sorted by store, SKU and step, with every step of every series.
    """
    return paths_of(forecasts, run.hierarchy, run.history, run.artifact, workers=run.options.workers)


def paths_of(
    forecasts: pl.DataFrame,
    hierarchy: Hierarchy,
    history: History,
    artifact: Artifact,
    *,
    workers: int | None = None,
) -> JointPaths | None:
    """Return the sample paths of what was published.

    Args:
        forecasts: `forecasts`, sorted by store, SKU and step, with every step of every series.
        hierarchy: The crossed hierarchy of the same series, as the run saw it.
        history: The observations behind the run.
        artifact: The version that made the run.
        workers: Threads; all cores if left out.
    """
    dependence = artifact.dependence
    if dependence is None:
        return None
    shape = hierarchy.series.height, forecasts.height // hierarchy.series.height
    quantiles = [from_units(forecasts[name]).reshape(shape) for name in QUANTILE_COLUMNS]
    mean = from_units(forecasts["forecast_units"]).reshape(shape) / SCALE
    factors = factors_of(hierarchy, dependence)
    is_whole = _sell_by_the_piece(hierarchy.series, history, artifact.history_days)
    return JointPaths(
        marginals=Marginals(mean, np.stack(quantiles, axis=-1) / SCALE, is_whole),
        dependence=dependence.only(factors),
        keys=series_keys(hierarchy),
        factors=factors,
        workers=workers,
    )


def _sell_by_the_piece(series: pl.DataFrame, history: History, days: int) -> Bools:
    """[n] Whether all sales of each series in the last days are whole numbers."""
    rows = history.feed("sales", since=history.cutoff - timedelta(days=days - 1))
    if rows is None:
        return np.ones(series.height, dtype=np.bool_)
    units = pl.col("sales_units")
    whole = rows.group_by(_SERIES).agg(is_whole=(units == units.round()).all()).collect()
    aligned = series.join(whole, on=_SERIES, how="left", maintain_order="left")
    return aligned["is_whole"].fill_null(value=True).to_numpy()

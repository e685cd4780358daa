"""The rows of a run: which columns identify them, and one row per step.

What belongs here: the shape that every product of a run shares. What does not: any number in it.
"""

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Rows
from forecast_assets.core.keys import RunKey


def rows_per_step(key: RunKey, described: pl.DataFrame) -> pl.DataFrame:
    """Repeat each row for every step of a run, and add the columns that identify run and day.

    Args:
        key: The run; its horizon is the number of steps.
        described: One row per series or node, in the order that the product has.

    Returns:
        The rows in the same order, each once per step from 1, with `cadence, prediction_date, model_version,
        forecast_horizon, revision, step, target_date`.
    """
    steps = pl.DataFrame({"step": pl.int_range(1, key.forecast_horizon + 1, dtype=pl.Int32, eager=True)})
    return rows_of_run(key, described.join(steps, how="cross", maintain_order="left_right")).with_columns(
        (pl.lit(key.prediction_date, pl.Date) + pl.duration(days=pl.col("step"))).alias("target_date"),
    )


def rows_of_run(key: RunKey, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that identify a run: `cadence, prediction_date, model_version, forecast_horizon, revision`."""
    return rows.with_columns(
        pl.lit(key.cadence).alias("cadence"),
        pl.lit(key.prediction_date, pl.Date).alias("prediction_date"),
        pl.lit(key.model_version).alias("model_version"),
        pl.lit(key.forecast_horizon, pl.Int32).alias("forecast_horizon"),
        pl.lit(key.revision, pl.Int32).alias("revision"),
    )


def places_by_step(series: Rows, horizon: int) -> Rows:
    """[k * horizon] Return where the steps of some series are in a product of a run.

    Args:
        series: [k] place of each among the series of the run.
        horizon: Steps of each.

    Example:
        >>> places_by_step(np.array([2, 0]), 3).tolist()
        [6, 7, 8, 0, 1, 2]
    """
    return np.asarray((series[:, None] * horizon + np.arange(horizon)).ravel(), dtype=np.intp)

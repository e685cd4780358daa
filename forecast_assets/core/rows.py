"""The rows of a run: which columns identify them, and one row per step.

What belongs here: the shape that every product of a run shares. What does not: any number in it.
"""

from collections.abc import Iterable

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
    count, horizon = described.height, key.forecast_horizon
    step = np.tile(np.arange(1, horizon + 1, dtype=np.int32), count)
    repeated = described[np.repeat(np.arange(count), horizon)]
    days = np.datetime64(key.prediction_date) + step
    return rows_of_run(key, repeated.hstack([pl.Series("step", step), pl.Series("target_date", days)]))


def rows_of_run(key: RunKey, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that identify a run: `cadence, prediction_date, model_version, forecast_horizon, revision`."""
    said = {
        "cadence": (key.cadence, pl.String),
        "prediction_date": (key.prediction_date, pl.Date),
        "model_version": (key.model_version, pl.String),
        "forecast_horizon": (key.forecast_horizon, pl.Int32),
        "revision": (key.revision, pl.Int32),
    }
    return rows.hstack(
        [pl.Series(name, [value], dtype).new_from_index(0, rows.height) for name, (value, dtype) in said.items()]
    )


def are_same_rows(one: pl.DataFrame, other: pl.DataFrame, key: Iterable[str]) -> bool:
    """Whether two frames have the same keys in the same order.

    Column by column: for a few rows the plan of a query takes longer than comparing them.

    Args:
        one: Some rows.
        other: Others.
        key: Columns that both have.
    """
    return one.height == other.height and all(one[name].equals(other[name]) for name in key)


def rows_at(frame: pl.DataFrame, places: Rows) -> pl.DataFrame:
    """Return rows of a frame; those that lie together are not copied.

    Args:
        frame: The rows.
        places: [k] places of the rows that are wanted, in their order.

    Example:
        >>> rows_at(pl.DataFrame({"step": [1, 2, 3]}), np.array([1, 2]))["step"].to_list()
        [2, 3]
    """
    count = len(places)
    if count and np.array_equal(places, np.arange(places[0], places[0] + count)):
        return frame.slice(int(places[0]), count)
    return frame[places]


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

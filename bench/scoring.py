"""Errors of forecasts, computed from published rows and raw files alone: a second opinion on `training.metrics`.

Shares nothing with the package but NumPy, so that a mistake there cannot hide here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats, Ints

NODE = ("product_level", "product_node", "store_level", "store_node")
# A node below this share of all sales is too small for its own bias to be told from noise.
LARGE = 0.01


def wape(forecast: Floats, actual: Floats) -> float:
    """Sum of absolute errors over sum of actuals; days whose actual is unknown are left out."""
    known = ~np.isnan(actual)
    return float(np.abs(forecast[known] - actual[known]).sum() / actual[known].sum())


def bias(forecast: Floats, actual: Floats) -> float:
    """(forecast - actual) / actual, of sums; days whose actual is unknown are left out."""
    known = ~np.isnan(actual)
    return float((forecast[known] - actual[known]).sum() / actual[known].sum())


@dataclass(frozen=True)
class LevelBias:
    """How far the sums of a pair of levels are off.

    Attributes:
        level: Product level and store level.
        nodes: How many nodes it has.
        bias: Of the sum over all nodes and days.
        by_node: Sum over nodes of the size of each one's error over all days, over all actuals.
        largest: Bias of the node most off, among those with at least a hundredth of all sales; NaN without such.
    """

    level: tuple[str, str]
    nodes: int
    bias: float
    by_node: float
    largest: float


def level_biases(published: pl.DataFrame, actual: pl.DataFrame) -> list[LevelBias]:
    """Compare published sums with sums of actuals, level by level.

    Args:
        published: `NODE`, `target_date, forecast`: one row per node and day.
        actual: `NODE`, `target_date, actual`: likewise; every published row must be there.
    """
    joined = published.join(actual, on=[*NODE, "target_date"], how="left", validate="1:1")
    if joined["actual"].null_count():
        raise ValueError(f"{joined['actual'].null_count()} published sums have no actual: levels or nodes are misnamed")
    by_node = joined.group_by(NODE).agg(pl.col("forecast").sum(), pl.col("actual").sum()).sort(NODE)
    return [_of_level(rows) for rows in by_node.partition_by("product_level", "store_level", maintain_order=True)]


def _of_level(rows: pl.DataFrame) -> LevelBias:
    forecast, actual = rows["forecast"].to_numpy(), rows["actual"].to_numpy()
    large = actual >= LARGE * actual.sum()
    each = (forecast[large] - actual[large]) / actual[large]
    return LevelBias(
        (rows["product_level"][0], rows["store_level"][0]),
        rows.height,
        bias(forecast, actual),
        float(np.abs(forecast - actual).sum() / actual.sum()),
        float(each[np.abs(each).argmax()]) if large.any() else float("nan"),
    )


def wrmsse(forecast: Floats, actual: Floats, past: Floats, weight: Floats, levels: Sequence[Ints]) -> float:
    """M5's accuracy (Makridakis et al. 2022, doi:10.1016/j.ijforecast.2021.07.007).

    The root of a node's mean squared error over the mean squared step of its own past from its first sale on, weighted
    by the node's revenue, averaged over levels.

    Args:
        forecast: [n, H] units.
        actual: [n, H] units.
        past: [n, T] units.
        weight: [n] revenue of the last 28 days before.
        levels: Of each level, [n] node of each series, from 0.
    """
    return float(np.mean([_of_nodes(forecast, actual, past, weight, codes) for codes in levels]))


def _of_nodes(forecast: Floats, actual: Floats, past: Floats, weight: Floats, codes: Ints) -> float:
    error = ((summed(forecast, codes) - summed(actual, codes)) ** 2).mean(axis=1)
    history, revenue = summed(past, codes), summed(weight[:, None], codes).ravel()
    began = (history > 0).argmax(axis=1)
    # Steps after the first day with a sale; before it the node did not sell yet.
    counted = np.arange(1, history.shape[1]) > began[:, None]
    steps = np.where(counted, np.diff(history, axis=1) ** 2, 0.0)
    scale = steps.sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    used = scale > 0
    share = revenue[used] / revenue[used].sum()
    return float((share * np.sqrt(error[used] / scale[used])).sum())


def summed(values: Floats, codes: Ints) -> Floats:
    """[m, H] sums of the rows of each node."""
    out = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(out, codes, values)
    return out

"""Fitting a model version: its artifact and its evaluation report from one panel.

What belongs here: putting the two together. What does not: how either is made, or stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.features.panel import Panel
from forecast_assets.models.families import Artifact
from forecast_assets.models.statistical import train_statistical
from forecast_assets.models.training import DEFAULT_HISTORY_DAYS
from forecast_assets.training.evaluation import evaluate


@dataclass(frozen=True)
class Trained:
    """What training a version gives.

    Attributes:
        artifact: What scoring reads.
        report: Contract `evaluation_reports`.
    """

    artifact: Artifact
    report: pl.DataFrame


def fit(
    panel: Panel,
    product_groups: npt.NDArray[np.str_],
    *,
    horizon: int,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    group_level: str = "total",
) -> Trained:
    """Train on everything up to the panel's cutoff, and evaluate versions trained the same way at earlier cutoffs.

    Args:
        panel: n series, T days of history, H ahead.
        product_groups: [n] group of each series.
        horizon: H.
        progress: Called with the stage, steps done and steps in all.
        workers: Processes for slow models; all cores if left out.
        history_days: Days of history that scoring will read.
        group_level: Product level whose nodes are the groups.

    Raises:
        InputError: If the history is too short to train and to backtest.
    """
    report = progress or (lambda _stage, _done, _total: None)
    artifact = train_statistical(
        panel,
        product_groups,
        horizon=horizon,
        progress=partial(report, "training"),
        workers=workers,
        history_days=history_days,
        group_level=group_level,
    )
    evaluation = evaluate(
        panel,
        product_groups,
        horizon=horizon,
        progress=partial(report, "evaluation"),
        workers=workers,
        history_days=history_days,
    )
    return Trained(artifact, evaluation)


def default_horizon(history_days: int) -> int:
    """Return how far backtests look ahead if nobody says: whole weeks, a fifth of the history, at most four.

    Example:
        >>> [default_horizon(days) for days in (40, 76, 365)]
        [7, 14, 28]
    """
    return min(28, max(7, history_days // 5 // 7 * 7))

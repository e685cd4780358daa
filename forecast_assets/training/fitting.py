"""Fitting a model version: its artifact and its evaluation report from one panel.

What belongs here: putting the two together. What does not: how either is made, or stored.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.features.panel import Panel
from forecast_assets.models.levels import Progress
from forecast_assets.models.statistical import StatisticalArtifact, train_statistical
from forecast_assets.training.evaluation import evaluate


@dataclass(frozen=True)
class Trained:
    """What training a version gives.

    Attributes:
        artifact: What scoring reads.
        report: Contract `evaluation_reports`.
    """

    artifact: StatisticalArtifact
    report: pl.DataFrame


def fit(
    panel: Panel,
    product_groups: npt.NDArray[np.str_],
    *,
    horizon: int,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Trained:
    """Train on everything up to the panel's cutoff, and evaluate versions trained the same way at earlier cutoffs.

    Args:
        panel: n series, T days of history, H ahead.
        product_groups: [n] group of each series.
        horizon: H.
        progress: Called with steps done and steps in all.
        workers: Processes for slow models; all cores if left out.

    Raises:
        InputError: If the history is too short to train and to backtest.
    """
    artifact = train_statistical(panel, product_groups, horizon=horizon, progress=progress, workers=workers)
    return Trained(artifact, evaluate(panel, product_groups, horizon=horizon, workers=workers))

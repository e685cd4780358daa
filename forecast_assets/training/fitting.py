"""Fitting a model version: its artifact and its evaluation report from one panel.

What belongs here: putting the two together. What does not: how either is made, or stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.errors import InputError
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.boosted.training import train_global, tree_origins
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.family import TRAINED, WITH_TREES, TrainedArtifact
from forecast_assets.models.statistical.artifact import FAMILY as STATISTICAL
from forecast_assets.models.statistical.levels import Progress
from forecast_assets.models.statistical.training import (
    DEFAULT_HISTORY_DAYS,
    LEAST_HISTORY_DAYS,
    MOST_CELLS,
    Rows,
    backtest_origins,
    take,
    train_statistical,
    training_rows,
)
from forecast_assets.training.evaluation import MOST_ORIGINS, Groups, VersionAsOf, evaluate, evaluated_rows

_MOST_CELLS_WITH_TREES: Final = 36_000_000


@dataclass(frozen=True)
class Trained:
    """What training a version gives.

    Attributes:
        artifact: What scoring reads.
        report: Contract `evaluation_reports`; None where nobody asked for it.
    """

    artifact: TrainedArtifact | ExternalArtifact
    report: pl.DataFrame | None


def fit(
    panel: Panel,
    product_groups: Groups,
    *,
    horizon: int,
    family: str = STATISTICAL,
    hierarchy: Hierarchy | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    group_level: str = "total",
    evaluates: bool = True,
) -> Trained:
    """Train on everything up to the panel's cutoff, and evaluate versions trained the same way at earlier cutoffs.

    Args:
        panel: n series, T days of history, H ahead.
        product_groups: [n] group of each series.
        horizon: H.
        family: One of the families that are trained here.
        hierarchy: Of the same series, for metrics of the levels above; series and total only if left out.
        progress: Called with the stage, steps done and steps in all.
        workers: Threads, and processes for slow models; all cores if left out.
        history_days: Days of history that scoring will read.
        group_level: Product level whose nodes are the groups.
        evaluates: Whether to evaluate too; who only wants the artifact is spared training it again at each origin.

    Raises:
        InputError: If the history is too short to train and to backtest, or there is no such family to train.
    """
    if family not in TRAINED:
        raise InputError(
            f"There is no model family `{family}` to train.", remedy=f"Use --family {' or '.join(TRAINED)}."
        )
    report = progress or (lambda _stage, _done, _total: None)
    train = _train_trees if family in WITH_TREES else _train_levels
    how = _How(family, horizon, partial(report, "training"), workers, history_days, group_level, evaluates)
    artifact, rows, origins, version_as_of = train(panel, product_groups, how)
    if not evaluates:
        return Trained(artifact, None)
    evaluation = evaluate(
        take(panel, rows),
        (hierarchy or Hierarchy.build(panel.series, None, None)).take(rows),
        product_groups[rows],
        origins=origins,
        version_as_of=version_as_of,
        progress=partial(report, "evaluation"),
        workers=workers,
        history_days=history_days,
    )
    return Trained(artifact, evaluation)


@dataclass(frozen=True)
class _How:
    """Settings of `fit`, as it has them."""

    family: str
    horizon: int
    progress: Progress
    workers: int | None
    history_days: int
    group_level: str
    evaluates: bool


# A version, which rows and origins it is evaluated on, and the version that is judged at an origin.
_Fitted = tuple[TrainedArtifact, Rows, list[int], VersionAsOf]


def _train_trees(panel: Panel, product_groups: Groups, how: _How) -> _Fitted:
    """Train trees once for each origin, on all series; calibrating the newest needs the one before it anyway."""
    origins = tree_origins(panel, how.horizon)[:MOST_ORIGINS]
    versions = train_global(
        how.family,
        panel,
        product_groups,
        horizon=how.horizon,
        earlier=origins if how.evaluates else (),
        progress=how.progress,
        workers=how.workers,
        history_days=how.history_days,
        group_level=how.group_level,
    )
    return versions[0], np.arange(panel.series.height), origins, lambda origin, _past, _groups: versions[origin]


def _train_levels(panel: Panel, product_groups: Groups, how: _How) -> _Fitted:
    """Train the statistical family; at each origin again, on the series that are evaluated."""
    artifact = train_statistical(
        panel,
        product_groups,
        horizon=how.horizon,
        progress=how.progress,
        workers=how.workers,
        history_days=how.history_days,
        group_level=how.group_level,
    )

    def version_as_of(_origin: int, past: Panel, groups: Groups) -> TrainedArtifact:
        inner = max(1, min(past.horizon_days, past.history_days - LEAST_HISTORY_DAYS - 1))
        return train_statistical(past, groups, horizon=inner, workers=how.workers, history_days=how.history_days)

    return artifact, evaluated_rows(panel), backtest_origins(panel, how.horizon)[:MOST_ORIGINS], version_as_of


def trained_rows(family: str, count: int, days: int) -> Rows:
    """Return which of so many series a family is trained on, given how many days are read.

    Args:
        family: One of the families that are trained here. Trees learn from what a product does elsewhere, so they are
            shown all series as long as one matrix of them stays below 300 MB.
        count: Series that there are.
        days: Days of history and ahead.
    """
    return training_rows(count, max(days * MOST_CELLS // _MOST_CELLS_WITH_TREES, 1) if family in WITH_TREES else days)


def default_horizon(history_days: int) -> int:
    """Return how far backtests look ahead if nobody says: whole weeks, a fifth of the history, at most four.

    Example:
        >>> [default_horizon(days) for days in (40, 76, 365)]
        [7, 14, 28]
    """
    return min(28, max(7, history_days // 5 // 7 * 7))

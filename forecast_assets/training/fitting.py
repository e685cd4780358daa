"""Fitting a model version: its artifact and its evaluation report.

What belongs here: putting the two together, for any family. What does not: how either is made, or stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import polars as pl

from forecast_assets.core.beside import beside, processes_allowed
from forecast_assets.core.keys import DAILY
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.as_known import History
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.selection import (
    DEFAULT_HISTORY_DAYS,
    MOST_CELLS,
    TRAINING_HISTORY_DAYS,
    require_trainable,
    spread_rows,
)
from forecast_assets.models.training import MOST_ORIGINS, GivenDate, TrainingInputs, retrained
from forecast_assets.training.evaluation import EVALUATION_STAGE, earlier_cutoffs, evaluate, evaluated, judge

# Past dates that what was given is judged on, evenly spread; more would cost time and say little more.
EVALUATED_DATES: Final = 8
# Below so many cells of a matrix, starting a process takes longer than training in it.
_WORTH_CELLS: Final = 400_000


@dataclass(frozen=True)
class TrainingResult:
    """What training a version gives.

    Attributes:
        artifact: What scoring reads.
        report: Contract `evaluation_reports`; None where nobody asked for it.
        calibration: Contract `calibration`; None where nobody asked for it, or nothing could be judged.
    """

    artifact: Artifact
    report: pl.DataFrame | None
    calibration: pl.DataFrame | None = None


def fit_version(family: ModelFamily[Any], inputs: TrainingInputs) -> TrainingResult:
    """Make a version, and judge it at past cutoffs unless the inputs say not to.

    Raises:
        InputError: If the history is too short to train and to backtest.
    """
    if family.retrains_beside and _is_worth_processes(inputs):
        return _fit_beside(family, inputs)
    fitted = family.train(inputs)
    if not inputs.evaluates:
        return TrainingResult(fitted.artifact, None)
    judged = evaluate(
        family,
        retrained(inputs, family.train) if fitted.past_cutoffs is None else fitted.past_cutoffs,
        fitted.measures,
        history_days=inputs.history_days,
        workers=inputs.workers,
        progress=inputs.progress,
    )
    return TrainingResult(fitted.artifact, judged.report, judged.calibration)


def _is_worth_processes(inputs: TrainingInputs) -> bool:
    """Whether to train past versions at the same time: it takes long, there are cores, and memory for all of them."""
    cells = inputs.panel.sales.size
    return (
        inputs.evaluates
        and processes_allowed(inputs.workers) > 1
        # Together no more than the largest training alone.
        and _WORTH_CELLS <= cells <= MOST_CELLS // (1 + MOST_ORIGINS)
    )


def _fit_beside(family: ModelFamily[Any], inputs: TrainingInputs) -> TrainingResult:
    """Make a version while others judge the past cutoffs: the same numbers, sooner."""
    cutoffs = retrained(inputs, family.train)
    calls = [
        partial(
            judge, family, each, earlier=earlier_cutoffs(cutoffs, each), history_days=inputs.history_days, workers=1
        )
        for each in cutoffs
    ]
    with beside(calls) as running:
        fitted = family.train(inputs)
        judged = []
        for done, one in enumerate(running, start=1):
            judged.append(one.result())
            inputs.progress(EVALUATION_STAGE, done, len(cutoffs))
    found = evaluated(judged)
    return TrainingResult(fitted.artifact, found.report, found.calibration)


def inputs_of_snapshot(
    family: ModelFamily[Any],
    features: pl.DataFrame,
    history: History,
    hierarchy: Hierarchy,
    *,
    horizon: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
) -> TrainingInputs:
    """Lay out what a family that is trained here learns from: the series of a snapshot, as far back as helps.

    Args:
        family: The family, which chooses how many series it is trained on.
        features: The snapshot's rows.
        history: The observations behind it.
        hierarchy: Crossed hierarchy of its series.
        horizon: Days ahead that the version is for; None for those of a daily run.
        history_days: Days of history that scoring will read.

    Raises:
        InputError: If the history is too short to train anything.
    """
    age = int(features["age_days"].max() or 1)  # type: ignore[arg-type]
    horizon = horizon or DAILY.default_horizon
    days = max(history_days, TRAINING_HISTORY_DAYS)
    # An age may be counted within a window only, so whoever is a year old may have the whole history.
    rows = family.training_rows(features.height, horizon + (days if age >= DEFAULT_HISTORY_DAYS else age))
    panel = history.panel(features[rows], history_days=days, horizon_days=horizon)
    require_trainable(panel.history_days, horizon)
    return TrainingInputs(
        panel=panel,
        product_groups=hierarchy.product_groups()[rows],
        hierarchy=hierarchy.take(rows),
        horizon=horizon,
        history_days=history_days,
        group_level=hierarchy.group_level.name,
    )


def inputs_of_given(
    given: Sequence[GivenDate], history: History, later: History, hierarchy: Hierarchy, *, history_days: int
) -> TrainingInputs:
    """Lay out what a version is registered from whose forecasts are given from outside.

    Args:
        given: What was given of each date, oldest first.
        history: What was known at the first date.
        later: What is known by now, on which past dates are judged, at most eight of them.
        hierarchy: Crossed hierarchy of the series.
        history_days: Days of history that scoring will read.
    """
    panel = _panel_of(given[0], history, history_days)
    since = [(later.cutoff - each.rows["prediction_date"][0]).days for each in given]
    past = [at for at, days in enumerate(since) if days > 0]
    evaluated = {past[at] for at in spread_rows(len(past), EVALUATED_DATES)} if past else set()
    dates = [
        replace(each, known=_panel_of(each, later, history_days + days), days_since=days) if at in evaluated else each
        for at, (each, days) in enumerate(zip(given, since, strict=True))
    ]
    return TrainingInputs(
        panel=panel,
        product_groups=hierarchy.product_groups(),
        hierarchy=hierarchy,
        horizon=panel.horizon_days,
        history_days=history_days,
        given_dates=dates,
    )


def _panel_of(given: GivenDate, history: History, history_days: int) -> Panel:
    series, horizon = given.rows.select("store_id", "sku_id").unique(), int(given.rows["forecast_horizon"][0])
    return history.panel(series, history_days=history_days, horizon_days=horizon)

"""Evaluation: how a version does on days that it has not seen, beside seasonal naive.

What belongs here: rolling-origin backtests of any family. What does not: the metrics, which cutoffs a family is judged
at, or choosing anything by how it did.

At each past cutoff a version that was made from what was known then, all that is learned included, scores the days
after it by the code of the daily run, up to its base forecasts. Expected sales are demand less the share of it that is
forecast to meet no stock, or that the series usually loses. Stock-out probabilities are judged where the version has a
classifier of stock status. Days of a store that is closed for weeks are not judged, closed weekdays and holidays are.
Calibration is that of quantiles as they would have been published, reconciled and summed. Backtests judge whole runs,
reconciliation and every risk included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.progress import Progress, silent
from forecast_assets.features.panel import Panel
from forecast_assets.metrics.backtests import SEASONAL_NAIVE, Backtest, report
from forecast_assets.metrics.calibration import CalibrationCounts, added_up, calibration_rows
from forecast_assets.metrics.risk_calibration import risk_calibration_rows
from forecast_assets.models.artifact import RISK_THRESHOLDS
from forecast_assets.models.closures import unforeseeable_days
from forecast_assets.models.demand import level_and_demand, usual_lost_share
from forecast_assets.models.family import ModelFamily
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.training import PastCutoff
from forecast_assets.training.published_quantiles import PastRun, judged_calibration

SEASON: Final = 7
EVALUATION_STAGE: Final = "evaluation"


@dataclass(frozen=True)
class JudgedCutoff:
    """How a version did at one past cutoff.

    Attributes:
        backtest: Its base forecasts, and what came.
        calibration: Where what came fell among the quantiles that it would have published.
    """

    backtest: Backtest
    calibration: CalibrationCounts


@dataclass(frozen=True)
class EvaluatedVersion:
    """How a version did at past cutoffs.

    Attributes:
        report: Contract `evaluation_reports`.
        calibration: Contract `calibration`; None where no distribution could be judged.
    """

    report: pl.DataFrame
    calibration: pl.DataFrame | None


def evaluate(
    family: ModelFamily[Any],
    cutoffs: Sequence[PastCutoff],
    measures: pl.DataFrame | None = None,
    *,
    history_days: int,
    workers: int | None = None,
    progress: Progress = silent,
) -> EvaluatedVersion:
    """Judge a family's versions at past cutoffs.

    Args:
        family: The family.
        cutoffs: Where its versions are judged; none where nothing has come yet.
        measures: What was measured besides: rows of contract `evaluation_reports`.
        history_days: Days of history that scoring reads.
        workers: Processes for slow models; all cores if None.
        progress: Called with the stage, cutoffs done and cutoffs in all.

    """
    judged = []
    for done, cutoff in enumerate(cutoffs, start=1):
        earlier = earlier_cutoffs(cutoffs, cutoff)
        judged.append(judge(family, cutoff, earlier=earlier, history_days=history_days, workers=workers))
        progress(EVALUATION_STAGE, done, len(cutoffs))
    return evaluated(judged, measures)


def evaluated(judged: Sequence[JudgedCutoff], measures: pl.DataFrame | None = None) -> EvaluatedVersion:
    """Put what was judged at past cutoffs together.

    Args:
        judged: One per cutoff, in any order; none where nothing has come yet.
        measures: What was measured besides: rows of contract `evaluation_reports`.
    """
    backtests = [each.backtest for each in judged]
    whole = [report(backtests)] if backtests or measures is None else []
    parts = whole if measures is None else [measures, *whole]
    calibration = pl.concat(
        [
            calibration_rows(added_up(each.calibration for each in judged)),
            risk_calibration_rows(backtests, RISK_THRESHOLDS),
        ]
    )
    return EvaluatedVersion(
        EVALUATION_REPORTS.conform(pl.concat(parts)), None if calibration.is_empty() else calibration
    )


def earlier_cutoffs(cutoffs: Sequence[PastCutoff], cutoff: PastCutoff) -> list[date]:
    """Return the dates of those cutoffs that are before another one."""
    return [each.cutoff for each in cutoffs if each.cutoff < cutoff.cutoff]


def judge(
    family: ModelFamily[Any],
    cutoff: PastCutoff,
    *,
    earlier: Sequence[date] = (),
    history_days: int,
    workers: int | None = None,
) -> JudgedCutoff:
    """Score the days after a past cutoff with the version of that day, and lay what came beside.

    Args:
        family: The family.
        cutoff: Where its version is judged.
        earlier: Cutoffs before it that are judged too.
        history_days: Days of history that scoring reads.
        workers: Processes for slow models; all cores if None.
    """
    panel, groups = cutoff.panel.take(cutoff.rows), cutoff.product_groups[cutoff.rows]
    past = panel.as_of(cutoff.days)
    artifact = cutoff.version(past)
    past, later = past.recent(history_days), panel.recent(history_days + cutoff.days)
    hierarchy = cutoff.hierarchy.take(cutoff.rows)
    made = family.forecast(
        artifact, ForecastInputs(past, groups, hierarchy, given_rows=cutoff.given_rows, workers=workers)
    )
    known = level_and_demand(past, artifact.factors(past, groups)).demand
    # What came is judged with effects that saw it, as the best estimate of it there is.
    demand = level_and_demand(later, artifact.factors(later, groups)).demand
    usual = usual_lost_share(past, known)
    model = artifact.stock_status
    status = None if model is None else model.assess(past, groups, hierarchy, workers)
    # One store that closes for weeks would decide of a version that serves all others.
    is_judged = ~unforeseeable_days(later, past.history_days)
    came = _that_came(np.where(is_judged, demand, np.nan), past)
    run = PastRun(made, past, hierarchy, came, artifact.dependence, earlier, workers)
    backtest = Backtest(
        cutoff=past.cutoff,
        hierarchy=hierarchy,
        past_sales=past.sales,
        sales=_that_came(np.where(is_judged, later.sales, np.nan), past),
        expected_sales=made.mean * (1.0 - made.lost_share_or(usual)),
        others={
            SEASONAL_NAIVE: seasonal_naive(past.sales, past.horizon_days),
            **{name: mean * (1.0 - usual[:, None]) for name, mean in made.alternatives.items()},
        },
        demand=came,
        mean=made.mean,
        naive_demand=seasonal_naive(known, past.horizon_days),
        quantiles=made.quantiles,
        demand_class=made.demand_class,
        stockout_probability=None if status is None else status.probability,
        is_stockout=None if status is None else _that_came(_was_out(later), past),
    )
    return JudgedCutoff(backtest, judged_calibration(run))


def _was_out(panel: Panel) -> Floats:
    """[n, T] Whether any trading hour was without stock, 1 or 0; NaN where status is unknown."""
    share = panel.out_of_stock_share
    return np.where(np.isnan(share), np.nan, share > 0)


def _that_came(values: Floats, past: Panel) -> Floats:
    """[n, H] What came after a past cutoff; NaN on days that are not known yet."""
    actual = values[:, past.history_days : past.history_days + past.horizon_days]
    return np.pad(actual, ((0, 0), (0, past.horizon_days - actual.shape[1])), constant_values=np.nan)


def seasonal_naive(history: Floats, horizon: int) -> Floats:
    """Repeat the last week, as statsforecast's `SeasonalNaive` does; unknown days count as days without sales.

    Args:
        history: [n, T] units; NaN where unknown, as the days before it are that a week lacks.
        horizon: H.

    Returns:
        [n, H] units.
    """
    known = np.nan_to_num(history[:, -SEASON:])
    week = np.pad(known, ((0, 0), (SEASON - known.shape[1], 0)))
    return np.tile(week, (1, -(-horizon // SEASON)))[:, :horizon]

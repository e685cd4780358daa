"""Evaluation: how a version trained this way does on days that it has not seen, beside seasonal naive.

What belongs here: rolling-origin backtests, metrics by segment, the gates. What does not: choosing anything by them.

At each origin a version is trained from scratch on what was known then, effects, model choice and calibration included,
and scores the days after it by the code of the daily run. Forecasts of demand are judged twice: as expected sales
against sales, on all days, with the share of demand that the series usually loses; and against the demand estimate,
which rests on the same assumptions as the forecast. In-stock days alone would show a bias even for a perfect forecast,
since high demand is what empties the shelf.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.contracts import DEMAND_CLASSES, EVALUATION_REPORTS
from forecast_assets.features.panel import Bools, Floats, Panel
from forecast_assets.models.calibration import STEP_EDGES
from forecast_assets.models.demand import usual_lost_share
from forecast_assets.models.levels import Progress
from forecast_assets.models.scores import pinball_losses, share_inside
from forecast_assets.models.series import clean
from forecast_assets.models.statistical import forecast_series, train_statistical
from forecast_assets.models.training import (
    DEFAULT_HISTORY_DAYS,
    LEAST_HISTORY_DAYS,
    backtest_origins,
    spread_rows,
    take,
    training_rows,
)

SEASON: Final = 7
LARGEST_BIAS: Final = 0.1
COVERAGE_TOLERANCE: Final = 0.1
_EVALUATED_SERIES: Final = 20000
_ORIGINS: Final = 2
_ALL: Final = "all"


@dataclass(frozen=True)
class Outcome:
    """Forecasts and what came, k rows (origins times series) by H days; NaN where unknown.

    Attributes:
        sales: What was sold.
        expected_sales: Forecast of it.
        naive_sales: Seasonal naive forecast of it.
        demand: What demand is estimated to have been.
        mean: Forecast of it.
        naive_demand: Seasonal naive forecast of it.
        quantiles: [k, H, 13] of demand.
        demand_class: [k] at the origin.
    """

    sales: Floats
    expected_sales: Floats
    naive_sales: Floats
    demand: Floats
    mean: Floats
    naive_demand: Floats
    quantiles: Floats
    demand_class: npt.NDArray[np.str_]


def evaluate(
    panel: Panel,
    product_groups: npt.NDArray[np.str_],
    *,
    horizon: int,
    progress: Progress | None = None,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
) -> pl.DataFrame:
    """Backtest the family on the last days of a panel.

    Args:
        panel: n series, T days of history, H ahead; of more than 20,000 series that many are evaluated, evenly spread,
            and fewer where the history is long.
        product_groups: [n] group of each series.
        horizon: H.
        progress: Called with origins done and origins in all.
        workers: Processes for slow models; all cores if left out.
        history_days: Days of history that scoring reads.

    Returns:
        Contract `evaluation_reports`.
    """
    most = len(training_rows(panel.series.height, panel.history_days + panel.horizon_days))
    rows = spread_rows(panel.series.height, min(most, _EVALUATED_SERIES))
    few, groups = take(panel, rows), product_groups[rows]
    origins = backtest_origins(panel, horizon)[:_ORIGINS]
    outcomes = []
    for done, origin in enumerate(origins, start=1):
        outcomes.append(_outcome(few, groups, origin, workers, history_days))
        if progress:
            progress(done, len(origins))
    return report(stacked(outcomes))


def gates(report_frame: pl.DataFrame) -> dict[str, bool]:
    """Return which conditions of promotion a report meets.

    Args:
        report_frame: Contract `evaluation_reports`.
    """
    overall = report_frame.filter(pl.col("segment_kind") == _ALL)
    value = dict(overall.select("metric", "value").iter_rows())
    naive = dict(overall.select("metric", "baseline_value").iter_rows())
    if any(value[name] is None for name in ("wape", "bias", "coverage_80")) or naive["wape"] is None:
        # Nothing was sold in the backtests, so nothing was shown.
        return {"backtests_saw_sales": False}
    return {
        "wape_beats_seasonal_naive": value["wape"] < naive["wape"],
        "bias_within_10_percent": abs(value["bias"]) <= LARGEST_BIAS,
        "coverage_of_80_percent_interval_within_10_points": abs(value["coverage_80"] - 0.8) <= COVERAGE_TOLERANCE,
    }


def report(outcome: Outcome) -> pl.DataFrame:
    """Measure an outcome, over all rows, by demand class and by days ahead.

    Returns:
        Contract `evaluation_reports`.
    """
    rows = [
        {
            "segment_kind": kind,
            "segment": name,
            "metric": metric,
            "value": value,
            "baseline_value": naive,
            "rows": count,
        }
        for kind, name, chosen in _segments(outcome)
        for metric, value, naive, count in _metrics(outcome, chosen)
        if count
    ]
    return EVALUATION_REPORTS.conform(pl.DataFrame(rows, schema=EVALUATION_REPORTS.schema))


def _outcome(
    panel: Panel, product_groups: npt.NDArray[np.str_], origin: int, workers: int | None, history_days: int
) -> Outcome:
    """Train as of an origin, score the days after it, and lay what came beside."""
    # A series without a row by then would not have been forecast then.
    has_begun = np.flatnonzero((~np.isnan(panel.sales[:, : panel.history_days - origin])).any(axis=1))
    panel, product_groups = take(panel, has_begun), product_groups[has_begun]
    past = panel.as_of(origin)
    inner = max(1, min(past.horizon_days, past.history_days - LEAST_HISTORY_DAYS - 1))
    artifact = train_statistical(past, product_groups, horizon=inner, workers=workers, history_days=history_days)
    past, later = past.recent(history_days), panel.recent(history_days + origin)
    made = forecast_series(past, artifact, product_groups, workers=workers)
    days = slice(past.history_days, past.history_days + past.horizon_days)
    kept = 1.0 - usual_lost_share(past, made.history.demand)[:, None]
    return Outcome(
        sales=later.sales[:, days],
        expected_sales=made.mean * kept,
        naive_sales=seasonal_naive(past.sales, past.horizon_days),
        # What came is judged with effects that saw it, as the best estimate of it there is.
        demand=clean(later, artifact.effects, product_groups).demand[:, days],
        mean=made.mean,
        naive_demand=seasonal_naive(made.history.demand, past.horizon_days),
        quantiles=made.quantiles,
        demand_class=made.demand_class,
    )


def seasonal_naive(history: Floats, horizon: int) -> Floats:
    """Repeat the last week, as statsforecast's `SeasonalNaive` does; unknown days count as days without sales.

    Args:
        history: [n, T] units, T at least a week; NaN where unknown.
        horizon: H.

    Returns:
        [n, H] units.
    """
    week = np.nan_to_num(history[:, -SEASON:])
    return np.tile(week, (1, -(-horizon // SEASON)))[:, :horizon]


def stacked(outcomes: Sequence[Outcome]) -> Outcome:
    """Lay the outcomes of several prediction dates below one another."""
    parts = [vars(outcome) for outcome in outcomes]
    return Outcome(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _segments(outcome: Outcome) -> Iterator[tuple[str, str, Bools]]:
    """Kinds and names of segments, and which of the [k, H] days belong to each."""
    shape = outcome.sales.shape
    yield _ALL, _ALL, np.ones(shape, dtype=np.bool_)
    for name in DEMAND_CLASSES:
        yield "demand_class", name, np.broadcast_to((outcome.demand_class == name)[:, None], shape)
    step = np.arange(1, shape[1] + 1)
    ends = (0, *STEP_EDGES, np.inf)
    for after, until in pairwise(ends):
        name = f"{after + 1}-{until}" if np.isfinite(until) else f"{after + 1}+"
        yield "step", name, np.broadcast_to((step > after) & (step <= until), shape)


def _metrics(outcome: Outcome, chosen: Bools) -> Iterator[tuple[str, float | None, float | None, int]]:
    """Name, value, value of seasonal naive and number of days of each metric."""
    sold = chosen & ~np.isnan(outcome.sales)
    asked = chosen & ~np.isnan(outcome.demand)
    for prefix, days, actual, forecast, naive in (
        ("", sold, outcome.sales, outcome.expected_sales, outcome.naive_sales),
        ("demand_", asked, outcome.demand, outcome.mean, outcome.naive_demand),
    ):
        what, ours, theirs = actual[days], forecast[days], naive[days]
        yield f"{prefix}wape", _share(np.abs(ours - what), what), _share(np.abs(theirs - what), what), len(what)
        yield f"{prefix}bias", _share(ours - what, what), _share(theirs - what, what), len(what)
    demand, quantiles = outcome.demand[asked], outcome.quantiles[asked]
    losses = pinball_losses(demand, quantiles)
    # Of a point forecast, twice the mean pinball loss over levels symmetric about one half is its absolute error.
    naive_loss = np.abs(outcome.naive_demand[asked] - demand)
    yield "scaled_pinball_loss", _share(2 * np.mean(losses, axis=1), demand), _share(naive_loss, demand), len(demand)
    for percent, low, high in ((50, 0.25, 0.75), (80, 0.1, 0.9), (95, 0.025, 0.975), (99, 0.005, 0.995)):
        inside = share_inside(demand, quantiles, low, high)
        yield f"coverage_{percent}", float(inside.mean()) if len(demand) else None, None, len(demand)


def _share(errors: Floats, actual: Floats) -> float | None:
    """Sum of errors over sum of actuals; None where nothing was sold."""
    total = float(actual.sum())
    return float(errors.sum()) / total if total > 0 else None

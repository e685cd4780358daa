"""Evaluation: how a version trained this way does on days that it has not seen, beside seasonal naive.

What belongs here: rolling-origin backtests, the gates. What does not: the metrics, or choosing anything by them.

At each origin a version that was trained from scratch on what was known then, effects, model choice and calibration
included, scores the days after it by the code of the daily run, up to its base forecasts. Expected sales are demand
less the share of it that is forecast to meet no stock, or that the series usually loses. Backtests judge
whole runs, reconciliation and risk included.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.backtests import ALL, SEASONAL_NAIVE, STATISTICAL, Backtest, report
from forecast_assets.models.demand import usual_lost_share
from forecast_assets.models.family import Forecasts, TrainedArtifact, forecast, lost_share
from forecast_assets.models.statistical.levels import Progress
from forecast_assets.models.statistical.series import clean
from forecast_assets.models.statistical.training import DEFAULT_HISTORY_DAYS, Rows, spread_rows, take, training_rows

Groups = npt.NDArray[np.str_]
# The version that is judged at an origin: see `evaluate`.
VersionAsOf = Callable[[int, Panel, Groups], TrainedArtifact]

SEASON: Final = 7
LARGEST_BIAS: Final = 0.1
COVERAGE_TOLERANCE: Final = 0.1
_EVALUATED_SERIES: Final = 20000
# One horizon before the cutoff and two, where there is history.
MOST_ORIGINS: Final = 2


def evaluate(
    panel: Panel,
    hierarchy: Hierarchy,
    product_groups: Groups,
    *,
    origins: Sequence[int],
    version_as_of: VersionAsOf,
    progress: Progress | None = None,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
) -> pl.DataFrame:
    """Backtest a family on the last days of a panel.

    Args:
        panel: n series, T days of history, H ahead.
        hierarchy: Of the same series.
        product_groups: [n] group of each series.
        origins: How many days before the panel's cutoff versions are judged as of.
        version_as_of: Returns the version that is judged at an origin, from how many days before the panel's cutoff
            that is, and the panel and groups as of then.
        progress: Called with origins done and origins in all.
        workers: Processes for slow models; all cores if left out.
        history_days: Days of history that scoring reads.

    Returns:
        Contract `evaluation_reports`.
    """
    backtests = []
    for done, origin in enumerate(origins, start=1):
        backtests.append(_backtest(panel, hierarchy, product_groups, origin, version_as_of, workers, history_days))
        if progress:
            progress(done, len(origins))
    return report(backtests)


def evaluated_rows(panel: Panel) -> Rows:
    """Return which series are evaluated where training anew at each origin has to stay quick.

    They are 20,000, evenly spread, and fewer where the history is long.
    """
    most = len(training_rows(panel.series.height, panel.history_days + panel.horizon_days))
    return spread_rows(panel.series.height, min(most, _EVALUATED_SERIES))


def gates(report_frame: pl.DataFrame) -> dict[str, bool]:
    """Return which conditions of promotion a report meets.

    There is none on the bias of levels: over all nodes of a level it is the bias of the rows, which has one, and single
    nodes are off by chance where little is sold. The report has both.

    Args:
        report_frame: Contract `evaluation_reports`.
    """
    overall = report_frame.filter(pl.col("segment_kind") == ALL)
    value = dict(overall.select("metric", "value").iter_rows())
    naive = dict(overall.select("metric", "baseline_value").iter_rows())
    if any(value.get(name) is None for name in ("wape", "bias", "coverage_80")) or naive["wape"] is None:
        # Nothing was sold in the backtests, so nothing was shown.
        return {"backtests_saw_sales": False}
    return {
        "wape_beats_seasonal_naive": value["wape"] < naive["wape"],
        "bias_within_10_percent": abs(value["bias"]) <= LARGEST_BIAS,
        "coverage_of_80_percent_interval_within_10_points": abs(value["coverage_80"] - 0.8) <= COVERAGE_TOLERANCE,
    }


def _backtest(
    panel: Panel,
    hierarchy: Hierarchy,
    product_groups: Groups,
    origin: int,
    version_as_of: VersionAsOf,
    workers: int | None,
    history_days: int,
) -> Backtest:
    """Score the days after an origin with the version of that day, and lay what came beside."""
    # A series without a row by then would not have been forecast then.
    has_begun = np.flatnonzero((~np.isnan(panel.sales[:, : panel.history_days - origin])).any(axis=1))
    panel, product_groups, hierarchy = take(panel, has_begun), product_groups[has_begun], hierarchy.take(has_begun)
    past = panel.as_of(origin)
    artifact = version_as_of(origin, past, product_groups)
    past, later = past.recent(history_days), panel.recent(history_days + origin)
    made = forecast(past, artifact, product_groups, workers=workers)
    days = slice(past.history_days, past.history_days + past.horizon_days)
    kept = 1.0 - lost_share(past, made.series)
    return Backtest(
        cutoff=past.cutoff,
        hierarchy=hierarchy,
        past_sales=past.sales,
        sales=later.sales[:, days],
        expected_sales=made.series.mean * kept,
        others=_others(past, made),
        # What came is judged with effects that saw it, as the best estimate of it there is.
        demand=clean(later, made.part.effects, product_groups).demand[:, days],
        mean=made.series.mean,
        naive_demand=seasonal_naive(made.series.history.demand, past.horizon_days),
        quantiles=made.series.quantiles,
        demand_class=made.series.demand_class,
    )


def _others(past: Panel, made: Forecasts) -> dict[str, Floats]:
    """Expected sales of what a version has to beat: seasonal naive, and its own statistical part if it has another."""
    others = {SEASONAL_NAIVE: seasonal_naive(past.sales, past.horizon_days)}
    if made.statistical is not made.series:
        usual = usual_lost_share(past, made.statistical.history.demand)[:, None]
        others[STATISTICAL] = made.statistical.mean * (1.0 - usual)
    return others


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

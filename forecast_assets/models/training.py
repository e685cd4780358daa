"""Training the statistical family: effects, a level model per demand class, calibration.

What belongs here: what is learned once per model version. What does not: evaluating the result, or storing it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_assets.errors import InputError
from forecast_assets.features.panel import Floats, Panel
from forecast_assets.models.artifact import RISK_THRESHOLDS, StatisticalArtifact
from forecast_assets.models.calibration import calibrate
from forecast_assets.models.demand import ratio
from forecast_assets.models.effects import Groups, fit_effects
from forecast_assets.models.levels import AVERAGE, CROSTON, ONE, SMOOTHING, THETA, ZERO, Progress, forecast_levels
from forecast_assets.models.nodes import NODES, node_index
from forecast_assets.models.series import Cleaned, ahead_of, clean

Rows = npt.NDArray[np.intp]

DEFAULT_HISTORY_DAYS: Final = 364
LEAST_HISTORY_DAYS: Final = 28
_ORIGINS: Final = 3
# Enough series to choose between models and to learn quantiles by; more would only cost time.
_COMPARED_SERIES: Final = 1500
_COMPARED_SERIES_SLOW: Final = 100
_CALIBRATED_SERIES: Final = 20000
# A slow model is chosen only where it is better by at least this share.
_SLOW_MARGIN: Final = 0.02
_QUICK: Final = (*SMOOTHING, AVERAGE)
_CANDIDATES: Final[Mapping[str, tuple[str, ...]]] = {
    "smooth": _QUICK,
    "erratic": _QUICK,
    "intermittent": (*CROSTON, *_QUICK),
    "lumpy": (*CROSTON, *_QUICK),
}
_FIXED: Final = {"new": AVERAGE, "dead": ZERO, "ended": ZERO, "seasonal": AVERAGE}
_SMALLEST_LEVEL: Final = 0.05


@dataclass(frozen=True)
class Backtest:
    """A past cutoff, what was known at it, and what came.

    Attributes:
        history: Series as known at the cutoff, cleaned with effects that saw nothing later.
        factors: [n, T] product of the factors of the history.
        ahead: [n, H] and of the horizon.
        product_groups: [n].
        demand: [n, H] demand that came, units; NaN where unknown.
    """

    history: Cleaned
    factors: Floats
    ahead: Floats
    product_groups: Groups
    demand: Floats

    def forecast(self, names: npt.NDArray[np.str_], rows: Rows, workers: int | None) -> Floats:
        """[k, H] units forecast by the named model of each of the k chosen series."""
        levels = forecast_levels(self.history.level[rows], names, self.ahead.shape[1], workers=workers)
        return levels.path * self.ahead[rows]


def train_statistical(
    panel: Panel,
    product_groups: Groups,
    *,
    horizon: int,
    progress: Progress | None = None,
    workers: int | None = None,
    history_days: int = DEFAULT_HISTORY_DAYS,
    group_level: str = "total",
) -> StatisticalArtifact:
    """Train a version on everything up to the panel's cutoff.

    Models are chosen and quantiles learned on the last days of the history, by forecasts from up to three earlier
    cutoffs with effects fitted up to each of them. Assumes that those days are like the ones to come.

    Args:
        panel: n series, T days of history, at least ``horizon`` ahead.
        product_groups: [n] group of each series, within which effects are pooled.
        horizon: Days that backtests look ahead.
        progress: Called with steps done and steps in all.
        workers: Processes for slow models; all cores if left out.
        history_days: Days of history that scoring will read.
        group_level: Product level whose nodes are the groups.

    Raises:
        InputError: If the history is too short for a single backtest.
    """
    origins = backtest_origins(panel, horizon)
    panel = shorten(panel, horizon)
    report = progress or (lambda _done, _total: None)
    steps = len(origins) + 3
    effects = fit_effects(panel, product_groups)
    report(1, steps)
    demand = clean(panel, effects, product_groups).demand
    backtests = []
    for number, origin in enumerate(origins):
        backtests.append(_backtest(panel, product_groups, demand, origin))
        report(number + 2, steps)
    models = {**_FIXED, **{name: _best_model(name, backtests, workers) for name in _CANDIDATES}}
    means = [_forecast_all(backtest, models, workers) for backtest in backtests]
    models[NODES] = _best_node_model(backtests, means)
    report(steps - 1, steps)
    calibration = calibrate(
        np.concatenate(means),
        np.concatenate([backtest.demand for backtest in backtests]),
        np.concatenate([backtest.history.demand_class for backtest in backtests]),
    )
    report(steps, steps)
    return StatisticalArtifact(models, effects, calibration, RISK_THRESHOLDS, history_days, horizon, group_level)


def backtest_origins(panel: Panel, horizon: int) -> list[int]:
    """Return how many days before the cutoff each backtest starts: one horizon, two, three.

    Raises:
        InputError: If not even one leaves more than four weeks of history before it, or if the panel reaches less far
            ahead than the horizon.
    """
    origins = [k * horizon for k in range(1, _ORIGINS + 1) if panel.history_days - k * horizon > LEAST_HISTORY_DAYS]
    if not origins or panel.horizon_days < horizon:
        raise InputError(
            f"{panel.history_days} days of history with {panel.horizon_days} ahead are too few to backtest {horizon}.",
            remedy=f"Train on more than {LEAST_HISTORY_DAYS + horizon} days, or with a shorter horizon.",
        )
    return origins


def shorten(panel: Panel, horizon: int) -> Panel:
    """Return a panel that looks fewer days ahead."""
    width = panel.history_days + horizon
    return replace(
        panel,
        horizon_days=horizon,
        price_ratio=panel.price_ratio[:, :width],
        is_promotion=panel.is_promotion[:, :width],
        has_plan=panel.has_plan[:, :horizon],
        event_days=panel.event_days[:, :width],
    )


def take(panel: Panel, rows: Rows) -> Panel:
    """Return the series of a panel at ``rows``."""
    matrices = ("sales", "is_censored", "out_of_stock_share", "price_ratio", "is_promotion", "has_plan")
    chosen = {name: getattr(panel, name)[rows] for name in matrices}
    return replace(panel, series=panel.series[rows], **chosen)


def spread_rows(count: int, most: int) -> Rows:
    """Return at most ``most`` row numbers, evenly spread."""
    return np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.intp)


def _backtest(panel: Panel, product_groups: Groups, demand: Floats, origin: int) -> Backtest:
    past = panel.as_of(origin)
    effects = fit_effects(past, product_groups)
    rows = spread_rows(panel.series.height, _CALIBRATED_SERIES)
    few = take(past, rows)
    history = clean(few, effects, product_groups[rows])
    ahead = np.prod(ahead_of(history.factors, few), axis=0)
    came = demand[rows, past.history_days : past.history_days + past.horizon_days]
    factors = history.factors.product[:, : past.history_days]
    return Backtest(history, factors, ahead, product_groups[rows], came)


def _best_model(demand_class: str, backtests: list[Backtest], workers: int | None) -> str:
    """Return the candidate whose forecasts come closest to the mean of demand."""
    quick = min(_CANDIDATES[demand_class], key=partial(_loss, backtests, demand_class, _COMPARED_SERIES))
    if demand_class != "smooth":
        return quick
    loss = partial(_loss, backtests, demand_class, _COMPARED_SERIES_SLOW, workers=workers)
    return THETA if loss(THETA) < (1.0 - _SLOW_MARGIN) * loss(quick) else quick


def _loss(backtests: list[Backtest], demand_class: str, most: int, name: str, workers: int | None = None) -> float:
    """Mean squared error over the series' level: squares are least at the mean, and no large series outweighs all."""
    total, count = 0.0, 0
    for backtest in backtests:
        members = np.flatnonzero(backtest.history.demand_class == demand_class)
        rows = members[spread_rows(len(members), most)]
        forecast = backtest.forecast(np.full(len(rows), name), rows, workers)
        level = np.maximum(np.nan_to_num(backtest.history.level[rows]).mean(axis=1, keepdims=True), _SMALLEST_LEVEL)
        squares = (backtest.demand[rows] - forecast) ** 2 / level
        total, count = total + float(np.nansum(squares)), count + int((~np.isnan(squares)).sum())
    return total / max(count, 1)


def _best_node_model(backtests: list[Backtest], means: list[Floats]) -> str:
    """Return the model by which the sums of product groups come closest to what was asked for.

    The constant 1 is among them: where sums know nothing that their series do not, reconciling then changes nothing.
    """
    losses = {name: sum(map(partial(_node_loss, name), backtests, means)) for name in (*_QUICK, ONE)}
    return min(losses, key=lambda name: losses[name])


def _node_loss(name: str, backtest: Backtest, mean: Floats) -> float:
    from scipy import sparse

    _, group = np.unique(backtest.product_groups, return_inverse=True)
    summing = sparse.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))))
    # The first day's forecast over its factors is the present level.
    expected = mean[:, :1] / backtest.ahead[:, :1] * backtest.factors
    index = node_index(summing, expected, backtest.history.demand)
    levels = forecast_levels(index, np.full(len(index), name), mean.shape[1], workers=1)
    is_known = ~np.isnan(backtest.demand)
    sums = summing @ np.where(is_known, mean, 0.0)
    errors = levels.path * sums - summing @ np.where(is_known, backtest.demand, 0.0)
    return float(ratio(errors**2, sums).sum())


def _forecast_all(backtest: Backtest, models: Mapping[str, str], workers: int | None) -> Floats:
    names = np.array([models[str(name)] for name in backtest.history.demand_class])
    return backtest.forecast(names, np.arange(len(names)), workers)

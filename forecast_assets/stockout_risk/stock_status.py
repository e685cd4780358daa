"""Stock-out risk where only stock status is known: rates of days with an out-of-stock hour, pooled and shrunk.

What belongs here: turning a record of out-of-stock hours into probabilities and expected shares of hours, where a model
version has no classifier (`models.stock_status`), as versions from before there was one. What does not: inventory
positions, bands, decimals.

A day's rate is written as a sum of deviations from the rate of all series: of the SKU, of the store, of both on that
weekday (the pools), of the series' own last days, and of its planned price against its usual one. Each deviation is
shrunk towards none by how little it has been seen (empirical Bayes: Robbins 1956; Efron & Morris 1975,
doi:10.1080/01621459.1975.10479864). The weights of the deviations are those that would have predicted the latest days
from the days before them best, by least squares, which is what the Brier score rewards; with few series or a short
history they stay near their defaults.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.models.stock_status.model import StatusProbabilities
from forecast_assets.models.stock_status.rates import LEAST, MOST

# Half-lives in days, chosen on FreshRetailNet with cutoffs up to 2024-05-14: a series' own record ages fastest.
SERIES_HALF_LIFE: Final = 5.0
POOL_HALF_LIFE: Final = 14.0
WEEKDAY_HALF_LIFE: Final = 28.0
LEVEL_HALF_LIFE: Final = 7.0

# Days (weighted) after which half of a deviation is believed.
SERIES_PRIOR_DAYS: Final = 3.0
POOL_PRIOR_DAYS: Final = 30.0
LEVEL_PRIOR_DAYS: Final = 4.0

# SKU, store, SKU on the weekday, store on the weekday, own last days, planned price.
DEFAULT_WEIGHTS: Final = (0.6, 0.4, 0.2, 0.2, 0.3, 0.0)
_POOLS: Final = 4
# Strength of the defaults, in rows times variance: a few thousand series-days outweigh it.
_RIDGE: Final = 100.0
_LEAST_HISTORY_DAYS: Final = 14


@dataclass(frozen=True)
class StatusRisk:
    """What the record of stock status says, for n series over H days; what is usual where a series has no record.

    Attributes:
        probability: [n, H] probability of any out-of-stock hour in trading hours.
        usual_probability: [n, H] the part that follows from the SKU, the store and the weekday.
        out_of_stock_share: [n, H] expected share of trading hours out of stock, 0..1, or what is as high on days on
            which it is.
    """

    probability: Floats
    usual_probability: Floats
    out_of_stock_share: Floats


@dataclass(frozen=True)
class _StatusHistory:
    """Values of n series on T days with what is known beside them; `sku` and `store` are codes from 0."""

    values: Floats
    price_ratio: Floats
    weekday: Ints
    sku: Ints
    store: Ints

    @property
    def days(self) -> int:
        return int(self.values.shape[1])

    def until(self, days: int) -> "_StatusHistory":
        return _StatusHistory(self.values[:, :days], self.price_ratio, self.weekday, self.sku, self.store)


def assess_status(panel: Panel) -> StatusRisk:
    """Return the risk of every series of a panel from its record of stock status.

    Assumes that the record of the latest days is like the horizon's; a change in how stores are stocked shows only as
    it enters the record. Days without a record count for nothing.

    Args:
        panel: n series; at least one day of one series must have a status.

    Returns:
        Probabilities and shares, [n, H].
    """
    found = panel.pooled.of_series("rates of stock status", lambda: Statistic(_rates(panel)))
    return StatusRisk(found[:, 0], found[:, 1], found[:, 2])


def _rates(panel: Panel) -> Floats:
    """[n, 3, H] Probabilities, their usual part and shares of hours."""
    share = panel.out_of_stock_share
    known = np.asarray(~np.isnan(share))
    weekday = panel.weekday
    sku, store = _codes(panel, "sku_id"), _codes(panel, "store_id")
    any_hour = np.where(known, (share > 0).astype(np.float64), np.nan)
    horizon, price = panel.horizon_days, _planned_price(panel)
    usual, rest = _predict(_StatusHistory(any_hour, price, weekday, sku, store), horizon)
    share_usual, share_rest = _predict(_StatusHistory(share, price, weekday, sku, store), horizon)
    return np.stack(
        [
            np.clip(usual + rest, LEAST, MOST),
            np.clip(usual, LEAST, MOST),
            np.clip(share_usual + share_rest, 0.0, 1.0),
        ],
        axis=1,
    )


def by_classifier(status: StatusProbabilities) -> StatusRisk:
    """Return what a classifier says in the same form: hours without stock are as many as such days are likely."""
    return StatusRisk(status.probability, status.usual_probability, status.probability)


def spread_over_days(lost_share: Floats, out_of_stock_share: Floats) -> Floats:
    """Spread the share of demand that each series usually loses over its days, as its hours without stock are spread.

    Hours alone would understate what is lost, since the shelf is empty when many ask; they tell which days are worse.

    Args:
        lost_share: [n] share of demand, 0..1; see `models.demand.usual_lost_share`.
        out_of_stock_share: [n, H] expected share of trading hours out of stock.

    Returns:
        [n, H] share of each day's demand, 0..1.
    """
    usual = out_of_stock_share.mean(axis=1, keepdims=True)
    shape = np.divide(out_of_stock_share, usual, out=np.ones_like(out_of_stock_share), where=usual > 0)
    return np.asarray(np.clip(lost_share[:, None] * shape, 0.0, 1.0))


def _codes(panel: Panel, column: str) -> Ints:
    return np.unique(panel.series[column].to_numpy(), return_inverse=True)[1].astype(np.int64)


def _planned_price(panel: Panel) -> Floats:
    """[n, T + H] price ratio; NaN on days ahead whose price was not known at the cutoff."""
    price = panel.price_ratio.copy()
    price[:, panel.history_days :][~panel.has_plan] = np.nan
    return price


def _predict(record: _StatusHistory, horizon: int) -> tuple[Floats, Floats]:
    """[n, H] twice: what is usual, and what the series' own days and planned price add."""
    level, deviations = _deviations(record, horizon)
    weighted = deviations * _weights(record, horizon)[:, None, None]
    return level + weighted[:_POOLS].sum(axis=0), weighted[_POOLS:].sum(axis=0)


def _weights(record: _StatusHistory, horizon: int) -> Floats:
    """[6] Weights that would have predicted the last days best, drawn towards the defaults by a ridge."""
    defaults = np.array(DEFAULT_WEIGHTS)
    held_out = min(horizon, record.days - _LEAST_HISTORY_DAYS)
    if held_out < 1:
        return defaults
    earlier = record.days - held_out
    _, deviations = _deviations(record.until(earlier), held_out)
    actual, _ = _centred(record.values[:, earlier:])
    deviations = np.where(np.isnan(record.values[:, earlier:]), 0.0, deviations)
    missed = actual - (deviations * defaults[:, None, None]).sum(axis=0)
    # Products summed along an axis, not a matrix product: the same bytes for any number of threads.
    gram = np.array([[_total(a * b) for b in deviations] for a in deviations])
    moment = np.array([_total(a * missed) for a in deviations])
    return np.asarray(defaults + np.linalg.solve(gram + _RIDGE * np.eye(len(defaults)), moment))


def _total(values: Floats) -> float:
    return float(np.ascontiguousarray(values).sum())


def _centred(values: Floats) -> tuple[Floats, Floats]:
    """[n, T] deviations from the rate of the day over all series, 0 where unknown; and [T] those rates."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    rates = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, filled - rates, 0.0), rates


def _recency(days: int, half_life: float) -> Floats:
    """[T] weights that halve every ``half_life`` days into the past."""
    return np.asarray(0.5 ** (np.arange(days - 1, -1, -1) / half_life))


def _deviations(record: _StatusHistory, horizon: int) -> tuple[Floats, Floats]:
    """[H] the rate of all series, and [6, n, H] shrunk deviations from it, in the order of the default weights."""
    days = record.days
    residuals, rates = _centred(record.values)
    known = (~np.isnan(record.values)).astype(np.float64)
    ahead = record.weekday[days : days + horizon]
    pools = _pooled(record, residuals, known, _recency(days, POOL_HALF_LIFE), np.zeros(len(residuals)))
    explained = pools.sum(axis=0)
    own = _own(residuals, known, explained)
    out = np.empty((len(DEFAULT_WEIGHTS), len(residuals), horizon))
    for day in np.unique(ahead):
        weights = _recency(days, WEEKDAY_HALF_LIFE) * (record.weekday[:days] == day)
        on_day = np.stack([*pools, *_pooled(record, residuals, known, weights, explained), own])
        out[:-1, :, ahead == day] = on_day[:, :, None]
    out[-1] = _price_deviation(record, horizon)
    return _level(rates, known, record.weekday, horizon), out


def _pooled(record: _StatusHistory, residuals: Floats, known: Floats, weights: Floats, explained: Floats) -> Floats:
    """[2, n] deviations of each series' SKU, and of its store after its SKU, beyond what is explained already."""
    seen = (known * weights).sum(axis=1)
    left = (residuals * weights).sum(axis=1) - explained * seen
    sku = _group_rate(record.sku, left, seen)
    return np.stack([sku, _group_rate(record.store, left - sku * seen, seen)])


def _group_rate(group: Ints, total: Floats, seen: Floats) -> Floats:
    """[n] Rate of each row's group, shrunk towards 0."""
    rate = np.bincount(group, weights=total) / (np.bincount(group, weights=seen) + POOL_PRIOR_DAYS)
    return np.asarray(rate[group])


def _own(residuals: Floats, known: Floats, explained: Floats) -> Floats:
    """[n] deviation of each series' own last days from its pools, shrunk towards 0."""
    weights = _recency(residuals.shape[1], SERIES_HALF_LIFE)
    seen = (known * weights).sum(axis=1)
    return np.asarray(((residuals * weights).sum(axis=1) - explained * seen) / (seen + SERIES_PRIOR_DAYS))


def _price_deviation(record: _StatusHistory, horizon: int) -> Floats:
    """[n, H] planned price ratio less its recent average; 0 without a plan."""
    days = record.days
    weights = _recency(days, POOL_HALF_LIFE)
    usual = (record.price_ratio[:, :days] * weights).sum(axis=1) / weights.sum()
    return np.asarray(np.nan_to_num(record.price_ratio[:, days : days + horizon] - usual[:, None]))


def _level(rates: Floats, known: Floats, weekday: Ints, horizon: int) -> Floats:
    """[H] rate of all series: its recent level and its weekday's habit."""
    days = len(rates)
    has_day = known.any(axis=0)
    recent = _recency(days, LEVEL_HALF_LIFE) * has_day
    level = _mean(rates, recent)
    weights = _recency(days, WEEKDAY_HALF_LIFE) * has_day
    usual = _mean(rates, weights)
    is_same = weekday[days : days + horizon, None] == weekday[None, :days]
    habit = ((rates - usual) * weights * is_same).sum(axis=1) / ((weights * is_same).sum(axis=1) + LEVEL_PRIOR_DAYS)
    return np.asarray(level + habit)


def _mean(values: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else 0.0

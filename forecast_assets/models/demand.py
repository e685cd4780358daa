"""Demand behind sales: what would have sold on days when the shelf was empty.

What belongs here: the censored-demand estimate and the demand class of a series. What does not: forecasting.

Two kinds of censoring are told apart. Where the hours without stock are known, sales cover the rest of the day, so the
share of a usual day that falls into those hours, times the typical day, is added to them. Where it is only known that
the shelf ran out, sales bound demand from below, and demand is replaced by its mean above that bound.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, Ints, Names
from forecast_assets.features.demand_class import ENDED_DAYS, demand_class
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Pooled

HALF_LIFE_DAYS: Final = 7.0
# Days' worth of the whole record that each trailing level is drawn towards: it carries a series over empty shelves.
PRIOR_DAYS: Final = 1.0
_ROUNDS: Final = 4
_DISPERSION_PRIOR_UNITS: Final = 5.0
_LEAST_DISPERSION: Final = 0.05
# Variance beyond the Poisson's below which the negative binomial is one, to rounding.
_LEAST_SURPLUS: Final = 1e-3
_TINY: Final = 1e-12


@dataclass(frozen=True)
class ObservedSales:
    """Sales and how much of each day they speak for.

    Attributes:
        units: [n, T] units; 0 where unknown. Days that only bound demand hold its mean above the bound.
        exposure: [n, T] share of the day that ``units`` cover, 0..1; 0 where unknown.
        is_known: [n, T] whether the day has a row of sales.
    """

    units: Floats
    exposure: Floats
    is_known: Bools


@dataclass(frozen=True)
class LevelAndDemand:
    """What a level model stands on.

    Attributes:
        observed: Sales and what they speak for.
        level: [n, T] demand over factors, units; the typical level on unknown days.
        demand: [n, T] level times factors, units: that of `uncensor` but for rounding; NaN where sales are unknown.
    """

    observed: ObservedSales
    level: Floats
    demand: Floats


def observe(panel: Panel, factors: Floats | None = None) -> ObservedSales:
    """Return sales beside their exposure, the form in which every estimate here reads them.

    A level is then units over exposure-weighted factors: the same as adding lost sales and averaging, without the
    circle. Assumes that sales are spread over the hours of a day as on usual days; where only the number of hours
    without stock is known, evenly over trading hours: if the shelf then empties after the rush, demand is too high.

    Args:
        panel: n series, T days of history.
        factors: [n, T] what multiplies the level on each day (weekday, price, ...); 1 if left out.
    """
    is_known, exposure = _seen(panel)
    sales = np.where(is_known, panel.sales, 0.0)
    is_bound = panel.is_censored & np.isnan(panel.missed_share) & is_known
    if not is_bound.any():
        return ObservedSales(sales, exposure, is_known)
    weights = np.ones_like(sales) if factors is None else factors
    return ObservedSales(_mean_above_bounds(panel.pooled, sales, exposure, is_bound, weights), exposure, is_known)


def _seen(panel: Panel) -> tuple[Bools, Floats]:
    """[n, T] whether each day has a row of sales, and the share of the day that they speak for."""
    is_known = ~np.isnan(panel.sales)
    exposure = np.where(np.isnan(panel.missed_share), 1.0, 1.0 - panel.missed_share) * is_known
    return is_known, exposure if panel.availability_power == 1.0 else exposure**panel.availability_power


def uncensor(panel: Panel, factors: Floats | None = None) -> Floats:
    """Estimate demand from sales and stock-outs.

    Args:
        panel: n series, T days of history.
        factors: [n, T] what multiplies the level on each day; 1 if left out.

    Returns:
        [n, T] units, at least the sales; NaN where sales are unknown.
    """
    weights = np.ones(panel.sales.shape) if factors is None else factors
    observed = observe(panel, weights)
    typical = trailing_level(observed.units, observed.exposure * weights) * weights
    demand = observed.units + (1.0 - observed.exposure) * typical
    return np.where(observed.is_known, demand, np.nan)


def level_and_demand(panel: Panel, factors: Floats | None = None) -> LevelAndDemand:
    """Divide what is explained out of sales, and estimate the demand that is left where the shelf was empty.

    Args:
        panel: n series, T days of history.
        factors: [n, T] what multiplies the level on each day; 1 if left out.
    """
    weights = np.ones(panel.sales.shape) if factors is None else factors
    observed = observe(panel, weights)
    typical = trailing_level(observed.units, observed.exposure * weights)
    # Unknown days have no exposure, so they take the typical level whole; so do days with an empty shelf.
    level = observed.units / weights + (1.0 - observed.exposure) * typical
    return LevelAndDemand(observed, level, np.where(observed.is_known, level * weights, np.nan))


def trailing_level(units: Floats, exposure: Floats, half_life: float = HALF_LIFE_DAYS) -> Floats:
    """Return units per exposure up to and including each day, older days counting less.

    Args:
        units: [n, T] units.
        exposure: [n, T] what they are measured against, at least 0.
        half_life: Days after which a day counts half.

    Returns:
        [n, T] level in units; that of the whole record where a series has no exposure yet, 0 where it never has.
    """
    return _Trailing.against(exposure, half_life).level(units)


@dataclass(frozen=True)
class _Trailing:
    """Trailing levels of several estimates of units against one exposure, which is smoothed once for all of them.

    Attributes:
        half_life: Days after which a day counts half.
        total: [n] exposure of the whole record.
        recent: [n, T] exposure up to and including each day, older days counting less; with the prior's days.
    """

    half_life: float
    total: Floats
    recent: Floats

    @classmethod
    def against(cls, exposure: Floats, half_life: float) -> "_Trailing":
        return cls(half_life, exposure.sum(axis=1), smooth(exposure, half_life) + PRIOR_DAYS)

    def level(self, units: Floats) -> Floats:
        whole = ratio(units.sum(axis=1), self.total)[:, None]
        return np.asarray((smooth(units, self.half_life) + PRIOR_DAYS * whole) / self.recent)


def smooth(values: Floats, half_life: float) -> Floats:
    """Return exponentially weighted sums over time of [n, T] values, the newest day with weight 1."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [1.0, -(0.5 ** (1.0 / half_life))], values, axis=1), dtype=np.float64)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > _TINY)


def usual_lost_share(panel: Panel, demand: Floats) -> Floats:
    """[n] Share of recent demand that met an empty shelf, half-way between the series' own and that of all.

    Half-way is meant of the shares that did find stock, by their geometric mean: a series that sells a fiftieth of its
    demand is not expected to sell half of it tomorrow.

    Args:
        panel: n series, T days of history.
        demand: [n, T] what `uncensor` made of it.
    """
    lost = smooth(np.nan_to_num(demand - panel.sales), 2 * HALF_LIFE_DAYS)[:, -1]
    asked = smooth(np.nan_to_num(demand), 2 * HALF_LIFE_DAYS)[:, -1]
    own = ratio(lost, asked)
    of_all = ratio(panel.pooled.total("lost demand", lost), panel.pooled.total("demand", asked))
    return np.asarray(1.0 - np.sqrt(np.maximum(1.0 - own, 0.0) * (1.0 - of_all)))


def classify(panel: Panel, season: Floats | None = None, season_deviation: Floats | None = None) -> Names:
    """Return the demand class of each series, [n]; days on an empty shelf do not count as days without demand.

    Args:
        panel: n series, T days of history.
        season: [n, T] factor of the time of year, by which a day without a sale counts: out of season it says little.
        season_deviation: [n] standard deviation over the year of that factor.
    """
    # What is sold is enough: demand above a bound is no other day than the one that sold up to it.
    is_known, exposure = _seen(panel)
    counted = is_known & ((exposure > 0) & ~panel.is_censored | (panel.sales > 0))
    sold = counted & (panel.sales > 0)
    sizes = np.where(sold, panel.sales, 0.0)
    sales, days = sold.sum(axis=1), counted.sum(axis=1)
    mean = ratio(sizes.sum(axis=1), sales.astype(np.float64))
    variance = ratio(np.where(sold, (sizes - mean[:, None]) ** 2, 0.0).sum(axis=1), np.maximum(sales - 1.0, 0.0))
    counts = counted * (1.0 if season is None else season)
    quiet = np.where(np.cumsum(sold[:, ::-1], axis=1) == 0, counts[:, ::-1], 0.0).sum(axis=1)
    found = demand_class(
        np.where(sales > 0, days / np.maximum(sales, 1), np.inf),
        ratio(variance, mean**2),
        is_known.sum(axis=1),
        quiet,
        np.argmax(np.c_[is_known[:, ::-1], np.ones(len(sold), dtype=np.bool_)], axis=1),
        season_deviation,
    )
    # Rows go on where a store is closed for weeks, or are not to be expected: its series have not ended.
    is_shut = (found == "ended") & (_closed_lately(panel) >= ENDED_DAYS)
    return np.where(is_shut, "dead", found)


def _closed_lately(panel: Panel) -> Ints:
    """[n] Days up to and including the cutoff on which each series' store was closed without a break."""
    closed = panel.is_closed[:, : panel.history_days][:, ::-1]
    return np.asarray(np.argmin(np.c_[closed, np.zeros(len(closed), dtype=np.bool_)], axis=1))


def _mean_above_bounds(everyone: Pooled, sales: Floats, exposure: Floats, is_bound: Bools, factors: Floats) -> Floats:
    """Replace each bound by the mean of demand above it, level and bounded days in turn (expectation-maximisation)."""
    inner = np.where(is_bound, 0.0, exposure)
    level = trailing_level(np.where(is_bound, 0.0, sales), inner * factors)
    dispersion = _dispersion(everyone, sales, level * factors, inner >= 1.0)
    day = np.nonzero(is_bound)
    bound, factor, spread = sales[day], factors[day], dispersion[day[0]]
    is_piece = (sales == np.rint(sales)).all(axis=1)[day[0]]
    trailing = _Trailing.against(exposure * factors, HALF_LIFE_DAYS)
    units = sales.copy()
    for done in range(_ROUNDS):
        level = trailing.level(units) if done else level
        units[day] = _mean_above(bound, level[day] * factor, spread, is_piece)
    return units


def _mean_above(bound: Floats, mean: Floats, dispersion: Floats, is_piece: Bools) -> Floats:
    """[k] Mean of demand given that it reached a bound, of goods sold by the piece and by weight."""
    above = np.empty_like(bound)
    for few, mean_above in ((is_piece, mean_above_pieces), (~is_piece, mean_above_amount)):
        if few.any():
            above[few] = mean_above(bound[few], mean[few], dispersion[few])
    return above


def _dispersion(everyone: Pooled, sales: Floats, typical: Floats, is_whole: Bools) -> Floats:
    """[n] Variance over mean of whole days about their typical value, drawn towards that of all series."""
    squares = np.where(is_whole, (sales - typical) ** 2, 0.0).sum(axis=1)
    means = np.where(is_whole, typical, 0.0).sum(axis=1)
    pooled = ratio(everyone.total("squared errors of sales", squares), everyone.total("means of sales", means))
    pooled = np.where(pooled == 0.0, 1.0, pooled)
    prior = _DISPERSION_PRIOR_UNITS
    return np.asarray(np.maximum((squares + prior * pooled) / (means + prior), _LEAST_DISPERSION))


def mean_above_amount(bound: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return the mean of demand given that it reached a bound, for goods sold by weight: demand is gamma-distributed.

    m Q(k + 1, b / d) / Q(k, b / d) with mean m, dispersion d, shape k = m / d and Q the regularised upper incomplete
    gamma function: the censored-demand correction of Conrad (1976, Operational Research Quarterly
    27) beyond the Poisson.

    Args:
        bound: [k] units that were sold before the shelf was empty.
        mean: [k] typical demand, units.
        dispersion: [k] variance over mean, units.

    Returns:
        [k] units, at least the bound; the plain mean for a bound of 0.

    Example:
        >>> mean_above_amount(np.array([0.0]), np.array([2.0]), np.array([1.0])).tolist()
        [2.0]
    """
    from scipy.special import gammaincc

    shape, scaled = mean / dispersion, bound / dispersion
    tail = np.asarray(gammaincc(np.maximum(shape, _TINY), scaled))
    return _above(bound, mean, dispersion, tail, np.asarray(gammaincc(shape + 1.0, scaled)))


def mean_above_pieces(bound: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return the mean of demand given that it reached a bound, for goods sold by the piece: negative binomial.

    m P(D' >= b - 1) / P(D >= b), where D' has one more success than D; the tails are incomplete beta functions.
    Arguments as for `mean_above_amount`; dispersion below 1 counts as 1, the Poisson's.

    Example:
        >>> mean_above_pieces(np.array([0.0, 1.0]), np.array([0.1, 0.1]), np.array([1.0, 1.0])).round(2).tolist()
        [0.1, 1.05]
    """
    surplus = np.maximum(dispersion - 1.0, _LEAST_SURPLUS)
    chance, size = surplus / (1.0 + surplus), np.maximum(mean / surplus, _TINY)
    tail = _tail(bound >= 1.0, bound, size, chance)
    beyond = _tail(bound > 1.0, np.maximum(bound - 1.0, 1.0), size + 1.0, chance)
    return _above(bound, mean, dispersion, tail, beyond)


def _tail(is_cut: Bools, least: Floats, size: Floats, chance: Floats) -> Floats:
    """[k] Probability of at least so many where demand is cut off, else 1; most empty shelves sold nothing that day."""
    from scipy.special import betainc

    tail = np.ones_like(size)
    tail[is_cut] = betainc(least[is_cut], size[is_cut], chance[is_cut])
    return tail


def _above(bound: Floats, mean: Floats, dispersion: Floats, tail: Floats, beyond: Floats) -> Floats:
    """Mean times the ratio of two tails; far out, where both vanish, the excess is about the dispersion."""
    above = np.divide(mean * beyond, tail, out=bound + np.minimum(dispersion, mean), where=tail > _TINY)
    return np.asarray(np.maximum(above, bound))

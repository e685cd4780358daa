"""What a day sells whose shelf was empty for some hours: an exponent, learned from what such days sold.

What belongs here: learning the exponent from past cutoffs. What does not: forecasting sales by it (`expected_sales`),
or demand behind sales (`models/demand`).

A day that had stock for the share a of its usual sales is expected to sell a**power of what it would have sold. A power
of 1 says that every hour without stock is lost. Days sell more than that where customers come back while there is
stock, and where it is high demand that empties shelves. For a forecast of sales it is all the same. For demand it is
not: in the second case sales lie below demand by as much as the hours say, and more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.models.demand import observe, ratio, trailing_level
from forecast_assets.models.screening import screened
from forecast_assets.models.selection import whole_stores
from forecast_assets.models.statistical.artifact import AVAILABILITY
from forecast_assets.models.statistical.effects import fit_effects, lay_out_factors
from forecast_assets.models.statistical.series import horizon_factors

# The first is what holds where nothing is learned.
POWERS: Final = (1.0, 0.75, 0.5, 0.35)
# Series of whole stores, about, and days of history: more would only cost time.
_COMPARED_SERIES: Final = 1500
_HISTORY_DAYS: Final = 182
# Days after which a day counts half in the level that a series is carried on at.
_HALF_LIFE: Final = 14.0
# As how many cutoffs it counts that all hours without stock were expected to be lost.
_COUNTED: Final = 1.0
# A cutoff speaks for another power only if that is better by so many standard errors, series by series.
_STANDARD_ERRORS: Final = 2.0
# No day is expected to sell less than this share of what a day sells on average: one that sells after all would count
# beyond all others.
_SMALLEST_SHARE: Final = 1e-3


@dataclass(frozen=True)
class LearnedPower:
    """What past cutoffs say of the exponent.

    Attributes:
        power: Mean of what each cutoff found best, drawn towards 1 as if one more had found that.
        losses: Mean deviance of a series' sales by power; none where nobody knows of any hours without stock.
    """

    power: float = POWERS[0]
    losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def comparisons(self) -> dict[str, Mapping[str, float]]:
        """The losses as an artifact keeps them; none where nothing was compared."""
        return {AVAILABILITY: self.losses} if self.losses else {}


def learn_power(panel: Panel, product_groups: Groups, starts: Sequence[int]) -> LearnedPower:
    """Learn the exponent with which the share of a day that had stock counts.

    As of each past cutoff sales of the days after it are expected with every power: the level that a series shows with
    it, times the factors of the day, times what the day's share with stock is worth. Which hours turned out to be
    without stock is taken as known. The best power has the least Poisson deviance, which is least at the mean of
    whatever distribution. Series and days of a cutoff err together, so that a cutoff is one observation.

    Args:
        panel: n series, T days of history, H days ahead to look at each cutoff; not screened.
        product_groups: [n] group of each series.
        starts: How many days before the panel's cutoff each past one is.
    """
    share = panel.missed_share[:, -(max(starts) + _HISTORY_DAYS) :]
    if not ((share > 0.0) & (share < 1.0)).any():
        return LearnedPower()
    rows = whole_stores(panel, _COMPARED_SERIES)
    few, groups = panel.take(rows).recent(_HISTORY_DAYS + max(starts)), product_groups[rows]
    cutoffs = [_deviances(few, groups, start) for start in starts]
    found = [POWERS[_best(by_power)] for by_power in cutoffs]
    power = (_COUNTED * POWERS[0] + sum(found)) / (_COUNTED + len(found))
    means = np.mean([by_power.mean(axis=1) for by_power in cutoffs], axis=0)
    return LearnedPower(power, {f"{each:g}": float(mean) for each, mean in zip(POWERS, means, strict=True)})


def _deviances(panel: Panel, product_groups: Groups, start: int) -> Floats:
    """[P, n] Deviance of the sales of each series after a past cutoff with each power, over the days that tell."""
    past, known = screened(panel.as_of(start)), screened(panel)
    ahead = slice(past.history_days, past.history_days + past.horizon_days)
    sales, share = known.sales[:, ahead], 1.0 - known.missed_share[:, ahead]
    # Without any stock nothing is sold, whatever the power.
    is_told = ~np.isnan(sales) & (share > 0.0)
    sold = np.where(is_told, sales, 0.0)
    least = _SMALLEST_SHARE * float(ratio(sold.sum(keepdims=True), is_told.sum(keepdims=True) * 1.0)[0, 0])
    # The calendar of one power serves all: fitted anew for each, it costs four times as much and ranks them the same.
    factors = lay_out_factors(past, fit_effects(past, product_groups), product_groups)
    daily = np.prod(list(horizon_factors(factors, past).values()), axis=0)
    past_days = factors.product[:, : past.history_days]
    found = []
    for power in POWERS:
        expected = np.where(is_told, _level(past, past_days, power) * daily * share**power, 0.0)
        found.append(_deviance(sold, expected, least).sum(axis=1))
    return np.array(found)


def _level(past: Panel, factors: Floats, power: float) -> Floats:
    """[n, 1] Level that each series shows at last."""
    observed = observe(replace(past, availability_power=power), factors)
    return trailing_level(observed.units, observed.exposure * factors, _HALF_LIFE)[:, -1:]


def _deviance(sales: Floats, expected: Floats, least: float) -> Floats:
    """Poisson deviance of each day, over 2; days of which nothing is told have neither sales nor expectation."""
    mean = np.where(expected + sales > 0.0, np.maximum(expected, least), 0.0)
    sold = sales > 0.0
    log = np.log(np.divide(sales, mean, out=np.ones_like(sales), where=sold))
    return np.asarray(sales * log - (sales - mean))


def _best(by_power: Floats) -> int:
    """Return which of [P, n] deviances is least in all; the first where its lead over that may be chance."""
    best = int(by_power.sum(axis=1).argmin())
    lead = by_power[0] - by_power[best]
    return best if float(lead.sum()) > _STANDARD_ERRORS * float(np.sqrt((lead**2).sum())) else 0

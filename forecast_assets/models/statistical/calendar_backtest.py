"""Effects judged at past cutoffs: how far sums were missed with one calendar or another, carried on as they were.

What belongs here: carrying sums on, and the loss of calendars. What does not: choosing by it, or estimating effects.

Weekdays, paydays and events are plain in the sums of a group in a store and drown in the noise of its single series, so
that calendars are judged on sums, of whole stores, carried on at their recent level.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.demand import observe, ratio, trailing_level
from forecast_assets.models.selection import whole_stores
from forecast_assets.models.statistical.effects import Effects, lay_out_factors
from forecast_assets.models.statistical.series import horizon_factors

# Series of whole stores, about; more would only cost time.
_COMPARED_SERIES: Final = 4000
# Days after which a day counts half in the level that sums are carried on at.
_HALF_LIFE: Final = 14.0


def squares_of_sums(past: Panel, effects: Effects, product_groups: Groups, demand: Floats) -> Floats:
    """Judge effects by sums of product groups in stores.

    Args:
        past: n series as known at a past cutoff, H days ahead; screened.
        effects: Effects that saw nothing later.
        product_groups: [n] group of each series.
        demand: [n, H] demand that came, units; NaN where unknown.

    Returns:
        [J, H] squared errors of the sums over what was expected, so that no large node outweighs all others; NaN where
        nothing was expected.
    """
    rows = whole_stores(past, _COMPARED_SERIES)
    few, groups = past.take(rows), product_groups[rows]
    sums = sums_ahead(few, effects, groups, few.groups_in_stores(groups), demand[rows], _HALF_LIFE)
    return np.where(sums.mean > 0, ratio((sums.came - sums.mean) ** 2, sums.mean), np.nan)


@dataclass(frozen=True)
class SumsAhead:
    """Sums of J nodes after a past cutoff, over what is known of each day.

    Attributes:
        mean: [J, H] forecast, units.
        came: [J, H] what came, units.
    """

    mean: Floats
    came: Floats


def sums_ahead(
    past: Panel, effects: Effects, product_groups: Groups, node: GroupCodes, demand: Floats, half_life: float
) -> SumsAhead:
    """Carry sums on at their recent level, times the factors of their series.

    Args:
        past: n series as known at a past cutoff, H days ahead; screened.
        effects: Effects that saw nothing later.
        product_groups: [n] group of each series.
        node: [n] node of each series.
        demand: [n, H] demand that came, units; NaN where unknown.
        half_life: Days after which a day counts half in the recent level.
    """
    factors = lay_out_factors(past, effects, product_groups)
    product = factors.product[:, : past.history_days]
    observed = observe(past, product)
    shown = observed.exposure * product
    level = ratio(observed.units.sum(axis=1), shown.sum(axis=1))[:, None]
    summing = summing_of(node)
    recent = trailing_level(summing @ observed.units, summing @ (level * shown), half_life)[:, -1:]
    is_known = ~np.isnan(demand)
    ahead = np.prod(list(horizon_factors(factors, past).values()), axis=0)
    return SumsAhead(
        mean=recent * (summing @ np.where(is_known, level * ahead, 0.0)),
        came=summing @ np.where(is_known, demand, 0.0),
    )

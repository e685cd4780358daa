"""Calendars judged at past cutoffs: how far sums of groups in stores were missed with one calendar or another.

What belongs here: the loss. What does not: choosing by it, or estimating calendars.

Weekdays, paydays and events are plain in the sums of a group in a store and drown in the noise of its single series, so
that calendars are judged on sums, of whole stores, carried on at their recent level.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Groups, Rows
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.demand import observe, ratio, trailing_level
from forecast_assets.models.selection import spread_rows
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
    rows = _whole_stores(past, _COMPARED_SERIES)
    few, groups, came = past.take(rows), product_groups[rows], demand[rows]
    factors = lay_out_factors(few, effects, groups)
    product = factors.product[:, : few.history_days]
    observed = observe(few, product)
    shown = observed.exposure * product
    level = ratio(observed.units.sum(axis=1), shown.sum(axis=1))[:, None]
    summing = summing_of(few.groups_in_stores(groups))
    recent = trailing_level(summing @ observed.units, summing @ (level * shown), _HALF_LIFE)[:, -1:]
    is_known = ~np.isnan(came)
    ahead = np.prod(list(horizon_factors(factors, few).values()), axis=0)
    mean = recent * (summing @ np.where(is_known, level * ahead, 0.0))
    missed = summing @ np.where(is_known, came, 0.0) - mean
    return np.where(mean > 0, ratio(missed**2, mean), np.nan)


def _whole_stores(panel: Panel, most: int) -> Rows:
    """Return the series of evenly spread stores, about so many; of one store at least."""
    stores, store = np.unique(panel.series["store_id"].to_numpy().astype(str), return_inverse=True)
    kept = spread_rows(len(stores), max(most * len(stores) // max(panel.series.height, 1), 1))
    return np.flatnonzero(np.isin(store, kept))

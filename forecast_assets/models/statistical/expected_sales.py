"""Sales beside demand: what share of a forecast of demand is not sold, where shelves run empty.

What belongs here: the share, from a version's effects of sales. What does not: learning them (`availability`,
`training`), or the risk of an empty shelf.

Demand and sales are the same product of level and factors, read from the same days; only what an hour without stock
counts differs between them. So sales are demand times what their levels and factors differ by, less what is usually
lost. Level models need not run twice for it, and what demand knows of a series holds for its sales.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.models.demand import level_and_demand, ratio, trailing_level, usual_lost_share
from forecast_assets.models.statistical.artifact import SalesEffects
from forecast_assets.models.statistical.effects import Factors, lay_out_factors
from forecast_assets.models.statistical.series import CleanedSeries, horizon_factors

# Days after which a day counts half in the levels that are compared.
_HALF_LIFE: Final = 4.0


def share_without_stock(panel: Panel, history: CleanedSeries, sales: SalesEffects, product_groups: Groups) -> Floats:
    """Return which share of demand will not be sold.

    Args:
        panel: n series, T days of history, H ahead; screened.
        history: What their forecasts of demand rest on.
        sales: What sales are forecast by.
        product_groups: [n] group of each series.

    Returns:
        [n, H] 0 to 1: sales are never above demand. What is usually lost on days of which nothing is expected.
    """
    read = replace(panel, availability_power=sales.availability_power).within("sales")
    factors = lay_out_factors(read, sales.effects, product_groups)
    sold, asked = _ahead(read, factors), _ahead(panel, history.factors)
    demand = level_and_demand(read, factors.product[:, : panel.history_days]).demand
    lost = usual_lost_share(read, demand)[:, None]
    return np.where(asked > 0, 1.0 - np.minimum(ratio(sold, asked) * (1.0 - lost), 1.0), lost)


def _ahead(panel: Panel, factors: Factors) -> Floats:
    """[n, H] present level times the factors of each day, units."""
    past = factors.product[:, : panel.history_days]
    observed = level_and_demand(panel, past).observed
    level = trailing_level(observed.units, observed.exposure * past, _HALF_LIFE)[:, -1:]
    return np.asarray(level * np.prod(list(horizon_factors(factors, panel).values()), axis=0))

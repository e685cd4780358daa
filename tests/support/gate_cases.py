"""Backtests of made-up shops with a known law of sales, for tests of gates.

What belongs here: sales, forecasts of them, and both as backtests. What does not: what gates should say.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.metrics.backtests import Backtest
from tests.support.forecast_cases import series_of

END: Final = date(2025, 6, 30)
HORIZON: Final = 28
# A sale on 6 days in 100, of these many units: 0.156 units a day.
SIZES: Final = np.array([1.0, 1.0, 2.0, 3.0, 6.0])
SALE: Final = 0.06
SLOW_MEAN: Final = SALE * float(SIZES.mean())


def slow_sales(random: np.random.Generator, series: int = 60, days: int = 3 * HORIZON) -> Floats:
    """[n, days] Units of slow movers."""
    return np.where(random.random((series, days)) < SALE, random.choice(SIZES, (series, days)), 0.0)


def shaken_sales(
    random: np.random.Generator, series: int, mean: float, *, own: float = 0.2, week: float = 0.1
) -> Floats:
    """[n, 3 H] Units of series that depend: each keeps a deviation of its own, and each week has one for all."""
    days = 3 * HORIZON
    kept = np.exp(own * random.normal(size=(series, 1)) - own**2 / 2)
    shared = np.repeat(np.exp(week * random.normal(size=days // 7) - week**2 / 2), 7)
    return random.poisson(mean * kept * shared).astype(np.float64)


def backtests_of(
    sales: Floats, forecast: Floats | float, *, stores: int = 2, quantiles: Floats | None = None, cutoffs: int = 2
) -> Sequence[Backtest]:
    """Backtests of one forecast at consecutive cutoffs, the last one horizon before the end of the sales.

    Args:
        sales: [n, T] units, T more horizons than there are cutoffs.
        forecast: Units a day, for all days, or [n, 1] by series.
        stores: Stores that series are spread over.
        quantiles: [13] of every day; those of all sales if left out.
        cutoffs: How many.
    """
    count, days = sales.shape
    expected = np.broadcast_to(np.asarray(forecast, dtype=np.float64), (count, HORIZON))
    levels = np.quantile(sales, QUANTILES) if quantiles is None else quantiles
    hierarchy = Hierarchy.build(series_of(count, stores), None, None)
    found = []
    for back in range(cutoffs, 0, -1):
        at = days - back * HORIZON
        past, came = sales[:, :at], sales[:, at : at + HORIZON]
        naive = np.tile(past[:, -7:], (1, HORIZON // 7))
        found.append(
            Backtest(
                cutoff=END - timedelta(days=back * HORIZON),
                hierarchy=hierarchy,
                past_sales=past,
                sales=came,
                expected_sales=expected,
                demand=came,
                mean=expected,
                quantiles=np.broadcast_to(levels, (*came.shape, len(QUANTILES))),
                demand_class=np.full(count, "smooth"),
                others={"seasonal_naive": naive},
                naive_demand=naive,
            )
        )
    return found


def overall(report: pl.DataFrame, metric: str) -> dict[str, float]:
    """The row of a metric over all rows."""
    return report.filter(segment_kind="all", metric=metric).row(0, named=True)

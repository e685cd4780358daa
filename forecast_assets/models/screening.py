"""Screening: a panel as models should read it, without days that say nothing of demand.

What belongs here: putting together what is not known after all. What does not: how a slip, a closure or a long silence
is told.

Every family reads a screened panel, in training and in scoring, and as of past cutoffs what was known then. Where
nothing is found a panel is returned as it is.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools
from forecast_assets.features.panel import Panel
from forecast_assets.models.closures import closed_days
from forecast_assets.models.silences import VERY_UNLIKELY, runs, surprise_of_a_silent_day
from forecast_assets.models.slips import plausible_prices, plausible_sales

# Silence for so long, though it sold well before and does again, is time in which an article was not sold at all.
LEAST_GAP_DAYS: Final = 28


def screened(panel: Panel) -> Panel:
    """Return a panel whose sales are known on no day that says nothing of demand.

    Not known count: days on which the store was closed or the article is never sold, weeks in which an article was
    not sold at all, and slips, in sales and in prices. `is_closed` holds what was said and what was found, of the past
    and ahead.

    Args:
        panel: n series, T days of history, H ahead; not screened yet.
    """
    sales, price_ratio = plausible_sales(panel), plausible_prices(panel)
    closed = closed_days(replace(panel, sales=sales))
    unknown = closed[:, : panel.history_days] & ~(np.nan_to_num(sales) > 0)
    unknown |= _gaps(replace(panel, sales=sales), unknown)
    if unknown.any():
        sales = np.where(unknown, np.nan, sales)
    if sales is panel.sales and price_ratio is panel.price_ratio and not closed.any():
        return panel
    return replace(panel, sales=sales, price_ratio=price_ratio, is_closed=closed)


def _gaps(panel: Panel, closed: Bools) -> Bools:
    """[n, T] Days of weeks in which a series did not sell at all, between weeks in which it did."""
    has_sold = np.nan_to_num(panel.sales) > 0
    is_silent = ~np.isnan(panel.sales) & ~has_sold & ~panel.is_censored & ~closed
    surprise = surprise_of_a_silent_day(is_silent, has_sold)
    out = np.zeros(has_sold.shape, dtype=np.bool_)
    rows = np.flatnonzero((is_silent.sum(axis=1) >= LEAST_GAP_DAYS) & has_sold.any(axis=1))
    rows = rows[surprise[rows] * panel.history_days >= VERY_UNLIKELY]
    if len(rows):
        found = runs(is_silent[rows], has_sold[rows], surprise[rows, None])
        between = _between_sales(has_sold[rows])
        out[rows] = (found.length >= LEAST_GAP_DAYS) & (found.surprise >= VERY_UNLIKELY) & between
    return out


def _between_sales(has_sold: Bools) -> Bools:
    """[k, T] Days after the first sale and before the last."""
    return np.asarray(
        np.maximum.accumulate(has_sold, axis=1) & np.maximum.accumulate(has_sold[:, ::-1], axis=1)[:, ::-1]
    )

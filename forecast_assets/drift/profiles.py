"""Stores under each other's names: whether a day of each store looks most like its own past.

What belongs here: matching the products of a day with the past of every store. What does not: figures of single stores
(``daily_figures``), which hardly move where stores of one size are swapped.

The day of each store is given the past of the store under which it is most likely, each past once (the assignment
problem). Likelihoods are normal in the logarithm of units, each product as restless as it is on other days.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Rows

# How long stores stay judged by the days before they were told of: what has gone on for longer is what they are.
LONGEST_DAYS: Final = 56
# Days whose mean is a store's past, by feed and column: stock of a product is most like that of the days before.
PROFILES: Final = {"sales": ("sales_units", 28), "inventory_positions": ("on_hand_units", 2)}
# How much likelier the stores are under other names: e to this power, and so much more than on days of the last week.
LEAST_GAIN: Final = 10.0
_TIMES_USUAL: Final = 3.0
CALM_DAYS: Final = 7
_LEAST_VARIANCE: Final = 0.01
# A product that is this many squared deviations away is strange under any name.
_MOST: Final = 9.0
_LEAST_STORES: Final = 2


@dataclass(frozen=True)
class Match:
    """How a day's stores match their own past.

    Attributes:
        gain: Logarithm of how much likelier the best names are than the given ones; 0 if the given ones are the best.
        usual: Largest of the days before, of those before it was told where it is told already.
        stores: Stores that look like another one; empty where that may be chance.
    """

    gain: float
    usual: float
    stores: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """Gain from which on names are wrong."""
        return max(LEAST_GAIN, _TIMES_USUAL * self.usual)


def first_needed(feed: str, began: date) -> date:
    """Return the first day that is read of a feed, for days that are judged by the past before another."""
    return began - timedelta(days=PROFILES[feed][1] + CALM_DAYS)


def match_stores(feed: str, rows: pl.LazyFrame, day: date, told_since: date | None = None) -> Match | None:
    """Return how the stores of a day match their own past; None where there is too little of it.

    Args:
        feed: One of `PROFILES`.
        rows: Its resolved rows, from `first_needed` on.
        day: The day.
        told_since: First day of wrong names that are still told. The past is that of the days before: days under wrong
            names would soon make them look right. None if nothing is told.
    """
    column, past_days = PROFILES[feed]
    began = told_since or day
    first = first_needed(feed, began)
    is_past = pl.col("event_date").is_between(first, began - timedelta(days=1))
    wanted = rows.filter(is_past | (pl.col("event_date") == day))
    frame = wanted.group_by("store_id", "sku_id", "event_date").agg(pl.col(column).sum()).collect()
    stores, products = frame["store_id"].unique().sort(), frame["sku_id"].unique().sort()
    if len(stores) < _LEAST_STORES:
        return None
    logs = np.full((len(stores), len(products), (began - first).days + 1), np.nan)
    at = np.searchsorted(stores.to_numpy(), frame["store_id"].to_numpy())
    of = np.searchsorted(products.to_numpy(), frame["sku_id"].to_numpy())
    # The day itself comes right after its past.
    days_on = frame["event_date"].to_physical().to_numpy() - (first - date(1970, 1, 1)).days
    on = np.minimum(days_on, (began - first).days)
    logs[at, of, on] = np.log1p(frame[column].to_numpy())
    if np.isnan(logs).all(axis=(1, 2)).any() or np.isnan(logs[:, :, -1]).all(axis=1).any():
        return None
    days = [_gain(logs[:, :, : logs.shape[2] - back], past_days) for back in range(CALM_DAYS + 1)]
    (gain, names), usual = days[0], max(gain for gain, _ in days[1:])
    match = Match(gain, usual, tuple(stores.gather(np.flatnonzero(names != np.arange(len(stores))))))
    return match if gain >= match.threshold else Match(gain, usual, ())


def _gain(logs: Floats, past_days: int) -> tuple[float, Rows]:
    """Return the gain of the last of [S, K, days], and [S] the store whose past each store's day is given."""
    from scipy.optimize import linear_sum_assignment

    today, past = logs[:, :, -1], logs[:, :, -1 - past_days : -1]
    known = ~np.isnan(past)
    mean = np.where(known, past, 0.0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    # Products that every store has, today and before: what is missing tells nothing.
    everywhere, always = np.any(known, axis=2).all(axis=0), np.all(np.any(known, axis=0), axis=1)
    common: Bools = np.asarray(~np.isnan(today).any(axis=0) & everywhere & always)
    if not common.any():
        return 0.0, np.arange(len(today))
    today, mean, past = today[:, common], mean[:, common], past[:, common]
    # What a product does everywhere, as in a promotion or on a busy day, says nothing about names.
    today = today - np.median(today - mean, axis=0)
    apart = past - mean[:, :, None]
    apart = apart - np.nanmedian(apart, axis=0)
    variance = np.nanmean(apart**2, axis=(0, 2)) * (1 + 1 / past_days) + _LEAST_VARIANCE
    far = np.minimum((today[:, None, :] - mean[None, :, :]) ** 2 / variance, _MOST)
    distance = far.sum(axis=2) / 2
    _, names = linear_sum_assignment(distance)
    own = float(np.trace(distance))
    return own - float(distance[np.arange(len(names)), names].sum()), names

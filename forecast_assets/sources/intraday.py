"""The usual day: which share of its sales falls into which hour, as far as it was known at the end of each day.

What belongs here: the profile over the hours, and what share of it falls into a day's empty hours.
What does not: reading files, or estimating demand from that share (``models.demand``).

A shelf that is empty from six in the evening misses less than one that is empty through the morning rush. How much less
is learned from days on which the shelf was never empty during trading hours: the same days stand behind every hour, so
no hour looks busier only because other days count in it. The profile is pooled over all series: profiles by category
and kind of day were hardly better on hours that were hidden (docs/benchmarks.md).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.core.errors import InputError

HOURS: Final = 24
# Series-days that sales spread evenly over trading hours count as, against those that were seen.
_EVEN_DAYS: Final = 50
_DECIMALS: Final = 6


def day_profiles(sales: Ints, days: Ints, trading: range) -> Floats:
    """Return how a usual day's sales are spread over its hours, as known at the end of each day.

    Assumes that the shape of a day is the same for all series. Few days seen are drawn towards an even spread.

    Args:
        sales: [d, 24] sales by day and hour over all series that were in stock, in whole smallest units, so that sums
            are exact. Days in order.
        days: [d] how many series these are on each day.
        trading: Hours in which a day without any record is taken to sell, evenly.

    Returns:
        [d, 24] shares; each row is at least 0 and sums to 1, and rests on its own and earlier rows alone.

    Raises:
        InputError: If a sum of sales up to a day is negative in some hour.

    Example:
        >>> sales = np.zeros((1, 24), dtype=np.int64)
        >>> sales[0, 8:10] = 3, 1
        >>> day_profiles(sales, np.array([10**9]), range(8, 10))[0, 7:11].round(2).tolist()
        [0.0, 0.75, 0.25, 0.0]
    """
    sold, seen = sales.cumsum(axis=0), days.cumsum()[:, None]
    if (sold < 0).any():
        raise InputError("Sales by hour add up to less than nothing.", remedy="Correct negative hours at the source.")
    total = sold.sum(axis=1, keepdims=True)
    even = np.zeros(HOURS)
    even[trading.start : trading.stop] = 1.0 / len(trading)
    shares = np.divide(sold, total, out=np.zeros(sold.shape), where=total > 0)
    weight = np.where(total > 0, seen / (seen + _EVEN_DAYS), 0.0)
    return np.asarray(weight * shares + (1.0 - weight) * even)


def missed_share(profiles: Floats, day: Ints, empty: npt.NDArray[np.uint32]) -> Floats:
    """Return which share of a usual day falls into the hours in which the shelf was empty.

    Args:
        profiles: [d, 24] from `day_profiles`.
        day: [n] row of the profiles that holds on each day of a series.
        empty: [n] bit h is set where the shelf was empty in hour h.

    Returns:
        [n] shares, 0..1, of at most 6 decimals.

    Example:
        >>> profiles = np.full((1, 24), 1 / 24)
        >>> missed_share(profiles, np.array([0, 0]), np.array([0, 0b111], dtype=np.uint32)).tolist()
        [0.0, 0.125]
    """
    share = np.zeros(len(day))
    # Hour by hour, in one order: the same bytes on every run, and no matrix of series-days by hours.
    for hour in range(HOURS):
        share += profiles[day, hour] * ((empty >> np.uint32(hour)) & np.uint32(1))
    return np.asarray(np.minimum(share, 1.0).round(_DECIMALS))

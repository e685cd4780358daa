"""Sharing out the units of a node over its rows.

What belongs here: the one rule by which that is done. What does not: how many units a node gets.
"""

import numpy as np

from forecast_assets.core.quantities import Millionths


def split(totals: Millionths, weights: Millionths) -> Millionths:
    """Share out whole numbers in proportion to weights, exactly, each column by itself.

    Running sums are rounded rather than shares, so that nothing is left over and each share is within one millionth of
    its proportion. Where all weights of a column are zero, each row has the same.

    Args:
        totals: [H] at least 0.
        weights: [k, H] at least 0, k at least 1.

    Returns:
        [k, H] at least 0, whose columns add up to ``totals``.

    Example:
        >>> split(np.array([10, 10, 7]), np.array([[1, 0, 0], [2, 0, 3]])).tolist()
        [[3, 5, 0], [7, 5, 7]]
    """
    running = np.cumsum(weights, axis=0, dtype=np.float64)
    even = np.arange(1, len(weights) + 1, dtype=np.float64)[:, None] / len(weights)
    share = np.divide(running, running[-1], out=np.broadcast_to(even, running.shape).copy(), where=running[-1] > 0)
    upto = np.rint(share * totals).astype(np.int64)
    upto[-1] = totals
    # The last rows of weight zero get nothing, whatever the product of share and total was rounded to.
    return np.asarray(np.diff(np.minimum(upto, totals), axis=0, prepend=0))

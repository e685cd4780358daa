"""Scores of probabilistic forecasts, row by row.

What belongs here: proper scores and coverage of quantile forecasts. What does not: which rows are judged, or sums.
"""

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats


def pinball_losses(actual: Floats, quantiles: Floats) -> Floats:
    """Return the pinball loss of each quantile (Koenker and Bassett 1978, doi:10.2307/1913643).

    Args:
        actual: [k] what came, in units.
        quantiles: [k, 13] at the levels of ``contracts.QUANTILES``, in units.

    Returns:
        [k, 13] losses in units.

    Example:
        >>> pinball_losses(np.array([3.0]), np.full((1, 13), 2.0))[0, 6].item()
        0.5
    """
    levels = np.asarray(QUANTILES)
    missed = actual[:, None] - quantiles
    return np.asarray(np.maximum(levels * missed, (levels - 1.0) * missed))


def share_inside(actual: Floats, quantiles: Floats, low: float, high: float) -> Floats:
    """Return which share of each outcome's probability lies between two levels.

    A count covers a stretch of probability, from that of fewer to that of at most as many; counting all of it as inside
    whenever the interval touches it would call right forecasts of slow movers too wide (Czado, Gneiting and Held 2009,
    doi:10.1111/j.1541-0420.2009.01191.x).

    Args:
        actual: [k] what came, in units.
        quantiles: [k, 13] at the levels of ``contracts.QUANTILES``, in units.
        low: Lower level, one of them.
        high: Upper level, one of them.

    Returns:
        [k] shares, 0 to 1; 1 or 0 where no quantile ties with the outcome.

    Example:
        >>> rising = np.arange(13.0)[None, :]
        >>> share_inside(np.array([6.5]), rising, 0.25, 0.75).tolist()
        [1.0]
    """
    levels = np.concatenate([[0.0], QUANTILES, [1.0]])
    fewer = levels[(quantiles < actual[:, None]).sum(axis=1)]
    at_most = levels[(quantiles <= actual[:, None]).sum(axis=1) + 1]
    overlap = np.minimum(at_most, high) - np.maximum(fewer, low)
    return np.asarray(np.maximum(overlap, 0.0) / (at_most - fewer))

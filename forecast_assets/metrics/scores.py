"""Scores of probabilistic forecasts, row by row.

What belongs here: proper scores and coverage of quantile forecasts. What does not: which rows are judged, or sums.
"""

from typing import Final

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats

_LEVELS: Final = np.asarray(QUANTILES)


def pinball_losses(actual: Floats, quantiles: Floats, levels: Floats = _LEVELS) -> Floats:
    """Return the pinball loss of each quantile (Koenker and Bassett 1978, doi:10.2307/1913643).

    Args:
        actual: [k] what came, in units.
        quantiles: [k, q] at the levels, in units.
        levels: [q] rising; those of ``contracts.QUANTILES``, 13, if left out.

    Returns:
        [k, q] losses in units.

    Example:
        >>> pinball_losses(np.array([3.0]), np.full((1, 13), 2.0))[0, 6].item()
        0.5
    """
    missed = actual[:, None] - quantiles
    return np.asarray(np.maximum(levels * missed, (levels - 1.0) * missed))


def crps(actual: Floats, quantiles: Floats) -> Floats:
    """Return the continuous ranked probability score of the distribution that the 13 quantiles stand for.

    It is twice the integral of the pinball loss over all levels (Gneiting and Ranjan 2011,
    doi:10.1198/jbes.2010.08110), by trapezia over the 13 levels and one in each gap between them, where quantiles are
    joined by lines in the normal score, as sample paths join them. Of a normal distribution it is 1% to 3% short.

    Args:
        actual: [k] what came, in units.
        quantiles: [k, 13] at the levels of ``contracts.QUANTILES``, in units.

    Returns:
        [k] units.

    Example:
        >>> crps(np.array([3.0]), np.full((1, 13), 2.0)).round(2).tolist()
        [1.0]
    """
    from scipy.special import ndtr, ndtri

    scores = ndtri(np.asarray(QUANTILES))
    levels, known = np.empty(2 * len(QUANTILES) - 1), np.empty((len(actual), 2 * len(QUANTILES) - 1))
    levels[::2], levels[1::2] = QUANTILES, ndtr((scores[1:] + scores[:-1]) / 2)
    known[:, ::2], known[:, 1::2] = quantiles, (quantiles[:, 1:] + quantiles[:, :-1]) / 2
    losses = pinball_losses(actual, known, levels)
    edges = np.concatenate([[0.0], levels, [1.0]])
    return np.asarray((losses * (edges[2:] - edges[:-2])).sum(axis=1))


def shares_at_most(actual: Floats, quantiles: Floats) -> Floats:
    """Return which share of each outcome's probability lies at or below each level.

    As in `share_inside`, which is the difference of two of them.

    Args:
        actual: [k] what came, in units.
        quantiles: [k, 13] at the levels of ``contracts.QUANTILES``, in units.

    Returns:
        [k, 13] shares, 0 to 1, rising.

    Example:
        >>> rising = np.arange(13.0)[None, :]
        >>> shares_at_most(np.array([6.5]), rising)[0].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    levels = np.concatenate([[0.0], QUANTILES, [1.0]])
    fewer = levels[(quantiles < actual[:, None]).sum(axis=1)][:, None]
    at_most = levels[(quantiles <= actual[:, None]).sum(axis=1) + 1][:, None]
    return np.asarray(np.clip((np.asarray(QUANTILES) - fewer) / (at_most - fewer), 0.0, 1.0))


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

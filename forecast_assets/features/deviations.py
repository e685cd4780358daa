"""How far days are from what has been usual lately, so that degrees, millimetres and guests are alike.

What belongs here: distances from the mean of the last four weeks in standard deviations of the last quarter. What does
not: what was known when (covariates), or what models or words make of a distance.

A season is no news by this measure: what is usual moves with it.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Rows

BASE_DAYS: Final = 28
_SCALE_DAYS: Final = 91
# With fewer known days there is no usual value.
_LEAST_DAYS: Final = 7
_LEAST_SPREAD: Final = 1e-9


def from_usual(values: Floats, origin: int, columns: Rows) -> Floats:
    """Return how far days are from the last four weeks, in standard deviations.

    Args:
        values: [S, D] a covariate as the cutoff knew it, NaN where it did not.
        origin: Column of the cutoff.
        columns: [h] which days.

    Returns:
        [S, h]; NaN where the day, or what is usual, is not known, or nothing ever changes.
    """
    mean, spread = _usual(values, origin)
    return np.asarray((values[:, columns] - mean) / spread)


def lately(values: Floats, origin: int, days: int) -> Floats:
    """[S, 1] How far the mean of the last days is from that of the last four weeks; arguments as for ``from_usual``."""
    mean, spread = _usual(values, origin)
    return np.asarray((_mean(_last(values, origin, days), 1) - mean) / spread)


def _usual(values: Floats, origin: int) -> tuple[Floats, Floats]:
    """[S, 1] mean of the last four weeks, and [S, 1] standard deviation of the last quarter."""
    quarter = _last(values, origin, _SCALE_DAYS)
    known = ~np.isnan(quarter)
    centre = _mean(quarter, _LEAST_DAYS)
    squares = np.where(known, (quarter - centre) ** 2, 0.0).sum(axis=1, keepdims=True)
    spread = np.sqrt(squares / np.maximum(known.sum(axis=1, keepdims=True), 1))
    least = _LEAST_SPREAD * np.maximum(np.abs(centre), 1.0)
    return _mean(_last(values, origin, BASE_DAYS), _LEAST_DAYS), np.where(spread > least, spread, np.nan)


def _last(values: Floats, origin: int, days: int) -> Floats:
    return values[:, max(origin + 1 - days, 0) : origin + 1]


def _mean(values: Floats, least: int) -> Floats:
    """[S, 1] mean of what is known; NaN where fewer days are."""
    known = ~np.isnan(values)
    count = known.sum(axis=1, keepdims=True)
    total = np.where(known, values, 0.0).sum(axis=1, keepdims=True)
    return np.where(count >= least, total / np.maximum(count, 1), np.nan)

"""Lead times: whole days from an order to its arrival.

What belongs here: the law that declared lead times follow, and how often is ordered. What does not: stock, or demand.
"""

import numpy as np

from forecast_assets.core.arrays import Floats


def whole_lead_times(mean: Floats, deviation: Floats, scores: Floats) -> Floats:
    """Return lead times at normal scores, rounded to whole days, at least 1.

    Args:
        mean: [n] days.
        deviation: [n] standard deviation, days.
        scores: [N], or [n, N] where series have their own.

    Returns:
        [n, N] days.

    Example:
        >>> whole_lead_times(np.array([2.0]), np.array([1.0]), np.array([-3.0, 0.0, 1.0])).tolist()
        [[1.0, 2.0, 3.0]]
    """
    return np.asarray(np.maximum(np.rint(mean[:, None] + deviation[:, None] * scores), 1.0))


def days_between_reviews(declared: Floats) -> Floats:
    """Return [n] days between reviews: 1 where none are declared, NaN, since then an order may leave every day."""
    return np.where(np.isnan(declared), 1.0, declared)

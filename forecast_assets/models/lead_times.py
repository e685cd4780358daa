"""Lead times: whole days from an order to its arrival.

What belongs here: the law that declared lead times follow. What does not: stock, or demand.
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

"""Demand classes: how a series behaves, from six facts about it.

What belongs here: the thresholds, once, so that the feature snapshot and the models agree. What does not: computing the
facts, or what a model makes of a class.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Ints, Names

NEW_DAYS: Final = 28
DEAD_DAYS: Final = 56
# What sells every day is dead sooner: silent for ten times its usual interval, and for three weeks at least. By chance
# that befalls a series that goes on selling once in twenty thousand times.
SILENT_DAYS: Final = 21
SILENT_INTERVALS: Final = 10.0
# A store that delivers late is late by days, not by a fortnight.
ENDED_DAYS: Final = 14
# Standard deviation of the yearly season's factor: a wave that rises and falls by a seventh of the mean.
SEASON_CUT: Final = 0.1
INTERVAL_CUT: Final = 1.32
VARIATION_CUT: Final = 0.49


def demand_class(
    adi: Floats,
    cv2: Floats,
    age_days: Ints,
    days_since_sale: Floats,
    days_since_row: Ints | None = None,
    season_deviation: Floats | None = None,
) -> Names:
    """Return the class of each series, one of `contracts.DEMAND_CLASSES`.

    The first that holds: `ended` if its rows stopped 14 days before the cutoff or earlier; `new` with fewer than 28
    known days; `dead` without a sale in the last 56, or in three weeks that are ten of its usual intervals, while rows
    go on; `seasonal` if its product has shown a strong
    yearly season; otherwise by the cut points of Syntetos, Boylan & Croston (2005, doi:10.1057/palgrave.jors.2601841),
    which tell where Croston-type estimators have the smaller error.

    Args:
        adi: [n] mean days from one sale to the next, at least 1; infinite without sales.
        cv2: [n] squared coefficient of variation of the sizes of sales; 0 without sales.
        age_days: [n] known days.
        days_since_sale: [n] days since the last sale; the age without one. Days out of season may count less.
        days_since_row: [n] days since the last row of sales, with or without a sale; 0 for all if left out.
        season_deviation: [n] standard deviation over the year of the factor of the yearly season, 0 where none is
            known; for all if left out.

    Example:
        >>> facts = np.array([[1.0, 4.0], [0.2, 0.9], [90, 90], [0, 3]])
        >>> demand_class(*facts).tolist()
        ['smooth', 'lumpy']
    """
    is_ended = np.False_ if days_since_row is None else days_since_row >= ENDED_DAYS
    is_seasonal = np.False_ if season_deviation is None else season_deviation >= SEASON_CUT
    is_silent = (days_since_sale >= SILENT_DAYS) & (days_since_sale >= SILENT_INTERVALS * adi)
    sells_often, varies_little = adi < INTERVAL_CUT, cv2 < VARIATION_CUT
    kinds = {
        "ended": is_ended,
        "new": age_days < NEW_DAYS,
        "dead": (days_since_sale >= DEAD_DAYS) | is_silent,
        "seasonal": is_seasonal,
        "smooth": sells_often & varies_little,
        "erratic": sells_often,
        "intermittent": varies_little,
    }
    holds = [np.broadcast_to(each, adi.shape) for each in kinds.values()]
    return np.select(holds, [np.array(kind) for kind in kinds], "lumpy")

"""From scores to the one above which a row is called an anomaly.

What belongs here: the two rules. What does not: scores.
"""

import math
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats

# Of a model that says nothing of its threshold; a tenth is what the field's libraries take for it.
DEFAULT_CONTAMINATION: Final = 0.1


def calibrated_threshold(scores: Floats, false_alarm_rate: float) -> float | None:
    """Return the threshold that a row like those held back exceeds with at most the given probability.

    The split conformal quantile: of n held-back scores the one of rank ceil((n + 1) (1 - rate)). It holds for any n and
    any law of the scores, if rows to come are exchangeable with those held back; rows of a drifting or strongly
    autocorrelated series are not quite.

    Args:
        scores: [n] of rows that the model was not trained on and that are no anomalies.
        false_alarm_rate: Between 0 and 1.

    Returns:
        None where n is too small for that rate: fewer than 1 / rate - 1.

    Example:
        >>> calibrated_threshold(np.arange(1.0, 100.0), 0.05)
        95.0
        >>> calibrated_threshold(np.arange(9.0), 0.01) is None
        True

    Source: Bates, Candès, Lei, Romano and Sesia 2023, doi:10.1214/22-AOS2244.
    """
    # Rounded, since 100 * (1 - 0.05) is a hair above 95.
    rank = math.ceil(round((len(scores) + 1) * (1 - false_alarm_rate), 9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else None


def least_rows(false_alarm_rate: float) -> int:
    """Return how many rows have to be held back for a rate.

    Example:
        >>> least_rows(0.01)
        99
    """
    return math.ceil(round(1 / false_alarm_rate, 9)) - 1


def contaminated_threshold(scores: Floats, contamination: float = DEFAULT_CONTAMINATION) -> float:
    """Return the threshold that at most the given share of some scores exceeds.

    Args:
        scores: [n] of the rows that are judged; n is not 0.
        contamination: Share of them that is taken for anomalies.

    Example:
        >>> contaminated_threshold(np.arange(10.0))
        8.0
    """
    return float(np.quantile(scores, 1 - contamination, method="inverted_cdf"))

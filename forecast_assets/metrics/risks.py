"""Metrics of stock-out probabilities that are no ratios of sums over rows.

What belongs here: how well probabilities tell days apart, and whether they mean what they say. What does not: which
rows are judged.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Ints

CALIBRATION_BINS: Final = 10


def roc_auc(probability: Floats, happened: Floats) -> float | None:
    """Return how often a day with a stock-out had a higher probability than a day without, ties as half.

    The rank statistic of Mann and Whitney (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747).

    Args:
        probability: [k] 0 to 1.
        happened: [k] 1 or 0.

    Returns:
        0 to 1, 0.5 for what tells nothing apart; None where all days came the same.

    Example:
        >>> roc_auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]))
        0.875
    """
    from scipy.stats import rankdata

    positives = float(happened.sum())
    pairs = positives * (len(happened) - positives)
    if pairs == 0:
        return None
    ranks_of_those = float(rankdata(probability)[happened > 0].sum())
    return (ranks_of_those - positives * (positives + 1) / 2) / pairs


def calibration_error(probability: Floats, happened: Floats) -> float | None:
    """Return the expected calibration error (Naeini, Cooper and Hauskrecht 2015, doi:10.1609/aaai.v29i1.9602).

    Rows are divided into ten bins of probability of equal width; it is the mean, over rows, of the absolute difference
    of the bin's mean probability and its share of stock-outs.

    Args:
        probability: [k] 0 to 1.
        happened: [k] 1 or 0.

    Returns:
        0 to 1; None without rows.

    Example:
        >>> round(calibration_error(np.array([0.2, 0.2, 0.9]), np.array([0.0, 1.0, 1.0])), 4)
        0.2333
    """
    if not len(probability):
        return None
    bins = ReliabilityBins.of(probability, happened)
    return float(np.abs(bins.said - bins.came).sum() / len(probability))


def bin_of(probability: Floats) -> Ints:
    """[k] In which of ten stretches of equal width each probability is, from 0."""
    return np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


@dataclass(frozen=True)
class ReliabilityBins:
    """Days by what was said of them, in ten stretches of probability of equal width.

    Attributes:
        rows: [10] days.
        said: [10] sums of probabilities.
        came: [10] days with a stock-out.
    """

    rows: Floats
    said: Floats
    came: Floats

    @classmethod
    def of(cls, probability: Floats, happened: Floats) -> "ReliabilityBins":
        """Divide k days by their probability.

        Args:
            probability: [k] 0 to 1.
            happened: [k] 1 or 0.
        """
        bins = bin_of(probability)
        rows, said, came = (
            np.bincount(bins, weights=values, minlength=CALIBRATION_BINS)
            for values in (np.ones(len(bins)), probability, happened)
        )
        return cls(*(np.asarray(sums, dtype=np.float64) for sums in (rows, said, came)))

    def brier_parts(self) -> tuple[float, float, float]:
        """Return reliability, resolution and uncertainty of at least one day.

        The Brier score is the first less the second plus the third (Murphy 1973,
        doi:10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2), but for what probabilities of one stretch differ among
        themselves. Reliability is how far what was said is from what came, 0 at best; resolution how far what came
        differs by what was said; uncertainty is the score of saying the share of all days with a stock-out.

        Example:
            >>> bins = ReliabilityBins.of(np.array([0.2, 0.2, 0.9]), np.array([0.0, 1.0, 1.0]))
            >>> [round(part, 4) for part in bins.brier_parts()]
            [0.0633, 0.0556, 0.2222]
        """
        told = self.rows > 0
        rows, said, came = self.rows[told], self.said[told], self.came[told]
        share = float(came.sum() / rows.sum())
        reliability = float((rows * (said / rows - came / rows) ** 2).sum() / rows.sum())
        resolution = float((rows * (came / rows - share) ** 2).sum() / rows.sum())
        return reliability, resolution, share * (1.0 - share)

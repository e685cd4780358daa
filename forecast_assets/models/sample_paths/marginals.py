"""Marginals: what each series may sell on each day, as equally likely outcomes.

What belongs here: outcomes from quantiles, whole numbers and the exact mean. What does not: which outcomes of several
series and days come together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Bools, Floats, Rows

_KNOTS: Final = np.array(QUANTILES)


@dataclass(frozen=True)
class Marginals:
    """Distributions of n series on H days.

    Attributes:
        mean: [n, H] units, at least 0.
        quantiles: [n, H, 13] units, at the levels `contracts.QUANTILES`, rising along the last axis.
        is_whole: [n] whether a series sells by the piece.
    """

    mean: Floats
    quantiles: Floats
    is_whole: Bools

    def take(self, rows: Rows | slice) -> "Marginals":
        """Return some of the series."""
        return Marginals(self.mean[rows], self.quantiles[rows], self.is_whole[rows])

    def until(self, days: int) -> "Marginals":
        """Return the first days."""
        return Marginals(self.mean[:, :days], self.quantiles[:, :days], self.is_whole)

    def outcomes(self, step: int, paths: int) -> Floats:
        """Return equally likely outcomes of a day.

        Quantiles are joined by lines in the normal score, and beyond the last ones carried on; what that makes of the
        mean is scaled to it. Whole numbers are outcomes rounded up or down so that their sum is that of the outcomes,
        to one half: what is dropped of one is added to the next (systematic sampling).

        Args:
            step: Day, from 0.
            paths: N outcomes.

        Returns:
            [n, N] units, rising along the last axis. Their mean is that of the day, of whole numbers to 1 / (2 N).
        """
        values = _with_mean(inverse(self.quantiles[:, step], _scores(paths)), self.mean[:, step])
        whole = np.flatnonzero(self.is_whole)
        values[whole] = _whole(values[whole])
        return values


def sells_by_the_piece(sales: Floats) -> Bools:
    """[n] Whether all that is known of [n, T] sales are whole numbers."""
    return np.asarray((np.isnan(sales) | (sales == np.rint(sales))).all(axis=1), dtype=np.bool_)


def even_levels(paths: int) -> Floats:
    """[N] The middles of equal slices of 0..1."""
    return np.asarray((np.arange(paths) + 0.5) / paths)


def inverse(quantiles: Floats, scores: Floats) -> Floats:
    """[n, N] Values at normal scores: lines in the score between quantiles and beyond the last, at least 0.

    Args:
        quantiles: [n, 13] units.
        scores: [N].
    """
    from scipy.special import ndtri

    knots = ndtri(_KNOTS)
    segment = np.clip(np.searchsorted(knots, scores, side="right") - 1, 0, len(knots) - 2)
    quantiles = np.asarray(quantiles, dtype=np.float64)
    slopes = np.diff(quantiles, axis=1) / np.diff(knots)
    # Taken, not indexed: rows then follow one another in memory, and add up alike however many there are.
    low, slope = (np.take(values, segment, axis=1) for values in (quantiles, slopes))
    slope *= scores - knots[segment]
    low += slope
    return np.asarray(np.maximum(low, 0.0, out=low))


def _scores(paths: int) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri(even_levels(paths)))


def _with_mean(values: Floats, mean: Floats) -> Floats:
    """Values scaled so that each row has its mean; where all of a row are 0 the last carries it."""
    values[:, -1] = np.where(values[:, -1] > 0, values[:, -1], 1.0)
    values *= (mean / values.mean(axis=1))[:, None]
    return values


def _whole(values: Floats) -> Floats:
    """[k, N] Whole numbers next to rising values, rising again, whose sum differs by at most one half."""
    total = np.floor(np.cumsum(values, axis=1) + 0.5)
    return np.sort(np.diff(total, axis=1, prepend=0.0), axis=1)


def moment_with_score(marginals: Marginals, steps: Sequence[int], paths: int) -> Floats:
    """[n, len(steps)] Mean product of a day's outcomes and their normal scores, units.

    It is what two days' covariance is per correlation of their scores, to first order: of small correlations exactly
    that, of large ones nearly (Mehler's formula). Of a normal outcome it is the standard deviation; of a slow mover,
    whose outcomes are mostly 0, less.
    """
    scores = _scores(paths)
    return np.stack([(marginals.outcomes(step, paths) * scores).mean(axis=1) for step in steps], axis=1)

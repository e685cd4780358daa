"""Versions that look further ahead than their history could be backtested: how much wider they are there.

What belongs here: how far backtests reached, and the spread beyond. What does not: choosing the backtests (selection),
or the spread that they showed (calibration).

Beyond the last day that backtests reached, the spread about the mean is that of this day times the square root of how
many times further ahead it is. A level that wanders like a random walk spreads so (Hyndman & Athanasopoulos 2021,
Forecasting: Principles and Practice, 5.5); noise from day to day does not grow at all, and the levels of exponential
smoothing grow less (Hyndman, Koehler, Ord & Snyder 2008, doi:10.1007/978-3-540-71918-2, 6.1). So this is rather too
wide than too narrow, as long as the days to come are of the same kind.
"""

from dataclasses import dataclass

import numpy as np

from forecast_assets.core.arrays import Floats, Names
from forecast_assets.models.calibration import Calibration


@dataclass(frozen=True)
class ShortHistory:
    """How far a version could be backtested that looks further ahead.

    Attributes:
        known_days: Days of history that it was trained on.
        backtested_days: Days ahead that backtests reached.

    Raises:
        ValueError: If no history has such backtests.
    """

    known_days: int
    backtested_days: int

    def __post_init__(self) -> None:
        if not 0 < self.backtested_days < self.known_days:
            raise ValueError(f"{self.known_days} days of history have no backtest of {self.backtested_days} days ahead")

    def widening(self, horizon: int) -> Floats:
        """[H] How many times wider each day ahead is than the last one that backtests reached; 1 up to there.

        Example:
            >>> ShortHistory(known_days=20, backtested_days=7).widening(28)[[0, 6, 27]].tolist()
            [1.0, 1.0, 2.0]
        """
        return np.sqrt(np.maximum(np.arange(1, horizon + 1) / self.backtested_days, 1.0))

    def widened(self, quantiles: Floats, mean: Floats) -> Floats:
        """Draw quantiles away from the mean on days beyond the backtests; nothing falls below zero.

        Args:
            quantiles: [n, H, 13] units, rising along the last axis.
            mean: [n, H] units.

        Returns:
            [n, H, 13] units, rising along the last axis.
        """
        wider, centre = self.widening(mean.shape[1])[:, None], mean[:, :, None]
        return np.where(wider > 1.0, np.maximum(centre + (quantiles - centre) * wider, 0.0), quantiles)


def calibrated_quantiles(
    calibration: Calibration, short: ShortHistory | None, mean: Floats, demand_class: Names
) -> Floats:
    """Return the 13 quantiles of every day's demand, wider where backtests did not reach.

    Args:
        calibration: Of a version.
        short: How far its backtests reached; None if as far as it looks ahead.
        mean: [n, H] units.
        demand_class: [n].

    Returns:
        [n, H, 13] units, rising along the last axis.
    """
    if short is None:
        return calibration.quantiles(mean, demand_class)
    learned = calibration.quantiles(mean, demand_class, learned_days=short.backtested_days)
    return short.widened(learned, mean)

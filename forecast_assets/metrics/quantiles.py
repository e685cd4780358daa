"""Scores of quantile forecasts, day by day.

What belongs here: how quantiles of n series did on each of H days. What does not: sums over days, or other forecasts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.metrics.scores import pinball_losses, share_inside

# Percent of the central intervals whose coverage is measured, and the levels that they lie between.
INTERVALS: Final = ((50, 0.25, 0.75), (80, 0.1, 0.9), (95, 0.025, 0.975), (99, 0.005, 0.995))
# Those of the M5 uncertainty competition.
WSPL_QUANTILES: Final = (0.005, 0.025, 0.165, 0.25, 0.5, 0.75, 0.835, 0.975, 0.995)
WSPL_PLACES: Final = [QUANTILES.index(level) for level in WSPL_QUANTILES]
# Series that are judged at a time, which bounds the memory for scratch.
_SLICE_SERIES: Final = 4096


@dataclass(frozen=True)
class QuantileScores:
    """Scores [n, H]; 0 on days that cannot be judged.

    Attributes:
        asked: Days that can be judged.
        loss: Mean pinball loss of all quantiles, in units.
        wspl_loss: Mean pinball loss of the quantiles that WSPL asks for, in units.
        inside: Share of the outcome inside each central interval, by percent.
    """

    asked: Bools
    loss: Floats
    wspl_loss: Floats
    inside: dict[int, Floats]

    @classmethod
    def of(cls, demand: Floats, quantiles: Floats) -> "QuantileScores":
        """Judge quantiles of demand.

        Args:
            demand: [n, H] units that came; NaN where unknown.
            quantiles: [n, H, 13] units at the levels of ``contracts.QUANTILES``; NaN where there is no forecast.
        """
        asked = ~np.isnan(demand) & ~np.isnan(quantiles[:, :, 0])
        loss, wspl_loss, *inside = (np.zeros(asked.shape) for _ in range(2 + len(INTERVALS)))
        for start in range(0, len(asked), _SLICE_SERIES):
            rows = slice(start, start + _SLICE_SERIES)
            few = asked[rows]
            actual, said = demand[rows][few], quantiles[rows][few]
            losses = pinball_losses(actual, said)
            loss[rows][few], wspl_loss[rows][few] = losses.mean(axis=1), losses[:, WSPL_PLACES].mean(axis=1)
            for share, (_, low, high) in zip(inside, INTERVALS, strict=True):
                share[rows][few] = share_inside(actual, said, low, high)
        percents = (percent for percent, _, _ in INTERVALS)
        return cls(asked, loss, wspl_loss, dict(zip(percents, inside, strict=True)))

"""Which days, series and past cutoffs are looked at, so that training stays within time and memory.

What belongs here: spans of history, evenly spread series, cutoffs of backtests. What does not: anything learned of
them.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Rows
from forecast_assets.core.errors import InputError
from forecast_assets.features.panel import Panel

DEFAULT_HISTORY_DAYS: Final = 364
# Three years: two that show a yearly season, and one for backtests that judge it.
TRAINING_HISTORY_DAYS: Final = 1096
LEAST_HISTORY_DAYS: Final = 28
# Cells of a matrix that training works on, 64 MB each; of more series than fit in, that many are taken.
MOST_CELLS: Final = 8_000_000
_ORIGINS: Final = 3


def spread_rows(count: int, most: int) -> Rows:
    """Return at most ``most`` row numbers, evenly spread."""
    return np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.intp)


def training_rows(count: int, days: int, most_cells: int = MOST_CELLS) -> Rows:
    """Return which of so many series training reads, so that its matrices of so many days stay small.

    Args:
        count: Series that there are.
        days: Days of history and ahead.
        most_cells: Cells of one matrix.
    """
    return spread_rows(count, max(most_cells // max(days, 1), 1))


def backtest_origins(panel: Panel, horizon: int) -> list[int]:
    """Return how many days before the cutoff each backtest starts: one horizon, two, three.

    Raises:
        InputError: If not even one leaves more than four weeks of history before it, or if the panel reaches less far
            ahead than the horizon.
    """
    origins = [k * horizon for k in range(1, _ORIGINS + 1) if panel.history_days - k * horizon > LEAST_HISTORY_DAYS]
    if not origins or panel.horizon_days < horizon:
        raise InputError(
            f"{panel.history_days} days of history with {panel.horizon_days} ahead are too few to backtest {horizon}.",
            remedy=f"Train on more than {LEAST_HISTORY_DAYS + horizon} days, or with a shorter horizon.",
        )
    return origins

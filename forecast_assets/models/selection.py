"""Which days, series and past cutoffs are looked at, so that training stays within time and memory.

What belongs here: spans of history, evenly spread series, cutoffs of backtests. What does not: anything learned of
them.
"""

from typing import Final

import numpy as np

from forecast_assets.core.arrays import Rows
from forecast_assets.core.errors import InputError
from forecast_assets.core.keys import DAILY
from forecast_assets.core.wording import counted
from forecast_assets.features.panel import Panel

DEFAULT_HISTORY_DAYS: Final = 364
# Three years: two that show a yearly season, and one for backtests that judge it.
TRAINING_HISTORY_DAYS: Final = 1096
# A backtest of the whole horizon leaves more than this before it.
LEAST_HISTORY_DAYS: Final = 28
# What training takes at all: two weeks, and eight for more days ahead than a daily run looks.
SHORTEST_HISTORY_DAYS: Final = 14
SHORTEST_HISTORY_DAYS_FAR: Final = 56
_WEEK: Final = 7
# Cells of a matrix that training works on, 64 MB each; of more series than fit in, that many are taken.
MOST_CELLS: Final = 8_000_000
_ORIGINS: Final = 3


def spread_rows(count: int, most: int) -> Rows:
    """Return at most ``most`` row numbers, evenly spread."""
    return np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.intp)


def whole_stores(panel: Panel, most: int) -> Rows:
    """Return the series of evenly spread stores, about so many; of one store at least."""
    stores, store = np.unique(panel.series["store_id"].to_numpy().astype(str), return_inverse=True)
    kept = spread_rows(len(stores), max(most * len(stores) // max(panel.series.height, 1), 1))
    return np.flatnonzero(np.isin(store, kept))


def training_rows(count: int, days: int, most_cells: int = MOST_CELLS) -> Rows:
    """Return which of so many series training reads, so that its matrices of so many days stay small.

    Args:
        count: Series that there are.
        days: Days of history and ahead.
        most_cells: Cells of one matrix.
    """
    return spread_rows(count, max(most_cells // max(days, 1), 1))


def require_trainable(history_days: int, horizon: int) -> None:
    """Refuse a history of which no version for so many days ahead can be trained.

    Raises:
        InputError: With how many days it takes.
    """
    least = SHORTEST_HISTORY_DAYS if horizon <= DAILY.longest_horizon else SHORTEST_HISTORY_DAYS_FAR
    if history_days < least:
        raise InputError(
            f"{history_days} days of sales up to the cutoff are too few to train for {horizon} days ahead: it takes "
            f"{least} ({SHORTEST_HISTORY_DAYS_FAR} for more than {DAILY.longest_horizon} days ahead).",
            remedy=f"Ingest earlier days of sales, or take a cutoff {counted(least - history_days, 'day')} later.",
        )


def reaches_whole_horizon(history_days: int, horizon: int) -> bool:
    """Whether a backtest of the whole horizon leaves more than four weeks of history before it."""
    return history_days - horizon > LEAST_HISTORY_DAYS


def backtested_days(history_days: int, horizon: int) -> int:
    """Return how many days ahead backtests look: the horizon, or on a short history a third of it, in whole weeks.

    A third, so that there is room for two backtests and as much before them; a week at least. Only versions as of the
    past of a history of two weeks know fewer days, and look as far as a third of them.

    Example:
        >>> [backtested_days(days, 28) for days in (7, 14, 35, 56, 57, 364)]
        [2, 7, 7, 14, 28, 28]
    """
    if reaches_whole_horizon(history_days, horizon):
        return horizon
    third = history_days // 3
    weeks = max(third // _WEEK, 1) * _WEEK
    return min(horizon, weeks if history_days >= SHORTEST_HISTORY_DAYS else max(third, 1))


def backtest_origins(panel: Panel, horizon: int) -> list[int]:
    """Return how many days before the cutoff each backtest starts: once as many as it looks ahead, twice, three times.

    Each leaves more than four weeks of history before it; on a short history a third of it, and a week where there is
    one.

    Raises:
        InputError: If there is no room for any, or if the panel reaches less far ahead than the horizon.
    """
    days, reach = panel.history_days, backtested_days(panel.history_days, horizon)
    short = max(days // 3, min(_WEEK, days // 2), 1)
    least = LEAST_HISTORY_DAYS + 1 if reaches_whole_horizon(days, horizon) else short
    origins = [k * reach for k in range(1, _ORIGINS + 1) if days - k * reach >= least]
    if not origins or panel.horizon_days < horizon:
        raise InputError(
            f"{days} days of history with {panel.horizon_days} ahead are too few to backtest {horizon}.",
            remedy=f"Train on {SHORTEST_HISTORY_DAYS} days or more.",
        )
    return origins

"""As of which days versions with trees are trained: the one that is wanted, those that judge it, those that calibrate.

What belongs here: how many days of history trees take, and how far back each version of a chain knows less. What does
not: training any of them.

A version is calibrated by the forecasts that one before it makes of the days between. With less than four weeks of days
every series is new, and trees serve none; so that is what a version that calibrates knows at least. Where four weeks
and the whole horizon are not there, the days beyond the last that was calibrated are widened (`short_history`).
"""

from typing import Final

from forecast_assets.core.errors import InputError
from forecast_assets.features.demand_class import NEW_DAYS
from forecast_assets.features.panel import Panel
from forecast_assets.models.selection import LEAST_HISTORY_DAYS, backtest_origins

# Days of history before a cutoff that trees learn from at all.
LEAST_LEARNED_DAYS: Final = 14
_WEEK: Final = 7
# Versions as of several past cutoffs are judged where the oldest knows more than four weeks and a day.
_LEAST_JUDGED_DAYS: Final = LEAST_HISTORY_DAYS + 2


def least_history(horizon: int) -> int:
    """Return how many days of history a version with trees takes.

    Its trees have to have seen each day ahead once, after two weeks; and there have to be four weeks before a week of
    calibration.

    Example:
        >>> [least_history(horizon) for horizon in (1, 7, 14, 28)]
        [29, 35, 35, 43]
    """
    return max(NEW_DAYS + min(horizon, _WEEK), LEAST_LEARNED_DAYS + 1 + horizon)


def calibrated_days(history_days: int, horizon: int) -> int:
    """Return how many days ahead a version is calibrated on: the horizon, or as many as leave four weeks before them.

    Example:
        >>> [calibrated_days(days, 14) for days in (35, 41, 42, 364)]
        [7, 13, 14, 14]
    """
    return min(horizon, max(history_days - NEW_DAYS, 1))


def tree_origins(panel: Panel, horizon: int) -> list[int]:
    """Return how many days before a panel's cutoff versions with trees are judged as of.

    Raises:
        InputError: If the history is too short for trees that look as far ahead as the horizon.
    """
    days, least = panel.history_days, least_history(horizon)
    if days < least:
        raise InputError(
            f"{days} days of history are too few to train trees for {horizon} days ahead: it takes {least} or more.",
            remedy="Train with --family statistical, which takes fewer; or take a later cutoff or a shorter horizon.",
        )
    if days - horizon > _LEAST_JUDGED_DAYS:
        return [back for back in backtest_origins(panel, horizon) if days - back > _LEAST_JUDGED_DAYS]
    return [calibrated_days(days, horizon)]


def chain_of(panel: Panel, horizon: int, oldest: int) -> list[int]:
    """Return how many days before a panel's cutoff versions are trained as of, each calibrated by the next.

    Args:
        panel: What the newest version knows.
        horizon: Days ahead that versions are trained for.
        oldest: Days before the cutoff of the oldest version that is wanted.

    Raises:
        InputError: If the history is too short for trees.
    """
    origins = [0, *tree_origins(panel, horizon)]
    older = [back for back in origins if back > oldest][:1]
    shorter = oldest + calibrated_days(panel.history_days - oldest, horizon)
    return [back for back in origins if back <= oldest] + (older or [shorter])

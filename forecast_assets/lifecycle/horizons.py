"""How far ahead versions publish runs, and which of their runs whoever follows a channel reads.

What belongs here: what follows from published runs. What does not: how far ahead a version was trained, or assigning.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from forecast_assets.core.keys import CADENCES
from resources.ledger.state import LedgerState

# What a version published before that it may publish no more.
_RECENT: Final = timedelta(weeks=4)


def horizons_by_date(state: LedgerState, cadence: str, version: str) -> Mapping[date, set[int]]:
    """Return the horizons, in days, of the published runs of a version by prediction date.

    Args:
        state: What is true now.
        cadence: Rhythm of the runs.
        version: The version.
    """
    found: dict[date, set[int]] = {}
    for key in state.publications:
        if (key.cadence, key.model_version, key.revision) == (cadence, version, 0):
            found.setdefault(key.prediction_date, set()).add(key.forecast_horizon)
    return found


def published_horizons(state: LedgerState, cadence: str, version: str) -> frozenset[int]:
    """Return the horizons that a version publishes: of its runs of the four weeks up to its newest date; none if none.

    Args:
        state: What is true now.
        cadence: Rhythm of the runs.
        version: The version.
    """
    by_date = horizons_by_date(state, cadence, version)
    newest = max(by_date, default=date.min)
    return frozenset(days for day, horizons in by_date.items() if newest - day < _RECENT for days in horizons)


def followed_horizon(published: set[int], cadence: str, compared: int) -> int:
    """Return the horizon of the champion's run that whoever follows its channel reads.

    Args:
        published: Horizons of the champion's runs of the date.
        cadence: Rhythm of the runs.
        compared: That of the runs that the newest trial compares; read wherever the champion publishes it.

    Example:
        >>> followed_horizon({28}, "daily", 7), followed_horizon({7, 14, 28}, "daily", 7)
        (28, 7)
    """
    usual = CADENCES[cadence].default_horizon
    return next((days for days in (compared, usual) if days in published), max(published, default=compared))

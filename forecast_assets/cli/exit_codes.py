"""With which code each family of errors ends the command.

What belongs here: the codes. What does not: what is said. They are a promise to scripts, and stand in the manual too.
"""

from typing import Final

from forecast_assets.core.errors import (
    ForecastAssetsError,
    InputError,
    IntegrityError,
    NotReadyError,
    RefusedError,
    StorageError,
)

INTERRUPTED: Final = 130
DEFECT: Final = 70

_FAMILIES: Final[dict[type, int]] = {
    ForecastAssetsError: 1,
    InputError: 2,
    NotReadyError: 3,
    RefusedError: 4,
    IntegrityError: 5,
    StorageError: 6,
}


def exit_code(kind: type[ForecastAssetsError]) -> int:
    """Return the code of a kind of errors: that of the nearest family above it."""
    return next(_FAMILIES[above] for above in kind.__mro__ if above in _FAMILIES)

"""A clock that is behind the ledger, in words.

What belongs here: what a person has to know of it. What does not: what follows from it. No library for frames is loaded
here: quick commands say it too.
"""

from datetime import timedelta
from typing import Final

from forecast_assets.core.wording import counted
from resources.ledger.present import clock_behind
from resources.ledger.state import LedgerState

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def clock_text(state: LedgerState) -> str:
    """Say that the clock is behind the newest entry, and what is taken for the present; nothing if it is not.

    Args:
        state: What is true now.
    """
    behind = clock_behind(state)
    if behind is None:
        return ""
    unit, name = (_DAY, "day") if behind >= _DAY else (_HOUR, "hour") if behind >= _HOUR else (_HOUR / 60, "minute")
    entry = state.sequence
    return (
        f"warning: the clock is {counted(round(behind / unit), name)} behind ledger entry {entry}, of "
        f"{state.recorded_at}. Either this clock is behind, or entry {entry} was recorded by one that was ahead. "
        "Policies and decisions count as of that moment; days are over at most one day before they are by this clock. "
        "Set right whichever is wrong."
    )

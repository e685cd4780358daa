"""The present moment, as whoever decides has to take it: never before what the ledger has recorded.

What belongs here: reading the clock where what it says is held against entries. What does not: moments that were asked
for, keys and their expiry, or how long something took.

A clock that jumps back, after a repair of the machine or on another one, must not undo what was decided: a policy that
was in force would be none yet, a day that was measured would not be over. Entries are recorded in order by the same
rule.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from resources.ledger.entries import FoldedState

# Clocks of several machines differ by so much without anybody having to know.
_USUAL: Final = timedelta(minutes=1)
# A clock that was ahead by more is not believed where it is asked whether a day is over.
_MOST_AHEAD: Final = timedelta(days=1)


def present(state: FoldedState) -> datetime:
    """Return the present moment, in UTC: that of the clock, or of the newest entry if that is later.

    Args:
        state: What is true now.
    """
    clock = datetime.now(UTC)
    return max(clock, datetime.fromisoformat(state.recorded_at)) if state.recorded_at else clock


def present_of_days(state: FoldedState) -> datetime:
    """Return the present moment where it is asked whether a day is over: at most a day later than the clock says.

    One entry of a machine whose clock was far ahead must not make days over that have not begun.

    Args:
        state: What is true now.
    """
    return min(present(state), datetime.now(UTC) + _MOST_AHEAD)


def clock_behind(state: FoldedState) -> timedelta | None:
    """Return by how much the clock is behind the newest entry; None if by no more than clocks usually differ.

    Args:
        state: What is true now.
    """
    clock = datetime.now(UTC)
    behind = present(state) - clock
    return behind if behind > _USUAL else None

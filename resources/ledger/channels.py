"""Who served when: what follows from the moves of a channel.

What belongs here: serving periods, the promotion stack, which versions are live. What does not: moving a channel, or
reading anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from forecast_assets.core.keys import Cadence
from resources.ledger.entries.channel_moves import ChannelMove, Channels
from resources.ledger.entries.register import Versions
from resources.ledger.state import LedgerState

# As many days as a daily run looks ahead: by then the first forecasts of the new champion are measured to their last
# day, so that whoever finds them worse finds fresh rows of the version before.
FORMER_CHAMPION_LIVE_FOR: Final = timedelta(days=28)


@dataclass(frozen=True)
class ServingPeriod:
    """A time in which a channel pointed at one version.

    Attributes:
        model_version: The version.
        since: When it began, ISO 8601 in UTC.
        until: When another version followed; None for the present one.
    """

    model_version: str
    since: str
    until: str | None


@dataclass(frozen=True)
class LiveVersion:
    """A version that schedules score.

    Attributes:
        model_version: The version.
        until: When it stops being live; None for champion and challenger.
    """

    model_version: str
    until: datetime | None = None


def channel_moves(state: LedgerState, channel: str) -> list[ChannelMove]:
    """Return the moves of one channel, oldest first."""
    return state.part(Channels).of(channel)


def serving_periods(history: Sequence[ChannelMove]) -> list[ServingPeriod]:
    """Return who served when, oldest first; the same version promoted again goes on.

    Args:
        history: Moves of one channel, oldest first.
    """
    changes: list[ChannelMove] = []
    for move in history:
        if not changes or changes[-1].model_version != move.model_version:
            changes.append(move)
    ends = [*(change.recorded_at for change in changes[1:]), None]
    return [
        ServingPeriod(change.model_version, change.recorded_at, end) for change, end in zip(changes, ends, strict=False)
    ]


def promotion_stack(history: Sequence[ChannelMove]) -> list[str]:
    """Return the versions that lead to the present one, which is the last; a rollback goes back along them.

    What was rolled back from is no longer among them: rolling back twice goes back twice, not to and fro between two
    versions. After A, B, C and a rollback to B, the version before the present one is A.

    Args:
        history: Moves of one channel, oldest first.
    """
    stack: list[str] = []
    for move in history:
        version = move.model_version
        if move.is_rollback and version in stack:
            while stack[-1] != version:
                stack.pop()
        elif version not in stack[-1:]:
            stack.append(version)
    return stack


def live_versions(state: LedgerState, cadence: Cadence, now: datetime) -> list[LiveVersion]:
    """Return the versions that schedules score, each once: champion, challenger, former champions.

    A former champion is live for 28 days after it was last displaced, by a promotion or a rollback, so that there is
    something to go back to, unless it is retired.

    Args:
        state: What is true now.
        cadence: Whose channels.
        now: The present moment.
    """
    periods = serving_periods(channel_moves(state, cadence.champion))
    until: dict[str, datetime | None] = {period.model_version: None for period in periods[-1:]}
    challenger = state.channel(cadence.challenger)
    if challenger is not None:
        until[challenger] = None
    # The last displacement first: of several periods of a version the latest counts.
    for period in reversed(periods[:-1]):
        end = datetime.fromisoformat(str(period.until)) + FORMER_CHAMPION_LIVE_FOR
        if now < end:
            until.setdefault(period.model_version, end)
    retired = state.part(Versions).retired
    return [LiveVersion(version, end) for version, end in until.items() if version not in retired]

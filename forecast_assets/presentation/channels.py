"""Moves of a channel in words.

What belongs here: what whoever moved a channel has to know next. What does not: moving it. No library for frames is
loaded here: going back must not wait for one.
"""

from datetime import datetime
from typing import Final

from forecast_assets.core.errors import first_ten
from forecast_assets.core.keys import CADENCES, cadence_of
from resources.ledger.channels import (
    FORMER_CHAMPION_LIVE_FOR,
    ServingPeriod,
    channel_moves,
    live_versions,
    serving_periods,
)
from resources.ledger.entries.channel_moves import ChannelMove, Channels
from resources.ledger.entries.register import Versions
from resources.ledger.state import LedgerState

# Prediction dates that consumers are likely to read; as many are looked at for rows of the version gone back to.
DATES_SHOWN: Final = 7
# Rebuilding views takes libraries and time, and no view that a query reads for numbers follows a channel.
_LATER: Final = (
    "The catalogue's audit.channel_history shows this after the next publication, or now: forecast-assets catalogue"
)


def unchanged_channel_text(state: LedgerState, channel: str) -> str:
    """Say that a channel points where it was asked to point."""
    current_move = channel_moves(state, channel)[-1]
    return (
        f"{current_move.channel} is {current_move.model_version} already (ledger entry {current_move.sequence}, "
        f"{current_move.recorded_at}, by {current_move.by}: {current_move.reason}); nothing changed."
    )


def moved_text(state: LedgerState, channel: str, sequence: int) -> str:
    """Say where a channel points after a promotion or a rollback, where it did before, and what follows.

    Args:
        state: What is true now.
        channel: The channel.
        sequence: Ledger entry that moved it.
    """
    history = [each for each in channel_moves(state, channel) if each.sequence <= sequence]
    move, *periods = history[-1], *serving_periods(history[:-1])
    # A channel that pointed at nothing meanwhile points at the version again, and not still.
    stayed = bool(periods) and history[-2].sequence > state.part(Channels).cleared.get(channel, 0)
    if stayed and periods[-1].model_version == move.model_version:
        return _marked_anew_text(move, history[-2])
    was = f", was {periods[-1].model_version}" if periods else ""
    lines = [
        f"{channel} is now {move.model_version}{was} (ledger entry {sequence}, by {move.by}: {move.reason})",
        *_override_lines(move),
        *(_gone_back_lines(state, move, periods) if move.is_rollback else ()),
    ]
    cadence = cadence_of(channel)
    if periods and channel == cadence.champion:
        until = datetime.fromisoformat(move.recorded_at) + FORMER_CHAMPION_LIVE_FOR
        lines.append(
            f"{periods[-1].model_version} goes on being scored until {until.isoformat()}, so that there is a way back."
        )
    return "\n".join((*lines, *((_LATER,) if periods else ())))


def _marked_anew_text(move: ChannelMove, before: ChannelMove) -> str:
    """Say that a channel points where it did, in spite of other gates than before."""
    met = [gate for gate in before.overrides if gate not in move.overrides]
    said = f"ledger entry {move.sequence}, by {move.by}: {move.reason}"
    lines = [
        f"{move.channel} is still {move.model_version}, judged anew ({said})",
        *([f"It meets {first_ten(met)}: what {move.channel} publishes from now on is not marked so."] if met else ()),
        *_override_lines(move),
        _LATER,
    ]
    return "\n".join(lines)


def _override_lines(move: ChannelMove) -> list[str]:
    if not move.overrides:
        return []
    return [f"It fails {first_ten(move.overrides)}, which is overridden: everything that it publishes says so."]


def retired_text(version: str, sequence: int, *, serves_again: bool) -> str:
    """Say what a retirement, or its undoing, means from here on."""
    if serves_again:
        return f"{version} serves again (ledger entry {sequence}); no channel points at it until it is promoted."
    return (
        f"{version} is retired (ledger entry {sequence}): no channel may point at it, and no new run of it is made. "
        "What it published stays where it is."
    )


def _gone_back_lines(state: LedgerState, move: ChannelMove, periods: list[ServingPeriod]) -> list[str]:
    version, cadence = move.model_version, cadence_of(move.channel)
    before = next(period for period in reversed(periods) if period.model_version == version)
    lines = [f"{version} had served from {before.since} to {before.until}."]
    known = {period.model_version for period in periods}
    published = {
        (key.prediction_date, key.model_version)
        for key in state.publications
        if key.cadence == cadence.name and key.model_version in known
    }
    dates = sorted({day for day, _ in published})[-DATES_SHOWN:]
    if not dates:
        return [*lines, f"No {cadence.name} run of any of its versions is published."]
    missing = [day for day in dates if (day, version) not in published]
    lines.append(
        f"Of the last {len(dates)} published {cadence.name} dates, {dates[0]} to {dates[-1]}, it has "
        f"{len(dates) - len(missing)}."
    )
    if dates[-1] in missing:
        lines.append(
            f"WARNING: the newest, {dates[-1]}, is not among them: consumers find no rows of it by {version}. Publish "
            f"it: forecast-assets backfill --cadence {cadence.name} --model-version {version} --from {missing[0]} "
            f"--to {missing[-1]}"
        )
    return lines


def live_text(state: LedgerState, version: str, now: datetime) -> str:
    """Say whether schedules score a version, and until when, or that it is retired."""
    live = [each for cadence in CADENCES.values() for each in live_versions(state, cadence, now)]
    untils = [each.until for each in live if each.model_version == version]
    if not untils:
        return "retired" if version in state.part(Versions).retired else "-"
    ends = [until for until in untils if until is not None]
    return "yes" if len(ends) < len(untils) else f"until {max(ends).isoformat()}"

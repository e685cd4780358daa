"""`rollback`: a channel points back at a version that it pointed at before.

What belongs here: all that is to be known of this kind of entry. What does not: which version is gone back to.
"""

from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import LostRaceError, NotAcceptedError, NothingToRollBackError, first_ten
from forecast_assets.core.keys import cadence_of
from resources.ledger.entries.base import EntryDescription, EntryEvent, register_kind
from resources.ledger.entries.channel_moves import (
    ChannelMove,
    ChannelMoveKind,
    Channels,
    TrainedHorizon,
    return_problem,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.judge import Judgement, Judgements
from resources.ledger.entries.promote import overridden_text
from resources.ledger.entries.register import Versions


class RollbackKind(ChannelMoveKind):
    """Rollbacks; the view `channel_history` shows them beside promotions."""

    name = "rollback"
    meaning = "a channel points back at a version that it had pointed at before"
    kept_state = "where each channel points; the last `promote` or `rollback` counts"
    is_rollback = True

    def admit(
        self,
        record: ChannelMove,
        state: FoldedState,
        *,
        trained_horizon: TrainedHorizon = lambda _: None,
        since: int | None = None,
    ) -> None:
        """Refuse a version that the channel never pointed at, or that may not serve any more.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            trained_horizon: Returns how many days ahead a version was trained for.
            since: Ledger entry since which the channel pointed where it did when it followed where to go back to; None
                if somebody named it.

        Raises:
            LostRaceError: If somebody else moved the channel meanwhile.
            NothingToRollBackError: If the channel never pointed at that version, or points at it now.
            NotAcceptedError: If the version is retired, or its gates or reach no longer suffice.
        """
        channel, target = record.channel, record.model_version
        channels, versions = state.part(Channels), state.part(Versions)
        history, present = channels.of(channel), channels.target(channel)
        if since is not None and channels.since(channel) != since:
            by = "Somebody" if present is None else history[-1].by
            raise LostRaceError(
                f"{by} has moved `{channel}` meanwhile; it is now {present or 'nothing'}.",
                remedy=Sentence(
                    "If it should still go back, name the version: --to VERSION; see ", Action("versions"), "."
                ),
                channel=channel,
                model_version=present or "",
            )
        earlier = dict.fromkeys(each.model_version for each in history)
        if target == present or target not in earlier:
            raise NothingToRollBackError(
                f"`{channel}` {'is' if target == present else 'never was'} {target}.",
                remedy=f"It was before: {first_ten([name for name in earlier if name != present]) or 'nothing'}.",
                channel=channel,
                model_version=target,
            )

        def judged(name: str) -> Judgement | None:
            return state.part(Judgements).newest(name, cadence_of(channel).name)

        def problem(name: str) -> str:
            return return_problem(name, versions, channels.newest_to(channel, name), trained_horizon, judged(name))

        barred = problem(target)
        if barred:
            fit = [name for name in earlier if name != present and not problem(name)]
            newest = judged(target)
            again = (
                Sentence(
                    " If what it failed is mended, judge it again: ",
                    Action("gates", {"cadence": newest.cadence}, on=(target,)),
                    ".",
                )
                if newest is not None and newest.failed_soundness
                else ""
            )
            raise NotAcceptedError(
                f"`{channel}` cannot go back to `{target}`: {barred}",
                remedy=Sentence(
                    f"Name an earlier one that may serve with --to: {first_ten(fit) or 'there is none'}.", again
                ),
                channel=channel,
                model_version=target,
            )

    def event(self, record: ChannelMove) -> EntryEvent:
        """Return which channel points back."""
        return EntryEvent("channel.rolled_back", f"channels/{record.channel}")

    def describe(self, record: ChannelMove) -> EntryDescription:
        """Return where the channel points again, who decided and why."""
        return EntryDescription(
            f"{record.channel} is {record.model_version} again{overridden_text(record)}", record.by, record.reason
        )


ROLLBACK: Final = register_kind(RollbackKind())

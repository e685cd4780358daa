"""What `promote` and `rollback` share: a channel is pointed at a version, and may point only at one that may serve.

What belongs here: moves, what follows from them, and who may serve. What does not: which way a channel is moved.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotAcceptedError, first_ten
from forecast_assets.core.keys import WEEKLY
from resources.ledger.entries.base import EntryKind, EntryLike, position_fields
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.judge import Judgement
from resources.ledger.entries.register import VersionRecord, Versions
from resources.ledger.records import with_known_fields

# Returns how many days ahead a version was trained for, by the product version of its artifact; None if nobody said.
TrainedHorizon = Callable[[str], int | None]


@dataclass(frozen=True)
class ChannelMove:
    """A channel was pointed at a version.

    Attributes:
        channel: The channel.
        model_version: Where it points from then on.
        by: Who decided.
        reason: Why.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        is_rollback: Whether it went back to a version that the channel had pointed at before.
        policy: Version of the policy that it was judged by; empty where it was not, as by earlier releases.
        judgement: Manifest hash of the product `promotion_gates` that says how; empty likewise.
        overrides: Gates of merit that it failed and that were overridden.
    """

    channel: str
    model_version: str
    by: str
    reason: str
    sequence: int = 0
    recorded_at: str = ""
    is_rollback: bool = False
    policy: str = ""
    judgement: str = ""
    overrides: tuple[str, ...] = ()


@dataclass
class Channels:
    """What follows from moves of channels.

    Attributes:
        channel_moves: Of all channels, oldest first.
        cleared: Ledger entry from which on a channel points at nothing, until it is moved again.
    """

    channel_moves: list[ChannelMove] = field(default_factory=list)
    cleared: dict[str, int] = field(default_factory=dict)

    def of(self, channel: str) -> list[ChannelMove]:
        """Return the moves of one channel, oldest first."""
        return [move for move in self.channel_moves if move.channel == channel]

    def target(self, channel: str) -> str | None:
        """Return the version that a channel points at; None before its first move, and once it was cleared."""
        move = self.newest(channel)
        return None if move is None or self.cleared.get(channel, 0) > move.sequence else move.model_version

    def newest(self, channel: str) -> ChannelMove | None:
        """Return the newest move of a channel; None before the first."""
        return next((move for move in reversed(self.channel_moves) if move.channel == channel), None)

    def since(self, channel: str) -> int:
        """Return the ledger entry since which a channel points where it does; 0 before its first move."""
        move = self.newest(channel)
        return max(0 if move is None else move.sequence, self.cleared.get(channel, 0))

    def newest_to(self, channel: str, model_version: str) -> ChannelMove | None:
        """Return the newest move of a channel to a version, or None."""
        return next((move for move in reversed(self.of(channel)) if move.model_version == model_version), None)

    def overrides_of(self, model_version: str) -> tuple[str, ...]:
        """Return the gates that a version is used in spite of.

        They are those of the newest move of each channel that points at it now. Of a version that none points at any
        more, and that is scored for a while still, those of the newest move of each channel to it.
        """
        newest = {move.channel: move for move in self.channel_moves if move.model_version == model_version}
        pointing = [move for move in newest.values() if self.target(move.channel) == model_version]
        return tuple(sorted({gate for move in pointing or newest.values() for gate in move.overrides}))


class ChannelMoveKind(EntryKind[ChannelMove]):
    """A channel points at a version from here on.

    Attributes:
        is_rollback: Whether moves of this kind go back.
    """

    record = ChannelMove
    is_rollback: bool

    def read(self, entry: EntryLike) -> ChannelMove:
        """Return the move of an entry."""
        listed = {"is_rollback": self.is_rollback, "overrides": tuple(entry.body.get("overrides", ()))}
        facts = {**entry.body, **position_fields(entry), **listed}
        return with_known_fields(ChannelMove, facts)

    def body(self, record: ChannelMove) -> dict[str, Any]:
        """Return the JSON form; which way it went is said by the kind, and of a judgement only what there is."""
        judged = {"policy": record.policy, "judgement": record.judgement, "overrides": list(record.overrides)}
        return {
            **{name: getattr(record, name) for name in ("channel", "model_version", "by", "reason")},
            **{name: said for name, said in judged.items() if said},
        }

    def fold(self, record: ChannelMove, state: FoldedState) -> None:
        """Keep the move behind those before it."""
        state.part(Channels).channel_moves.append(record)


def require_not_retired(model_version: str, channel: str, versions: Versions) -> VersionRecord:
    """Return a version, unless it is retired.

    Args:
        model_version: The version.
        channel: Channel that is to point at it.
        versions: All of them.

    Raises:
        UnknownVersionError: If there is no such version.
        NotAcceptedError: If it is retired.
    """
    version, retired = versions.known(model_version), versions.retirement_problem(model_version)
    if retired:
        raise NotAcceptedError(
            f"`{channel}` cannot point at it: {retired}",
            remedy=Sentence(
                "If it should serve again: ",
                Action("retire", {"undo": True, "by": "NAME", "reason": "TEXT"}, on=(model_version,)),
                ".",
            ),
            model_version=model_version,
        )
    return version


def horizon_problem(record: VersionRecord, channel: str, trained_horizon: TrainedHorizon) -> str:
    """Say why a version could never serve the cadence which follows the channel; nothing if it could."""
    if channel not in (WEEKLY.champion, WEEKLY.challenger):
        # No version is trained for fewer days than the shortest daily run.
        return ""
    days = trained_horizon(record.artifact)
    if days is None or days >= WEEKLY.shortest_horizon:
        return ""
    return (
        f"`{record.model_version}` was trained for {days} days ahead, and {WEEKLY.name} runs look at least "
        f"{WEEKLY.shortest_horizon} ahead."
    )


def require_reach(record: VersionRecord, channel: str, trained_horizon: TrainedHorizon) -> None:
    """Refuse a version that could never serve the cadence which follows the channel.

    Raises:
        NotAcceptedError: If it was trained for fewer days ahead than the cadence looks.
    """
    lacking = horizon_problem(record, channel, trained_horizon)
    if lacking:
        raise NotAcceptedError(
            lacking,
            remedy=f"Train a version with --horizon {WEEKLY.default_horizon}.",
            channel=channel,
            model_version=record.model_version,
        )


def return_problem(
    name: str,
    versions: Versions,
    last: ChannelMove | None,
    trained_horizon: TrainedHorizon,
    judged: Judgement | None = None,
) -> str:
    """Say why a channel may not go back to a version; nothing if it may.

    Args:
        name: The version.
        versions: What is known of it.
        last: When the channel was last pointed at it. If it was judged then, no gate of merit is asked for again.
        trained_horizon: Returns how many days ahead a version was trained for.
        judged: Its newest judgement for channels of the cadence; None if there is none.
    """
    record, retired = versions.by_name[name], versions.retirement_problem(name)
    if retired or last is None:
        return retired
    failed = record.failed_gates(for_channel=not last.judgement)
    if failed:
        return f"its evaluation report fails {first_ten(failed)}."
    if judged is not None and judged.failed_soundness:
        # Found since it was promoted, or by whoever looked last: bytes that changed serve nobody.
        return f"its newest judgement (ledger entry {judged.sequence}) fails {first_ten(judged.failed_soundness)}."
    return horizon_problem(record, last.channel, trained_horizon)

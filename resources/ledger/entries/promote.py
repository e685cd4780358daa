"""`promote`: a channel points at a version from here on.

What belongs here: all that is to be known of this kind of entry. What does not: going back to an earlier version.
"""

from collections.abc import Sequence
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, LostRaceError, NotAcceptedError, first_ten
from forecast_assets.core.keys import cadence_of
from forecast_assets.core.policy import MERIT_GATES
from resources.ledger.entries.audit import (
    RECORDED_AT,
    AuditColumn,
    AuditTable,
    AuditView,
    ColumnType,
    ComputedRows,
    TableView,
)
from resources.ledger.entries.base import EntryDescription, EntryEvent, register_kind
from resources.ledger.entries.channel_moves import (
    ChannelMove,
    ChannelMoveKind,
    Channels,
    TrainedHorizon,
    require_not_retired,
    require_reach,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.judge import Judgement, Judgements
from resources.ledger.entries.policy import Policies
from resources.ledger.entries.register import CHANNEL_GATES, VersionRecord, Versions


class PromoteKind(ChannelMoveKind):
    """Promotions; with them comes the view `channel_history`, which shows rollbacks too."""

    name = "promote"
    meaning = "a channel points at a version from here on"
    kept_state = "where each channel points; the last `promote` or `rollback` counts"
    is_rollback = False

    def admit(
        self,
        record: ChannelMove,
        state: FoldedState,
        *,
        trained_horizon: TrainedHorizon = lambda _: None,
        since_policy: int | None = None,
        since_move: int | None = None,
    ) -> None:
        """Refuse a version that may not serve.

        A version that was judged for the channel's cadence needs every gate of its newest judgement, but those of merit
        that are overridden; one that never was, as in stores of earlier releases, those that it was registered with.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            trained_horizon: Returns how many days ahead a version was trained for.
            since_policy: Ledger entry of the newest policy when the version was judged, 0 if there was none; None if
                nobody looked.
            since_move: Ledger entry since which the channel pointed where it did before the version was judged; None if
                nobody looked.

        Raises:
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If it is retired, fails a gate, a gate may not be overridden, or it was trained for fewer
                days ahead than the channel's cadence looks.
            InputError: If a gate that is overridden does not fail.
            LostRaceError: If the channel moved, it was judged again, another champion was appointed, or another policy
                was applied since it was judged.
        """
        version = require_not_retired(record.model_version, record.channel, state.part(Versions))
        _require_unmoved(record, state.part(Channels), since_move)
        judged = state.part(Judgements).newest(version.model_version, cadence_of(record.channel).name)
        if judged is None:
            _require_registered_gates(version)
        else:
            _require_as_judged(record, judged, state, since_policy)
            _require_gates(record, judged, state)
        require_reach(version, record.channel, trained_horizon)

    def views(self) -> Sequence[AuditView]:
        """Return the view `channel_history`."""
        return (
            TableView(
                name=CHANNEL_HISTORY.name,
                grain="one time that a channel was pointed at a version",
                description="Every promotion, every rollback and every challenger that was set, oldest first; the last "
                "of a channel is where it points now, unless `challenger_trials` stops it later.",
                key=("sequence",),
                table=CHANNEL_HISTORY,
            ),
        )

    def event(self, record: ChannelMove) -> EntryEvent:
        """Return which channel points elsewhere."""
        return EntryEvent("channel.promoted", f"channels/{record.channel}")

    def describe(self, record: ChannelMove) -> EntryDescription:
        """Return where the channel points, who decided and why."""
        return EntryDescription(
            f"{record.channel} is {record.model_version}{overridden_text(record)}", record.by, record.reason
        )


def overridden_text(move: ChannelMove) -> str:
    """Say which gates were overridden; nothing where none was."""
    return f", overriding {first_ten(move.overrides)}" if move.overrides else ""


def _require_registered_gates(version: VersionRecord) -> None:
    failed = version.failed_gates(for_channel=True)
    if failed:
        raise NotAcceptedError(
            f"`{version.model_version}` cannot be promoted: its evaluation report fails {first_ten(failed)}.",
            remedy=Sentence(
                "Look at it: ", Action("versions", on=(version.model_version,)), f"; {_promotion_remedy(failed)}."
            ),
            model_version=version.model_version,
            failed=failed,
        )


def _require_unmoved(record: ChannelMove, channels: Channels, since_move: int | None) -> None:
    """Refuse to move a channel that somebody else has moved since it was looked at."""
    if since_move is None or channels.since(record.channel) == since_move:
        return
    raise LostRaceError(
        f"`{record.channel}` was moved meanwhile; it is now {channels.target(record.channel) or 'nothing'}.",
        remedy="If it should still move, run the same command again.",
        model_version=record.model_version,
        channel=record.channel,
    )


def _require_as_judged(record: ChannelMove, judged: Judgement, state: FoldedState, since_policy: int | None) -> None:
    """Refuse what was decided by a judgement that no longer holds."""
    name, champion = record.model_version, state.part(Channels).target(cadence_of(record.channel).champion)
    changed = [
        *(["it was judged again"] if record.judgement not in ("", judged.product_version) else []),
        *([f"{champion} is the champion now"] if record.judgement and champion not in (judged.against or None, name)
          else []),
        *(["another policy was applied"] if since_policy is not None and state.part(Policies).newest > since_policy
          else []),
    ]  # fmt: skip
    if changed:
        raise LostRaceError(
            f"`{name}` was judged for {record.channel}, and meanwhile {first_ten(changed)}.",
            remedy="Run the same command again: it is judged as things are now.",
            model_version=name,
            channel=record.channel,
        )


def _require_gates(record: ChannelMove, judged: Judgement, state: FoldedState) -> None:
    """Refuse a version that fails a gate which is not, or may not be, overridden."""
    name, look = record.model_version, Action("gates", on=(record.model_version,))
    met = [gate for gate in record.overrides if gate not in judged.failed]
    if met:
        raise InputError(
            f"`{name}` does not fail {first_ten(met)}, so there is nothing to override.",
            remedy=Sentence("Leave it out; see what it fails: ", look, "."),
            model_version=name,
            gates=met,
        )
    failed = [gate for gate in judged.failed if gate not in record.overrides]
    if failed:
        raise NotAcceptedError(
            f"`{name}` cannot be promoted: by policy {judged.policy} it fails {first_ten(failed)}.",
            remedy=Sentence("See figures and bounds: ", look, f"; {_judged_remedy(failed, judged, state)}."),
            model_version=name,
            failed=failed,
            policy=judged.policy,
        )
    closed = [gate for gate in record.overrides if gate not in _overridable(judged, state)]
    if closed:
        raise NotAcceptedError(
            f"{first_ten(closed)} cannot be overridden by policy {judged.policy}.",
            remedy=_override_remedy(closed),
            model_version=name,
            gates=closed,
            policy=judged.policy,
        )


def _overridable(judged: Judgement, state: FoldedState) -> Sequence[str]:
    policy = state.part(Policies).called(judged.policy)
    return () if policy is None else policy.policy.overrides.allowed


def _override_remedy(closed: Sequence[str]) -> str | Sentence:
    if {*closed} - {*MERIT_GATES}:
        return "Gates of soundness never are: put right what they name, or promote another version."
    return Sentence(
        "Train a better version; or let the policy allow it, under `overrides.allowed`: ",
        Action("policy apply", {"by": "NAME", "reason": "TEXT"}, on=("FILE",)),
        ".",
    )


def _judged_remedy(failed: Sequence[str], judged: Judgement, state: FoldedState) -> str:
    if {*failed} <= {*_overridable(judged, state)}:
        return "the policy allows to override it, with --override GATE for each"
    return "train a better one"


def _promotion_remedy(failed: Sequence[str]) -> str:
    if CHANNEL_GATES.issuperset(failed):
        return (
            "it may serve under its own name; for a channel train a better one, or ingest external forecasts as "
            "another version, from a file with past prediction dates on which it beats seasonal naive"
        )
    return "train a better one"


CHANNEL_HISTORY: Final = AuditTable(
    "channel_history",
    (
        AuditColumn("channel", ColumnType.TEXT, "pointer that schedules and people follow, such as `champion`"),
        AuditColumn("model_version", ColumnType.TEXT, "where it points from then on"),
        AuditColumn("by", ColumnType.TEXT, 'who decided (in SQL `"by"`)'),
        AuditColumn("reason", ColumnType.TEXT, "why"),
        AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
        RECORDED_AT,
        AuditColumn("is_rollback", ColumnType.BOOLEAN,
                    "whether it went back to a version that it had pointed at before"),
        AuditColumn("policy", ColumnType.TEXT,
                    "version of the policy that the version was judged by; empty where it was not, as by releases "
                    "before there were policies"),
        AuditColumn("judgement", ColumnType.TEXT,
                    "product version of `promotion_gates` that says how; empty likewise"),
        AuditColumn("overridden_gates", ColumnType.TEXT,
                    "gates of merit that it failed and that were overridden, joined with `;`; empty if none was"),
        AuditColumn("overrides", ColumnType.TEXT,
                    "`overridden_gates` under its first name; planners' overrides are in `planner_overrides`"),
    ),
    lambda state: state.part(Channels).channel_moves,
    lambda moves, _: ComputedRows(
        [
            {**vars(move), **dict.fromkeys(("overridden_gates", "overrides"), ";".join(move.overrides))}
            for move in moves
        ]
    ),
)  # fmt: skip
PROMOTE: Final = register_kind(PromoteKind())

"""`promote`: a channel points at a version from here on.

What belongs here: all that is to be known of this kind of entry. What does not: going back to an earlier version.
"""

from collections.abc import Sequence
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotAcceptedError, first_ten
from forecast_assets.core.keys import WEEKLY
from resources.ledger.entries.audit import RECORDED_AT, AuditColumn, AuditTable, AuditView, ColumnType, TableView
from resources.ledger.entries.base import EntryDescription, register_kind
from resources.ledger.entries.channel_moves import (
    ChannelMove,
    ChannelMoveKind,
    Channels,
    TrainedHorizon,
    horizon_problem,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.register import CHANNEL_GATES, Versions


class PromoteKind(ChannelMoveKind):
    """Promotions; with them comes the view `channel_history`, which shows rollbacks too."""

    name = "promote"
    meaning = "a channel points at a version from here on"
    kept_state = "where each channel points; the last `promote` or `rollback` counts"
    is_rollback = False

    def admit(
        self, record: ChannelMove, state: FoldedState, *, trained_horizon: TrainedHorizon = lambda _: None
    ) -> None:
        """Refuse a version that may not serve.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            trained_horizon: Returns how many days ahead a version was trained for.

        Raises:
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If it is retired, its evaluation report did not pass the gates, or it was trained for
                fewer days ahead than the channel's cadence looks.
        """
        versions = state.part(Versions)
        version, retired = versions.known(record.model_version), versions.retirement_problem(record.model_version)
        if retired:
            raise NotAcceptedError(
                f"`{record.channel}` cannot point at it: {retired}",
                remedy=Sentence(
                    "If it should serve again: ",
                    Action("retire", {"undo": True, "by": "NAME", "reason": "TEXT"}, on=(version.model_version,)),
                    ".",
                ),
                model_version=version.model_version,
            )
        failed = version.failed_gates(for_channel=True)
        if failed:
            raise NotAcceptedError(
                f"`{version.model_version}` cannot be promoted: its evaluation report fails {first_ten(failed)}.",
                remedy=Sentence(
                    "Look at it: ",
                    Action("versions", on=(version.model_version,)),
                    f"; {_promotion_remedy(failed)}.",
                ),
                model_version=version.model_version,
                failed=failed,
            )
        lacking = horizon_problem(version, record.channel, trained_horizon)
        if lacking:
            raise NotAcceptedError(
                lacking,
                remedy=f"Train a version with --horizon {WEEKLY.default_horizon}.",
                channel=record.channel,
                model_version=version.model_version,
            )

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

    def describe(self, record: ChannelMove) -> EntryDescription:
        """Return where the channel points, who decided and why."""
        return EntryDescription(f"{record.channel} is {record.model_version}", record.by, record.reason)


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
    ),
    lambda state: state.part(Channels).channel_moves,
)  # fmt: skip
PROMOTE: Final = register_kind(PromoteKind())

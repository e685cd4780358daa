"""`retire`: a model version serves no more, or serves again.

What belongs here: all that is to be known of this kind of entry. What does not: what a version published, which stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import InputError, NotAcceptedError, first_ten
from forecast_assets.core.keys import CHANNELS
from resources.ledger.entries.audit import RECORDED_AT, AuditColumn, AuditTable, AuditView, ColumnType, TableView
from resources.ledger.entries.base import EntryDescription, EntryEvent, EntryKind, register_kind
from resources.ledger.entries.channel_moves import Channels
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.register import Versions


@dataclass(frozen=True)
class Retirement:
    """A version serves no more, or serves again.

    Attributes:
        model_version: Which version.
        by: Who decided.
        reason: Why.
        serves_again: Whether this undoes an earlier retirement.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    model_version: str
    by: str
    reason: str
    serves_again: bool = False
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class Retirements:
    """All retirements and what undid them, oldest first."""

    made: list[Retirement] = field(default_factory=list)


class RetireKind(EntryKind[Retirement]):
    """Retirements. What a version published stays as it is, and can be corrected and replayed."""

    name = "retire"
    meaning = "a model version serves no more: no new run, no channel; or it serves again"
    kept_state = "whether each version serves; the last `retire` of a version decides"
    record = Retirement

    def fold(self, record: Retirement, state: FoldedState) -> None:
        """Take the version out of service, or back."""
        state.part(Retirements).made.append(record)
        retired = state.part(Versions).retired
        if record.serves_again:
            retired.pop(record.model_version, None)
        else:
            retired[record.model_version] = record.sequence

    def admit(self, record: Retirement, state: FoldedState) -> None:
        """Refuse a version that a channel points at, or of which this is true already.

        Raises:
            UnknownVersionError: If there is no such version.
            InputError: If who or why is missing, or this is true already.
            NotAcceptedError: If a channel points at it: schedules would go on with it.
        """
        name, versions = record.model_version, state.part(Versions)
        require_decision("Retiring a version", record.by, record.reason)
        versions.known(name)
        if (name in versions.retired) != record.serves_again:
            is_so = "serves" if record.serves_again else f"is retired (ledger entry {versions.retired[name]})"
            raise InputError(
                f"`{name}` {is_so} already.",
                remedy=Sentence("See which serve: ", Action("versions"), "."),
                model_version=name,
            )
        pointing = [channel for channel in CHANNELS if state.part(Channels).target(channel) == name]
        if pointing and not record.serves_again:
            verb = "points" if len(pointing) == 1 else "point"
            raise NotAcceptedError(
                f"`{name}` cannot be retired: {first_ten(pointing)} {verb} at it.",
                remedy=Sentence(
                    "Point the channel at another version first: ",
                    Action("promote", {"channel": pointing[0], "by": "NAME", "reason": "TEXT"}, on=("VERSION",)),
                    "; if it is a challenger's, stop its trial: ",
                    Action("challenger stop", {"by": "NAME", "reason": "TEXT"}),
                    ".",
                ),
                model_version=name,
                channels=pointing,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `retirements`."""
        return (
            TableView(
                name=RETIREMENTS.name,
                grain="one retirement of a version, or one that undoes it",
                description="Which versions serve no more from which ledger entry on, who decided and why.",
                key=("sequence",),
                table=RETIREMENTS,
            ),
        )

    def event(self, record: Retirement) -> EntryEvent:
        """Return which version serves no more, or again."""
        return EntryEvent(
            "version.restored" if record.serves_again else "version.retired", f"versions/{record.model_version}"
        )

    def describe(self, record: Retirement) -> EntryDescription:
        """Return which version, who decided and why."""
        what = "serves again" if record.serves_again else "retired"
        return EntryDescription(f"{record.model_version} {what}", record.by, record.reason)


RETIREMENTS: Final = AuditTable(
    "retirements",
    (
        AuditColumn("sequence", ColumnType.INT64, "ledger entry that says so"),
        AuditColumn("model_version", ColumnType.TEXT, "which version"),
        AuditColumn("serves_again", ColumnType.BOOLEAN, "whether it undoes an earlier retirement"),
        AuditColumn("by", ColumnType.TEXT, 'who decided (in SQL `"by"`)'),
        AuditColumn("reason", ColumnType.TEXT, "why"),
        RECORDED_AT,
    ),
    lambda state: state.part(Retirements).made,
)
RETIRE: Final = register_kind(RetireKind())

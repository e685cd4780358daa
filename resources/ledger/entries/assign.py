"""`assign`: it is recorded which version each store follows on a prediction date.

What belongs here: all that is to be known of this kind of entry. What does not: assigning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from forecast_assets.core.wording import counted
from resources.ledger.entries.audit import (
    FILE_COLUMNS,
    AuditColumn,
    AuditSource,
    AuditTable,
    AuditView,
    ColumnType,
    ComputedRows,
    ProductView,
    file_rows,
)
from resources.ledger.entries.base import (
    EntryDescription,
    EntryEvent,
    EntryKind,
    EntryLike,
    References,
    position_fields,
    register_kind,
    require_seen,
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import last_of, with_known_fields


@dataclass(frozen=True)
class AssignmentTerms:
    """What decides which version each store follows.

    Attributes:
        champion_version: Whose run the channel's followers read.
        forecast_horizon: Days ahead of the runs.
        trial: Ledger entry that began the trial; 0 where none runs.
        challenger_version: Whose run the other stores read; empty where no trial runs.
        share: Share of stores that follow the challenger.
        salt: What stores are hashed with; empty where no trial runs.
        is_challenger_published: Whether the challenger has published the date.
    """

    champion_version: str
    forecast_horizon: int
    trial: int = 0
    challenger_version: str = ""
    share: float = 0.0
    salt: str = ""
    is_challenger_published: bool = False


@dataclass(frozen=True)
class ChannelAssignment:
    """Which version each store follows on a prediction date was recorded.

    Attributes:
        channel: The channel whose followers read it.
        cadence: Rhythm of the runs.
        prediction_date: The date.
        terms: What decided it.
        stores: How many stores.
        challenger_stores: How many of them read the challenger's run.
        product_version: Manifest hash of the product `channel_assignments`.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    channel: str
    cadence: str
    prediction_date: date
    terms: AssignmentTerms
    stores: int
    challenger_stores: int
    product_version: str
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class ChannelAssignments:
    """What follows from assignments.

    Attributes:
        by_date: By cadence and prediction date, oldest first.
    """

    by_date: dict[tuple[str, date], list[ChannelAssignment]] = field(default_factory=dict)

    def newest(self, cadence: str, prediction_date: date) -> ChannelAssignment | None:
        """Return the newest assignment of a date, or None."""
        return last_of(self.by_date, (cadence, prediction_date))


class AssignKind(EntryKind[ChannelAssignment]):
    """Assignments of stores to versions, from their products to the view `channel_assignments`."""

    name = "assign"
    meaning = "it is recorded which version each store follows on a prediction date"
    kept_state = "assignments by cadence and date; the last counts, the earlier ones stay readable"
    record = ChannelAssignment

    def read(self, entry: EntryLike) -> ChannelAssignment:
        """Return the assignment of an entry."""
        read = {
            "prediction_date": date.fromisoformat(entry.body["prediction_date"]),
            "terms": with_known_fields(AssignmentTerms, entry.body["terms"]),
        }
        return with_known_fields(ChannelAssignment, {**entry.body, **position_fields(entry), **read})

    def fold(self, record: ChannelAssignment, state: FoldedState) -> None:
        """Keep the assignment behind the earlier ones of its date."""
        kept = state.part(ChannelAssignments).by_date
        kept.setdefault((record.cadence, record.prediction_date), []).append(record)

    def references(self, record: ChannelAssignment) -> References:
        """Return the product."""
        return References(products=(record.product_version,))

    def admit(self, record: ChannelAssignment, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse an assignment of a date that another process assigned meanwhile.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest assignment of the date when it was decided, 0 if there was none; None if
                nobody looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(ChannelAssignments).newest(record.cadence, record.prediction_date)
        require_seen(
            newest,
            since,
            f"assigned the stores of {record.prediction_date}",
            cadence=record.cadence,
            prediction_date=record.prediction_date,
        )

    def views(self) -> Sequence[AuditView]:
        """Return the view over every assignment of every date; which is the newest of a date is a column."""
        from forecast_assets.contracts import CHANNEL_ASSIGNMENTS

        return (
            ProductView(
                product=CHANNEL_ASSIGNMENTS,
                table=ASSIGNED,
                sequence="assigned_sequence",
                subject_columns=("of_cadence", "of_date"),
                extra_columns={
                    "assigned_sequence": "ledger entry that recorded the assignment",
                    "is_newest": "whether no later assignment of the date and cadence exists; join these alone",
                },
            ),
        )

    def event(self, record: ChannelAssignment) -> EntryEvent:
        """Return which channel stores follow."""
        return EntryEvent("channel.assigned", f"channels/{record.channel}")

    def describe(self, record: ChannelAssignment) -> EntryDescription:
        """Return how many stores read which version on which date."""
        terms, rest = record.terms, record.stores - record.challenger_stores
        shares = [f"{counted(rest, 'store')} {terms.champion_version}"]
        if terms.challenger_version:
            shares.append(f"{counted(record.challenger_stores, 'store')} {terms.challenger_version}")
        return EntryDescription(f"{record.channel} on {record.prediction_date}, {record.cadence}: {', '.join(shares)}")


def _recorded(state: FoldedState) -> Sequence[ChannelAssignment]:
    return [one for dates in state.part(ChannelAssignments).by_date.values() for one in dates]


def _rows(assignments: Sequence[ChannelAssignment], source: AuditSource) -> ComputedRows:
    return file_rows(
        assignments,
        source,
        lambda one: {"of_cadence": one.cadence, "of_date": one.prediction_date},
        sequence="assigned_sequence",
    )


# Which file of `channel_assignments` is of which assignment.
ASSIGNED: Final = AuditTable(
    "assigned",
    (
        AuditColumn("of_cadence", ColumnType.TEXT),
        AuditColumn("of_date", ColumnType.DATE),
        AuditColumn("assigned_sequence", ColumnType.INT64),
        *FILE_COLUMNS,
    ),
    _recorded,
    _rows,
)
ASSIGN: Final = register_kind(AssignKind())

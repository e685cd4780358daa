"""`review`: a week of a cadence was reviewed: its figures, and what is proposed to change of the policy.

What belongs here: all that is to be known of this kind of entry. What does not: reviewing, or applying a proposal
(`policy`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    known_until,
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
class ProposedChange:
    """A value of the policy that somebody may want to change; nothing follows from it by itself.

    Attributes:
        key: `section.key`.
        before: What it was.
        after: What is proposed.
        reason: Why.
    """

    key: str
    before: float
    after: float
    reason: str


@dataclass(frozen=True)
class WeekReview:
    """A week was reviewed.

    Attributes:
        cadence: Rhythm of the runs.
        week: ISO week, as `2025-W26`.
        product_version: Manifest hash of the product `business_reviews`.
        numbers: SHA-256 of its rows.
        known_until: Moment of knowledge of the newest measurement in it, ISO 8601 in UTC.
        policy: Version of the policy that it is held against.
        proposals: What might be changed of that policy.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    cadence: str
    week: str
    product_version: str
    numbers: str
    known_until: str
    policy: str
    proposals: tuple[ProposedChange, ...] = ()
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class WeekReviews:
    """What follows from reviews.

    Attributes:
        by_week: By cadence and ISO week, oldest first.
    """

    by_week: dict[tuple[str, str], list[WeekReview]] = field(default_factory=dict)

    def newest(self, cadence: str, week: str) -> WeekReview | None:
        """Return the newest review of a week, or None."""
        return last_of(self.by_week, (cadence, week))


class ReviewKind(EntryKind[WeekReview]):
    """Reviewed weeks, from their product to the view `business_reviews`."""

    name = "review"
    meaning = "a week was reviewed: its figures, and what is proposed to change of the policy"
    kept_state = "reviews by cadence and week; the last counts, the earlier ones stay readable"
    record = WeekReview

    def read(self, entry: EntryLike) -> WeekReview:
        """Return the review of an entry."""
        proposed = tuple(with_known_fields(ProposedChange, each) for each in entry.body.get("proposals", ()))
        return with_known_fields(WeekReview, {**entry.body, **position_fields(entry), "proposals": proposed})

    def fold(self, record: WeekReview, state: FoldedState) -> None:
        """Keep the review behind the earlier ones of its week."""
        state.part(WeekReviews).by_week.setdefault((record.cadence, record.week), []).append(record)

    def references(self, record: WeekReview) -> References:
        """Return the product."""
        return References(products=(record.product_version,))

    def admit(self, record: WeekReview, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a review of a week that was reviewed after its measurements were read.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest review of the week when measurements were read, 0 if there was none; None
                if nobody looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(WeekReviews).newest(record.cadence, record.week)
        require_seen(
            newest, since, f"reviewed {record.week} of {record.cadence} runs", cadence=record.cadence, week=record.week
        )

    def views(self) -> Sequence[AuditView]:
        """Return the view over every review of every week; which is the newest of a week is a column."""
        from forecast_assets.contracts import BUSINESS_REVIEWS

        return (
            ProductView(
                product=BUSINESS_REVIEWS,
                table=REVIEWED,
                sequence="reviewed_sequence",
                subject_columns=("cadence", "week"),
                extra_columns={
                    "reviewed_sequence": "ledger entry that recorded the review",
                    "is_newest": "whether no later review of the week and cadence exists",
                    "known_until": "moment of knowledge of the newest measurement in it",
                },
            ),
        )

    def event(self, record: WeekReview) -> EntryEvent:
        """Return runs of which cadence were reviewed."""
        return EntryEvent("week.reviewed", f"reviews/{record.cadence}")

    def describe(self, record: WeekReview) -> EntryDescription:
        """Return the week and what is proposed."""
        changes = ", ".join(f"{each.key} {each.before:g} -> {each.after:g}" for each in record.proposals)
        said = f"{counted(len(record.proposals), 'change')} of the policy proposed: {changes}" if changes else ""
        return EntryDescription(
            f"{record.week} of {record.cadence} runs reviewed; {said or 'no change of the policy proposed'}"
        )


def _rows(records: Sequence[WeekReview], source: AuditSource) -> ComputedRows:
    return file_rows(
        records,
        source,
        lambda one: {"cadence": one.cadence, "week": one.week, **known_until(one.known_until)},
        sequence="reviewed_sequence",
    )


# Which file of `business_reviews` is of which review.
REVIEWED: Final = AuditTable(
    "reviewed",
    (
        AuditColumn("cadence", ColumnType.TEXT),
        AuditColumn("week", ColumnType.TEXT),
        AuditColumn("reviewed_sequence", ColumnType.INT64),
        AuditColumn("known_until", ColumnType.MOMENT),
        *FILE_COLUMNS,
    ),
    lambda state: [one for weeks in state.part(WeekReviews).by_week.values() for one in weeks],
    _rows,
)
REVIEW: Final = register_kind(ReviewKind())

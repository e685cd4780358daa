"""`anomalies`: the series of a snapshot were held against what is usual of them.

What belongs here: all that is to be known of this kind of entry. What does not: scoring, or the detector (`detector`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

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
from resources.ledger.entries.backlog import Backlog
from resources.ledger.entries.base import (
    EntryDescription,
    EntryKind,
    EntryLike,
    References,
    position_fields,
    register_kind,
    require_seen,
)
from resources.ledger.entries.drift import AUTOMATION, Signal
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import last_of, with_known_fields


@dataclass(frozen=True)
class AnomalyRecord:
    """The series of a day's snapshot were judged.

    Attributes:
        prediction_date: The day.
        product_version: Manifest hash of the product `feature_anomalies`.
        numbers: SHA-256 of its rows.
        known_until: Moment of knowledge of the snapshot, ISO 8601 in UTC.
        detector: Name of the detector.
        judged: Series with history enough.
        anomalous: Of them those above the threshold.
        opened: Signals of feeds of which too many series are anomalous, that were not told before.
        closed: Those that are told no more, by what they are.
        told: All that are told of the day, by what they are, new or not.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    prediction_date: date
    product_version: str
    numbers: str
    known_until: str
    detector: str
    judged: int
    anomalous: int
    opened: tuple[Signal, ...] = ()
    closed: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class AnomalyRecords:
    """What follows from judged snapshots.

    Attributes:
        by_day: By day, oldest first.
    """

    by_day: dict[date, list[AnomalyRecord]] = field(default_factory=dict)

    def newest_of(self, day: date) -> AnomalyRecord | None:
        """Return the newest judgement of a day, or None."""
        return last_of(self.by_day, day)

    def is_sound(self, day: date) -> bool:
        """Return whether nothing is told of a day, or it was not judged."""
        newest = self.newest_of(day)
        return newest is None or not newest.told

    @property
    def newest(self) -> AnomalyRecord | None:
        """The judgement that was recorded last, or None."""
        every = (record for records in self.by_day.values() for record in records)
        return max(every, key=lambda record: record.sequence, default=None)


class AnomalyKind(EntryKind[AnomalyRecord]):
    """Judged snapshots, from their product to the view `feature_anomalies`; each signal that opens makes an item."""

    name = "anomalies"
    meaning = "the series of a day's snapshot were held against what is usual: signals opened, or are told no more"
    kept_state = "judgements by day, the last of which counts; an item of the backlog for each signal"
    record = AnomalyRecord

    def read(self, entry: EntryLike) -> AnomalyRecord:
        """Return the judgement of an entry."""
        body = entry.body
        facts = {
            **body,
            **position_fields(entry),
            "prediction_date": date.fromisoformat(body["prediction_date"]),
            "opened": tuple(with_known_fields(Signal, signal) for signal in body.get("opened", ())),
            "closed": tuple(body.get("closed", ())),
            "told": tuple(body.get("told", ())),
        }
        return with_known_fields(AnomalyRecord, facts)

    def fold(self, record: AnomalyRecord, state: FoldedState) -> None:
        """Keep the judgement, and what it says to the backlog."""
        state.part(AnomalyRecords).by_day.setdefault(record.prediction_date, []).append(record)
        opened = [(each.signal, each.evidence) for each in record.opened]
        place = (record.sequence, record.recorded_at)
        state.part(Backlog).tell(record.prediction_date, opened, record.closed, AUTOMATION, place)

    def references(self, record: AnomalyRecord) -> References:
        """Return the report, and with it the snapshots and the detector that it was made from."""
        return References(products=(record.product_version,))

    def admit(self, record: AnomalyRecord, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a judgement that did not see the newest one: it could open what is open.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest judgement when this one was made, 0 if there was none; None if nobody
                looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(AnomalyRecords).newest
        if newest is not None:
            require_seen(
                newest, since, f"judged the series of {newest.prediction_date}", prediction_date=record.prediction_date
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view over every report of every day; which is the newest of a day is a column."""
        from forecast_assets.contracts import FEATURE_ANOMALIES

        return (
            ProductView(
                product=FEATURE_ANOMALIES,
                table=UNUSUAL,
                sequence="judged_sequence",
                subject_columns=("judged_date",),
                extra_columns={
                    "judged_sequence": "ledger entry that recorded the report",
                    "is_newest": "whether no later report of the day exists",
                    "known_until": "moment of knowledge of the snapshot",
                },
            ),
        )

    def describe(self, record: AnomalyRecord) -> EntryDescription:
        """Return the day, how many series are anomalous, and what opened or is told no more."""
        opened = f"; opened {', '.join(each.signal for each in record.opened)}" if record.opened else ""
        closed = f"; told no more: {', '.join(record.closed)}" if record.closed else ""
        return EntryDescription(
            f"snapshot of {record.prediction_date} judged by {record.detector}: {record.anomalous:,} of "
            f"{record.judged:,} series anomalous{opened}{closed}"
        )


def _rows(records: Sequence[AnomalyRecord], source: AuditSource) -> ComputedRows:
    return file_rows(
        records,
        source,
        lambda one: {"judged_date": one.prediction_date, **known_until(one.known_until)},
        sequence="judged_sequence",
    )


# Which file of `feature_anomalies` is of which judgement.
UNUSUAL: Final = AuditTable(
    "unusual",
    (
        AuditColumn("judged_date", ColumnType.DATE),
        AuditColumn("judged_sequence", ColumnType.INT64),
        AuditColumn("known_until", ColumnType.MOMENT),
        *FILE_COLUMNS,
    ),
    lambda state: [one for days in state.part(AnomalyRecords).by_day.values() for one in days],
    _rows,
)
ANOMALIES: Final = register_kind(AnomalyKind())

"""`drift`: inputs and errors of a day were judged: which signals opened, and which are told no more.

What belongs here: all that is to be known of this kind of entry. What does not: judging, or what people make of a
signal (`backlog`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Final

from forecast_assets.core.errors import InputError
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
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import last_of, with_known_fields

AUTOMATION: Final = "automation"


@dataclass(frozen=True)
class SignalName:
    """What a signal is called, in its parts.

    Example:
        >>> SignalName.parse("feed/sales/sales_units/changed/all").figure
        'sales_units'

    Attributes:
        subject: What kind of thing is watched: `feed`, `feature`, `forecast`, or `series` of a snapshot.
        name: Which feed or feature; of forecasts cadence and version.
        figure: Which figure of it.
        verdict: What is told of it.
        reach: `all`, or `stores` where only some do so.
    """

    subject: str
    name: str
    figure: str
    verdict: str
    reach: str

    def __str__(self) -> str:
        """Return the name as entries have it."""
        return f"{self.subject}/{self.name}/{self.figure}/{self.verdict}/{self.reach}"

    @classmethod
    def parse(cls, text: str) -> "SignalName":
        """Return the parts of a name; that of a feature may have slashes itself.

        Raises:
            InputError: If it is the name of no signal.
        """
        subject, _, rest = text.partition("/")
        parts = rest.rsplit("/", 3)
        if len(parts) < len(fields(cls)) - 1:
            raise InputError(
                f"`{text}` is the name of no signal.",
                remedy="Write it as subject, name, figure, verdict and reach, between slashes.",
                signal=text,
            )
        return cls(subject, *parts)

    @property
    def watched(self) -> tuple[str, str, str]:
        """What is watched, whatever is told of it: subject, name and figure."""
        return self.subject, self.name, self.figure


@dataclass(frozen=True)
class Signal:
    """Something that somebody has to look at.

    Attributes:
        signal: What it is called, see `SignalName`.
        since: First day of it, ISO 8601.
        size: How far the figure is from what was to be expected, on its scale.
        evidence: The same in words, with the stores.
    """

    signal: str
    since: str
    size: float
    evidence: str

    @property
    def called(self) -> SignalName:
        """What it is called, in its parts."""
        return SignalName.parse(self.signal)


@dataclass(frozen=True)
class DriftRecord:
    """Inputs and errors of a day were judged.

    Attributes:
        prediction_date: The day.
        product_version: Manifest hash of the product `drift_reports`.
        numbers: SHA-256 of its rows.
        known_until: Moment of knowledge of the inputs, ISO 8601 in UTC.
        opened: Signals that were not told before.
        closed: Those that are told no more, by what they are.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    prediction_date: date
    product_version: str
    numbers: str
    known_until: str
    opened: tuple[Signal, ...] = ()
    closed: tuple[str, ...] = ()
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class DriftRecords:
    """What follows from judged days.

    Attributes:
        by_day: By day, oldest first.
    """

    by_day: dict[date, list[DriftRecord]] = field(default_factory=dict)

    def newest_of(self, day: date) -> DriftRecord | None:
        """Return the newest judgement of a day, or None."""
        return last_of(self.by_day, day)

    def open_before(self, day: date) -> dict[str, Signal]:
        """Return the signals that were told when a day came, by name: by the judgements of the days before."""
        told: dict[str, Signal] = {}
        earlier = (record for each, records in self.by_day.items() if each < day for record in records)
        for record in sorted(earlier, key=lambda record: record.sequence):
            for name in record.closed:
                told.pop(name, None)
            told.update({signal.signal: signal for signal in record.opened})
        return told

    @property
    def newest(self) -> DriftRecord | None:
        """The judgement that was recorded last, or None."""
        every = (record for records in self.by_day.values() for record in records)
        return max(every, key=lambda record: record.sequence, default=None)


class DriftKind(EntryKind[DriftRecord]):
    """Judged days, from their report to the view `drift_reports`; each signal that opens makes an item."""

    name = "drift"
    meaning = "inputs and errors of a day were judged: signals opened, or are told no more"
    kept_state = "judgements by day, the last of which counts; an item of the backlog for each signal"
    record = DriftRecord

    def read(self, entry: EntryLike) -> DriftRecord:
        """Return the judgement of an entry."""
        body = entry.body
        facts = {
            **body,
            **position_fields(entry),
            "prediction_date": date.fromisoformat(body["prediction_date"]),
            "opened": tuple(with_known_fields(Signal, signal) for signal in body.get("opened", ())),
            "closed": tuple(body.get("closed", ())),
        }
        return with_known_fields(DriftRecord, facts)

    def fold(self, record: DriftRecord, state: FoldedState) -> None:
        """Keep the judgement, open an item for each new signal, and note of others that they are told no more."""
        state.part(DriftRecords).by_day.setdefault(record.prediction_date, []).append(record)
        opened = [(each.signal, each.evidence) for each in record.opened]
        place = (record.sequence, record.recorded_at)
        state.part(Backlog).tell(record.prediction_date, opened, record.closed, AUTOMATION, place)

    def references(self, record: DriftRecord) -> References:
        """Return the report."""
        return References(products=(record.product_version,))

    def admit(self, record: DriftRecord, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a judgement that did not see the newest one: it could open what is open.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest judgement when this one was made, 0 if there was none; None if nobody
                looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(DriftRecords).newest
        if newest is not None:
            require_seen(
                newest, since, f"judged the inputs of {newest.prediction_date}", prediction_date=record.prediction_date
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view over every report of every day; which is the newest of a day is a column."""
        from forecast_assets.contracts import DRIFT_REPORTS

        return (
            ProductView(
                product=DRIFT_REPORTS,
                table=WATCHED,
                sequence="judged_sequence",
                subject_columns=("judged_date",),
                extra_columns={
                    "judged_sequence": "ledger entry that recorded the report",
                    "is_newest": "whether no later report of the day exists",
                    "known_until": "moment of knowledge of the inputs",
                },
            ),
        )

    def describe(self, record: DriftRecord) -> EntryDescription:
        """Return the day and what opened or is told no more."""
        opened = f"; opened {', '.join(each.signal for each in record.opened)}" if record.opened else ""
        closed = f"; told no more: {', '.join(record.closed)}" if record.closed else ""
        signals = opened + closed or "; no change of signals"
        return EntryDescription(f"inputs of {record.prediction_date} judged{signals}")


def _rows(records: Sequence[DriftRecord], source: AuditSource) -> ComputedRows:
    return file_rows(
        records,
        source,
        lambda one: {"judged_date": one.prediction_date, **known_until(one.known_until)},
        sequence="judged_sequence",
    )


# Which file of `drift_reports` is of which judgement.
WATCHED: Final = AuditTable(
    "watched",
    (
        AuditColumn("judged_date", ColumnType.DATE),
        AuditColumn("judged_sequence", ColumnType.INT64),
        AuditColumn("known_until", ColumnType.MOMENT),
        *FILE_COLUMNS,
    ),
    lambda state: [one for days in state.part(DriftRecords).by_day.values() for one in days],
    _rows,
)
DRIFT: Final = register_kind(DriftKind())

"""Days that were judged, and their signals: what the kinds of entries that judge a day share.

What belongs here: signals and what they are called, which of them open or are told no more, the judgements of each day,
and how such an entry is read, folded and admitted. What does not: what is judged (`drift`, `anomalies`), or what people
make of a signal (`backlog`).
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from forecast_assets.core.errors import InputError
from resources.ledger.entries.audit import (
    FILE_COLUMNS,
    AuditColumn,
    AuditSource,
    AuditTable,
    ColumnType,
    ComputedRows,
    ProductView,
    file_rows,
    known_until,
)
from resources.ledger.entries.backlog import Backlog
from resources.ledger.entries.base import EntryKind, EntryLike, References, position_fields, require_seen
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


def opened_and_closed(
    told: Iterable[Signal], before: Collection[str], is_judged: Callable[[SignalName], bool]
) -> tuple[tuple[Signal, ...], tuple[str, ...]]:
    """Return which signals of a day are new, and which are told no more; what could not be judged stays as it is.

    Args:
        told: Signals of the day.
        before: Names of those that were told before.
        is_judged: Whether the day says anything of a signal.
    """
    now = [*told]
    over = {name for name in before if is_judged(SignalName.parse(name))} - {each.signal for each in now}
    return tuple(each for each in now if each.signal not in before), tuple(sorted(over))


class JudgedDay(Protocol):
    """What every judgement of a day has."""

    @property
    def prediction_date(self) -> date:
        """The day."""

    @property
    def product_version(self) -> str:
        """Manifest hash of the report."""

    @property
    def known_until(self) -> str:
        """Moment of knowledge of what was judged, ISO 8601 in UTC."""

    @property
    def opened(self) -> tuple[Signal, ...]:
        """Signals that were not told before."""

    @property
    def closed(self) -> tuple[str, ...]:
        """Those that are told no more, by name."""

    @property
    def sequence(self) -> int:
        """Ledger entry."""

    @property
    def recorded_at(self) -> str:
        """When, ISO 8601 in UTC."""


# A frozen dataclass that is a `JudgedDay`: Python's types have no way to say both.
JudgedT = TypeVar("JudgedT", bound=Any)


@dataclass
class JudgedDays(Generic[JudgedT]):
    """What follows from judged days.

    Attributes:
        by_day: By day, oldest first.
    """

    by_day: dict[date, list[JudgedT]] = field(default_factory=dict)

    def newest_of(self, day: date) -> JudgedT | None:
        """Return the newest judgement of a day, or None."""
        return last_of(self.by_day, day)

    @property
    def newest(self) -> JudgedT | None:
        """The judgement that was recorded last, or None."""
        return max(self.all(), key=lambda record: record.sequence, default=None)

    def all(self) -> list[JudgedT]:
        """Return every judgement of every day."""
        return [record for records in self.by_day.values() for record in records]


class JudgedDayKind(EntryKind[JudgedT]):
    """Judged days, from their report to a view over it; each signal that opens makes an item of the backlog.

    Attributes:
        records: What such entries are folded into.
        judged: What was judged, as people are told.
    """

    kept_state = "judgements by day, the last of which counts; an item of the backlog for each signal"
    records: ClassVar[type[JudgedDays[Any]]]
    judged: ClassVar[str]

    def read(self, entry: EntryLike) -> JudgedT:
        """Return the judgement of an entry."""
        body = entry.body
        names = {name: tuple(body[name]) for name in ("closed", "told") if name in body}
        facts = {
            **body,
            **position_fields(entry),
            **names,
            "prediction_date": date.fromisoformat(body["prediction_date"]),
            "opened": tuple(with_known_fields(Signal, signal) for signal in body.get("opened", ())),
        }
        return with_known_fields(self.record, facts)

    def fold(self, record: JudgedT, state: FoldedState) -> None:
        """Keep the judgement, open an item for each new signal, and note of others that they are told no more."""
        state.part(self.records).by_day.setdefault(record.prediction_date, []).append(record)
        opened = [(each.signal, each.evidence) for each in record.opened]
        place = (record.sequence, record.recorded_at)
        state.part(Backlog).tell(record.prediction_date, opened, record.closed, AUTOMATION, place)

    def references(self, record: JudgedT) -> References:
        """Return the report, and with it all that it was made from."""
        return References(products=(record.product_version,))

    def admit(self, record: JudgedT, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a judgement that did not see the newest one: it could open what is open.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest judgement when this one was made, 0 if there was none; None if nobody
                looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(self.records).newest
        if newest is not None:
            require_seen(
                newest, since, f"judged {self.judged} of {newest.prediction_date}",
                prediction_date=record.prediction_date,
            )  # fmt: skip

    @abstractmethod
    def views(self) -> Sequence[ProductView]:
        """Return the view over every report of every day: see `view_of_reports`."""


def signal_words(record: JudgedDay) -> str:
    """Return what opened or is told no more with a judgement, for people; empty where nothing is."""
    opened = f"; opened {', '.join(each.signal for each in record.opened)}" if record.opened else ""
    closed = f"; told no more: {', '.join(record.closed)}" if record.closed else ""
    return opened + closed


def report_table(name: str, records: type[JudgedDays[Any]]) -> AuditTable:
    """Return the table of which file of a report is of which judgement.

    Args:
        name: Of the table.
        records: What the entries are folded into.
    """
    return AuditTable(
        name,
        (
            AuditColumn("judged_date", ColumnType.DATE),
            AuditColumn("judged_sequence", ColumnType.INT64),
            AuditColumn("known_until", ColumnType.MOMENT),
            *FILE_COLUMNS,
        ),
        lambda state: state.part(records).all(),
        _rows,
    )


def view_of_reports(product: Any, table: AuditTable, judged: str) -> ProductView:
    """Return the view over every report of every day; which is the newest of a day is a column.

    Args:
        product: Contract of the report.
        table: As `report_table` returns it.
        judged: What was judged, as people are told.
    """
    return ProductView(
        product=product,
        table=table,
        sequence="judged_sequence",
        subject_columns=("judged_date",),
        extra_columns={
            "judged_sequence": "ledger entry that recorded the report",
            "is_newest": "whether no later report of the day exists",
            "known_until": f"moment of knowledge of the {judged}",
        },
    )


def _rows(records: Sequence[JudgedDay], source: AuditSource) -> ComputedRows:
    return file_rows(
        records,
        source,
        lambda one: {"judged_date": one.prediction_date, **known_until(one.known_until)},
        sequence="judged_sequence",
    )

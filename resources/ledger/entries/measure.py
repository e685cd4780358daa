"""`measure`: the published forecasts of a day were measured against its sales.

What belongs here: all that is to be known of this kind of entry. What does not: measuring.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Final

from forecast_assets.core.wording import counted, moment_text
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
class Measurement:
    """A day's published forecasts were measured against its sales.

    Attributes:
        cadence: Rhythm of the runs that were measured.
        target_date: The day.
        product_version: Manifest hash of the product `forecast_accuracy`.
        numbers: SHA-256 of its rows: the same numbers, the same hash.
        known_until: Moment of knowledge of the sales, ISO 8601 in UTC.
        runs: How many published runs were measured.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        acceptances: SHA-256 of the acceptance of each check; none in the entries of the first release.
        value_version: Manifest hash of the product `forecast_value_added`; empty where no forecast of the day was
            overridden, and in entries of releases that did not make it.
        value_numbers: SHA-256 of its rows.
        value_acceptances: SHA-256 of the acceptance of each of its checks.
    """

    cadence: str
    target_date: date
    product_version: str
    numbers: str
    known_until: str
    runs: int
    sequence: int = 0
    recorded_at: str = ""
    acceptances: Mapping[str, str] = field(default_factory=dict)
    value_version: str = ""
    value_numbers: str = ""
    value_acceptances: Mapping[str, str] = field(default_factory=dict)

    def says_the_same_as(self, other: "Measurement | None") -> bool:
        """Whether another measurement has the same numbers."""
        return other is not None and (self.numbers, self.value_numbers) == (other.numbers, other.value_numbers)


@dataclass
class Measurements:
    """What follows from measurements.

    Attributes:
        by_day: By cadence and day, oldest first.
    """

    by_day: dict[tuple[str, date], list[Measurement]] = field(default_factory=dict)

    def newest_of(self, cadence: str, days: Iterable[date]) -> list[Measurement]:
        """Return the newest measurement of each of some days, in their order, without those that were not measured."""
        newest = (self.newest(cadence, day) for day in days)
        return [one for one in newest if one is not None]

    def newest(self, cadence: str, target_date: date) -> Measurement | None:
        """Return the newest measurement of a day, or None."""
        return last_of(self.by_day, (cadence, target_date))


class MeasureKind(EntryKind[Measurement]):
    """Measurements, from their acceptances to the views `forecast_accuracy` and `forecast_value_added`."""

    name = "measure"
    meaning = "published forecasts of a day were measured against its sales"
    kept_state = "measurements by cadence and day; the last counts, the earlier ones stay readable"
    record = Measurement

    def read(self, entry: EntryLike) -> Measurement:
        """Return the measurement of an entry."""
        day = date.fromisoformat(entry.body["target_date"])
        return with_known_fields(Measurement, {**entry.body, **position_fields(entry), "target_date": day})

    def body(self, record: Measurement) -> dict[str, Any]:
        """Return what is stored; nothing of overrides where there were none."""
        return {name: said for name, said in super().body(record).items() if said or not name.startswith("value_")}

    def fold(self, record: Measurement, state: FoldedState) -> None:
        """Keep the measurement behind the earlier ones of its day."""
        state.part(Measurements).by_day.setdefault((record.cadence, record.target_date), []).append(record)

    def references(self, record: Measurement) -> References:
        """Return the products with their acceptances."""
        accepted = {record.product_version: record.acceptances, record.value_version: record.value_acceptances}
        made = {version: checks for version, checks in accepted.items() if version}
        return References(products=tuple(made), acceptances=made)

    def admit(self, record: Measurement, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a measurement of a day that was measured after its inputs were read.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest measurement of the day when the inputs were read, 0 if there was none;
                None if nobody looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(Measurements).newest(record.cadence, record.target_date)
        require_seen(
            newest,
            since,
            f"measured the {record.cadence} forecasts of {record.target_date}",
            cadence=record.cadence,
            target_date=record.target_date,
        )

    def views(self) -> Sequence[AuditView]:
        """Return the views over every measurement of every day; which is the newest of a day is a column."""
        from forecast_assets.contracts import FORECAST_ACCURACY, FORECAST_VALUE_ADDED

        return tuple(
            ProductView(
                product=product,
                table=table,
                sequence="measured_sequence",
                subject_columns=("cadence", "target_date"),
                extra_columns={
                    "measured_sequence": "ledger entry that recorded the measurement",
                    "is_newest": "whether no later measurement of the day and cadence exists; sum these alone",
                    "known_until": "moment of knowledge of the sales: when the newest row of the day became known",
                },
            )
            for product, table in ((FORECAST_ACCURACY, MEASURED), (FORECAST_VALUE_ADDED, VALUED))
        )

    def event(self, record: Measurement) -> EntryEvent:
        """Return forecasts of which cadence were measured."""
        return EntryEvent("forecasts.measured", f"measurements/{record.cadence}")

    def describe(self, record: Measurement) -> EntryDescription:
        """Return which forecasts were measured, how many runs, and as of when."""
        return EntryDescription(
            f"{record.cadence} forecasts of {record.target_date}: {counted(record.runs, 'run')}, by sales known until "
            f"{moment_text(record.known_until)}"
        )


def _recorded(state: FoldedState) -> Sequence[Measurement]:
    return [one for days in state.part(Measurements).by_day.values() for one in days]


def _valued(state: FoldedState) -> Sequence[Measurement]:
    return [one for one in _recorded(state) if one.value_version]


def _rows(product: str, measurements: Sequence[Measurement], source: AuditSource) -> ComputedRows:
    return file_rows(
        measurements,
        source,
        lambda one: {"cadence": one.cadence, "target_date": one.target_date, **known_until(one.known_until)},
        sequence="measured_sequence",
        product=product,
    )


_COLUMNS: Final = (
    AuditColumn("cadence", ColumnType.TEXT),
    AuditColumn("target_date", ColumnType.DATE),
    AuditColumn("measured_sequence", ColumnType.INT64),
    AuditColumn("known_until", ColumnType.MOMENT),
    *FILE_COLUMNS,
)
# Which file of `forecast_accuracy`, or of `forecast_value_added`, is of which measurement.
MEASURED: Final = AuditTable("measured", _COLUMNS, _recorded, partial(_rows, "product_version"))
VALUED: Final = AuditTable("valued", _COLUMNS, _valued, partial(_rows, "value_version"))
MEASURE: Final = register_kind(MeasureKind())

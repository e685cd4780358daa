"""`drift`: inputs and errors of a day were judged: which signals opened, and which are told no more.

What belongs here: all that is to be known of this kind of entry. What does not: judging, or what it shares with other
judgements of days (`judged_days`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from resources.ledger.entries.audit import ProductView
from resources.ledger.entries.base import EntryDescription, EntryEvent, register_kind
from resources.ledger.entries.judged_days import (
    JudgedDayKind,
    JudgedDays,
    Signal,
    report_table,
    signal_words,
    view_of_reports,
)


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


class DriftRecords(JudgedDays[DriftRecord]):
    """What follows from days whose inputs and errors were judged."""

    def open_before(self, day: date) -> dict[str, Signal]:
        """Return the signals that were told when a day came, by name: by the judgements of the days before."""
        told: dict[str, Signal] = {}
        earlier = (record for each, records in self.by_day.items() if each < day for record in records)
        for record in sorted(earlier, key=lambda record: record.sequence):
            for name in record.closed:
                told.pop(name, None)
            told.update({signal.signal: signal for signal in record.opened})
        return told


# Which file of `drift_reports` is of which judgement.
WATCHED: Final = report_table("watched", DriftRecords)


class DriftKind(JudgedDayKind[DriftRecord]):
    """Judged days, from their report to the view `drift_reports`."""

    name = "drift"
    meaning = "inputs and errors of a day were judged: signals opened, or are told no more"
    record = DriftRecord
    records = DriftRecords
    judged = "the inputs"

    def views(self) -> Sequence[ProductView]:
        """Return the view over every report of every day."""
        from forecast_assets.contracts import DRIFT_REPORTS

        return (view_of_reports(DRIFT_REPORTS, WATCHED, "inputs"),)

    def event(self, record: DriftRecord) -> EntryEvent:
        """Return that a day was judged, or that signals opened or are told no more."""
        return EntryEvent("drift.signals_changed" if record.opened or record.closed else "drift.judged", "drift")

    def describe(self, record: DriftRecord) -> EntryDescription:
        """Return the day and what opened or is told no more."""
        signals = signal_words(record) or "; no change of signals"
        return EntryDescription(f"inputs of {record.prediction_date} judged{signals}")


DRIFT: Final = register_kind(DriftKind())

"""`anomalies`: the series of a snapshot were held against what is usual of them.

What belongs here: all that is to be known of this kind of entry. What does not: scoring, the detector (`detector`), or
what it shares with other judgements of days (`judged_days`).
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


class AnomalyRecords(JudgedDays[AnomalyRecord]):
    """What follows from judged snapshots."""

    def is_sound(self, day: date) -> bool:
        """Return whether nothing is told of a day, or it was not judged."""
        newest = self.newest_of(day)
        return newest is None or not newest.told

    def told_last_on(self, day: date) -> set[str]:
        """Return the signals that a day tells and no later day does, by their newest judgements."""
        newest = {each: records[-1] for each, records in self.by_day.items() if each >= day}
        later = {name for each, record in newest.items() if each > day for name in record.told}
        return {*newest[day].told} - later if day in newest else set()


# Which file of `feature_anomalies` is of which judgement.
UNUSUAL: Final = report_table("unusual", AnomalyRecords)


class AnomalyKind(JudgedDayKind[AnomalyRecord]):
    """Judged snapshots, from their report to the view `feature_anomalies`."""

    name = "anomalies"
    meaning = "the series of a day's snapshot were held against what is usual: signals opened, or are told no more"
    record = AnomalyRecord
    records = AnomalyRecords
    judged = "the series"

    def views(self) -> Sequence[ProductView]:
        """Return the view over every report of every day."""
        from forecast_assets.contracts import FEATURE_ANOMALIES

        return (view_of_reports(FEATURE_ANOMALIES, UNUSUAL, "snapshot"),)

    def event(self, record: AnomalyRecord) -> EntryEvent:
        """Return that a day was judged, or that signals opened or are told no more."""
        return EntryEvent(
            "anomalies.signals_changed" if record.opened or record.closed else "anomalies.judged", "anomalies"
        )

    def describe(self, record: AnomalyRecord) -> EntryDescription:
        """Return the day, how many series are anomalous, and what opened or is told no more."""
        return EntryDescription(
            f"snapshot of {record.prediction_date} judged by {record.detector}: {record.anomalous:,} of "
            f"{record.judged:,} series anomalous{signal_words(record)}"
        )


ANOMALIES: Final = register_kind(AnomalyKind())

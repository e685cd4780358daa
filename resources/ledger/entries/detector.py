"""`detector`: a detector of anomalies in snapshots was trained.

What belongs here: all that is to be known of this kind of entry. What does not: training, or detectors of tables in
files, which no ledger knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from forecast_assets.core.errors import LostRaceError
from forecast_assets.core.wording import counted
from resources.ledger.entries.audit import RECORDED_AT, AuditColumn, AuditTable, AuditView, ColumnType, TableView
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
from resources.ledger.records import with_known_fields


@dataclass(frozen=True)
class DetectorRecord:
    """A detector was trained on earlier snapshots.

    Attributes:
        detector: Its name.
        method: Which of the four.
        first_date: Oldest snapshot whose rows it learned from.
        cutoff: Newest snapshot that it has seen, that of its threshold included.
        product_version: Manifest hash of the product `anomaly_detectors`, which names the snapshots.
        model: SHA-256 of its file.
        features: Columns that it reads.
        training_rows: That it was fitted on.
        held_back_rows: That its threshold was calibrated on.
        held_back_days: Of how many snapshots these are.
        threshold: A score above it is anomalous.
        false_alarm_rate: That the threshold was calibrated to.
        held_back_rate: Share of rows above it on days that were held back, each judged by the other ones.
        data_sha256: Of the values that it was fitted on.
        feature_version: Of the snapshots.
        libraries: Versions that it was trained with.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    detector: str
    method: str
    first_date: date
    cutoff: date
    product_version: str
    model: str
    features: tuple[str, ...]
    training_rows: int
    held_back_rows: int
    held_back_days: int
    threshold: float
    false_alarm_rate: float
    held_back_rate: float
    data_sha256: str
    feature_version: str
    libraries: Mapping[str, str] = field(default_factory=dict)
    sequence: int = 0
    recorded_at: str = ""

    @property
    def reads(self) -> str:
        """How many columns it reads, in words."""
        return counted(len(self.features), "feature")

    @property
    def libraries_text(self) -> str:
        """Versions that it was trained with, in words."""
        return ", ".join(f"{name} {version}" for name, version in sorted(self.libraries.items()))


@dataclass
class Detectors:
    """What follows from detectors.

    Attributes:
        made: All, oldest first.
    """

    made: list[DetectorRecord] = field(default_factory=list)

    def newest_before(self, day: date, feature_version: str) -> DetectorRecord | None:
        """Return the detector that has seen most of what came before a day, and nothing of it; None if there is none.

        Args:
            day: The day.
            feature_version: Of the snapshots that it has to read.
        """
        fitting = (each for each in self.made if each.cutoff < day and each.feature_version == feature_version)
        return max(fitting, key=lambda each: (each.cutoff, each.sequence), default=None)

    @property
    def newest(self) -> DetectorRecord | None:
        """The detector that was recorded last, or None."""
        return self.made[-1] if self.made else None


class DetectorKind(EntryKind[DetectorRecord]):
    """Detectors of anomalies in snapshots, with what is known of them."""

    name = "detector"
    meaning = "a detector of anomalies was trained on earlier snapshots"
    kept_state = "detectors; a day is judged by that which has seen most of what came before it"
    record = DetectorRecord

    def read(self, entry: EntryLike) -> DetectorRecord:
        """Return the detector of an entry."""
        body = entry.body
        days = {name: date.fromisoformat(body[name]) for name in ("first_date", "cutoff")}
        return with_known_fields(
            DetectorRecord, {**body, **position_fields(entry), **days, "features": tuple(body["features"])}
        )

    def body(self, record: DetectorRecord) -> dict[str, Any]:
        """Return what is stored."""
        return {**super().body(record), "features": [*record.features], "libraries": dict(record.libraries)}

    def fold(self, record: DetectorRecord, state: FoldedState) -> None:
        """Keep the detector behind the earlier ones."""
        state.part(Detectors).made.append(record)

    def references(self, record: DetectorRecord) -> References:
        """Return the detector's file, and with it the snapshots that it was trained on."""
        return References(products=(record.product_version,))

    def unique_fact(self, record: DetectorRecord) -> str:
        """Return that a detector of this name exists."""
        return f"registers the detector {record.detector}"

    def admit(self, record: DetectorRecord, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a detector that was trained without knowing the newest one, and a name that is taken.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the newest detector when this one was trained, 0 if there was none; None if nobody
                looked.

        Raises:
            LostRaceError: If there is a newer one, or one of this name.
        """
        detectors = state.part(Detectors)
        require_seen(detectors.newest, since, "trained a detector", detector=record.detector)
        taken = next((each for each in detectors.made if each.detector == record.detector), None)
        if taken is not None:
            raise LostRaceError(
                f"`{record.detector}` is the name of another detector (ledger entry {taken.sequence}).",
                remedy="Run the same command again; a detector that is trained from other snapshots has another name.",
                detector=record.detector,
                sequence=taken.sequence,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `anomaly_detectors`."""
        return (
            TableView(
                name=ANOMALY_DETECTORS.name,
                grain="one detector of anomalies in snapshots",
                description="What each was trained on, its threshold, and how often it called usual rows anomalous.",
                key=("detector",),
                table=ANOMALY_DETECTORS,
            ),
        )

    def event(self, record: DetectorRecord) -> EntryEvent:
        """Return which detector there is."""
        return EntryEvent("detector.trained", f"detectors/{record.detector}")

    def describe(self, record: DetectorRecord) -> EntryDescription:
        """Return which detector, and of which days."""
        return EntryDescription(
            f"detector {record.detector} trained on {record.training_rows:,} rows of snapshots from "
            f"{record.first_date} to {record.cutoff}; {record.held_back_rate:.2%} false alarms on days held back"
        )


ANOMALY_DETECTORS: Final = AuditTable(
    "anomaly_detectors",
    (
        AuditColumn("detector", ColumnType.TEXT, "its name"),
        AuditColumn("method", ColumnType.TEXT, "`isolation-forest`, `lof`, `one-class-svm` or `autoencoder`"),
        AuditColumn("first_date", ColumnType.DATE, "oldest snapshot whose rows it learned from"),
        AuditColumn("cutoff", ColumnType.DATE, "newest snapshot that it has seen"),
        AuditColumn("reads", ColumnType.TEXT, "how many columns it reads"),
        AuditColumn("training_rows", ColumnType.INT64, "rows that it was fitted on"),
        AuditColumn("held_back_rows", ColumnType.INT64, "rows that its threshold was calibrated on"),
        AuditColumn("held_back_days", ColumnType.INT64, "of how many snapshots these are"),
        AuditColumn("threshold", ColumnType.FLOAT64, "a score above it is anomalous"),
        AuditColumn("false_alarm_rate", ColumnType.FLOAT64, "that the threshold was calibrated to"),
        AuditColumn(
            "held_back_rate", ColumnType.FLOAT64, "share of rows above it on days held back, each judged by the others"
        ),
        AuditColumn("data_sha256", ColumnType.TEXT, "of the values that it was fitted on"),
        AuditColumn("feature_version", ColumnType.TEXT, "of the snapshots that it reads"),
        AuditColumn("libraries_text", ColumnType.TEXT, "versions that it was trained with"),
        AuditColumn("product_version", ColumnType.TEXT, "its manifest"),
        AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
        RECORDED_AT,
    ),
    lambda state: state.part(Detectors).made,
)
DETECTOR: Final = register_kind(DetectorKind())

"""`register`: a model version exists.

What belongs here: all that is to be known of this kind of entry. What does not: training or evaluating a version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import AlreadyRegisteredError, NotAcceptedError, UnknownVersionError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.wording import counted
from resources.ledger.entries.audit import (
    FILE_COLUMNS,
    RECORDED_AT,
    AuditColumn,
    AuditSource,
    AuditTable,
    AuditView,
    ColumnType,
    ComputedRows,
    ProductView,
    TableView,
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
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import with_known_fields

# Gates that only a channel asks for: a version may serve under its own name without them. Those that allow for no
# chance are of external versions of earlier releases. Gates of other names are asked of every version.
CHANNEL_GATES: Final = frozenset(
    {
        "backtest_beats_seasonal_naive",
        "backtest_bias_not_beyond_10_percent",
        "backtest_coverage_of_80_percent_interval_not_beyond_10_points",
        "backtest_bias_within_10_percent",
        "backtest_coverage_of_80_percent_interval_within_10_points",
    }
)


@dataclass(frozen=True)
class VersionRecord:
    """A registered model version and what it links to.

    Attributes:
        model_version: Its name.
        family: Kind of model.
        cutoff: Last day that it was trained on.
        artifact: Manifest hash of the fitted model.
        evaluation_report: Manifest hash of its evaluation report.
        training_run_id: Run that trained it.
        training_snapshot: Manifest hash of the snapshot that it was trained on.
        feature_version: Version of its features.
        gates: Whether it passed each gate, by name.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        cpu: Type of the processor that it was trained or taken in on. Not known of old entries.
        calibration: Manifest hash of its calibration report; empty where there is none, as in old entries.
        training_seconds: How long training and judging it took; 0 where nobody said, as in old entries.
    """

    model_version: str
    family: str
    cutoff: date
    artifact: str
    evaluation_report: str
    training_run_id: str
    training_snapshot: str
    feature_version: str
    gates: Mapping[str, Any]
    sequence: int
    recorded_at: str
    cpu: str = ""
    calibration: str = ""
    training_seconds: float = 0.0

    def failed_gates(self, *, for_channel: bool) -> list[str]:
        """Return the gates that keep the version from a channel, or from serving under its own name."""
        failed = [gate for gate, passed in self.gates.items() if not passed]
        return failed if for_channel else [gate for gate in failed if gate not in CHANNEL_GATES]


@dataclass
class Versions:
    """What follows from registrations and retirements.

    Attributes:
        by_name: Model versions by name.
        retired: Those that serve no more, with the ledger entry that said so.
    """

    by_name: dict[str, VersionRecord] = field(default_factory=dict)
    retired: dict[str, int] = field(default_factory=dict)

    def known(self, name: str) -> VersionRecord:
        """Return a registered version.

        Raises:
            UnknownVersionError: If there is none of that name, with the known ones.
        """
        if name not in self.by_name:
            raise UnknownVersionError(name, sorted(self.by_name))
        return self.by_name[name]

    def retirement_problem(self, name: str) -> str:
        """Say that a version serves no more; nothing if it does."""
        return f"`{name}` is retired (ledger entry {self.retired[name]})." if name in self.retired else ""

    def require_in_service(self, key: RunKey) -> None:
        """Refuse a new run of a version that serves no more; what it published may still be put right.

        Raises:
            NotAcceptedError: If it is retired and this is no correction.
        """
        retired = self.retirement_problem(key.model_version)
        if retired and not key.revision:
            raise NotAcceptedError(
                f"There is no new run of it: {retired}",
                remedy=Sentence(
                    "Run another version; or if it should serve again: ",
                    Action("retire", {"undo": True, "by": "NAME", "reason": "TEXT"}, on=(key.model_version,)),
                    ".",
                ),
                key=key,
            )


class RegisterKind(EntryKind[VersionRecord]):
    """Model versions, from what they were made from to the view `model_versions`."""

    name = "register"
    meaning = "a model version exists from here on"
    kept_state = "versions by name; a name comes once"
    record = VersionRecord

    def read(self, entry: EntryLike) -> VersionRecord:
        """Return the version of an entry."""
        cutoff = date.fromisoformat(entry.body["cutoff"])
        return with_known_fields(VersionRecord, {**entry.body, **position_fields(entry), "cutoff": cutoff})

    def unique_fact(self, record: VersionRecord) -> str:
        """A version never changes."""
        return f"registers {record.model_version}"

    def fold(self, record: VersionRecord, state: FoldedState) -> None:
        """Keep the version by its name."""
        state.part(Versions).by_name[record.model_version] = record

    def references(self, record: VersionRecord) -> References:
        """Return the products that the version links to."""
        products = (record.artifact, record.evaluation_report, record.calibration, record.training_snapshot)
        return References(products=tuple(product for product in products if product))

    def admit(self, record: VersionRecord, state: FoldedState) -> None:
        """Refuse a name that is taken.

        Raises:
            AlreadyRegisteredError: If it is.
        """
        before = state.part(Versions).by_name.get(record.model_version)
        if before is not None:
            raise AlreadyRegisteredError(
                f"`{record.model_version}` is already registered (ledger entry {before.sequence}).",
                remedy="A version never changes: choose another name.",
                model_version=record.model_version,
                sequence=before.sequence,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view `model_versions`, and that over the calibration reports of all versions."""
        from forecast_assets.contracts import CALIBRATION

        return (
            TableView(
                name=MODEL_VERSIONS.name,
                grain="one model version",
                description="Every registered model version and what it links to.",
                key=("model_version",),
                table=MODEL_VERSIONS,
            ),
            ProductView(
                product=CALIBRATION,
                table=CALIBRATED,
                sequence="registered_sequence",
                subject_columns=("model_version",),
                extra_columns={
                    "model_version": "the version that the report is of",
                    "registered_sequence": "ledger entry that registered it",
                },
            ),
        )

    def event(self, record: VersionRecord) -> EntryEvent:
        """Return which version there is."""
        return EntryEvent("version.registered", f"versions/{record.model_version}", f"train/{record.model_version}")

    def describe(self, record: VersionRecord) -> EntryDescription:
        """Return name, family, cutoff and whether the gates passed."""
        failed = record.failed_gates(for_channel=True)
        gates = f"{counted(len(failed), 'gate')} failed" if failed else "gates passed"
        return EntryDescription(f"{record.model_version}: {record.family}, trained up to {record.cutoff}; {gates}")


MODEL_VERSIONS: Final = AuditTable(
    "model_versions",
    (
        AuditColumn("model_version", ColumnType.TEXT, "name, and the name of its schema"),
        AuditColumn("family", ColumnType.TEXT, "kind of model"),
        AuditColumn("cutoff", ColumnType.DATE, "last day that it was trained on"),
        AuditColumn("artifact", ColumnType.TEXT, "product version (manifest hash) of the fitted model"),
        AuditColumn("evaluation_report", ColumnType.TEXT, "product version of its evaluation report"),
        AuditColumn("training_run_id", ColumnType.TEXT, "run that trained it"),
        AuditColumn("training_snapshot", ColumnType.TEXT, "product version of the snapshot that it was trained on"),
        AuditColumn("feature_version", ColumnType.TEXT, "version of its features"),
        AuditColumn("sequence", ColumnType.INT64, "ledger entry that registered it"),
        RECORDED_AT,
    ),
    lambda state: state.part(Versions).by_name.values(),
)


def _calibrated(state: FoldedState) -> Sequence[VersionRecord]:
    return [version for version in state.part(Versions).by_name.values() if version.calibration]


def _calibration_files(versions: Sequence[VersionRecord], source: AuditSource) -> ComputedRows:
    return file_rows(
        versions,
        source,
        lambda one: {"model_version": one.model_version},
        sequence="registered_sequence",
        product="calibration",
    )


# Which file of `calibration` is of which version.
CALIBRATED: Final = AuditTable(
    "calibrated",
    (
        AuditColumn("model_version", ColumnType.TEXT),
        AuditColumn("registered_sequence", ColumnType.INT64),
        *FILE_COLUMNS,
    ),
    _calibrated,
    _calibration_files,
)
REGISTER: Final = register_kind(RegisterKind())

"""`weigh`: what the evidence of a trial says as of a day.

What belongs here: all that is to be known of this kind of entry. What does not: weighing evidence, or promoting.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

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
    require_seen,
)
from resources.ledger.entries.challenge import Challenge
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.measure import Measurement, Measurements
from resources.ledger.records import last_of, with_known_fields

# What a verdict may say, and what that means.
BETTER: Final = "better"
GUARDED: Final = "guarded"
UNDECIDED: Final = "undecided"
COLLECTING: Final = "collecting"
WORSE: Final = "worse"
DECISIONS: Final = {
    BETTER: "the challenger is better, and no guard speaks against it",
    GUARDED: "it is better overall, and a guard speaks against it",
    UNDECIDED: "nothing is shown yet",
    COLLECTING: "the least period is not over",
    WORSE: "it is worse",
}


@dataclass(frozen=True)
class GuardResult:
    """What must not be worse of a challenger that is better overall.

    Attributes:
        guard: Its name.
        champion: Figure of the champion; None where nothing is known.
        challenger: Figure of the challenger.
        limit: What the challenger's may not exceed.
        holds: Whether it does not; what is not known does not hold.
        detail: Which segment, if it is of one.
    """

    guard: str
    champion: float | None
    challenger: float | None
    limit: float | None
    holds: bool
    detail: str = ""


@dataclass(frozen=True)
class ChallengerVerdict:
    """What the evidence of a trial says as of a day.

    Attributes:
        cadence: Rhythm of the runs.
        trial: Ledger entry that began the trial.
        champion_version: The version that is challenged.
        challenger_version: The version that challenges it.
        target_date: Newest day that was measured.
        measured_sequence: Newest measurement that it rests on, as ledger entry.
        observations: Known so far on the deciding step.
        e_value: Of the deciding step, as of the day.
        highest_e_value: The highest so far, which decides.
        mean_difference: Mean observation; None before the first.
        lower: Lower limit of the mean difference, at all times at once.
        upper: Upper limit likewise.
        decision: One of `DECISIONS`.
        guards: What must not be worse.
        product_version: Manifest hash of the product `challenger_evidence`.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    cadence: str
    trial: int
    champion_version: str
    challenger_version: str
    target_date: date
    measured_sequence: int
    observations: int
    e_value: float
    highest_e_value: float
    mean_difference: float | None
    lower: float
    upper: float
    decision: str
    guards: tuple[GuardResult, ...]
    product_version: str
    sequence: int = 0
    recorded_at: str = ""

    @property
    def failed_guards(self) -> list[str]:
        """Names of the guards that speak against the challenger."""
        return [each.guard for each in self.guards if not each.holds]


@dataclass
class ChallengerVerdicts:
    """What follows from verdicts.

    Attributes:
        by_trial: By trial, oldest first.
    """

    by_trial: dict[int, list[ChallengerVerdict]] = field(default_factory=dict)

    def newest(self, trial: int) -> ChallengerVerdict | None:
        """Return the newest verdict of a trial, or None."""
        return last_of(self.by_trial, trial)


def measured_days(state: FoldedState, trial: Challenge) -> list[Measurement]:
    """Return the newest measurement of each day from which a trial takes evidence, oldest day first."""
    days = sorted(
        day for cadence, day in state.part(Measurements).by_day if cadence == trial.cadence and day >= trial.first_day
    )
    return state.part(Measurements).newest_of(trial.cadence, days)


class WeighKind(EntryKind[ChallengerVerdict]):
    """Verdicts, from the evidence that they rest on to the view `challenger_verdicts`."""

    name = "weigh"
    meaning = "the evidence of a challenger was weighed as of a day"
    kept_state = "verdicts by trial; the last counts, the earlier ones stay readable"
    record = ChallengerVerdict

    def read(self, entry: EntryLike) -> ChallengerVerdict:
        """Return the verdict of an entry."""
        read = {
            "target_date": date.fromisoformat(entry.body["target_date"]),
            "guards": tuple(with_known_fields(GuardResult, each) for each in entry.body["guards"]),
        }
        return with_known_fields(ChallengerVerdict, {**entry.body, **position_fields(entry), **read})

    def fold(self, record: ChallengerVerdict, state: FoldedState) -> None:
        """Keep the verdict behind the earlier ones of its trial."""
        state.part(ChallengerVerdicts).by_trial.setdefault(record.trial, []).append(record)

    def references(self, record: ChallengerVerdict) -> References:
        """Return the product."""
        return References(products=(record.product_version,))

    def admit(self, record: ChallengerVerdict, state: FoldedState, *, since: int | None = None) -> None:
        """Refuse a verdict if another one came meanwhile.

        Args:
            record: What is to be recorded.
            state: What it would follow.
            since: Ledger entry of the trial's newest verdict when measurements were read, 0 if there was none; None if
                nobody looked.

        Raises:
            LostRaceError: If there is a newer one.
        """
        newest = state.part(ChallengerVerdicts).newest(record.trial)
        require_seen(newest, since, f"weighed the evidence of {record.challenger_version}", trial=record.trial)

    def views(self) -> Sequence[AuditView]:
        """Return the views over verdicts, their guards, and the evidence day by day."""
        from forecast_assets.contracts import CHALLENGER_EVIDENCE

        return (
            TableView(
                name=CHALLENGER_VERDICTS.name,
                grain="one verdict on a challenger",
                description="What the evidence of each trial said as of each day, on the step that decides; one that "
                "later restatements change stays.",
                key=("sequence",),
                table=CHALLENGER_VERDICTS,
            ),
            TableView(
                name=CHALLENGER_GUARDS.name,
                grain="one guard of one verdict",
                description="What must not be worse of a challenger that is better overall.",
                key=("sequence", "guard"),
                table=CHALLENGER_GUARDS,
            ),
            ProductView(
                product=CHALLENGER_EVIDENCE,
                table=WEIGHED,
                sequence="weighed_sequence",
                subject_columns=("of_trial",),
                extra_columns={
                    "weighed_sequence": "ledger entry that recorded the verdict",
                    "is_newest": "whether the trial has no later verdict; read these alone",
                },
            ),
        )

    def event(self, record: ChallengerVerdict) -> EntryEvent:
        """Return that evidence was weighed."""
        return EntryEvent("challenger.weighed", f"challengers/{record.cadence}")

    def describe(self, record: ChallengerVerdict) -> EntryDescription:
        """Return what the evidence says, of whom, and as of which day."""
        return EntryDescription(
            f"{record.challenger_version} against {record.champion_version}, {record.cadence}, by days up to "
            f"{record.target_date}: {record.decision} (e-value {record.highest_e_value:.3g}, "
            f"{counted(record.observations, 'observation')})"
        )


def _recorded(state: FoldedState) -> Sequence[ChallengerVerdict]:
    return [one for verdicts in state.part(ChallengerVerdicts).by_trial.values() for one in verdicts]


def _guard_rows(verdicts: Sequence[ChallengerVerdict], _: Any) -> ComputedRows:
    return ComputedRows(
        [
            {"sequence": one.sequence, **{c.name: getattr(each, c.name) for c in _GUARD}}
            for one in verdicts
            for each in one.guards
        ]
    )


def _evidence_files(verdicts: Sequence[ChallengerVerdict], source: AuditSource) -> ComputedRows:
    return file_rows(
        verdicts,
        source,
        lambda one: {"of_trial": one.trial},
        sequence="weighed_sequence",
    )


CHALLENGER_VERDICTS: Final = AuditTable(
    "challenger_verdicts",
    (
        AuditColumn("sequence", ColumnType.INT64, "ledger entry"),
        AuditColumn("cadence", ColumnType.TEXT, "rhythm of the runs"),
        AuditColumn("trial", ColumnType.INT64, "ledger entry that began the trial"),
        AuditColumn("champion_version", ColumnType.TEXT, "the version that is challenged"),
        AuditColumn("challenger_version", ColumnType.TEXT, "the version that challenges it"),
        AuditColumn("target_date", ColumnType.DATE, "newest day that was measured"),
        AuditColumn("measured_sequence", ColumnType.INT64, "newest measurement that it rests on, as ledger entry"),
        AuditColumn("observations", ColumnType.INT64, "known so far on the deciding step"),
        AuditColumn("e_value", ColumnType.FLOAT64, "wealth of a bettor who began with 1"),
        AuditColumn("highest_e_value", ColumnType.FLOAT64, "the highest so far, which decides"),
        AuditColumn("mean_difference", ColumnType.FLOAT64, "mean observation; null before the first", nullable=True),
        AuditColumn("lower", ColumnType.FLOAT64, "lower limit of the mean difference, at all times at once"),
        AuditColumn("upper", ColumnType.FLOAT64, "upper limit likewise"),
        AuditColumn("decision", ColumnType.TEXT, "; ".join(f"`{name}`: {words}" for name, words in DECISIONS.items())),
        RECORDED_AT,
    ),
    _recorded,
)
_GUARD: Final = (
    AuditColumn("guard", ColumnType.TEXT, "what must not be worse"),
    AuditColumn("champion", ColumnType.FLOAT64, "figure of the champion; null where nothing is known", nullable=True),
    AuditColumn("challenger", ColumnType.FLOAT64, "figure of the challenger; null likewise", nullable=True),
    AuditColumn("limit", ColumnType.FLOAT64, "what the challenger's may not exceed; null likewise", nullable=True),
    AuditColumn("holds", ColumnType.BOOLEAN, "whether it does not; what is not known does not hold"),
    AuditColumn("detail", ColumnType.TEXT, "which segment, if it is of one"),
)
CHALLENGER_GUARDS: Final = AuditTable(
    "challenger_guards",
    (AuditColumn("sequence", ColumnType.INT64, "ledger entry of the verdict"), *_GUARD),
    _recorded,
    _guard_rows,
)
# Which file of `challenger_evidence` is of which verdict.
WEIGHED: Final = AuditTable(
    "weighed",
    (
        AuditColumn("of_trial", ColumnType.INT64),
        AuditColumn("weighed_sequence", ColumnType.INT64),
        *FILE_COLUMNS,
    ),
    _recorded,
    _evidence_files,
)
WEIGH: Final = register_kind(WeighKind())

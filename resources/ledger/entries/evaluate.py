"""`evaluate`: a model version was backtested at past cutoffs, beside other methods.

The kind has the name that entries store; everywhere else this is a backtest.

What belongs here: all that is to be known of this kind of entry. What does not: backtesting.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from forecast_assets.core.errors import LostRaceError
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
)
from resources.ledger.entries.folded import FoldedState
from resources.ledger.entries.register import Versions
from resources.ledger.records import last_of, with_known_fields


@dataclass(frozen=True)
class ComparedMethod:
    """What a method of a backtest report was at one cutoff.

    Attributes:
        cutoff: The cutoff, ISO 8601.
        method: What the report calls it.
        model_version: The version that it was, or whose recipe it was; empty for a family alone.
        family: Model family.
        is_recipe: Whether it was trained anew as of the cutoff, by the recipe of the version.
        artifact: Product version of the fitted model; of a recipe, no store has it.
        forecasts: Product version of what it forecast; no store has it.
    """

    cutoff: str
    method: str
    model_version: str
    family: str
    is_recipe: bool
    artifact: str
    forecasts: str


@dataclass(frozen=True)
class BacktestRecord:
    """A model version was backtested at past cutoffs.

    Attributes:
        model_version: The version.
        cadence: Rhythm of the runs that were made for it.
        forecast_horizon: Days ahead.
        cutoffs: Past cutoffs, ISO 8601, oldest first.
        methods: What each method was at each cutoff.
        known_until: Moment of knowledge of the sales, ISO 8601 in UTC.
        product_version: Manifest hash of the product `backtest_reports`.
        numbers: SHA-256 of its rows.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    model_version: str
    cadence: str
    forecast_horizon: int
    cutoffs: tuple[str, ...]
    methods: tuple[ComparedMethod, ...]
    known_until: str
    product_version: str
    numbers: str
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class BacktestRecords:
    """What follows from backtests.

    Attributes:
        by_version: By model version, oldest first.
    """

    by_version: dict[str, list[BacktestRecord]] = field(default_factory=dict)

    def newest(self, model_version: str) -> BacktestRecord | None:
        """Return the newest backtest of a version, or None."""
        return last_of(self.by_version, model_version)


class EvaluateKind(EntryKind[BacktestRecord]):
    """Backtests, from their products to the view `backtest_reports`."""

    name = "evaluate"
    meaning = "a model version was backtested at past cutoffs, as of what was known at each"
    kept_state = "backtests by version; the last counts, the earlier ones stay readable"
    record = BacktestRecord

    def read(self, entry: EntryLike) -> BacktestRecord:
        """Return the backtest of an entry."""
        listed = {
            "cutoffs": tuple(entry.body["cutoffs"]),
            "methods": tuple(with_known_fields(ComparedMethod, each) for each in entry.body["methods"]),
        }
        return with_known_fields(BacktestRecord, {**entry.body, **listed, **position_fields(entry)})

    def fold(self, record: BacktestRecord, state: FoldedState) -> None:
        """Keep the backtest behind the earlier ones of its version."""
        state.part(BacktestRecords).by_version.setdefault(record.model_version, []).append(record)

    def references(self, record: BacktestRecord) -> References:
        """Return the product."""
        return References(products=(record.product_version,))

    def admit(self, record: BacktestRecord, state: FoldedState) -> None:
        """Refuse a version that does not exist, and what the newest entry of the version says already.

        Raises:
            UnknownVersionError: If there is no such version.
            LostRaceError: If its newest backtest is this very product.
        """
        name = state.part(Versions).known(record.model_version).model_version
        newest = state.part(BacktestRecords).newest(name)
        if newest is not None and newest.product_version == record.product_version:
            raise LostRaceError(
                f"Another process recorded the same backtest of `{name}` meanwhile.",
                remedy="Run the same command again.",
                model_version=name,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view over every backtest report of every version."""
        from forecast_assets.contracts import BACKTEST_REPORTS

        return (
            ProductView(
                product=BACKTEST_REPORTS,
                table=EVALUATED,
                sequence="evaluated_sequence",
                subject_columns=("of_version",),
                extra_columns={
                    "cadence": "rhythm of the runs that were made for it",
                    "forecast_horizon": "days ahead of those runs",
                    "evaluated_sequence": "ledger entry that recorded the report",
                    "is_newest": "whether no later report of the version exists",
                    "known_until": "moment of knowledge of the sales that came",
                },
            ),
        )

    def event(self, record: BacktestRecord) -> EntryEvent:
        """Return which version was backtested."""
        return EntryEvent("version.backtested", f"versions/{record.model_version}")

    def describe(self, record: BacktestRecord) -> EntryDescription:
        """Return which version was backtested at how many cutoffs, and beside which methods."""
        from forecast_assets.contracts import BACKTESTED_METHOD

        others = ["seasonal naive", *sorted({each.method for each in record.methods} - {BACKTESTED_METHOD})]
        return EntryDescription(
            f"{record.model_version}: {record.cadence} forecasts {record.forecast_horizon} days ahead at "
            f"{counted(len(record.cutoffs), 'cutoff')} up to {record.cutoffs[-1]}, beside {', '.join(others)}"
        )


def _recorded(state: FoldedState) -> Sequence[BacktestRecord]:
    return [one for versions in state.part(BacktestRecords).by_version.values() for one in versions]


def _rows(backtests: Sequence[BacktestRecord], source: AuditSource) -> ComputedRows:
    return file_rows(
        backtests,
        source,
        lambda one: {
            "of_version": one.model_version,
            "cadence": one.cadence,
            "forecast_horizon": one.forecast_horizon,
            **known_until(one.known_until),
        },
        sequence="evaluated_sequence",
    )


# Which file of `backtest_reports` is of which backtest.
EVALUATED: Final = AuditTable(
    "evaluated",
    (
        AuditColumn("of_version", ColumnType.TEXT),
        AuditColumn("evaluated_sequence", ColumnType.INT64),
        AuditColumn("cadence", ColumnType.TEXT),
        AuditColumn("forecast_horizon", ColumnType.INT32),
        AuditColumn("known_until", ColumnType.MOMENT),
        *FILE_COLUMNS,
    ),
    _recorded,
    _rows,
)
EVALUATE: Final = register_kind(EvaluateKind())

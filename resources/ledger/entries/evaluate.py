"""`evaluate`: a model version was evaluated at past cutoffs, beside other methods.

What belongs here: all that is to be known of this kind of entry. What does not: evaluating.
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
    MadeRows,
    ProductView,
    file_rows,
)
from resources.ledger.entries.base import EntryKind, Named, Recorded, StateParts, Words, place_of, register_kind
from resources.ledger.entries.register import Versions
from resources.ledger.records import with_known_fields


@dataclass(frozen=True)
class Compared:
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
class Evaluation:
    """A model version was evaluated at past cutoffs.

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
    methods: tuple[Compared, ...]
    known_until: str
    product_version: str
    numbers: str
    sequence: int = 0
    recorded_at: str = ""


@dataclass
class Evaluations:
    """What follows from evaluations.

    Attributes:
        by_version: By model version, oldest first.
    """

    by_version: dict[str, list[Evaluation]] = field(default_factory=dict)

    def newest(self, model_version: str) -> Evaluation | None:
        """Return the newest evaluation of a version, or None."""
        return next(reversed(self.by_version.get(model_version, [])), None)


class EvaluateKind(EntryKind[Evaluation]):
    """Evaluations, from their products to the view `backtest_reports`."""

    name = "evaluate"
    happened = "a model version was evaluated at past cutoffs, as of what was known at each"
    keeps = "evaluations by version; the last counts, the earlier ones stay readable"
    record = Evaluation

    def read(self, entry: Recorded) -> Evaluation:
        """Return the evaluation of an entry."""
        listed = {
            "cutoffs": tuple(entry.body["cutoffs"]),
            "methods": tuple(with_known_fields(Compared, each) for each in entry.body["methods"]),
        }
        return with_known_fields(Evaluation, {**entry.body, **listed, **place_of(entry)})

    def fold(self, record: Evaluation, state: StateParts) -> None:
        """Keep the evaluation behind the earlier ones of its version."""
        state.part(Evaluations).by_version.setdefault(record.model_version, []).append(record)

    def names(self, record: Evaluation) -> Named:
        """Return the product."""
        return Named(products=(record.product_version,))

    def admit(self, record: Evaluation, state: StateParts) -> None:
        """Refuse a version that does not exist, and what the newest entry of the version says already.

        Raises:
            UnknownVersionError: If there is no such version.
            LostRaceError: If its newest evaluation is this very product.
        """
        name = state.part(Versions).known(record.model_version).model_version
        newest = state.part(Evaluations).newest(name)
        if newest is not None and newest.product_version == record.product_version:
            raise LostRaceError(
                f"Another process recorded the same evaluation of `{name}` meanwhile.",
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
                told_of=("of_version",),
                beside={
                    "cadence": "rhythm of the runs that were made for it",
                    "forecast_horizon": "days ahead of those runs",
                    "evaluated_sequence": "ledger entry that recorded the report",
                    "is_newest": "whether no later report of the version exists",
                    "known_until": "moment of knowledge of the sales that came",
                },
            ),
        )

    def words(self, record: Evaluation) -> Words:
        """Return which version was evaluated at how many cutoffs, and beside which methods."""
        from forecast_assets.contracts import OWN_METHOD

        others = ["seasonal naive", *sorted({each.method for each in record.methods} - {OWN_METHOD})]
        return Words(
            f"{record.model_version}: {record.cadence} forecasts {record.forecast_horizon} days ahead at "
            f"{counted(len(record.cutoffs), 'cutoff')} up to {record.cutoffs[-1]}, beside {', '.join(others)}"
        )


def _recorded(state: StateParts) -> Sequence[Evaluation]:
    return [one for versions in state.part(Evaluations).by_version.values() for one in versions]


def _rows(evaluations: Sequence[Evaluation], source: AuditSource) -> MadeRows:
    return file_rows(
        evaluations,
        source,
        lambda one: {
            "of_version": one.model_version,
            "cadence": one.cadence,
            "forecast_horizon": one.forecast_horizon,
        },
        sequence="evaluated_sequence",
    )


# Which file of `backtest_reports` is of which evaluation.
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

"""`judge`: a model version was held against the gates of a policy.

What belongs here: all that is to be known of this kind of entry. What does not: measuring a version, or pointing a
channel at one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from forecast_assets.core.errors import LostRaceError, first_ten
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
class Judgement:
    """A model version was held against the gates of a policy.

    Attributes:
        model_version: The version.
        cadence: Rhythm of the runs whose channel it was judged for.
        policy: Version of the policy that the bounds are of.
        against: The champion that it was compared with; empty where there was none, or it was it itself.
        product_version: Manifest hash of the product `promotion_gates`.
        numbers: SHA-256 of its rows.
        failed_soundness: Gates of soundness that it fails.
        failed_merit: Gates of merit that it fails.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    model_version: str
    cadence: str
    policy: str
    against: str
    product_version: str
    numbers: str
    failed_soundness: tuple[str, ...] = ()
    failed_merit: tuple[str, ...] = ()
    sequence: int = 0
    recorded_at: str = ""

    @property
    def failed(self) -> tuple[str, ...]:
        """All gates that it fails."""
        return (*self.failed_soundness, *self.failed_merit)

    def says_the_same_as(self, other: "Judgement | None") -> bool:
        """Whether another judgement has the same numbers, by the same policy, beside the same champion."""
        return other is not None and (self.policy, self.against, self.numbers) == (
            other.policy, other.against, other.numbers,
        )  # fmt: skip


@dataclass
class Judgements:
    """What follows from judgements.

    Attributes:
        by_version: By model version and cadence, oldest first.
    """

    by_version: dict[tuple[str, str], list[Judgement]] = field(default_factory=dict)

    def newest(self, model_version: str, cadence: str) -> Judgement | None:
        """Return the newest judgement of a version for the channels of a cadence, or None."""
        return last_of(self.by_version, (model_version, cadence))


class JudgeKind(EntryKind[Judgement]):
    """Judgements, from their products to the view `promotion_gates`."""

    name = "judge"
    meaning = "a model version was held against the gates of a policy"
    kept_state = "judgements by version and cadence; the last counts, the earlier ones stay readable"
    record = Judgement

    def read(self, entry: EntryLike) -> Judgement:
        """Return the judgement of an entry."""
        listed = {name: tuple(entry.body.get(name, ())) for name in ("failed_soundness", "failed_merit")}
        return with_known_fields(Judgement, {**entry.body, **listed, **position_fields(entry)})

    def fold(self, record: Judgement, state: FoldedState) -> None:
        """Keep the judgement behind the earlier ones of its version."""
        state.part(Judgements).by_version.setdefault((record.model_version, record.cadence), []).append(record)

    def references(self, record: Judgement) -> References:
        """Return the product."""
        return References(products=(record.product_version,))

    def admit(self, record: Judgement, state: FoldedState) -> None:
        """Refuse a version that does not exist, and what its newest judgement says already.

        Raises:
            UnknownVersionError: If there is no such version.
            LostRaceError: If its newest judgement says the same.
        """
        name = state.part(Versions).known(record.model_version).model_version
        if record.says_the_same_as(state.part(Judgements).newest(name, record.cadence)):
            raise LostRaceError(
                f"Another process recorded the same judgement of `{name}` meanwhile.",
                remedy="Run the same command again.",
                model_version=name,
            )

    def views(self) -> Sequence[AuditView]:
        """Return the view over every judgement of every version."""
        from forecast_assets.contracts import PROMOTION_GATES

        return (
            ProductView(
                product=PROMOTION_GATES,
                table=JUDGED,
                sequence="judged_sequence",
                subject_columns=("of_version", "of_cadence"),
                extra_columns={
                    "against": "the champion that it was compared with; empty where there was none",
                    "judged_sequence": "ledger entry that recorded the judgement",
                    "is_newest": "whether no later judgement of the version and cadence exists",
                },
            ),
        )

    def event(self, record: Judgement) -> EntryEvent:
        """Return which version was judged."""
        return EntryEvent("version.judged", f"versions/{record.model_version}")

    def describe(self, record: Judgement) -> EntryDescription:
        """Return which version, by which policy, and which gates it fails."""
        beside = f" beside {record.against}" if record.against else ""
        found = f"fails {first_ten(record.failed)}" if record.failed else "fails no gate"
        return EntryDescription(
            f"{record.model_version} for {record.cadence} channels{beside}, by policy {record.policy}: {found}"
        )


def _recorded(state: FoldedState) -> Sequence[Judgement]:
    return [one for judged in state.part(Judgements).by_version.values() for one in judged]


def _rows(judgements: Sequence[Judgement], source: AuditSource) -> ComputedRows:
    return file_rows(
        judgements,
        source,
        lambda one: {"of_version": one.model_version, "of_cadence": one.cadence, "against": one.against},
        sequence="judged_sequence",
    )


# Which file of `promotion_gates` is of which judgement.
JUDGED: Final = AuditTable(
    "judged",
    (
        AuditColumn("of_version", ColumnType.TEXT),
        AuditColumn("of_cadence", ColumnType.TEXT),
        AuditColumn("against", ColumnType.TEXT),
        AuditColumn("judged_sequence", ColumnType.INT64),
        *FILE_COLUMNS,
    ),
    _recorded,
    _rows,
)
JUDGE: Final = register_kind(JudgeKind())

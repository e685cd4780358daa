"""What is true after the entries of a ledger so far: folding entries into a state.

What belongs here: what each kind of entry changes. What does not: reading or appending entries.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Protocol

from forecast_assets.core.errors import BrokenChainError, InputError, UnknownEntryError, first_ten
from forecast_assets.core.keys import RunKey
from resources.ledger.records import (
    Appointment,
    BatchRecord,
    Body,
    Evaluation,
    Measurement,
    Publication,
    Vacuum,
    VersionRecord,
    with_known_fields,
)

GENESIS: Final = "0" * 64
RESTORE: Final = "Restore the ledger folder from a backup; do not edit it."
UPGRADE: Final = "A later release wrote it: upgrade this installation to that release; the store is as it should be."


class Recorded(Protocol):
    """What folding needs of a ledger entry."""

    @property
    def sequence(self) -> int:
        """1, 2, 3, ..."""

    @property
    def kind(self) -> str:
        """What happened."""

    @property
    def recorded_at(self) -> str:
        """When it was appended."""

    @property
    def body(self) -> Body:
        """The particulars."""

    @property
    def hash(self) -> str:
        """SHA-256 of the stored bytes."""


@dataclass
class LedgerState:
    """What is true after the entries folded so far.

    Attributes:
        sequence: The last entry; 0 before the first.
        head: Its hash.
        recorded_at: When it was appended.
        start_date: First day of sales of the first ingest.
        batches: By batch id, in the order in which they were recorded.
        versions: Model versions by name.
        appointments: Of all channels, oldest first.
        publications: By key.
        measurements: By cadence and day, oldest first.
        evaluations: By model version, oldest first.
        vacuums: All of them, oldest first.
        open_vacuum: The one that has begun and not ended, or None.
    """

    sequence: int = 0
    head: str = GENESIS
    recorded_at: str = ""
    start_date: date | None = None
    batches: dict[str, BatchRecord] = field(default_factory=dict)
    versions: dict[str, VersionRecord] = field(default_factory=dict)
    appointments: list[Appointment] = field(default_factory=list)
    publications: dict[RunKey, Publication] = field(default_factory=dict)
    measurements: dict[tuple[str, date], list[Measurement]] = field(default_factory=dict)
    evaluations: dict[str, list[Evaluation]] = field(default_factory=dict)
    vacuums: list[Vacuum] = field(default_factory=list)
    open_vacuum: Vacuum | None = None

    def channel(self, name: str) -> str | None:
        """Return the version a channel points at now, or None."""
        return next((a.model_version for a in reversed(self.appointments) if a.channel == name), None)

    def measured(self, cadence: str, target_date: date) -> Measurement | None:
        """Return the newest measurement of a day, or None."""
        return next(reversed(self.measurements.get((cadence, target_date), [])), None)

    def evaluated(self, model_version: str) -> Evaluation | None:
        """Return the newest evaluation of a version, or None."""
        return next(reversed(self.evaluations.get(model_version, [])), None)

    def fold(self, entry: Recorded) -> None:
        """Take in the next entry.

        Raises:
            UnknownEntryError: If this release does not know its kind.
            BrokenChainError: If its body is not what its kind says, or if it says again what is said once only.
        """
        if entry.kind not in KINDS:
            raise UnknownEntryError(
                f"Ledger entry {entry.sequence} is of the kind `{entry.kind}`; this release knows "
                f"{first_ten(sorted(_FOLDS))}.",
                remedy=UPGRADE,
                sequence=entry.sequence,
                kind=entry.kind,
            )
        try:
            _FOLDS[entry.kind](self, entry)
        except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
            raise BrokenChainError(
                f"Ledger entry {entry.sequence} of the kind `{entry.kind}` cannot be read: {error!r}.",
                remedy=RESTORE,
                sequence=entry.sequence,
                kind=entry.kind,
            ) from error
        self.sequence, self.head, self.recorded_at = entry.sequence, entry.hash, entry.recorded_at


def _fold_ingest(state: LedgerState, entry: Recorded) -> None:
    for body in entry.body["batches"]:
        record = BatchRecord.read(body, entry.sequence)
        # Two ingests of the same batch at once both record it; the first stands.
        state.batches.setdefault(record.batch_id, record)
    if state.start_date is None and "start_date" in entry.body:
        state.start_date = date.fromisoformat(entry.body["start_date"])


def _fold_register(state: LedgerState, entry: Recorded) -> None:
    name = entry.body["model_version"]
    _require_first(entry, "registers", name, state.versions.get(name))
    facts = {**entry.body, **_place(entry), "cutoff": date.fromisoformat(entry.body["cutoff"])}
    state.versions[name] = with_known_fields(VersionRecord, facts)


def _fold_promote(state: LedgerState, entry: Recorded) -> None:
    facts = {**entry.body, **_place(entry), "is_rollback": False}
    state.appointments.append(with_known_fields(Appointment, facts))


def _fold_rollback(state: LedgerState, entry: Recorded) -> None:
    facts = {**entry.body, **_place(entry), "is_rollback": True}
    state.appointments.append(with_known_fields(Appointment, facts))


def _fold_publish(state: LedgerState, entry: Recorded) -> None:
    published = Publication.read(entry.body, entry.sequence, entry.recorded_at)
    _require_first(entry, "publishes", str(published.key), state.publications.get(published.key))
    state.publications[published.key] = published


def _fold_measure(state: LedgerState, entry: Recorded) -> None:
    day = date.fromisoformat(entry.body["target_date"])
    measured = with_known_fields(Measurement, {**entry.body, **_place(entry), "target_date": day})
    state.measurements.setdefault((measured.cadence, day), []).append(measured)


def _fold_evaluate(state: LedgerState, entry: Recorded) -> None:
    evaluated = Evaluation.read(entry.body, entry.sequence, entry.recorded_at)
    state.evaluations.setdefault(evaluated.model_version, []).append(evaluated)


def _fold_vacuum(state: LedgerState, entry: Recorded) -> None:
    state.open_vacuum = with_known_fields(Vacuum, {**entry.body, **_place(entry)})
    state.vacuums.append(state.open_vacuum)


def _fold_vacuumed(state: LedgerState, entry: Recorded) -> None:
    del entry
    state.open_vacuum = None


def _place(entry: Recorded) -> Body:
    return {"sequence": entry.sequence, "recorded_at": entry.recorded_at}


def _require_first(entry: Recorded, does: str, what: str, before: Publication | VersionRecord | None) -> None:
    """Refuse to take in twice what never changes: nobody appends it, so somebody wrote it past the ledger."""
    if before is not None:
        raise BrokenChainError(
            f"Ledger entry {entry.sequence} {does} {what} again; entry {before.sequence} did.",
            remedy=RESTORE,
            sequence=entry.sequence,
        )


_FOLDS: Final[dict[str, Callable[[LedgerState, Recorded], None]]] = {
    "ingest": _fold_ingest,
    "register": _fold_register,
    "promote": _fold_promote,
    "rollback": _fold_rollback,
    "publish": _fold_publish,
    "measure": _fold_measure,
    "evaluate": _fold_evaluate,
    "vacuum": _fold_vacuum,
    "vacuumed": _fold_vacuumed,
}

# Kinds of entries that this release knows.
KINDS: Final = tuple(_FOLDS)

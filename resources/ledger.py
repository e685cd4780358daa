"""The ledger: a hash-chained sequence of small JSON entries, appended by create-if-absent.

What belongs here: entries, the chain, and the state that follows from folding them.
What does not: product files, observation files, or what an entry is good for.

Appending an entry is the commit point of everything: before it nothing is visible, after it everything that it names
is. Of two writers that want the same sequence number exactly one wins; the other looks at what came in between and
decides again whether it may go on.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from forecast_assets.errors import BrokenChainError, InputError, LostRaceError, UnknownEntryError, first_ten
from forecast_assets.keys import RunKey
from resources.blobs import BlobStore, sha256

FORMAT: Final = 1
GENESIS: Final = "0" * 64
ATTEMPTS: Final = 100
# How far behind a missing entry others are looked for without listing all.
PLACES_BEHIND: Final = 3

# Gates that only a channel asks for: what was made elsewhere may serve under its own name without them.
CHANNEL_GATES: Final = frozenset(
    {
        "backtest_beats_seasonal_naive",
        "backtest_bias_within_10_percent",
        "backtest_coverage_of_80_percent_interval_within_10_points",
    }
)

Body = Mapping[str, Any]


def canonical(value: Any) -> bytes:
    """Return the one JSON form that hashes are taken of: sorted keys, no spaces, ASCII.

    Example:
        >>> canonical({"b": 1, "a": "x"})
        b'{"a":"x","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True)
class Entry:
    """One ledger entry.

    Attributes:
        sequence: 1, 2, 3, ... without gaps.
        previous: Hash of the entry before, or 64 zeros.
        kind: ingest, register, promote, publish, measure.
        recorded_at: When it was appended; for people, never part of a product's content.
        body: What happened.
        hash: SHA-256 of the stored bytes.
    """

    sequence: int
    previous: str
    kind: str
    recorded_at: str
    body: Body
    hash: str

    @classmethod
    def parse(cls, data: bytes) -> "Entry":
        """Read stored bytes.

        Raises:
            BrokenChainError: If they are not an entry.
            UnknownEntryError: If they are of a format that this release does not read.
        """
        try:
            raw = json.loads(data)
            if raw["format"] != FORMAT:
                raise UnknownEntryError(
                    f"Ledger entry {raw['sequence']} has the format {raw['format']}; this release reads {FORMAT}.",
                    remedy=_UPGRADE,
                )
            return cls(raw["sequence"], raw["previous"], raw["kind"], raw["recorded_at"], raw["body"], sha256(data))
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenChainError(f"A ledger entry cannot be read: {error}.", remedy=_RESTORE) from error


@dataclass(frozen=True)
class BatchRecord:
    """An observation batch as the ledger names it.

    The same bytes from two sources, or with another trust, are two batches in one file.
    """

    sha256: str
    feed: str
    source: str
    trust: float
    declared_lag_hours: float
    path: str
    rows: int
    first_event_date: date
    last_event_date: date
    first_known_at: datetime
    sequence: int = 0
    # Not in the entries of the first release: there the file has to be asked.
    last_known_at: datetime | None = None
    # No two rows say something of the same key and day, not even at different moments. Not known of old entries.
    is_single_word: bool = False

    @property
    def batch_id(self) -> str:
        """What snapshots name: a hash over the file and over who says so, how trusted and how late."""
        return sha256(canonical([self.sha256, self.feed, self.source, self.trust, self.declared_lag_hours]))

    def overlaps(self, since: date | None, until: date | None) -> bool:
        """Return whether the batch has days from `since` to `until`, each without a bound where it is None."""
        starts_too_late = until is not None and self.first_event_date > until
        ends_too_early = since is not None and self.last_event_date < since
        return not (starts_too_late or ends_too_early)

    def body(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "sha256": self.sha256,
            "feed": self.feed,
            "source": self.source,
            "trust": self.trust,
            "declared_lag_hours": self.declared_lag_hours,
            "path": self.path,
            "rows": self.rows,
            "first_event_date": self.first_event_date.isoformat(),
            "last_event_date": self.last_event_date.isoformat(),
            "first_known_at": self.first_known_at.isoformat(),
            **({} if self.last_known_at is None else {"last_known_at": self.last_known_at.isoformat()}),
            **({"is_single_word": True} if self.is_single_word else {}),
        }

    @classmethod
    def read(cls, body: Body, sequence: int) -> "BatchRecord":
        """Read the JSON form."""
        dates = {name: date.fromisoformat(body[name]) for name in ("first_event_date", "last_event_date")}
        moments = {
            name: datetime.fromisoformat(body[name]) for name in ("first_known_at", "last_known_at") if name in body
        }
        return cls(**{**body, **dates, **moments, "sequence": sequence})


@dataclass(frozen=True)
class VersionRecord:
    """A registered model version and what it links to."""

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

    def failed_gates(self, *, for_channel: bool) -> list[str]:
        """Return the gates that keep the version from a channel, or from serving under its own name."""
        failed = [gate for gate, passed in self.gates.items() if not passed]
        return failed if for_channel else [gate for gate in failed if gate not in CHANNEL_GATES]


@dataclass(frozen=True)
class Appointment:
    """A channel was pointed at a version."""

    channel: str
    model_version: str
    by: str
    reason: str
    sequence: int
    recorded_at: str


@dataclass(frozen=True)
class Correction:
    """Who corrected a published run, and why; what is not a correction has none of it.

    Attributes:
        by: Who decided.
        reason: Why.
        corrects: Key of the revision before, as text.
        known_until: Moment of knowledge that it was made from, ISO 8601 in UTC.
    """

    by: str = ""
    reason: str = ""
    corrects: str = ""
    known_until: str = ""


@dataclass(frozen=True)
class Publication:
    """A published run: the manifests of its products, the checks that accepted them, and why it was corrected."""

    key: RunKey
    products: Mapping[str, str]
    accepted: Mapping[str, list[str]]
    sequence: int
    recorded_at: str
    correction: Correction = Correction()


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
    """

    cadence: str
    target_date: date
    product_version: str
    numbers: str
    known_until: str
    runs: int
    sequence: int
    recorded_at: str


@dataclass
class LedgerState:
    """What is true after the entries folded so far."""

    sequence: int = 0
    head: str = GENESIS
    start_date: date | None = None
    batches: dict[str, BatchRecord] = field(default_factory=dict)
    versions: dict[str, VersionRecord] = field(default_factory=dict)
    appointments: list[Appointment] = field(default_factory=list)
    publications: dict[RunKey, Publication] = field(default_factory=dict)
    measurements: dict[tuple[str, date], list[Measurement]] = field(default_factory=dict)

    def channel(self, name: str) -> str | None:
        """Return the version a channel points at now, or None."""
        return next((a.model_version for a in reversed(self.appointments) if a.channel == name), None)

    def measured(self, cadence: str, target_date: date) -> Measurement | None:
        """Return the newest measurement of a day, or None."""
        return next(reversed(self.measurements.get((cadence, target_date), [])), None)

    def fold(self, entry: Entry) -> None:
        """Take in the next entry.

        Raises:
            UnknownEntryError: If this release does not know its kind.
            BrokenChainError: If its body is not what its kind says.
        """
        if entry.kind not in _FOLDS:
            raise UnknownEntryError(
                f"Ledger entry {entry.sequence} is of the kind `{entry.kind}`; this release knows "
                f"{first_ten(sorted(_FOLDS))}.",
                remedy=_UPGRADE,
            )
        try:
            _FOLDS[entry.kind](self, entry)
        except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
            raise BrokenChainError(
                f"Ledger entry {entry.sequence} of the kind `{entry.kind}` cannot be read: {error!r}.", remedy=_RESTORE
            ) from error
        self.sequence, self.head = entry.sequence, entry.hash


def _fold_ingest(state: LedgerState, entry: Entry) -> None:
    for body in entry.body["batches"]:
        record = BatchRecord.read(body, entry.sequence)
        # Two ingests of the same batch at once both record it; the first stands.
        state.batches.setdefault(record.batch_id, record)
    if state.start_date is None and "start_date" in entry.body:
        state.start_date = date.fromisoformat(entry.body["start_date"])


def _fold_register(state: LedgerState, entry: Entry) -> None:
    cutoff = date.fromisoformat(entry.body["cutoff"])
    facts = {**entry.body, "cutoff": cutoff, "sequence": entry.sequence, "recorded_at": entry.recorded_at}
    state.versions[entry.body["model_version"]] = VersionRecord(**facts)


def _fold_promote(state: LedgerState, entry: Entry) -> None:
    state.appointments.append(Appointment(**entry.body, sequence=entry.sequence, recorded_at=entry.recorded_at))


def _fold_publish(state: LedgerState, entry: Entry) -> None:
    key = RunKey.parse(entry.body["key"])
    state.publications[key] = Publication(
        key,
        entry.body["products"],
        entry.body["accepted"],
        entry.sequence,
        entry.recorded_at,
        Correction(**entry.body.get("correction", {})),
    )


def _fold_measure(state: LedgerState, entry: Entry) -> None:
    day = date.fromisoformat(entry.body["target_date"])
    facts = {**entry.body, "target_date": day, "sequence": entry.sequence, "recorded_at": entry.recorded_at}
    state.measurements.setdefault((entry.body["cadence"], day), []).append(Measurement(**facts))


_FOLDS: Final[dict[str, Callable[[LedgerState, Entry], None]]] = {
    "ingest": _fold_ingest,
    "register": _fold_register,
    "promote": _fold_promote,
    "publish": _fold_publish,
    "measure": _fold_measure,
}

_RESTORE: Final = "Restore the ledger folder from a backup; do not edit it."
_UPGRADE: Final = "A later release wrote it: upgrade this installation to that release; the store is as it should be."


class Ledger:
    """Reads and appends entries; keeps what it has read, since entries never change."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._entries: list[Entry] = []
        self._state = LedgerState()
        self._is_opened = False

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first, with the chain verified."""
        self._catch_up(is_thorough=True)
        return list(self._entries)

    def state(self) -> LedgerState:
        """Return what is true now; treat it as read-only."""
        self._catch_up()
        return self._state

    def append(self, kind: str, body: Body, admit: Callable[[LedgerState], None]) -> Entry:
        """Append one entry: the commit.

        Args:
            kind: Kind of the entry.
            body: JSON-ready content.
            admit: Called with the state that the entry would follow, again after every lost race; raises to refuse.

        Raises:
            LostRaceError: If other writers came first 100 times; run again.
        """
        for _ in range(ATTEMPTS):
            self._catch_up(is_thorough=True)
            admit(self._state)
            sequence = self._state.sequence + 1
            raw = {
                "format": FORMAT,
                "sequence": sequence,
                "previous": self._state.head,
                "kind": kind,
                "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "body": body,
            }
            if self._blobs.create(_path(sequence), canonical(raw)):
                self._catch_up()
                return self._entries[sequence - 1]
        raise LostRaceError(f"{ATTEMPTS} other writers appended first.", remedy="Run the same command again.")

    def _next(self, *, is_thorough: bool) -> bytes | None:
        """Return the bytes of the next entry, or None at the end; an entry after a missing one breaks the chain.

        Listing a long ledger takes a while, and the end is looked for many times: at the first look, before an entry
        is appended and when all are asked for, the folder is listed; else the places just behind are looked at.
        """
        wanted = _path(self._state.sequence + 1)
        data = self._blobs.find(wanted)
        if data is not None or (not is_thorough and not self._is_anything_behind()):
            return data
        later = [name for name in self._blobs.names_after("ledger", _path(self._state.sequence)) if _is_entry(name)]
        if later and wanted not in later:
            raise BrokenChainError(f"The ledger lacks `{wanted}`, but has {first_ten(later)}.", remedy=_RESTORE)
        # What was listed but not found a moment ago was appended in between.
        return self._blobs.find(wanted) if later else None

    def _is_anything_behind(self) -> bool:
        behind = range(self._state.sequence + 2, self._state.sequence + 2 + PLACES_BEHIND)
        return any(self._blobs.has(_path(sequence)) for sequence in behind)

    def _catch_up(self, *, is_thorough: bool = False) -> None:
        while (data := self._next(is_thorough=is_thorough or not self._is_opened)) is not None:
            entry = Entry.parse(data)
            if (entry.sequence, entry.previous) != (self._state.sequence + 1, self._state.head):
                raise BrokenChainError(
                    f"Ledger entry {self._state.sequence + 1} does not follow the one before it.",
                    remedy=_RESTORE,
                )
            self._state.fold(entry)
            self._entries.append(entry)
        self._is_opened = True


def _is_entry(path: str) -> bool:
    return re.fullmatch(r"ledger/\d{12}\.json", path) is not None


def _path(sequence: int) -> str:
    return f"ledger/{sequence:012d}.json"

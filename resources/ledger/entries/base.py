"""What a kind of ledger entry is, and the registry of all kinds.

What belongs here: what every kind has, with what holds where a kind says nothing else. What does not: any one kind.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

from forecast_assets.core.errors import LostRaceError
from resources.ledger.entries.audit import AuditView, LedgerRecord
from resources.ledger.entries.folded import FoldedState
from resources.ledger.records import EntryBody, ProductFile, with_known_fields

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


RecordT = TypeVar("RecordT", bound="DataclassInstance")


class EntryLike(Protocol):
    """What folding needs of a ledger entry."""

    @property
    def sequence(self) -> int:
        """1, 2, 3, ..."""

    @property
    def kind(self) -> str:
        """What happened."""

    @property
    def recorded_at(self) -> str:
        """When it was appended, ISO 8601 in UTC."""

    @property
    def body(self) -> EntryBody:
        """The particulars."""

    @property
    def hash(self) -> str:
        """SHA-256 of the stored bytes."""


@dataclass(frozen=True)
class ProposedEntry:
    """What is to be appended and has no place yet: read like an entry, so that its kind can judge it."""

    kind: str
    body: EntryBody
    sequence: int = 0
    recorded_at: str = ""
    hash: str = ""


@dataclass
class UniqueFacts:
    """Facts that may be recorded once only, such as `registers stat-1`.

    Attributes:
        first: Entry that recorded each.
    """

    first: dict[str, int] = field(default_factory=dict)


class EntryDescription(NamedTuple):
    """What an entry says to people: what happened, who decided it, and why; empty where nobody was asked."""

    what: str
    by: str = ""
    reason: str = ""


class EntryEvent(NamedTuple):
    """What others are told that an entry says.

    Attributes:
        type: What happened, such as `run.published`; never changes once it has been told.
        subject: What it is about, such as `runs/daily/2025-07-01/stat-1/14`; what is about one comes in its order.
        work: Whose trace made it, as `core.spans.concerns` names it; empty where no work of its own did.
    """

    type: str
    subject: str
    work: str = ""


@dataclass(frozen=True)
class References:
    """What an entry names, so that it is kept, hashed by whoever verifies, and missed when it is gone.

    Attributes:
        files: Path and SHA-256 of files.
        batches: Ids under which manifests name what the entry records.
        copies: What the entry repeats of manifests: name, product version, its files.
        products: Product versions; with them all files of theirs, and all that they were made from.
        acceptances: SHA-256 of the record of each check, by product version and check; empty where nobody said.
        removal_lists: Path and SHA-256 of lists of files that were to be removed.
    """

    files: Sequence[tuple[str, str]] = ()
    batches: Sequence[str] = ()
    copies: Sequence[tuple[str, str, tuple[ProductFile, ...] | None]] = ()
    products: Sequence[str] = ()
    acceptances: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    removal_lists: Sequence[tuple[str, str]] = ()


class EntryKind(ABC, Generic[RecordT]):
    """All that is to be known of one kind of entry.

    A record is a frozen dataclass with what an entry says. Its fields `sequence` and `recorded_at` are the entry's
    place, 0 and empty in one that is still to be appended; the others are the body.

    Attributes:
        name: What entries store as their kind; never changes.
        meaning: What such an entry says has happened, one sentence for the documents.
        kept_state: What readers keep of it, and which one counts where several say something.
        record: Class of its records.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    kept_state: ClassVar[str]
    record: type[RecordT]

    def read(self, entry: EntryLike) -> RecordT:
        """Return what an entry says; fields that a later release added are left out.

        Raises:
            TypeError: If a field is missing.
        """
        return with_known_fields(self.record, {**entry.body, **position_fields(entry)})

    def body(self, record: RecordT) -> dict[str, Any]:
        """Return what is stored of a record, ready for JSON."""
        said = {name: value for name, value in asdict(record).items() if name not in ("sequence", "recorded_at")}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in said.items()}

    def unique_fact(self, record: RecordT) -> str:
        """Return what may be recorded once only, such as `registers stat-1`; empty if it may come again."""
        del record
        return ""

    @abstractmethod
    def fold(self, record: RecordT, state: FoldedState) -> None:
        """Take in what follows from the next entry."""

    def references(self, record: RecordT) -> References:
        """Return which files an entry names."""
        del record
        return References()

    def admit(self, record: RecordT, state: FoldedState) -> None:
        """Refuse what may not follow; asked again after every lost race.

        A rule that needs more than these, such as what the writer had seen, takes it by keyword.

        Raises:
            ForecastAssetsError: Of the kind that says why.
        """

    def views(self) -> Sequence[AuditView]:
        """Return the audit views over what such entries say; what they need of frames is imported here."""
        return ()

    @abstractmethod
    def event(self, record: RecordT) -> EntryEvent:
        """Return what others are told that happened, and to what."""

    @abstractmethod
    def describe(self, record: RecordT) -> EntryDescription:
        """Return what happened, in words for people."""


# By name. Whatever is to hold for every kind goes through these.
KINDS: Final[dict[str, EntryKind[Any]]] = {}

_Kind = TypeVar("_Kind", bound=EntryKind[Any])


def register_kind(kind: _Kind) -> _Kind:
    """Add a kind to the registry and return it.

    Raises:
        ValueError: If the name is taken.
    """
    if kind.name in KINDS:
        raise ValueError(f"there is a kind of entry `{kind.name}` already")
    KINDS[kind.name] = kind
    return kind


def require_seen(newest: LedgerRecord | None, since: int | None, what: str, **facts: object) -> None:
    """Refuse a record that was made without knowing the newest one of the same.

    Args:
        newest: The newest record; None if there is none.
        since: Ledger entry of the newest one when it was made, 0 if there was none; None if nobody looked.
        what: What another process has done, as the middle of a sentence.
        **facts: What the error says besides.

    Raises:
        LostRaceError: If there is a newer one.
    """
    if since is not None and newest is not None and newest.sequence > since:
        raise LostRaceError(
            f"Another process {what} meanwhile (ledger entry {newest.sequence}).",
            remedy="Run the same command again.",
            **facts,
            sequence=newest.sequence,
        )


def position_fields(entry: EntryLike) -> EntryBody:
    """Return the fields of a record that say where in the ledger it is."""
    return {"sequence": entry.sequence, "recorded_at": entry.recorded_at}

"""What the ledger records: batches, versions, appointments, publications, measurements, evaluations, vacuums.

What belongs here: their fields, and reading them from the body of an entry. What does not: the chain of entries, or
what follows from their order.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from forecast_assets.core.keys import RunKey

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Body = Mapping[str, Any]
Known = TypeVar("Known", bound="DataclassInstance")

# Gates that only a channel asks for: what was made elsewhere may serve under its own name without them.
CHANNEL_GATES: Final = frozenset(
    {
        "backtest_beats_seasonal_naive",
        "backtest_bias_within_10_percent",
        "backtest_coverage_of_80_percent_interval_within_10_points",
    }
)


def canonical(value: Any) -> bytes:
    """Return the one JSON form that hashes are taken of: sorted keys, no spaces, ASCII.

    Example:
        >>> canonical({"b": 1, "a": "x"})
        b'{"a":"x","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def with_known_fields(kind: type[Known], facts: Body) -> Known:
    """Return a record of those facts that this release has fields for: a later release may have added others.

    Raises:
        TypeError: If a field without a default is missing.

    Example:
        >>> with_known_fields(ProductFile, {"path": "a", "sha256": "b", "rows": 1, "bytes": 2, "colour": "red"})
        ProductFile(path='a', sha256='b', rows=1, bytes=2)
    """
    known = _field_names(kind)
    return kind(**{name: value for name, value in facts.items() if name in known})


@cache
def _field_names(kind: "type[DataclassInstance]") -> frozenset[str]:
    return frozenset(each.name for each in fields(kind))


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
        return hashlib.sha256(
            canonical([self.sha256, self.feed, self.source, self.trust, self.declared_lag_hours])
        ).hexdigest()

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
        return with_known_fields(cls, {**body, **dates, **moments, "sequence": sequence})


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
    # Type of the processor that it was trained or taken in on. Not known of old entries.
    cpu: str = ""

    def failed_gates(self, *, for_channel: bool) -> list[str]:
        """Return the gates that keep the version from a channel, or from serving under its own name."""
        failed = [gate for gate, passed in self.gates.items() if not passed]
        return failed if for_channel else [gate for gate in failed if gate not in CHANNEL_GATES]


@dataclass(frozen=True)
class Appointment:
    """A channel was pointed at a version.

    Attributes:
        channel: The channel.
        model_version: Where it points from then on.
        by: Who decided.
        reason: Why.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        is_rollback: Whether it went back to a version that the channel had pointed at before.
    """

    channel: str
    model_version: str
    by: str
    reason: str
    sequence: int
    recorded_at: str
    is_rollback: bool = False


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
class ProductFile:
    """One file of a product version: path below the store, SHA-256, rows, bytes."""

    path: str
    sha256: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Publication:
    """A published run.

    Attributes:
        key: The run.
        products: SHA-256 of each product's manifest, by name.
        files: Each product's files, by name; none in the entries of the first release, whose manifests have them.
        acceptances: SHA-256 of the acceptance of each check, by product version (of published products and of what
            they were made from) and check; empty hashes in the entries of the first release.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
        correction: Who corrected the revision before, and why.
        cpu: Type of the processor that it was made on; empty where nobody said.
        schemas: Fingerprint of the contract that each product's files keep, by name; none in entries of releases before
            the contracts grew.
    """

    key: RunKey
    products: Mapping[str, str]
    files: Mapping[str, tuple[ProductFile, ...]]
    acceptances: Mapping[str, Mapping[str, str]]
    sequence: int
    recorded_at: str
    correction: Correction = Correction()
    cpu: str = ""
    schemas: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> dict[str, list[str]]:
        """The checks that accepted each published product, by its name."""
        return {name: [*self.acceptances.get(version, {})] for name, version in self.products.items()}

    @classmethod
    def read(cls, body: Body, sequence: int, recorded_at: str) -> "Publication":
        """Read the body of an entry."""
        products = body["products"]
        files = {
            name: tuple(with_known_fields(ProductFile, file) for file in files)
            for name, files in body.get("files", {}).items()
        }
        acceptances = body.get("acceptances")
        if acceptances is None:
            acceptances = {products[name]: dict.fromkeys(checks, "") for name, checks in body["accepted"].items()}
        correction = with_known_fields(Correction, body.get("correction", {}))
        return cls(
            RunKey.parse(body["key"]),
            products,
            files,
            acceptances,
            sequence,
            recorded_at,
            correction,
            body.get("cpu", ""),
            body.get("schemas", {}),
        )


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
        acceptances: SHA-256 of the acceptance of each check; none in the entries of the first release.
    """

    cadence: str
    target_date: date
    product_version: str
    numbers: str
    known_until: str
    runs: int
    sequence: int
    recorded_at: str
    acceptances: Mapping[str, str] = field(default_factory=dict)


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
    sequence: int
    recorded_at: str

    @classmethod
    def read(cls, body: Body, sequence: int, recorded_at: str) -> "Evaluation":
        """Read the body of an entry."""
        methods = tuple(with_known_fields(Compared, each) for each in body["methods"])
        listed = {"cutoffs": tuple(body["cutoffs"]), "methods": methods}
        return with_known_fields(cls, {**body, **listed, "sequence": sequence, "recorded_at": recorded_at})


@dataclass(frozen=True)
class Vacuum:
    """Files that no entry named were condemned to be removed.

    Attributes:
        by: Who asked for it.
        files: How many.
        bytes: How large they are together.
        listed: SHA-256 of the list of their paths.
        sequence: Ledger entry.
        recorded_at: When, ISO 8601 in UTC.
    """

    by: str
    files: int
    bytes: int
    listed: str
    sequence: int
    recorded_at: str

    @property
    def path(self) -> str:
        """Where the list is."""
        return f"vacuums/{self.listed}.json"

"""The prediction store: product versions, their acceptances, and the commit that makes a run visible.

What belongs here: writing and reading product versions, registering model versions, publishing.
What does not: computing, checking or overriding any number.

A product version is Parquet files named by their SHA-256 and a manifest that is named by its own. Staging pointers
say which version of a product an unfinished run last made; they are conveniences of a run, never read by consumers,
and what they point at is checked again before the commit.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any

import polars as pl

from forecast_assets.contracts import PUBLISHED, Contract
from forecast_assets.errors import (
    AlreadyPublishedError,
    AlreadyRegisteredError,
    ChangedFileError,
    InputError,
    LostRaceError,
    NotAcceptedError,
    NotPublishedError,
    NotStagedError,
    UnknownVersionError,
    first_ten,
)
from forecast_assets.keys import WEEKLY, RunKey, require_version_name
from resources.blobs import BlobStore, sha256
from resources.ledger import (
    CHANNEL_GATES,
    Correction,
    Entry,
    Ledger,
    LedgerState,
    Measurement,
    Publication,
    VersionRecord,
    canonical,
)
from resources.parquet import to_parquet
from resources.provenance import code_version, library_versions


@dataclass(frozen=True)
class ProductFile:
    """One file of a product version."""

    path: str
    sha256: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class ProductVersion:
    """A product version as its manifest describes it.

    Attributes:
        version: SHA-256 of the manifest.
        product: Name of the product.
        key: What it was made for, as text.
        schema: Fingerprint of the contract.
        files: Parquet files, or one opaque blob for an artifact.
        inputs: Versions of what it was made from, by name.
        facts: Feature version, specs, model version, known-until, and whatever else the stage records.
        code_version: Version and source fingerprint of this product's code.
        libraries: Versions of the libraries that shape numbers.
    """

    version: str
    product: str
    key: str
    schema: str
    files: tuple[ProductFile, ...]
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any]
    code_version: str
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)


class PredictionStore:
    """Product versions on blobs, made visible by the ledger."""

    def __init__(self, blobs: BlobStore, ledger: Ledger) -> None:
        self._blobs = blobs
        self.ledger = ledger

    # --- product versions ---

    def write(
        self,
        contract: Contract,
        frame: pl.DataFrame,
        *,
        key: object,
        folder: str,
        inputs: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> ProductVersion:
        """Validate a frame, write it once as a product version and point the run's staging at it.

        Args:
            contract: What the frame must be; checked before a byte is written.
            frame: All rows of the product.
            key: What the product is for; the staging pointer's name.
            folder: Folder of the files below the store.
            inputs: Versions of the products or batches it was made from.
            facts: Whatever else has to be known to make it again.

        Raises:
            ContractError: If the frame breaks its contract; nothing is written.
        """
        contract.validate(frame)
        data = to_parquet(frame)
        return self.write_bytes(
            contract.name,
            data,
            key=key,
            path=f"{folder}/{sha256(data)}.parquet",
            rows=frame.height,
            schema=contract.fingerprint,
            inputs=inputs,
            facts=facts,
        )

    def write_bytes(
        self,
        product: str,
        data: bytes,
        *,
        key: object,
        path: str,
        rows: int,
        schema: str,
        inputs: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> ProductVersion:
        """Write one file and its manifest, and point the run's staging at it."""
        self._blobs.create_addressed(path, data)
        manifest = {
            "product": product,
            "key": str(key),
            "schema": schema,
            "files": [{"path": path, "sha256": sha256(data), "rows": rows, "bytes": len(data)}],
            "inputs": dict(inputs),
            "facts": dict(facts),
            "code_version": code_version(),
            "libraries": library_versions(),
        }
        encoded = canonical(manifest)
        version = sha256(encoded)
        self._blobs.create_addressed(_manifest_path(version), encoded)
        self._blobs.replace(_staging_path(product, key), version.encode())
        return self.version(version)

    def write_artifact(
        self,
        product: str,
        data: bytes,
        *,
        key: object,
        folder: str,
        inputs: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> ProductVersion:
        """Write an opaque artifact (a fitted model) as a product version."""
        return self.write_bytes(
            product,
            data,
            key=key,
            path=f"{folder}/{sha256(data)}.json",
            rows=0,
            schema="",
            inputs=inputs,
            facts=facts,
        )

    def version(self, version: str) -> ProductVersion:
        """Return a product version by its hash.

        Raises:
            ChangedFileError: If the manifest is missing or does not hash to its name.
        """
        data = self._verified(_manifest_path(version), version)
        raw = json.loads(data)
        files = tuple(ProductFile(**file) for file in raw.pop("files"))
        return ProductVersion(version=version, files=files, **raw)

    def staged(self, product: str, key: object) -> ProductVersion:
        """Return the version of a product that was last made for a key.

        Raises:
            NotStagedError: If it has not been made.
        """
        version = self._blobs.find(_staging_path(product, key))
        if version is None:
            raise NotStagedError(
                f"`{product}` has not been made for {key}.",
                remedy="Materialize the assets before it, or run them all: forecast-assets run ...",
            )
        return self.version(version.decode())

    def is_staged(self, product: str, key: object) -> bool:
        """Return whether a version of the product was made for the key."""
        return self._blobs.find(_staging_path(product, key)) is not None

    def read(self, version: ProductVersion) -> pl.DataFrame:
        """Return all rows of a product version, with every file verified against its hash.

        Raises:
            ChangedFileError: If a file is missing or its bytes changed.
        """
        return pl.concat([pl.read_parquet(self.read_bytes(version, at)) for at in range(len(version.files))])

    def read_bytes(self, version: ProductVersion, at: int = 0) -> bytes:
        """Return the verified bytes of one file of a product version."""
        file = version.files[at]
        return self._verified(file.path, file.sha256)

    def scan(self, version: ProductVersion) -> pl.LazyFrame:
        """Scan a product version without verifying its bytes: for looking up a few rows of a large one."""
        return pl.scan_parquet([self._blobs.local(file.path) for file in version.files], glob=False)

    def scan_verified(self, version: ProductVersion) -> pl.LazyFrame:
        """Scan a product version whose files are verified first; one that has not changed since is not hashed again.

        Raises:
            ChangedFileError: If a file is missing or its bytes changed.
        """
        self._verify_files(version)
        return self.scan(version)

    def paths(self, version: ProductVersion) -> list[str]:
        """Return the local paths of a product version's files."""
        return [str(self._blobs.local(file.path)) for file in version.files]

    def _verified(self, path: str, expected: str) -> bytes:
        data = self._blobs.get(path)
        if sha256(data) != expected:
            raise ChangedFileError(
                f"`{self._blobs.local(path)}` changed after it was written.",
                remedy="Restore it from a backup.",
            )
        return data

    # --- acceptance ---

    def accept(self, version: str, check: str) -> None:
        """Record that a check passed on exactly this product version."""
        body = canonical({"check": check, "product_version": version, "code_version": code_version()})
        self._blobs.create(_acceptance_path(version, check), body)

    def accepted(self, version: str, checks: Sequence[str]) -> list[str]:
        """Return those of ``checks`` that passed on exactly this product version."""
        return [name for name in checks if self._blobs.find(_acceptance_path(version, name)) is not None]

    # --- model versions and channels ---

    def register(self, record: Mapping[str, Any]) -> Entry:
        """Register a model version.

        Raises:
            AlreadyRegisteredError: If the name is taken.
        """
        name = require_version_name(str(record["model_version"]))

        def admit(state: LedgerState) -> None:
            if name in state.versions:
                raise AlreadyRegisteredError(
                    f"`{name}` is already registered (ledger entry {state.versions[name].sequence}).",
                    remedy="A version never changes: choose another name.",
                )

        return self.ledger.append("register", record, admit)

    def model_version(self, name: str) -> VersionRecord:
        """Return a registered model version.

        Raises:
            UnknownVersionError: If there is none of that name, with the known ones.
        """
        versions = self.ledger.state().versions
        if name not in versions:
            raise UnknownVersionError(name, sorted(versions))
        return versions[name]

    def promote(self, name: str, *, by: str, reason: str, channel: str = "champion") -> Entry:
        """Point a channel at a version; moves a pointer, recomputes nothing.

        Raises:
            UnknownVersionError: If there is no such version.
            NotAcceptedError: If its evaluation report did not pass the gates, or if it was trained for fewer days ahead
                than the channel's cadence looks.
        """

        def admit(state: LedgerState) -> None:
            if name not in state.versions:
                raise UnknownVersionError(name, sorted(state.versions))
            failed = state.versions[name].failed_gates(for_channel=True)
            if failed:
                raise NotAcceptedError(
                    f"`{name}` cannot be promoted: its evaluation report fails {first_ten(failed)}.",
                    remedy=f"Look at it: forecast-assets versions {name}; {_way_out(failed)}.",
                )
            self._require_reach(state.versions[name], channel)

        return self.ledger.append(
            "promote", {"channel": channel, "model_version": name, "by": by, "reason": reason}, admit
        )

    def _require_reach(self, record: VersionRecord, channel: str) -> None:
        """Refuse a version that could never serve the cadence which follows the channel."""
        if channel not in (WEEKLY.champion, WEEKLY.challenger):
            # No version is trained for fewer days than the shortest daily run.
            return
        days = self.version(record.artifact).facts.get("horizon")
        if days is not None and days < WEEKLY.shortest_horizon:
            raise NotAcceptedError(
                f"`{record.model_version}` was trained for {days} days ahead, and {WEEKLY.name} runs look at least "
                f"{WEEKLY.shortest_horizon} ahead.",
                remedy=f"Train a version with --horizon {WEEKLY.default_horizon}.",
            )

    # --- publication ---

    def publish(
        self,
        key: RunKey,
        products: Mapping[str, str],
        required_checks: Callable[[str], Sequence[str]],
        correction: Correction | None = None,
    ) -> Publication:
        """Commit a run: one ledger entry makes all its products visible at once.

        Args:
            key: The run.
            products: Manifest hash of each published product.
            required_checks: Names of the checks that must have accepted a product, by its name.
            correction: Who corrects the revision before, and why; for revisions from 1, and only for them.

        Raises:
            AlreadyPublishedError: If the key is taken.
            InputError: If a correction lacks who or why, or what is none has them.
            NotPublishedError: If the revision that it corrects is not published.
            NotAcceptedError: If a check has not passed on exactly these product versions.
            ChangedFileError: If a file is missing or changed.
        """
        recorded = _correction_body(key, correction)
        missing = [name for name in PUBLISHED if name not in products]
        if missing:
            raise NotStagedError(f"{key} lacks {missing}.", remedy="Run the assets before publication.")
        accepted = {name: self._acceptances(name, version, required_checks) for name, version in products.items()}
        # A product is no better than what it was made from: a check that failed upstream blocks it too.
        for ancestor in self.lineage(products.values()):
            self._acceptances(ancestor.product, ancestor.version, required_checks)
            self._verify_files(ancestor)

        def admit(state: LedgerState) -> None:
            if key in state.publications:
                raise AlreadyPublishedError(key, state.publications[key].sequence)
            if key.revision and revision_before(key) not in state.publications:
                raise NotPublishedError(
                    f"{revision_before(key)} is not published, so {key} has nothing to correct.",
                    remedy="Revisions follow one another from r0; see what is there: forecast-assets runs",
                )
            if key.model_version not in state.versions:
                raise UnknownVersionError(key.model_version, sorted(state.versions))

        body = {"key": str(key), "products": dict(products), "accepted": accepted, **recorded}
        entry = self.ledger.append("publish", body, admit)
        return self.ledger.state().publications[RunKey.parse(entry.body["key"])]

    def _acceptances(self, name: str, version: str, required: Callable[[str], Sequence[str]]) -> list[str]:
        wanted = list(required(name))
        passed = self.accepted(version, wanted)
        refused = [check for check in wanted if check not in passed]
        if refused:
            raise NotAcceptedError(
                f"`{name}` has not passed {first_ten(refused)} on exactly these bytes.",
                remedy="Run the whole run again so that its checks run; a failing check says what to mend.",
            )
        return passed

    # --- accuracy ---

    def measure(
        self,
        cadence: str,
        target_date: date,
        product: ProductVersion,
        *,
        since: int,
        required_checks: Sequence[str],
    ) -> tuple[Measurement, bool]:
        """Commit the measurement of a day, unless its newest one has the same numbers.

        Args:
            cadence: Rhythm of the runs that were measured.
            target_date: The day.
            product: The product `forecast_accuracy` of the day; its facts say `known_until` and `runs`.
            since: Ledger entry of the newest measurement of the day when the inputs were read; 0 if there was none.
            required_checks: Names of the checks that must have accepted the product.

        Returns:
            The newest measurement of the day, and whether this call recorded it.

        Raises:
            NotAcceptedError: If a check has not passed on exactly this product version.
            LostRaceError: If another process recorded other numbers of the day in between.
        """
        self._acceptances(product.product, product.version, lambda _: required_checks)
        numbers = product.files[0].sha256
        body = {
            "cadence": cadence,
            "target_date": target_date.isoformat(),
            "product_version": product.version,
            "numbers": numbers,
            **{name: product.facts[name] for name in ("known_until", "runs")},
        }
        known = self._measured_as(cadence, target_date, numbers)
        if known is not None:
            return known, False
        try:
            self.ledger.append("measure", body, lambda state: _require_newest(state, cadence, target_date, since))
            is_new = True
        except LostRaceError:
            is_new = False
            if self._measured_as(cadence, target_date, numbers) is None:
                raise
        return self.ledger.state().measurements[cadence, target_date][-1], is_new

    def _measured_as(self, cadence: str, target_date: date, numbers: str) -> Measurement | None:
        """Return the newest measurement of a day if it has these numbers."""
        newest = self.ledger.state().measured(cadence, target_date)
        return newest if newest is not None and newest.numbers == numbers else None

    def verify(self, version: str) -> ProductVersion:
        """Re-hash a product version: its manifest and all its files, and every product version it was made from.

        Raises:
            ChangedFileError: Naming the first file that is missing or changed.
        """
        for found in self.lineage([version]):
            self._verify_files(found)
        return self.version(version)

    def lineage(self, versions: Iterable[str]) -> list[ProductVersion]:
        """Return product versions and all that they were made from, each once, the given ones first.

        Raises:
            ChangedFileError: If a manifest is missing or changed.
        """
        found: dict[str, ProductVersion] = {}
        waiting = list(versions)
        while waiting:
            version = waiting.pop(0)
            if version not in found:
                found[version] = self.version(version)
                waiting += [parent for name, parent in found[version].inputs.items() if name != "batches"]
        return list(found.values())

    def _verify_files(self, product: ProductVersion) -> None:
        for file in product.files:
            if not self._blobs.is_intact(file.path, file.sha256):
                self._verified(file.path, file.sha256)

    def publication(self, key: RunKey) -> Publication:
        """Return a published run.

        Raises:
            UnknownVersionError: If the model version does not exist.
            NotPublishedError: If nothing is published under the key, with what is.
        """
        self.model_version(key.model_version)
        publications = self.ledger.state().publications
        if key not in publications:
            near = sorted(str(known) for known in publications if known.model_version == key.model_version)
            raise NotPublishedError(
                f"Nothing is published under {key}. Published with this version: {first_ten(near) or 'nothing'}.",
                remedy=f"Make it: forecast-assets run --cadence {key.cadence} --date {key.prediction_date} "
                f"--model-version {key.model_version} --horizon {key.forecast_horizon}",
            )
        return publications[key]

    def horizons(self, cadence: str, day: date, model_version: str) -> list[int]:
        """Return the horizons published for a date and version, shortest first."""
        return sorted(
            key.forecast_horizon
            for key in self.ledger.state().publications
            if (key.cadence, key.prediction_date, key.model_version) == (cadence, day, model_version)
            and not key.revision
        )

    def revisions(self, key: RunKey) -> list[Publication]:
        """Return every published revision of a run, the first first; whatever revision ``key`` itself names."""
        publications = self.ledger.state().publications.values()
        same = [published for published in publications if replace(published.key, revision=key.revision) == key]
        return sorted(same, key=lambda published: published.key.revision)


def _way_out(failed: Sequence[str]) -> str:
    if CHANNEL_GATES.issuperset(failed):
        return (
            "it may serve under its own name; to promote what was made elsewhere, ingest it as another version, from a "
            "file with past prediction dates on which it beats seasonal naive"
        )
    return "train a better one"


def revision_before(key: RunKey) -> RunKey:
    """Return the key of the revision that ``key`` corrects."""
    return replace(key, revision=key.revision - 1)


def _correction_body(key: RunKey, correction: Correction | None) -> dict[str, Any]:
    """Return what the ledger entry says of a correction: nothing for a first publication."""
    if (correction is not None) != (key.revision > 0):
        raise InputError(
            f"{key} is {'a correction' if key.revision else 'no correction'}.",
            remedy="Say who and why for revisions from 1, and only for them: forecast-assets correct --help",
        )
    if correction is None:
        return {}
    if not correction.by.strip() or not correction.reason.strip():
        raise InputError("A correction needs who and why.", remedy="Give --by and --reason some text.")
    return {"correction": {**asdict(correction), "corrects": str(revision_before(key))}}


def snapshot_key(prediction_date: date, known_until: datetime | None = None) -> str:
    """Return the name of the snapshot of a date: the day, and for a correction its own moment of knowledge."""
    if known_until is None:
        return prediction_date.isoformat()
    return f"{prediction_date.isoformat()}_known_until_{known_until:%Y%m%dT%H%M%S%f}"


def _require_newest(state: LedgerState, cadence: str, target_date: date, since: int) -> None:
    newest = state.measured(cadence, target_date)
    if newest is not None and newest.sequence > since:
        raise LostRaceError(
            f"Another process measured the {cadence} forecasts of {target_date} meanwhile (ledger entry "
            f"{newest.sequence}).",
            remedy="Run the same command again.",
        )


def _manifest_path(version: str) -> str:
    return f"manifests/{version}.json"


def _staging_path(product: str, key: object) -> str:
    return f"staging/{product}/{key}"


def _acceptance_path(version: str, check: str) -> str:
    return f"acceptances/{version}/{check}.json"


def run_folder(product: str, key: RunKey) -> str:
    """Return the folder of a run's product files: hive partitions that readers can prune by."""
    return (
        f"predictions/{product}/prediction_date={key.prediction_date.isoformat()}"
        f"/model_version={key.model_version}/forecast_horizon={key.forecast_horizon}"
    )

"""The prediction store: writing product versions, their acceptances, and the commit that makes a run visible.

What belongs here: writing and reading frames, accepting, publishing, measuring, backtesting, judging.
What does not: computing, checking or overriding any number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any

import polars as pl

from forecast_assets.contracts import PUBLISHED, Contract
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.decisions import require_decision
from forecast_assets.core.errors import (
    ChangedFileError,
    InputError,
    LostRaceError,
    NotAcceptedError,
    NotPublishedError,
    NotStagedError,
    UnknownVersionError,
    first_ten,
)
from forecast_assets.core.keys import RunKey
from resources.ledger.entries import EntryKind
from resources.ledger.entries.base import RecordT
from resources.ledger.entries.drift import DRIFT, DriftRecord, DriftRecords
from resources.ledger.entries.evaluate import EVALUATE, BacktestRecord
from resources.ledger.entries.judge import JUDGE, Judgement, Judgements
from resources.ledger.entries.measure import MEASURE, Measurement
from resources.ledger.entries.policy import UNAPPLIED
from resources.ledger.entries.publish import PUBLISH, Correction, Publication, overrides_of_run, revision_before
from resources.ledger.entries.review import REVIEW, WeekReview, WeekReviews
from resources.ledger.log import Entry, Ledger
from resources.ledger.records import ProductFile, canonical
from resources.ledger.state import LedgerState
from resources.store.blobs import BlobStore, sha256
from resources.store.manifests import (
    Manifests,
    ProductVersion,
    acceptance_path,
    is_acceptance,
    manifest_path,
    paths_of,
    staging_path,
)
from resources.store.parquet import to_parquet
from resources.store.provenance import code_version, cpu_type, library_versions


class PredictionStore(Manifests):
    """Product versions on blobs, made visible by the ledger."""

    def __init__(self, blobs: BlobStore, ledger: Ledger) -> None:
        super().__init__(blobs)
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
        self._blobs.create_addressed(manifest_path(version), encoded)
        self._blobs.replace(staging_path(product, key), version.encode())
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

    def read(self, version: ProductVersion, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return all rows of a product version, with every file verified against its hash.

        Args:
            version: The product version.
            columns: Which columns, in this order; all if left out.

        Raises:
            ChangedFileError: If a file is missing or its bytes changed.
        """
        wanted = None if columns is None else [*columns]
        files = (self.read_bytes(version, at) for at in range(len(version.files)))
        return pl.concat([pl.read_parquet(data, columns=wanted) for data in files])

    def scan(self, version: ProductVersion) -> pl.LazyFrame:
        """Scan a product version without verifying its bytes: for looking up a few rows of a large one."""
        return pl.scan_parquet([self._blobs.local(file.path) for file in version.files], glob=False)

    def scan_verified(self, version: ProductVersion) -> pl.LazyFrame:
        """Scan a product version whose files are verified first; one that has not changed since is not hashed again.

        Raises:
            ChangedFileError: If a file is missing or its bytes changed.
        """
        self.verify_files(version)
        return self.scan(version)

    # --- acceptance ---

    def accept(self, version: str, check: str) -> None:
        """Record that a check passed on exactly this product version.

        Raises:
            ChangedFileError: If something else stands where the record belongs.
        """
        path = acceptance_path(version, check)
        body = canonical({"check": check, "product_version": version, "code_version": code_version()})
        if self._blobs.create(path, body):
            return
        present = self._blobs.get(path)
        if not is_acceptance(path, present):
            raise ChangedFileError(
                f"`{self._blobs.place(path)}` is not the acceptance that its name says.",
                remedy="Restore it from a backup; if there is none, move it aside and run again.",
                path=path,
            )
        # Another process accepted it, perhaps one that was killed before that was durable.
        self._blobs.renew(path, present)

    def acceptances(self, version: str, checks: Sequence[str]) -> dict[str, str]:
        """Return those of ``checks`` that passed on exactly this product version, with the hash of the record."""
        paths = {check: acceptance_path(version, check) for check in checks}
        found = {check: self._blobs.find(path) for check, path in paths.items()}
        return {check: sha256(data) for check, data in found.items() if data and is_acceptance(paths[check], data)}

    def _required(self, product: ProductVersion, required: Callable[[str], Sequence[str]]) -> dict[str, str]:
        """Return the acceptances that a product must have.

        Raises:
            NotAcceptedError: With the checks that have not passed on exactly this product version.
        """
        wanted = required(product.product)
        passed = self.acceptances(product.version, wanted)
        refused = [check for check in wanted if check not in passed]
        if refused:
            raise NotAcceptedError(
                f"`{product.product}` has not passed {first_ten(refused)} on exactly these bytes.",
                remedy="Run the whole run again so that its checks run; a failing check says what to mend.",
                product=product.product,
                checks=refused,
            )
        return passed

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
            NotAcceptedError: If a check has not passed on exactly these product versions, or the model version was
                retired meanwhile and this is no correction.
            ChangedFileError: If a file is missing or changed.
        """
        corrects = _checked_correction(key, correction)
        missing = [name for name in PUBLISHED if name not in products]
        if missing:
            raise NotStagedError(
                f"{key} lacks {missing}.", remedy="Run the assets before publication.", key=key, missing=missing
            )
        # A product is no better than what it was made from: a check that failed upstream blocks it too.
        behind = self.lineage(products.values())
        passed = {made.version: self._required(made, required_checks) for made in behind}
        for made in behind:
            self.verify_files(made)
        made_now = {name: self.version(hash_) for name, hash_ in products.items()}
        published = Publication(
            key=key,
            products=products,
            files={name: made.files for name, made in made_now.items()},
            acceptances={version: checks for version, checks in passed.items() if checks},
            correction=corrects,
            cpu=cpu_type(),
            schemas={name: made.schema for name, made in made_now.items()},
            policy=made_now["stockout_risks"].facts.get("policy", UNAPPLIED.version),
            overrides=overrides_of_run(key, self.ledger.state()),
        )
        records = [acceptance_path(version, check) for version, checks in passed.items() for check in checks]
        self.ledger.append(PUBLISH.name, PUBLISH.body(published), names=[*paths_of(behind), *records])
        return self.ledger.state().publications[key]

    def files(self, publication: Publication, product: str) -> tuple[ProductFile, ...]:
        """Return the files of one product of a published run, as its ledger entry names them."""
        named = publication.files.get(product)
        return self.version(publication.products[product]).files if named is None else named

    # --- accuracy ---

    def record_measurement(
        self,
        cadence: str,
        target_date: date,
        product: ProductVersion,
        *,
        since: int,
        required_checks: Sequence[str],
        value: ProductVersion | None = None,
        value_checks: Sequence[str] = (),
    ) -> tuple[Measurement, bool]:
        """Commit the measurement of a day, unless its newest one has the same numbers.

        Args:
            cadence: Rhythm of the runs that were measured.
            target_date: The day.
            product: The product `forecast_accuracy` of the day; its facts say `known_until` and `runs`.
            since: Ledger entry of the newest measurement of the day when the inputs were read; 0 if there was none.
            required_checks: Names of the checks that must have accepted the product.
            value: The product `forecast_value_added` of the day; None where no forecast of it was overridden.
            value_checks: Names of the checks that must have accepted that one.

        Returns:
            The newest measurement of the day, and whether this call recorded it.

        Raises:
            NotAcceptedError: If a check has not passed on exactly this product version.
            LostRaceError: If another process recorded other numbers of the day in between.
        """
        passed = self._required(product, lambda _: required_checks)
        made = [product] if value is None else [product, value]
        for each in made:
            self.verify_files(each)
        valued = {} if value is None else self._required(value, lambda _: value_checks)
        measured = Measurement(
            cadence=cadence,
            target_date=target_date,
            product_version=product.version,
            numbers=product.files[0].sha256,
            known_until=product.facts["known_until"],
            runs=product.facts["runs"],
            acceptances=passed,
            value_version="" if value is None else value.version,
            value_numbers="" if value is None else value.files[0].sha256,
            value_acceptances=valued,
        )

        def as_this(state: LedgerState) -> Measurement | None:
            newest = state.newest_measurement(cadence, target_date)
            return newest if measured.says_the_same_as(newest) else None

        accepted = zip(made, (passed, valued), strict=False)
        records = [acceptance_path(each.version, check) for each, checks in accepted for check in checks]

        def append() -> Entry:
            names = [*paths_of(self.lineage([each.version for each in made])), *records]
            admit = partial(MEASURE.admit, measured, since=since)
            return self.ledger.append(MEASURE.name, MEASURE.body(measured), admit, names=names)

        return self.append_once(MEASURE, as_this, append)

    # --- drift ---

    def record_drift(self, judged: DriftRecord, *, since: int) -> tuple[DriftRecord, bool]:
        """Commit the judgement of a day, unless its newest one has the same numbers.

        Args:
            judged: The judgement.
            since: Ledger entry of the newest judgement when this one was made; 0 if there was none.

        Returns:
            The newest judgement of the day, and whether this call recorded it.

        Raises:
            ChangedFileError: If a file of the report is missing or changed.
            LostRaceError: If another process recorded a judgement in between.
        """
        self.verify_files(self.version(judged.product_version))

        def as_this(state: LedgerState) -> DriftRecord | None:
            newest = state.part(DriftRecords).newest_of(judged.prediction_date)
            is_same = newest is not None and newest.numbers == judged.numbers
            return newest if is_same and not judged.opened and not judged.closed else None

        def append() -> Entry:
            names = paths_of(self.lineage([judged.product_version]))
            return self.ledger.append(
                DRIFT.name, DRIFT.body(judged), partial(DRIFT.admit, judged, since=since), names=names
            )

        return self.append_once(DRIFT, as_this, append)

    # --- reviews ---

    def record_review(self, reviewed: WeekReview, *, since: int) -> tuple[WeekReview, bool]:
        """Commit the review of a week, unless its newest one has the same numbers and proposals.

        Args:
            reviewed: The review.
            since: Ledger entry of the newest review of the week when this one was made; 0 if there was none.

        Returns:
            The newest review of the week, and whether this call recorded it.

        Raises:
            ChangedFileError: If a file of it is missing or changed.
            LostRaceError: If another process recorded a review of the week in between.
        """
        self.verify_files(self.version(reviewed.product_version))

        def as_this(state: LedgerState) -> WeekReview | None:
            newest = state.part(WeekReviews).newest(reviewed.cadence, reviewed.week)
            is_same = newest is not None and (newest.numbers, newest.proposals) == (
                reviewed.numbers,
                reviewed.proposals,
            )
            return newest if is_same else None

        def append() -> Entry:
            names = paths_of(self.lineage([reviewed.product_version]))
            return self.ledger.append(
                REVIEW.name, REVIEW.body(reviewed), partial(REVIEW.admit, reviewed, since=since), names=names
            )

        return self.append_once(REVIEW, as_this, append)

    # --- backtests ---

    def record_backtest(self, product: ProductVersion, body: Mapping[str, Any]) -> tuple[BacktestRecord, bool]:
        """Commit the backtest of a model version, unless its newest one is this very product.

        Args:
            product: The product `backtest_reports` of the version.
            body: Fields of `BacktestRecord` but the product's own.

        Returns:
            The newest backtest of the version, and whether this call recorded it.

        Raises:
            UnknownVersionError: If the version is not registered.
            ChangedFileError: If a file is missing or changed.
        """
        behind = self.lineage([product.version])
        for made in behind:
            self.verify_files(made)

        def as_this(state: LedgerState) -> BacktestRecord | None:
            newest = state.newest_backtest(str(body["model_version"]))
            return newest if newest is not None and newest.product_version == product.version else None

        def append() -> Entry:
            made_of = {"product_version": product.version, "numbers": product.files[0].sha256}
            return self.ledger.append(EVALUATE.name, {**body, **made_of}, names=paths_of(behind))

        return self.append_once(EVALUATE, as_this, append)

    # --- judgements ---

    def record_judgement(self, product: ProductVersion, judgement: Judgement) -> tuple[Judgement, bool]:
        """Commit the judgement of a model version, unless its newest one says the same.

        Args:
            product: The product `promotion_gates` of the version.
            judgement: What the ledger says of it.

        Returns:
            The newest judgement of the version, and whether this call recorded it.

        Raises:
            UnknownVersionError: If the version is not registered.
        """

        def as_this(state: LedgerState) -> Judgement | None:
            newest = state.part(Judgements).newest(judgement.model_version, judgement.cadence)
            return newest if judgement.says_the_same_as(newest) else None

        def append() -> Entry:
            # What is judged may be damaged, which the judgement says; that it is named is no reason to read it again.
            return self.ledger.append(JUDGE.name, JUDGE.body(judgement), names=paths_of([product]))

        return self.append_once(JUDGE, as_this, append)

    def append_once(
        self, kind: EntryKind[RecordT], as_this: Callable[[LedgerState], RecordT | None], append: Callable[[], Entry]
    ) -> tuple[RecordT, bool]:
        """Append an entry unless the newest of what it tells of says the same, now or after a lost race.

        Args:
            kind: Kind of the entry.
            as_this: Returns the newest record if it says the same, else None.
            append: Appends the entry.

        Returns:
            The record, and whether this call appended it.

        Raises:
            LostRaceError: If another process recorded something else in between.
        """
        known = as_this(self.ledger.state())
        if known is not None:
            return known, False
        try:
            entry = append()
        except LostRaceError:
            known = as_this(self.ledger.state())
            if known is None:
                raise
            return known, False
        return kind.read(entry), True

    def publication(self, key: RunKey) -> Publication:
        """Return a published run.

        Raises:
            UnknownVersionError: If the model version does not exist.
            NotPublishedError: If nothing is published under the key, with what is.
        """
        state = self.ledger.state()
        publications = state.publications
        if key.model_version not in state.versions:
            raise UnknownVersionError(key.model_version, sorted(state.versions))
        if key not in publications:
            near = sorted(str(known) for known in publications if known.model_version == key.model_version)
            raise NotPublishedError(
                f"Nothing is published under {key}. Published with this version: {first_ten(near) or 'nothing'}.",
                remedy=Sentence("Make it: ", Action("run", key.arguments)),
                key=key,
                near=near,
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


def _checked_correction(key: RunKey, correction: Correction | None) -> Correction:
    """Return what the ledger entry says of a correction: nothing for a first publication."""
    if (correction is not None) != (key.revision > 0):
        raise InputError(
            f"{key} is {'a correction' if key.revision else 'no correction'}.",
            remedy=Sentence(
                "Say who and why for revisions from 1, and only for them: ", Action("correct", {"help": True})
            ),
            key=key,
        )
    if correction is None:
        return Correction()
    require_decision("A correction", correction.by, correction.reason)
    return replace(correction, corrects=str(revision_before(key)))


def snapshot_key(prediction_date: date, known_until: datetime | None = None) -> str:
    """Return the name of the snapshot of a date: the day, and for a correction its own moment of knowledge."""
    if known_until is None:
        return prediction_date.isoformat()
    return f"{prediction_date.isoformat()}_known_until_{known_until:%Y%m%dT%H%M%S%f}"


def run_folder(product: str, key: RunKey) -> str:
    """Return the folder of a run's product files: hive partitions that readers can prune by."""
    return (
        f"predictions/{product}/prediction_date={key.prediction_date.isoformat()}"
        f"/model_version={key.model_version}/forecast_horizon={key.forecast_horizon}"
    )

"""The rows of the audit views: what the ledger says of runs, model versions, batches, and what runs were made from.

What belongs here: the columns of these views, their rows, and keeping them in small Parquet files beside the catalogue.
What does not: SQL, or anything that a forecast says.

What follows from an entry never changes, so its rows are written once: a file for each entry, then one for every ten
and every hundred, so that a long ledger is few files. A file is named by the last entry that it tells of, whose hash
stands for all before it. All of them can be thrown away and made again.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl

from forecast_assets.contracts import BACKTEST_REPORTS, FORECAST_ACCURACY, PUBLISHED, TIMESTAMP, Column, Contract
from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import StorageError
from forecast_assets.core.keys import RunKey
from resources.ledger.records import (
    Appointment,
    BatchRecord,
    Evaluation,
    Measurement,
    ProductFile,
    Publication,
    Vacuum,
    VersionRecord,
    canonical,
)
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.store.parquet import to_parquet
from resources.stores.products import PredictionStore

# How many entries' rows are put together, the largest first.
GROUPS: Final = (100, 10, 1)

_KEY: Final = (
    Column("publication_key", pl.String, "the run; a row's `prediction_id` begins with it and a slash"),
    Column("cadence", pl.String, "rhythm of the run"),
    Column("prediction_date", pl.Date, "last observed day of the run"),
    Column("model_version", pl.String, "model version, the name of its schema"),
    Column("forecast_horizon", pl.Int32, "days ahead of the run"),
    Column("revision", pl.Int32, "0, or the number of the correction"),
)
_SEQUENCE: Final = Column("ledger_sequence", pl.Int64, "ledger entry that recorded it")
_RECORDED_AT: Final = Column("recorded_at", pl.String, "when it was recorded, ISO 8601 in UTC")

PUBLICATIONS: Final = Contract(
    name="publications",
    grain="one published run",
    description="Every published run and every correction, in the order of the ledger.",
    columns=(
        *_KEY,
        *(Column(f"{name}_version", pl.String, f"product version (manifest hash) of `{name}`") for name in PUBLISHED),
        _SEQUENCE,
        _RECORDED_AT,
        Column("corrects", pl.String, "key of the revision that it corrects; empty if it is no correction"),
        Column("by", pl.String, 'who corrected it (in SQL `"by"`); empty if it is no correction'),
        Column("reason", pl.String, "why it was corrected; empty if it is no correction"),
        Column("cpu", pl.String, "type of the processor that it was made on; empty in entries of the first release"),
    ),
    key=("publication_key",),
)
_LINK: Final = (
    Column("link", pl.String,
           "what it was to the run: a published product, a product on the way to it (`base_forecasts`, ...), "
           "`scoring_snapshot` and each `scoring_batch` behind it, `model_artifact`, `evaluation_report`, "
           "`training_snapshot` and each `training_batch` behind it"),
    Column("product", pl.String, "name of the product; of a batch its feed", nullable=True),
    Column("version", pl.String, "product version (manifest hash); of a batch its id"),
    Column("path", pl.String, "file below the store; null if the manifest is missing or changed, which verifying the "
           "store names", nullable=True),
    Column("sha256", pl.String, "SHA-256 of the file", nullable=True),
    Column("rows", pl.Int64, "rows of the file; 0 for what is no table", nullable=True),
    Column("made_from", pl.List(pl.String), "product versions that it was made from", nullable=True),
    Column("code_version", pl.String, "release, and fingerprint of the source files, that made it", nullable=True),
    Column("libraries", pl.String, "versions of the libraries that shape numbers", nullable=True),
    Column("feature_version", pl.String, "version of the features that it was made with", nullable=True),
    Column("specs_sha256", pl.String, "SHA-256 of the feature specs in a snapshot's manifest", nullable=True),
    Column("known_until", pl.String, "moment of knowledge of a snapshot, ISO 8601 in UTC", nullable=True),
    Column("training_run_id", pl.String, "run that trained the model version: of artifact and report", nullable=True),
)  # fmt: skip
LINEAGE: Final = Contract(
    name="lineage",
    grain="one published run, one link, one file of it",
    description="What every published run was made from: from a row's `prediction_id` to products, snapshots, "
    "observation batches, model artifact, report, code and libraries.",
    columns=(*_KEY, *_LINK),
    key=("publication_key", "link", "version", "path"),
)
BATCHES: Final = Contract(
    name="batches",
    grain="one batch of observations of one feed, from one source",
    description="Everything that sources said, as it was recorded.",
    columns=(
        Column("number", pl.Int32, "1, 2, 3, ... in the order of the ledger"),
        Column("batch_id", pl.String, "hash over the file, who says so, how trusted and how late"),
        Column("feed", pl.String, "what it is about"),
        Column("source", pl.String, "who says so"),
        Column("trust", pl.Float64, "of two sources that differ, the one with the higher trust is believed"),
        Column("declared_lag_hours", pl.Float64, "hours from the end of a day until the source speaks of it"),
        Column("path", pl.String, "file below the store"),
        Column("sha256", pl.String, "SHA-256 of the file"),
        Column("rows", pl.Int64, "rows of the file"),
        Column("first_event_date", pl.Date, "first day that it speaks of"),
        Column("last_event_date", pl.Date, "last day that it speaks of"),
        Column("first_known_at", TIMESTAMP, "when its first row became known"),
        Column("last_known_at", TIMESTAMP, "when its last row became known; null in old entries", nullable=True),
        _SEQUENCE,
        _RECORDED_AT,
    ),
    key=("batch_id",),
)
MODEL_VERSIONS: Final = Contract(
    name="model_versions",
    grain="one model version",
    description="Every registered model version and what it links to.",
    columns=(
        Column("model_version", pl.String, "name, and the name of its schema"),
        Column("family", pl.String, "kind of model"),
        Column("cutoff", pl.Date, "last day that it was trained on"),
        Column("artifact", pl.String, "product version (manifest hash) of the fitted model"),
        Column("evaluation_report", pl.String, "product version of its evaluation report"),
        Column("training_run_id", pl.String, "run that trained it"),
        Column("training_snapshot", pl.String, "product version of the snapshot that it was trained on"),
        Column("feature_version", pl.String, "version of its features"),
        Column("sequence", pl.Int64, "ledger entry that registered it"),
        _RECORDED_AT,
    ),
    key=("model_version",),
)
CHANNEL_HISTORY: Final = Contract(
    name="channel_history",
    grain="one time that a channel was pointed at a version",
    description="Every promotion and every rollback, oldest first; the last of a channel is where it points now.",
    columns=(
        Column("channel", pl.String, "pointer that schedules and people follow, such as `champion`"),
        Column("model_version", pl.String, "where it points from then on"),
        Column("by", pl.String, 'who decided (in SQL `"by"`)'),
        Column("reason", pl.String, "why"),
        Column("sequence", pl.Int64, "ledger entry"),
        _RECORDED_AT,
        Column("is_rollback", pl.Boolean, "whether it went back to a version that it had pointed at before"),
    ),
    key=("sequence",),
)
VACUUMS: Final = Contract(
    name="vacuums",
    grain="one time that files were removed",
    description="Every removal of files that no entry named; nothing published is ever among them.",
    columns=(
        Column("sequence", pl.Int64, "ledger entry"),
        _RECORDED_AT,
        Column("by", pl.String, 'who asked for it (in SQL `"by"`)'),
        Column("files", pl.Int64, "how many files"),
        Column("bytes", pl.Int64, "how large they were together"),
        Column("path", pl.String, "list of their names, below the store"),
    ),
    key=("sequence",),
)
# Which file of `forecast_accuracy` is of which measurement.
MEASURED: Final[Mapping[str, Any]] = {
    "cadence": pl.String, "target_date": pl.Date, "measured_sequence": pl.Int64, "known_until": TIMESTAMP,
    "path": pl.String, "sha256": pl.String, "rows": pl.Int64, "bytes": pl.Int64,
}  # fmt: skip
# Which file of `backtest_reports` is of which evaluation.
EVALUATED: Final[Mapping[str, Any]] = {
    "of_version": pl.String, "evaluated_sequence": pl.Int64, "cadence": pl.String, "forecast_horizon": pl.Int32,
    "known_until": TIMESTAMP, "path": pl.String, "sha256": pl.String, "rows": pl.Int64, "bytes": pl.Int64,
}  # fmt: skip
# What runs were made from lies beside them; batches by their numbers, since there are many.
LINKS: Final = pl.Struct({**{c.name: c.dtype for c in _LINK}, "batches": pl.List(pl.Int32)})

Row = dict[str, Any]


class AuditRows:
    """The rows of the audit views as of the ledger's head, in Parquet files; what is missing or damaged is written.

    Args:
        store: Where the ledger and the manifests are.
        folder: Where the files are kept.
        anew: Whether to write them also where they are there, since one of them may be damaged.
    """

    def __init__(self, store: PredictionStore, folder: Path, *, anew: bool = False) -> None:
        self._store = store
        self._folder = folder
        self._anew = anew
        # Asked for in this order, the entries reach as far as the state: it is the ledger's own, and moves with it.
        self.state = store.ledger.state()
        self._entries = store.ledger.entries()
        self._numbers = {name: number for number, name in enumerate(self.state.batches, 1)}

    # --- files ---

    def publications(self) -> list[str]:
        """Return the files of `PUBLICATIONS`, each row with its `LINKS`."""
        schema = {**PUBLICATIONS.schema, "links": pl.List(LINKS)}
        return self._files("publications", schema, self.state.publications.values(), self._publication_rows)

    def batches(self) -> list[str]:
        """Return the files of `BATCHES`."""
        return self._files("batches", BATCHES.schema, self.state.batches.values(), self._batch_rows)

    def model_versions(self) -> list[str]:
        """Return the files of `MODEL_VERSIONS`."""
        return self._plain(MODEL_VERSIONS, self.state.versions.values())

    def channel_history(self) -> list[str]:
        """Return the files of `CHANNEL_HISTORY`."""
        return self._plain(CHANNEL_HISTORY, self.state.appointments)

    def vacuums(self) -> list[str]:
        """Return the files of `VACUUMS`."""
        return self._plain(VACUUMS, self.state.vacuums)

    def measured(self) -> list[str]:
        """Return the files of `MEASURED`."""
        measurements = [one for days in self.state.measurements.values() for one in days]
        return self._files("measured", MEASURED, measurements, self._measurement_rows)

    def evaluated(self) -> list[str]:
        """Return the files of `EVALUATED`."""
        evaluations = [one for versions in self.state.evaluations.values() for one in versions]
        return self._files("evaluated", EVALUATED, evaluations, self._evaluation_rows)

    def named_files(self, naming: list[str]) -> list[ProductFile]:
        """Return the files that the files of `MEASURED` or of `EVALUATED` name, each once.

        Raises:
            StorageError: If one of them is damaged inside.
        """
        try:
            named = pl.read_parquet(naming, columns=["path", "sha256", "rows", "bytes"], glob=False)
        except pl.exceptions.PolarsError as error:
            raise StorageError(
                f"Rows of the audit views below `{self._folder}` cannot be read: {error}.",
                remedy=Sentence("Make them again: ", Action("catalogue")),
            ) from error
        return [ProductFile(**row) for row in named.unique().sort("path").iter_rows(named=True)]

    def no_accuracy(self) -> str:
        """Return a file of `forecast_accuracy` without rows, for a ledger that has none."""
        return self._empty(FORECAST_ACCURACY.name, FORECAST_ACCURACY.schema)

    def no_backtests(self) -> str:
        """Return a file of `backtest_reports` without rows, for a ledger that has none."""
        return self._empty(BACKTEST_REPORTS.name, BACKTEST_REPORTS.schema)

    def _plain(self, contract: Contract, records: Iterable["_Recorded"]) -> list[str]:
        def rows(some: Sequence[Any]) -> tuple[list[Row], bool]:
            return [{name: getattr(record, name) for name in contract.names} for record in some], True

        return self._files(contract.name, contract.schema, records, rows)

    def _files(
        self,
        name: str,
        schema: Mapping[str, Any],
        records: Iterable["_Recorded"],
        rows_of: Callable[[Sequence[Any]], tuple[list[Row], bool]],
    ) -> list[str]:
        """Return the files that hold the rows of records, oldest first; what is missing or damaged is written."""
        by_entry = defaultdict(list)
        for record in records:
            by_entry[record.sequence].append(record)
        files = []
        for sequences in _grouped(sorted(by_entry)):
            path = self._path(name, schema, sequences)
            if self._anew or not _is_readable(path, schema):
                smaller = [] if self._anew else self._smaller(name, schema, sequences)
                left = sequences[sum(size for size, _ in smaller) :]
                rows, is_whole = rows_of([record for sequence in left for record in by_entry[sequence]])
                data = to_parquet(pl.concat([*(part for _, part in smaller), pl.DataFrame(rows, schema=schema)]))
                if not is_whole:
                    # What could not be read now may be mended later: looked at again by the next build.
                    path = path.with_stem(f"{path.stem}-incomplete-{sha256(data)[:12]}")
                _write(path, data)
            files.append(str(path))
        return files or [self._empty(name, schema)]

    def _path(self, name: str, schema: Mapping[str, Any], sequences: Sequence[int]) -> Path:
        last = self._entries[sequences[-1] - 1]
        stem = f"{name}-{last.sequence:012d}-{len(sequences)}-{last.hash[:12]}-{_fingerprint(schema)}"
        return self._folder / f"{stem}.parquet"

    def _smaller(
        self, name: str, schema: Mapping[str, Any], sequences: Sequence[int]
    ) -> list[tuple[int, pl.DataFrame]]:
        """Return how many entries each smaller file tells of, and its rows, up to the first that is not there.

        So the manifests of a hundred runs are not read once more when their files become one.
        """
        found: list[tuple[int, pl.DataFrame]] = []
        at = 0
        while at < len(sequences):
            for size in (size for size in GROUPS if size < len(sequences)):
                frame = _read(self._path(name, schema, sequences[at : at + size]), schema)
                if frame is not None:
                    found.append((size, frame))
                    at += size
                    break
            else:
                break
        return found

    def _empty(self, name: str, schema: Mapping[str, Any]) -> str:
        path = self._folder / f"{name}-none-{_fingerprint(schema)}.parquet"
        if self._anew or not _is_readable(path, schema):
            _write(path, to_parquet(pl.DataFrame(schema=dict(schema))))
        return str(path)

    # --- rows ---

    def _batch_rows(self, batches: Sequence[BatchRecord]) -> tuple[list[Row], bool]:
        own = ("feed", "source", "trust", "declared_lag_hours", "path", "sha256", "rows", "first_event_date",
               "last_event_date", "first_known_at", "last_known_at")  # fmt: skip
        rows = [
            {
                "number": self._numbers[batch.batch_id],
                "batch_id": batch.batch_id,
                **{name: getattr(batch, name) for name in own},
                "ledger_sequence": batch.sequence,
                "recorded_at": self._entries[batch.sequence - 1].recorded_at,
            }
            for batch in batches
        ]
        return rows, True

    def _measurement_rows(self, measurements: Sequence[Measurement]) -> tuple[list[Row], bool]:
        made = self._store.readable([one.product_version for one in measurements])
        rows = [
            {
                "cadence": one.cadence,
                "target_date": one.target_date,
                "measured_sequence": one.sequence,
                "known_until": datetime.fromisoformat(one.known_until),
                **asdict(file),
            }
            for one in measurements
            if one.product_version in made
            for file in made[one.product_version].files
        ]
        return rows, all(one.product_version in made for one in measurements)

    def _evaluation_rows(self, evaluations: Sequence[Evaluation]) -> tuple[list[Row], bool]:
        made = self._store.readable([one.product_version for one in evaluations])
        rows = [
            {
                "of_version": one.model_version,
                "evaluated_sequence": one.sequence,
                "cadence": one.cadence,
                "forecast_horizon": one.forecast_horizon,
                "known_until": datetime.fromisoformat(one.known_until),
                **asdict(file),
            }
            for one in evaluations
            if one.product_version in made
            for file in made[one.product_version].files
        ]
        return rows, all(one.product_version in made for one in evaluations)

    def _publication_rows(self, publications: Sequence[Publication]) -> tuple[list[Row], bool]:
        walks = [_Walk(one, self.state.versions[one.key.model_version]) for one in publications]
        made: dict[str, ProductVersion | None] = {}
        while wanted := {version for walk in walks for version in walk.unread(made)}:
            found = self._store.readable(sorted(wanted))
            made |= {version: found.get(version) for version in wanted}
        links = [[row for link in walk.links for row in self._link_rows(*link, made, walk.model)] for walk in walks]
        rows = [{**_publication_row(one), "links": of} for one, of in zip(publications, links, strict=True)]
        return rows, None not in made.values()

    def _link_rows(
        self, link: str, version: str, made: Mapping[str, ProductVersion | None], model: VersionRecord
    ) -> Iterator[Row]:
        product = made[version]
        if product is None:
            yield {"link": link, "version": version, "batches": []}
            return
        specs = product.facts.get("specs")
        batches = (self._numbers.get(name) for name in product.inputs.get("batches", ()))
        row = {
            "link": link,
            "product": product.product,
            "version": version,
            "made_from": product.parents,
            "code_version": product.code_version,
            "libraries": ", ".join(f"{name} {number}" for name, number in sorted(product.libraries.items())),
            "feature_version": product.facts.get("feature_version"),
            "specs_sha256": None if specs is None else sha256(canonical(specs)),
            "known_until": product.facts.get("known_until"),
            "training_run_id": model.training_run_id if link in {"model_artifact", "evaluation_report"} else None,
            "batches": sorted(number for number in batches if number is not None),
        }
        for at, file in enumerate(product.files):
            own = {"path": file.path, "sha256": file.sha256, "rows": file.rows}
            yield {**row, **own} if at == 0 else {**row, **own, "batches": []}


_Recorded = Publication | BatchRecord | VersionRecord | Appointment | Vacuum | Measurement | Evaluation


@dataclass
class _Walk:
    """From a published run to everything that it was made from, as far as manifests have been read.

    Attributes:
        publication: The run.
        model: Its model version.
        links: What was found: its name and its product version.
    """

    publication: Publication
    model: VersionRecord

    def __post_init__(self) -> None:
        model = self.model
        products = {(name, self.publication.products[name]): None for name in PUBLISHED}
        trained = {
            ("model_artifact", model.artifact): None,
            ("evaluation_report", model.evaluation_report): None,
            ("training_snapshot", model.training_snapshot): None,
        }
        self.links: dict[tuple[str, str], None] = products | trained
        self._waiting: list[tuple[str, str]] = list(self.links)

    def unread(self, made: Mapping[str, ProductVersion | None]) -> set[str]:
        """Go on as far as manifests are there; return those that are still wanted."""
        while ready := [link for link in self._waiting if link[1] in made]:
            self._waiting = [link for link in self._waiting if link[1] not in made]
            for name, version in ready:
                self._follow(name, made[version])
        return {version for _, version in self._waiting}

    def _follow(self, name: str, product: ProductVersion | None) -> None:
        if product is None:
            return
        for role, version in product.inputs.items():
            link = (_role(role, name), version)
            if role != "batches" and link not in self.links:
                self.links[link] = None
                self._waiting.append(link)


_OF_TRAINING: Final = frozenset({"model_artifact", "evaluation_report", "training_snapshot"})


def _role(name: str, of: str) -> str:
    """Return what an input is to the run: a snapshot of scoring is another thing than one of training."""
    if name == "feature_snapshots":
        return "training_snapshot" if of in _OF_TRAINING else "scoring_snapshot"
    return {"model_artifacts": "model_artifact", "evaluation_reports": "evaluation_report"}.get(name, name)


def _publication_row(publication: Publication) -> Row:
    key: RunKey = publication.key
    return {
        "publication_key": str(key),
        **vars(key),
        **{f"{name}_version": publication.products[name] for name in PUBLISHED},
        "ledger_sequence": publication.sequence,
        "recorded_at": publication.recorded_at,
        "corrects": publication.correction.corrects,
        "by": publication.correction.by,
        "reason": publication.correction.reason,
        "cpu": publication.cpu,
    }


def _grouped(sequences: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut a sequence into groups of a hundred, then of ten, then of one; a longer one begins with the same groups.

    Example:
        >>> [len(group) for group in _grouped(range(1, 213))]
        [100, 100, 10, 1, 1]
    """
    at = 0
    for size in GROUPS:
        while len(sequences) - at >= size:
            yield sequences[at : at + size]
            at += size


# Goes up whenever rows are computed in another way: files of an earlier release are then written anew.
ROWS_FORMAT: Final = 1


def _fingerprint(schema: Mapping[str, Any]) -> str:
    return sha256(repr((ROWS_FORMAT, sorted((name, str(kind)) for name, kind in schema.items()))).encode())[:8]


def _is_readable(path: Path, schema: Mapping[str, Any]) -> bool:
    """Return whether a file is there and says of itself that it has these columns."""
    try:
        return pl.read_parquet_schema(path) == dict(schema)
    except (OSError, pl.exceptions.PolarsError):
        return False


def _read(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(path, glob=False) if _is_readable(path, schema) else None
    except (OSError, pl.exceptions.PolarsError):
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, also after a power cut; who writes the same at once does no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)

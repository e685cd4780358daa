"""Rebuilding a published run from what was recorded of it, and comparing the bytes.

What belongs here: which inputs and settings a run had, and reading both sides of the comparison. What does not: running
stages on an overlay (operations.rebuilding), finding differences (operations.differences), or computing a number: the
stages are those of every run.

Nothing that is rebuilt is written to the store; the ledger is the one that the run saw.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

import polars as pl

from forecast_assets.contracts import (
    EVALUATION_REPORTS,
    FORECAST_OVERRIDES,
    FORECASTS,
    PRODUCTS,
    PUBLISHED,
    RECONCILED_FORECASTS,
    SERIES_STEP_KEY,
)
from forecast_assets.core.errors import ChangedFileError, InputError, ReplayDifferenceError, first_ten
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.core.progress import Progress
from forecast_assets.core.run import CorrectionRequest, RunOptions, RunRequest
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.operations.differences import (
    NO_VALUE,
    Difference,
    RebuiltProduct,
    causes_of,
    difference_of_rows,
    difference_of_values,
    paired,
)
from forecast_assets.operations.reading import scan_product
from forecast_assets.operations.rebuilding import (
    overlay,
    rebuild_snapshots,
    rebuilt_product,
    verify_inputs,
)
from forecast_assets.scoring.context import RunContext, given_inputs_of
from forecast_assets.scoring.run import score
from forecast_assets.settings import Settings
from resources.ledger.entries.publish import Publication
from resources.ledger.records import ProductFile
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores


@dataclass(frozen=True)
class Replay:
    """What came of rebuilding.

    Attributes:
        of: Key of the run, or name of the model version.
        sequence: Ledger entry that recorded it.
        products: Every product beside its rebuilt self, in the order of the run.
        cpu: Type of processor that it was made on; empty where nobody recorded it.
        assumed: Settings that nobody recorded, with the values that were taken.
        causes: What is not the same as it was when the products were made.
        difference: How the first product that differs does so; None if all are equal.
        damaged: Files of the store that do not have the bytes that were recorded, though the rebuilt ones do.
        rows: The rows that were asked for: `product, column, published, rebuilt`, values as text; "-" where a file of
            the store does not have the bytes that were recorded.
    """

    of: str
    sequence: int
    products: tuple[RebuiltProduct, ...]
    cpu: str
    assumed: tuple[str, ...]
    causes: tuple[str, ...]
    difference: Difference | None
    damaged: tuple[str, ...]
    rows: Mapping[PredictionId, pl.DataFrame] = field(default_factory=dict)

    @property
    def is_equal(self) -> bool:
        """Whether every product was rebuilt byte for byte, with what its manifest says of it."""
        return self.difference is None

    def require_equal(self) -> None:
        """Stop unless every product was rebuilt byte for byte, and is stored as it was recorded.

        Raises:
            ReplayDifferenceError: Naming the first product that differs, and what may have caused it.
            ChangedFileError: If a stored file is damaged.
        """
        if self.difference is not None:
            raise ReplayDifferenceError(self.difference.product, self._what(self.difference), self.causes)
        if self.damaged:
            raise ChangedFileError(
                f"{self.of} was rebuilt to the bytes that were recorded, but those in the store are not: "
                f"{first_ten(self.damaged)}.",
                remedy="Replay it with --keep DIR, and put the files of the same names from DIR into the store.",
            )

    def _what(self, found: Difference) -> str:
        causes = "; ".join(self.causes)
        if found.manifest:
            fields = [f"{each.column} is {each.rebuilt}, was {each.published}" for each in found.manifest]
            return (
                f"`{found.product}` of {self.of} was rebuilt to the same bytes, but its manifest says other than the "
                f"recorded one: {first_ten(fields)}. Why: {causes or 'the same code and libraries said it: a defect'}."
            )
        worst = max(found.columns, key=lambda each: each.largest or 0.0, default=None)
        where = "" if worst is None else f", most in `{worst.column}` of {worst.row}: {worst.published} published, "
        where += "" if worst is None else f"{worst.rebuilt} rebuilt"
        where += f"; only one of them has {first_ten(found.unshared)}" if found.unshared else ""
        why = "the same code, libraries and CPU type gave other bytes: a defect"
        return (
            f"`{found.product}` of {self.of} was rebuilt to other bytes: {found.rows:,} rows differ{where}. "
            f"Why: {causes or why}."
        )


# --- runs ---


def replay(
    stores: Stores,
    settings: Settings,
    key: RunKey,
    progress: Progress,
    *,
    rows: Sequence[PredictionId] = (),
    keep: Path | None = None,
) -> Replay:
    """Rebuild a published run from its recorded inputs and settings, and compare every product's bytes.

    Nothing is written but a temporary folder of the size of the run's products, which is removed afterwards. Files of a
    bucket are read through their local copies, as always.

    Args:
        stores: Where everything is.
        settings: How much of the machine to use; what shapes numbers is taken from the records.
        key: The run: any cadence, revision and family.
        progress: Called with stage, done and total.
        rows: Published rows of the run to show beside their rebuilt selves.
        keep: New or empty folder in which to leave what was rebuilt.

    Raises:
        NotPublishedError: If the run is not published.
        ChangedFileError: If an input of the run does not have the bytes that were recorded, naming it.
        InputError: If a row is not one of the run, or the folder to keep is not empty.
    """
    publication = stores.predictions.publication(key)
    _require_rows(stores, publication, rows)
    snapshot = source_snapshot(stores, publication.products)
    recorded = recorded_products(stores, publication)
    artifact = stores.predictions.version(stores.registry.model_version(key.model_version).artifact)
    external_forecasts = given_inputs_of(stores.predictions, publication.products.values())
    verify_inputs(stores, [snapshot], [artifact, *external_forecasts], progress)
    request, assumed = recorded_request(key, snapshot, recorded, settings)
    with overlay(stores.as_of(publication.sequence - 1), keep) as scratch:
        rebuild_snapshots(scratch, [snapshot], progress)
        for made in external_forecasts:
            scratch.predictions.stage(made, key)
        _rebuild(scratch, request, recorded, progress)
        products = (
            (snapshot, scratch.predictions.staged(snapshot.product, snapshot.key)),
            *((made, rebuilt_product(scratch, name, made.key)) for name, made in recorded.items()),
        )
        return compared(
            stores, scratch, str(key), publication.sequence, products, publication.cpu, assumed, progress,
            rows={row: _side_by_side(stores, scratch, publication, row) for row in rows},
        )  # fmt: skip


def _rebuild(scratch: Stores, request: RunRequest, recorded: Mapping[str, ProductVersion], progress: Progress) -> None:
    """Make a run again; one of overrides alone after the forecasts of the revision that it went on from."""
    schemas = {name: made.schema for name, made in recorded.items()}
    if request.correction is None or not request.correction.of_overrides:
        score(RunContext(scratch, request, progress, schemas))
        return
    key = RunKey.parse(recorded[RECONCILED_FORECASTS.name].key)
    correction = replace(request.correction, of_overrides=False) if key.revision else None
    before = replace(request, key=key, correction=correction)
    score(RunContext(scratch, before, progress, schemas), last=RECONCILED_FORECASTS.name)
    score(RunContext(scratch, request, progress, schemas), first=FORECAST_OVERRIDES.name)


def recorded_products(stores: Stores, publication: Publication) -> dict[str, ProductVersion]:
    """Return the products that a run made, published or not, in the order in which stages make them.

    Of one that was made for overrides alone the forecasts are those of the revision that it went on from.
    """
    behind = stores.predictions.lineage(publication.products.values())
    revisions = {str(replace(publication.key, revision=at)) for at in range(publication.key.revision + 1)}
    made = {each.product: each for each in behind if each.key in revisions}
    return {name: made[name] for name in PRODUCTS if name in made}


def recorded_request(
    key: RunKey, snapshot: ProductVersion, recorded: Mapping[str, ProductVersion], settings: Settings
) -> tuple[RunRequest, tuple[str, ...]]:
    """Return the run as it was asked for, and the settings that nobody recorded."""
    paths, applied = recorded["stockout_risks"].facts.get("risk_paths"), recorded.get(FORECAST_OVERRIDES.name)
    of_overrides = {} if applied is None else applied.facts
    sold = of_overrides.get("observed_until")
    assumed = () if paths is not None else (f"risk_paths {settings.risk_paths}",)
    options = RunOptions(
        risk_paths=settings.risk_paths if paths is None else paths,
        workers=settings.workers,
        policy=recorded["stockout_risks"].facts.get("policy", ""),
        overrides=tuple(of_overrides.get("overrides", ())),
        observed_until=date.fromisoformat(sold) if sold else None,
    )
    if not key.revision:
        return RunRequest(key, options), assumed
    moment = datetime.fromisoformat(snapshot.facts["known_until"])
    goes_on = recorded[RECONCILED_FORECASTS.name].key != str(key)
    return RunRequest(key, options, CorrectionRequest(moment, of_overrides=goes_on)), assumed


def _require_rows(stores: Stores, publication: Publication, rows: Sequence[PredictionId]) -> None:
    """Refuse early what is known not to be a row of the run; of a damaged file nothing is known."""
    for row in rows:
        if row.run != publication.key:
            raise InputError(f"{row} is not a row of {publication.key}.", remedy="Replay its own run.")
        published = _published(stores, publication, FORECASTS.name)
        if published is not None and _row_of(published, row).is_empty():
            raise _no_row(row)


def _no_row(row: PredictionId) -> InputError:
    return InputError(f"{row} is not a row of this run.", remedy="Take the id from a view's `prediction_id`.")


def _published(stores: Stores, publication: Publication, product: str) -> pl.LazyFrame | None:
    """Scan a published product; None if a file of it is damaged."""
    files = stores.predictions.files(publication, product)
    return scan_product(stores, publication, product) if all(_is_intact(stores, file) for file in files) else None


def _side_by_side(stores: Stores, scratch: Stores, publication: Publication, row: PredictionId) -> pl.DataFrame:
    """Return the published and the rebuilt values of a row: `product, column, published, rebuilt`.

    Raises:
        InputError: If neither side has the row.
    """
    frames = []
    for name in PUBLISHED:
        if not set(SERIES_STEP_KEY) <= set(PRODUCTS[name].names):
            continue
        made = rebuilt_product(scratch, name, str(publication.key))
        published = _values_of(_published(stores, publication, name), row)
        rebuilt = _values_of(None if made is None else scratch.predictions.scan(made), row)
        columns = [column for column in {**published, **rebuilt} if column not in SERIES_STEP_KEY]
        frames.append(
            pl.DataFrame(
                {
                    "product": [name] * len(columns),
                    "column": columns,
                    "published": [published.get(column, NO_VALUE) for column in columns],
                    "rebuilt": [rebuilt.get(column, NO_VALUE) for column in columns],
                },
                schema_overrides=dict.fromkeys(("product", "column", "published", "rebuilt"), pl.String),
            )
        )
    values = pl.concat(frames)
    if values.is_empty():
        raise _no_row(row)
    return values


def _row_of(rows: pl.LazyFrame, row: PredictionId) -> pl.DataFrame:
    return rows.filter(sku_id=row.sku_id, store_id=row.store_id, step=row.step).collect()


def _values_of(rows: pl.LazyFrame | None, row: PredictionId) -> dict[str, str]:
    found = pl.DataFrame() if rows is None else _row_of(rows, row)
    return {name: str(value) for name, value in found.row(0, named=True).items()} if found.height else {}


# --- comparing ---


def compared(
    stores: Stores,
    scratch: Stores,
    of: str,
    sequence: int,
    products: Sequence[tuple[ProductVersion, ProductVersion | None]],
    cpu: str,
    assumed: tuple[str, ...],
    progress: Progress,
    *,
    rows: Mapping[PredictionId, pl.DataFrame] | None = None,
) -> Replay:
    """Compare products with their rebuilt selves, and what is stored with what was recorded.

    Args:
        stores: Where everything is.
        scratch: Overlay on which the products were rebuilt.
        of: Key of the run, or name of the model version.
        sequence: Ledger entry that recorded it.
        products: As recorded and as rebuilt (None if it was not), each after what it was made from.
        cpu: Type of processor that they were made on; empty where nobody recorded it.
        assumed: Settings that nobody recorded, with the values that were taken.
        progress: Called with stage, done and total.
        rows: Rows to show.
    """
    found = paired(products)
    first = next((each for each in found if not each.is_equal), None)
    damaged = []
    for done, each in enumerate(found):
        progress("compare", done, len(found))
        damaged += [file.path for file in each.recorded.files if each.has_same_bytes and not _is_intact(stores, file)]
    difference = None if first is None else _difference(stores, scratch, first)
    progress("compare", len(found), len(found))
    return Replay(
        of=of,
        sequence=sequence,
        products=found,
        cpu=cpu,
        assumed=assumed,
        # A snapshot may be older than the run that reads it, and by other code.
        causes=causes_of([each.recorded for each in ([first] if first else found)], cpu, assumed),
        difference=difference,
        damaged=tuple(damaged),
        rows=rows or {},
    )


def _is_intact(stores: Stores, file: ProductFile) -> bool:
    try:
        return stores.blobs.is_intact(file.path, file.sha256)
    except ChangedFileError:
        return False


def _difference(stores: Stores, scratch: Stores, found: RebuiltProduct) -> Difference:
    product = found.recorded.product
    if found.rebuilt is None:
        return Difference(product, only_published=found.recorded.rows)
    if found.has_same_bytes:
        return Difference(product, manifest=found.manifest)
    if not found.recorded.rows:
        texts = (stores.predictions.read_bytes(found.recorded), scratch.predictions.read_bytes(found.rebuilt))
        return difference_of_values(product, *map(json.loads, texts))
    frames = (stores.predictions.read(found.recorded), scratch.predictions.read(found.rebuilt))
    return difference_of_rows(product, *frames, key=_key_of(product))


def _key_of(product: str) -> Sequence[str]:
    if product in PRODUCTS:
        return PRODUCTS[product].key
    return EVALUATION_REPORTS.key if product == EVALUATION_REPORTS.name else SERIES_KEY

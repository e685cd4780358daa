"""What assets share with Dagster: the stores and a run's settings as resources, keys, progress, metadata.

What belongs here: translation between Dagster's words and the project's. What does not: computing anything.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from forecast_assets.contracts import Contract
from forecast_assets.core import progress
from forecast_assets.core.errors import InputError, StorageError
from forecast_assets.core.keys import CADENCES, RunKey
from partitions import (
    MODEL_VERSION,
    PREDICTION_DATE,
    scoring_partitions,
    snapshot_mapping,
    version_mapping,
)
from resources.catalogue.build import refresh_catalogue
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores, open_stores
from resources.stores.products import run_folder

Progress = progress.Progress
AssetDecorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]

LOG_EVERY_SECONDS: Final = 5.0


class StoresResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The stores of one home folder.

    Attributes:
        location: Where ledger, observations and products are: a folder, or the URL of a bucket.
        mirror_folder: Local copies of what is in a bucket.
        catalogue_folder: Where catalogues for BI tools are.
        expectations_folder: Where Great Expectations keeps results and data docs.
    """

    location: str
    mirror_folder: str
    catalogue_folder: str
    expectations_folder: str
    _stores: Stores | None = PrivateAttr(default=None)

    def open(self) -> Stores:
        """Return the stores, opened once per process."""
        if self._stores is None:
            self._stores = open_stores(self.location, Path(self.mirror_folder))
        return self._stores

    def refreshed_catalogue(self, duckdb: DuckDBResource, context: dg.AssetExecutionContext) -> str:
        """Build the BI catalogue and return its file, or why it could not be built: what is recorded stays so."""
        folder = Path(self.catalogue_folder)
        try:
            return str(refresh_catalogue(self.open().predictions, folder, duckdb.get_connection))
        except StorageError as error:
            context.log.warning(str(error))
            return f"not built: {error}"


class RunSettings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What may differ from run to run, and how much of the machine it may use.

    Attributes:
        horizon: Days ahead; None for the cadence's default.
        history_days: Days of history that models read.
        risk_paths: Simulated stock paths per series.
        workers: Processes that fit series; None for all cores.
        revision: 0 for a first publication, or the number of the correction that is made.
        known_until: Moment of knowledge of a correction, ISO 8601; what names no zone is UTC. None for the date's own.
        by: Who decided to correct.
        reason: Why.
    """

    horizon: int | None = None
    history_days: int = 364
    risk_paths: int = 300
    workers: int | None = None
    revision: int = 0
    known_until: str | None = None
    by: str = ""
    reason: str = ""

    @property
    def known_until_moment(self) -> datetime | None:
        """The moment of knowledge of a correction.

        Raises:
            InputError: If it is not a moment.
        """
        return None if self.known_until is None else _utc(self.known_until)


class ProgressReporter:
    """Tells how far long work is; by default into the run's log every few seconds."""

    def reporter(self, log: Any) -> Progress:
        """Return a function to call with a stage, what is done, and the total."""
        last: dict[str, float] = {}

        def report(stage: str, done: int, total: int) -> None:
            now = time.monotonic()
            if done >= total or now - last.get(stage, 0.0) >= LOG_EVERY_SECONDS:
                last[stage] = now
                log.info("%s: %s of %s", stage, f"{done:,}", f"{total:,}")

        return report


def run_key(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, cadence: str, run: RunSettings
) -> RunKey:
    """Return the publication key of the scoring partition that is being made."""
    dimensions = scoring_dimensions(context)
    return RunKey(cadence, *dimensions, CADENCES[cadence].horizon(run.horizon), run.revision)


def _utc(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`{text}` is not a moment.", remedy="Write it as 2025-07-03T06:00:00+00:00.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def scoring_dimensions(context: Any) -> tuple[date, str]:
    """Return prediction date and model version of the current partition."""
    key = context.partition_key
    parts = key.keys_by_dimension if isinstance(key, dg.MultiPartitionKey) else _split(key)
    return date.fromisoformat(parts[PREDICTION_DATE]), parts[MODEL_VERSION]


def _split(key: str) -> dict[str, str]:
    # Dagster joins the dimensions in alphabetical order of their names.
    version, day = key.split("|")
    return {MODEL_VERSION: version, PREDICTION_DATE: day}


def column_schema(contract: Contract) -> dg.TableSchema:
    """Return a contract's columns as the Dagster UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=[column.name] == [*contract.key]
                ),
            )
            for column in contract.columns
        ]
    )


def description(contract: Contract, *notes: str) -> str:
    """Return a contract as the Markdown that the Dagster UI shows: what, grain, key, promises, limits."""
    lines = [
        contract.description,
        f"**Grain**: {contract.grain}.",
        f"**Key**: {', '.join(f'`{name}`' for name in contract.key)}.",
        "**Units**: columns say theirs; `_units` are `DECIMAL(18, 6)` sales units, `_days` days, probabilities 0 to 1.",
        *(f"**Promise**: {promise}" for promise in contract.promises),
        *(f"**Limit**: {limit}" for limit in contract.limits),
        *notes,
    ]
    return "\n\n".join(lines)


def product_metadata(
    contract: Contract, version: ProductVersion, frame: pl.DataFrame, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a materialization shows: rows, columns, version, inputs and a few rows."""
    return {
        "dagster/column_schema": column_schema(contract),
        "dagster/partition_row_count": frame.height,
        "dagster/uri": version.files[0].path,
        "product_version": version.version,
        "code_version": version.code_version,
        "megabytes": round(sum(file.bytes for file in version.files) / 1e6, 2),
        "first_rows": dg.MetadataValue.md(markdown_table(frame.head(5))),
        **(extra or {}),
    }


def markdown_table(frame: pl.DataFrame) -> str:
    """Return a small frame as a Markdown table."""
    lines = [
        " | ".join(frame.columns),
        " | ".join("---" for _ in frame.columns),
        *(" | ".join("" if value is None else str(value) for value in row) for row in frame.iter_rows()),
    ]
    return "\n".join(f"| {line} |" for line in lines)


def scoring_asset(
    cadence: str, contract: Contract, start: date, *, stage: str, deps: Sequence[str], notes: Sequence[str] = ()
) -> AssetDecorator:
    """Return the decorator of an asset of a scoring run: key, partitions, dependencies, description, columns.

    Args:
        cadence: Branch of the graph.
        contract: The asset's product.
        start: First prediction date of the store.
        stage: Group under which the UI shows it.
        deps: Names of scoring assets of the same branch, `feature_snapshots` or `evaluation_reports`.
        notes: Further paragraphs of the description.
    """
    return dg.asset(
        key=dg.AssetKey([cadence, contract.name]),
        partitions_def=scoring_partitions(CADENCES[cadence], start),
        deps=[_dependency(cadence, name) for name in deps],
        group_name=stage,
        description=description(contract, *notes),
        metadata={"dagster/column_schema": column_schema(contract)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )


def _dependency(cadence: str, name: str) -> dg.AssetDep:
    if name == "feature_snapshots":
        return dg.AssetDep(name, partition_mapping=snapshot_mapping())
    if name == "evaluation_reports":
        return dg.AssetDep(name, partition_mapping=version_mapping())
    return dg.AssetDep(dg.AssetKey([cadence, name]))


def write_run_product(
    stores: Stores,
    contract: Contract,
    frame: pl.DataFrame,
    key: RunKey,
    inputs: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> ProductVersion:
    """Write one product of a scoring run into its partition folder."""
    return stores.predictions.write(
        contract, frame, key=key, folder=run_folder(contract.name, key), inputs=inputs, facts=facts
    )

"""What the assets of a scoring run share: their form in the graph, the run's context, and what the UI shows.

What belongs here: translation between Dagster's assets and stages. What does not: computing anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
from duckdb import DuckDBPyConnection

from forecast_assets.contracts import Contract
from forecast_assets.core.keys import Cadence
from forecast_assets.core.run import RunRequest
from forecast_assets.core.spans import concerns
from forecast_assets.plots import Markdown
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.run import Stage, stored_stage
from forecast_assets.scoring.stage import StageResult, Summary
from partitions import scoring_partitions, snapshot_mapping, version_mapping
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource, run_key
from resources.orchestration.markdown import markdown_table
from resources.orchestration.metadata import column_schema, description, product_metadata
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore

AssetDecorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]
CheckFunction = Callable[[PredictionStore, ProductVersion, DuckDBPyConnection], Sequence[dg.AssetCheckResult]]


@dataclass(frozen=True)
class OwnChecks:
    """The checks that an asset runs itself, which its product passes before it is recorded.

    Attributes:
        specs: Return the checks of an asset, as Dagster knows them.
        run: Judge a stored product by them.
        required: Return the names of those that must accept a product, by its name.
    """

    specs: Callable[[dg.AssetKey], Sequence[dg.AssetCheckSpec]]
    run: CheckFunction
    required: Callable[[str], Sequence[str]]


def scoring_asset(
    cadence: Cadence, contract: Contract, start: date, *, group: str, deps: Sequence[str], notes: Sequence[str] = ()
) -> AssetDecorator:
    """Return the decorator of an asset of a scoring run: key, partitions, dependencies, description, columns.

    Args:
        cadence: Branch of the graph.
        contract: The asset's product.
        start: First prediction date of the store.
        group: Group under which the UI shows it.
        deps: Names of scoring assets of the same branch, `feature_snapshots` or `evaluation_reports`.
        notes: Further paragraphs of the description.
    """
    return dg.asset(
        key=dg.AssetKey([cadence.name, contract.name]),
        partitions_def=scoring_partitions(cadence, start),
        deps=[_dependency(cadence, name) for name in deps],
        group_name=group,
        description=description(contract, *notes),
        metadata={"dagster/column_schema": column_schema(contract)},
        kinds={cadence.name, "polars", "parquet"},
        owners=["team:forecasting"],
    )


def _dependency(cadence: Cadence, name: str) -> dg.AssetDep:
    if name == "feature_snapshots":
        return dg.AssetDep(name, partition_mapping=snapshot_mapping())
    if name == "evaluation_reports":
        return dg.AssetDep(name, partition_mapping=version_mapping())
    return dg.AssetDep(dg.AssetKey([cadence.name, name]))


def run_context(
    context: dg.AssetExecutionContext,
    cadence: Cadence,
    stores: StoresResource,
    run: RunResource,
    progress: ProgressReporter,
) -> RunContext:
    """Return the context of the run whose partition is being made: one for all its stages in this process."""
    key = run_key(context, cadence.name, run)
    request = RunRequest(key, run.options, run.correction_request)
    found = run.cached(str(key), lambda: _begun(stores.open(), request))
    # Each step has a log of its own.
    found.progress = progress.reporter(context.log)
    return found


def _begun(stores: Stores, request: RunRequest) -> RunContext:
    concerns(str(request.key))
    return RunContext(stores, request)


def run_stage(stage: Stage, contract: Contract, run: RunContext) -> dg.MaterializeResult[None]:
    """Run a stage, store what it makes, and return what the UI shows of it."""
    result, version = stored_stage(stage, contract.name, run)
    return materialized(contract, version, result)


def materialized(
    contract: Contract, version: ProductVersion, result: StageResult, extra: Summary | None = None
) -> dg.MaterializeResult[None]:
    """Return what the UI shows of a stored stage."""
    shown = {**result.summary(), **(extra or {})}
    return dg.MaterializeResult(metadata=product_metadata(contract, version, result.rows, rendered(shown)))


def rendered(summary: Summary) -> dict[str, Any]:
    """Return a summary as Dagster's metadata: tables and pictures as Markdown, flags as JSON, the rest as it is."""
    return {name: _rendered(value) for name, value in summary.items()}


def _rendered(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return dg.MetadataValue.md(markdown_table(value))
    if isinstance(value, Markdown):
        return dg.MetadataValue.md(value)
    return dg.MetadataValue.json(dict(value)) if isinstance(value, dict) else value

"""Rules, expectations and lineage as Dagster checks; each that blocks and passes leaves an acceptance.

What belongs here: wiring judgements to assets. What does not: the judgements themselves.

A check that raises is left to raise: a defect must not read as bad data.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import dagster as dg
import polars as pl
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection

from checks.expectations import validate_product
from checks.judging import Verdict, judge
from checks.lineage import lineage_breaks
from checks.rules import RULES, Rule, rules_of
from forecast_assets.contracts import FORECAST_ACCURACY, PRODUCTS, PUBLISHED
from forecast_assets.core.keys import Cadence
from forecast_assets.history.as_known import History
from forecast_assets.history.silence import silences
from partitions import prediction_dates, scoring_partitions
from resources.ledger.entries.ingest import BatchRecord
from resources.orchestration.dagster_resources import RunResource, StoresResource, run_key
from resources.orchestration.markdown import markdown_table
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore, snapshot_key

Stored = dg.ResourceParam[StoresResource]

LINEAGE_CHECK: Final = "every_link_resolves_to_the_bytes_recorded"
EXPECTATIONS_CHECK: Final = "great_expectations_are_met"

# Two products are made beside another one's asset; their checks hang on it.
_ASSET_OF: Final = {"base_node_forecasts": "base_forecasts", "aggregate_forecasts": "forecasts"}


def required_checks(product: str) -> Sequence[str]:
    """Return the names of the checks that must accept a product before it, or what is made from it, is published."""
    further = [EXPECTATIONS_CHECK, LINEAGE_CHECK] if product in PUBLISHED else []
    return [*(rule.name for rule in rules_of(product) if rule.is_blocking), *further]


def build_snapshot_checks(start: date) -> list[dg.AssetChecksDefinition]:
    """Build the checks of snapshots."""
    return [_snapshot_check(rule, start) for rule in rules_of("feature_snapshots")]


def build_checks(cadence: Cadence, start: date) -> list[dg.AssetChecksDefinition]:
    """Build all checks of one cadence's products."""
    rules = [rule for rule in RULES if rule.product in PRODUCTS]
    return [
        *(_rule_check(rule, cadence, start) for rule in rules),
        *(_expectations_check(product, cadence, start) for product in PUBLISHED),
        *(_lineage_check(product, cadence, start) for product in PUBLISHED),
    ]


def accuracy_check_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the checks that a measurement passes before it is recorded; the asset itself runs them."""
    return [
        dg.AssetCheckSpec(
            rule.name,
            asset=asset,
            blocking=True,
            description=f"{rule.name.replace('_', ' ').capitalize()}. When not: {rule.remedy}",
        )
        for rule in rules_of(FORECAST_ACCURACY.name)
    ]


def judge_accuracy(
    store: PredictionStore, product: ProductVersion, connection: DuckDBPyConnection
) -> list[dg.AssetCheckResult]:
    """Judge a measurement by all its rules; each that passes leaves an acceptance."""
    files = {product.product: store.paths(product.files)}
    verdicts = {rule.name: judge(rule, files, connection) for rule in rules_of(product.product)}
    return [_result(store, product, name, verdict)._replace(check_name=name) for name, verdict in verdicts.items()]


def _check_name(product: str, name: str) -> str:
    # One asset can carry the checks of two products.
    return f"{product}__{name}" if product in _ASSET_OF else name


def _asset_key(cadence: Cadence, product: str) -> dg.AssetKey:
    return dg.AssetKey([cadence.name, _ASSET_OF.get(product, product)])


def _rule_check(rule: Rule, cadence: Cadence, start: date) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=_asset_key(cadence, rule.product),
        name=_check_name(rule.product, rule.name),
        blocking=rule.is_blocking,
        partitions_def=scoring_partitions(cadence, start),
        description=f"{rule.name.replace('_', ' ').capitalize()}. When not: {rule.remedy}",
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        stores: Stored,
        run: RunResource,
        duckdb: DuckDBResource,
    ) -> dg.AssetCheckResult:
        store = stores.open().predictions
        product = store.staged(rule.product, run_key(context, cadence.name, run))
        with duckdb.get_connection() as connection:
            verdict = judge(rule, _files(store, product, rule.reads), connection)
        return _result(store, product, rule.name, verdict, is_blocking=rule.is_blocking)

    return check


def _files(store: PredictionStore, product: ProductVersion, reads: Sequence[str]) -> dict[str, list[str]]:
    """Return the files of a product and of those that it was made from, or that were made beside it."""
    files = {product.product: store.paths(product.files)}
    for name in reads:
        parent = product.inputs[name] if name in product.inputs else store.staged(name, product.key).version
        files[name] = store.paths(store.version(parent).files)
    return files


def _snapshot_check(rule: Rule, start: date) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset="feature_snapshots",
        name=rule.name,
        blocking=True,
        partitions_def=prediction_dates(start),
        description=f"{rule.name.replace('_', ' ').capitalize()}. When not: {rule.remedy}",
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        stores: Stored,
        run: RunResource,
        duckdb: DuckDBResource,
    ) -> dg.AssetCheckResult:
        opened = stores.open()
        store, day = opened.predictions, date.fromisoformat(context.partition_key)
        product = store.staged(rule.product, snapshot_key(day, run.known_until))
        batches = opened.observations.named(product.inputs["batches"])
        files = {product.product: store.paths(product.files), **_observations(opened, batches, rule.reads, day)}
        moment = History.of(product, opened.observations).moment(*rule.reads)
        with duckdb.get_connection() as connection:
            verdict = judge(rule, files, connection, moment, has_silence=bool(silences(batches)))
        return _result(store, product, rule.name, verdict)

    return check


def _observations(
    stores: Stores, batches: Sequence[BatchRecord], feeds: Sequence[str], day: date
) -> dict[str, list[str]]:
    """Return the files of a snapshot's batches that have rows of the last week; all, where none has."""
    files = {}
    for feed in feeds:
        own = [batch for batch in batches if batch.feed == feed]
        recent = [batch for batch in own if batch.overlaps(day - timedelta(days=6), day)]
        files[feed] = [stores.observations.path(batch) for batch in recent or own]
    return files


def _expectations_check(product_name: str, cadence: Cadence, start: date) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=_asset_key(cadence, product_name),
        name=_check_name(product_name, EXPECTATIONS_CHECK),
        blocking=True,
        partitions_def=scoring_partitions(cadence, start),
        description="The Great Expectations suite of this product holds; its data docs show each expectation.",
    )
    def check(context: dg.AssetCheckExecutionContext, stores: Stored, run: RunResource) -> dg.AssetCheckResult:
        store = stores.open().predictions
        product = store.staged(product_name, run_key(context, cadence.name, run))
        outcome = validate_product(
            store.scan_verified(product), product_name, stores.expectations_folder, run_name=product.key
        )
        message = f"{outcome.evaluated} expectations met." if outcome.success else "; ".join(outcome.failed)
        result = Verdict(outcome.success, len(outcome.failed), pl.DataFrame(), message)
        return _result(store, product, EXPECTATIONS_CHECK, result, data_docs=str(outcome.data_docs))

    return check


def _lineage_check(product_name: str, cadence: Cadence, start: date) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=_asset_key(cadence, product_name),
        name=_check_name(product_name, LINEAGE_CHECK),
        blocking=True,
        partitions_def=scoring_partitions(cadence, start),
        description="Every product, artifact, report and batch that this was made from is there, as recorded.",
    )
    def check(context: dg.AssetCheckExecutionContext, stores: Stored, run: RunResource) -> dg.AssetCheckResult:
        opened = stores.open()
        key = run_key(context, cadence.name, run)
        product = opened.predictions.staged(product_name, key)
        breaks = lineage_breaks(opened, product, key)
        message = "; ".join(breaks) or "Every link resolves."
        verdict = Verdict(not breaks, len(breaks), pl.DataFrame(), message)
        return _result(opened.predictions, product, LINEAGE_CHECK, verdict)

    return check


def _result(
    store: PredictionStore,
    product: ProductVersion,
    name: str,
    verdict: Verdict,
    *,
    is_blocking: bool = True,
    **metadata: str,
) -> dg.AssetCheckResult:
    # What does not block is not asked for at publication.
    if verdict.passed and is_blocking:
        store.accept(product.version, name)
    shown = {} if verdict.examples.is_empty() else {"examples": dg.MetadataValue.md(markdown_table(verdict.examples))}
    return dg.AssetCheckResult(
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if is_blocking else dg.AssetCheckSeverity.WARN,
        description=verdict.message,
        metadata={
            "failing_rows": verdict.failing_rows,
            "product_version": product.version,
            **shown,
            **metadata,
        },
    )

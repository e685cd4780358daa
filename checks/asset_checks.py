"""Rules, expectations and lineage as Dagster checks.

What belongs here: wiring what judges and accepts products to assets. What does not: judging (`acceptance`).

A check that raises is left to raise: a defect must not read as bad data.
"""

from datetime import date
from typing import Final

import dagster as dg
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection

from checks.acceptance import (
    EXPECTATIONS_CHECK,
    LINEAGE_CHECK,
    judge_by_rule,
    judge_expectations,
    judge_lineage,
    judge_snapshot,
)
from checks.judging import Verdict
from checks.rule import Rule
from checks.rules import RULES, rules_of
from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.core.keys import Cadence
from partitions import prediction_dates, scoring_partitions
from resources.orchestration.dagster_resources import RunResource, StoresResource, run_key
from resources.orchestration.markdown import markdown_table
from resources.store.manifests import ProductVersion
from resources.stores.products import PredictionStore, snapshot_key

Stored = dg.ResourceParam[StoresResource]

# Some products are made beside another one's asset; their checks hang on it.
_ASSET_OF: Final = {
    "base_node_forecasts": "base_forecasts",
    "aggregate_forecasts": "forecasts",
    "cumulative_forecasts": "forecasts",
    "forecast_value_added": "forecast_accuracy",
}


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


def own_check_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return the checks that a product and what is made beside it pass before they are recorded; its asset does it."""
    own = asset.path[-1]
    return [
        dg.AssetCheckSpec(
            _check_name(product, rule.name),
            asset=asset,
            blocking=True,
            description=f"{rule.name.replace('_', ' ').capitalize()}. When not: {rule.remedy}",
        )
        for product in (own, *(name for name, of in _ASSET_OF.items() if of == own))
        for rule in rules_of(product)
    ]


def judge_own(
    store: PredictionStore, product: ProductVersion, connection: DuckDBPyConnection
) -> list[dg.AssetCheckResult]:
    """Judge a product by all its rules; each that passes leaves an acceptance."""
    return [
        _result(product, judge_by_rule(store, product, rule, connection))._replace(
            check_name=_check_name(product.product, rule.name)
        )
        for rule in rules_of(product.product)
    ]


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
            verdict = judge_by_rule(store, product, rule, connection)
        return _result(product, verdict, is_blocking=rule.is_blocking)

    return check


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
        opened, day = stores.open(), date.fromisoformat(context.partition_key)
        snapshot = opened.predictions.staged(rule.product, snapshot_key(day, run.known_until))
        with duckdb.get_connection() as connection:
            return _result(snapshot, judge_snapshot(opened, snapshot, day, rule, connection))

    return check


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
        verdict, data_docs = judge_expectations(store, product, stores.expectations_folder)
        return _result(product, verdict, data_docs=str(data_docs))

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
        return _result(product, judge_lineage(opened, product, key))

    return check


def _result(
    product: ProductVersion, verdict: Verdict, *, is_blocking: bool = True, **metadata: str
) -> dg.AssetCheckResult:
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

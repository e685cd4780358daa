"""Judging stored products, and the acceptance that a check which blocks leaves where it passes.

What belongs here: which checks a product has to pass, and applying one to what is stored. What does not: a judgement
itself (`rules`, `expectations`, `lineage`), or Dagster, which shows what was found.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl
from duckdb import DuckDBPyConnection

from checks.expectations import validate_product
from checks.judging import Verdict, judge
from checks.lineage import lineage_breaks
from checks.rule import Rule
from checks.rules import rules_of
from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.keys import RunKey
from forecast_assets.core.spans import Work, span
from forecast_assets.history.as_known import History
from forecast_assets.history.silence import silences
from resources.ledger.entries.ingest import BatchRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore

LINEAGE_CHECK: Final = "every_link_resolves_to_the_bytes_recorded"
EXPECTATIONS_CHECK: Final = "great_expectations_are_met"


def required_checks(product: str) -> Sequence[str]:
    """Return the names of the checks that must accept a product before it, or what is made from it, is published."""
    further = [EXPECTATIONS_CHECK, LINEAGE_CHECK] if product in PUBLISHED else []
    return [*(rule.name for rule in rules_of(product) if rule.is_blocking), *further]


def judge_by_rule(
    store: PredictionStore, product: ProductVersion, rule: Rule, connection: DuckDBPyConnection
) -> Verdict:
    """Apply a rule to a product, and to those that it was made from or beside, where the rule reads them.

    Args:
        store: Where they are.
        product: The product version.
        rule: One of the product's rules.
        connection: An in-memory connection; views of it are replaced.
    """
    with _told(product, rule.name) as now:
        verdict = judge(rule, _files(store, product, rule.reads), connection)
        now.note(passed=verdict.passed)
    return _kept(store, product, rule.name, verdict, is_blocking=rule.is_blocking)


def judge_snapshot(
    stores: Stores, snapshot: ProductVersion, day: date, rule: Rule, connection: DuckDBPyConnection
) -> Verdict:
    """Apply a rule to a snapshot and the batches that it is of.

    Args:
        stores: Where everything is.
        snapshot: The snapshot's version.
        day: Its prediction date.
        rule: One of the snapshots' rules.
        connection: An in-memory connection; views of it are replaced.
    """
    with _told(snapshot, rule.name) as now:
        batches = stores.observations.named(snapshot.inputs["batches"])
        files = {
            snapshot.product: stores.predictions.paths(snapshot.files),
            **_observations(stores, batches, rule.reads, day),
        }
        moment = History.of(snapshot, stores.observations).moment(*rule.reads)
        verdict = judge(rule, files, connection, moment, has_silence=bool(silences(batches)))
        now.note(passed=verdict.passed)
    return _kept(stores.predictions, snapshot, rule.name, verdict)


def judge_expectations(store: PredictionStore, product: ProductVersion, folder: Path) -> tuple[Verdict, Path]:
    """Hold a product against its suite of Great Expectations.

    Args:
        store: Where it is.
        product: The product version.
        folder: Where the data docs are built.

    Returns:
        What was found, and the page that shows each expectation.
    """
    with _told(product, EXPECTATIONS_CHECK) as now:
        outcome = validate_product(store.scan_verified(product), product.product, folder, run_name=product.key)
        now.note(passed=outcome.success)
    message = f"{outcome.evaluated} expectations met." if outcome.success else "; ".join(outcome.failed)
    verdict = Verdict(outcome.success, len(outcome.failed), pl.DataFrame(), message)
    return _kept(store, product, EXPECTATIONS_CHECK, verdict), outcome.data_docs


def judge_lineage(stores: Stores, product: ProductVersion, key: RunKey) -> Verdict:
    """Hold every link from a product to what it was made from against what was recorded.

    Args:
        stores: Where everything is.
        product: The product version.
        key: The run that it claims to be of.
    """
    with _told(product, LINEAGE_CHECK) as now:
        breaks = lineage_breaks(stores, product, key)
        now.note(passed=not breaks)
    verdict = Verdict(not breaks, len(breaks), pl.DataFrame(), "; ".join(breaks) or "Every link resolves.")
    return _kept(stores.predictions, product, LINEAGE_CHECK, verdict)


def _told(product: ProductVersion, name: str) -> Work:
    return span("check", product=product.product, check=name)


def _kept(
    store: PredictionStore, product: ProductVersion, name: str, verdict: Verdict, *, is_blocking: bool = True
) -> Verdict:
    # What does not block is not asked for at publication.
    if verdict.passed and is_blocking:
        store.accept(product.version, name)
    return verdict


def _files(store: PredictionStore, product: ProductVersion, reads: Sequence[str]) -> Mapping[str, list[str]]:
    """Return the files of a product and of those that it was made from, or that were made beside it."""
    files = {product.product: store.paths(product.files)}
    for name in reads:
        parent = product.inputs[name] if name in product.inputs else store.staged(name, product.key).version
        files[name] = store.paths(store.version(parent).files)
    return files


def _observations(
    stores: Stores, batches: Sequence[BatchRecord], feeds: Sequence[str], day: date
) -> Mapping[str, list[str]]:
    """Return the files of a snapshot's batches that have rows of the last week; all, where none has."""
    files = {}
    for feed in feeds:
        own = [batch for batch in batches if batch.feed == feed]
        recent = [batch for batch in own if batch.overlaps(day - timedelta(days=6), day)]
        files[feed] = [stores.observations.path(batch) for batch in recent or own]
    return files

"""A published run whose every link is there: batches, both snapshots, artifact, report, products on the way."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from forecast_assets.contracts import PRODUCTS, PUBLISHED
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version, specs_to_data
from resources.ledger.entries.publish import Publication
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import run_folder
from tests.support.store_cases import CHECKS, CUTOFF, ingest, product_frame, required, run_key

KEY = run_key(1)


def publish_linked(stores: Stores) -> Publication:
    """Ingest two days, train on the first, publish the second."""
    ingest(stores)
    trained_on = snapshot(stores, 0)
    register_linked(stores, trained_on)
    ingest(stores, 1)
    store, made = stores.predictions, products(stores, snapshot(stores, 1))
    for product in made.values():
        for check in CHECKS:
            store.accept(product.version, check)
    return store.publish(KEY, {name: made[name].version for name in PUBLISHED}, required)


def snapshot(stores: Stores, day: int) -> ProductVersion:
    at = CUTOFF + timedelta(days=day)
    rows = f"rows of {at}".encode()
    return stores.predictions.write_bytes(
        "feature_snapshots", rows, key=at, rows=2, schema="",
        path=f"predictions/feature_snapshots/prediction_date={at}/{sha256(rows)}.parquet",
        inputs={"batches": [batch.batch_id for batch in stores.observations.batches()]},
        facts={
            "prediction_date": at.isoformat(), "known_until": f"{at}T23:00:00+00:00",
            "feature_version": feature_version(DEFAULT_SPECS), "specs": specs_to_data(DEFAULT_SPECS),
        },
    )  # fmt: skip


def register_linked(stores: Stores, trained_on: ProductVersion, **wrong: str) -> None:
    """Register a version with an artifact, a report and the snapshot that they were made from."""
    store, inputs = stores.predictions, {"feature_snapshots": trained_on.version}
    artifact = store.write_artifact(
        "model_artifacts", b"fitted", key="stat-1", folder="model_artifacts/model_version=stat-1", inputs=inputs,
        facts={"horizon": 7},
    )  # fmt: skip
    report = store.write_artifact(
        "evaluation_reports", b"judged", key="stat-1", folder="evaluation_reports/model_version=stat-1",
        inputs={**inputs, "model_artifacts": artifact.version}, facts={},
    )  # fmt: skip
    stores.registry.register(
        {
            "model_version": "stat-1", "family": "statistical", "cutoff": CUTOFF.isoformat(),
            "artifact": artifact.version, "evaluation_report": report.version, "training_snapshot": trained_on.version,
            "training_run_id": "run-of-training", "feature_version": trained_on.facts["feature_version"],
            "gates": {"backtest_beats_seasonal_naive": True}, **wrong,
        }
    )  # fmt: skip


def products(stores: Stores, scored: ProductVersion, **wrong: Any) -> dict[str, ProductVersion]:
    """Write the published products, all made from base forecasts, as a run does."""
    model = stores.registry.model_version("stat-1")
    inputs = {"feature_snapshots": scored.version, "model_artifacts": model.artifact}
    facts = {
        "model_version": "stat-1", "feature_version": scored.facts["feature_version"],
        "evaluation_report": model.evaluation_report, "prediction_timestamp": scored.facts["known_until"],
    }  # fmt: skip
    base = _write(stores, "base_forecasts", inputs, facts)
    further = {**inputs, "base_forecasts": base.version, **wrong.pop("inputs", {})}
    kept = {name: version for name, version in further.items() if version is not None}
    return {name: _write(stores, name, kept, {**facts, **wrong}) for name in PUBLISHED}


def _write(stores: Stores, name: str, inputs: Mapping[str, Any], facts: Mapping[str, Any]) -> ProductVersion:
    frame = product_frame(name, KEY)
    return stores.predictions.write(
        PRODUCTS[name], frame, key=KEY, folder=run_folder(name, KEY), inputs=inputs, facts=facts
    )

"""Stores with hand-made runs, published by the real code: registering, staging, accepting, committing."""

import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from checks.rules import rules_of
from forecast_assets.contracts import CALIBRATION, PRODUCTS, PUBLISHED, SALES
from forecast_assets.core.keys import RunKey
from resources.catalogue.build import build_catalogue
from resources.ledger.entries.publish import Correction, Publication
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import run_folder, snapshot_key
from tests.support import products
from tests.support.calibration_cases import calibration_frame

CHECKS = ("numbers_are_right", "links_resolve")
CUTOFF = date(2025, 1, 1)


def required(product: str) -> Sequence[str]:
    """The checks that a published product needs; what it was made from needs none."""
    return CHECKS if product in PUBLISHED else ()


def run_key(day: int = 0, version: str = "stat-1", revision: int = 0) -> RunKey:
    return RunKey("daily", CUTOFF + timedelta(days=day), version, 7, revision)


def ingest(stores: Stores, day: int = 0) -> None:
    """Record one batch of sales: two SKUs on one day."""
    event = CUTOFF + timedelta(days=day)
    known_at = products.KNOWN_UNTIL + timedelta(days=day)
    rows = [
        {"store_id": "S", "sku_id": sku, "event_date": event, "known_at": known_at, "sales_units": 2.0 + day}
        for sku in products.SKUS
    ]
    frame = pl.DataFrame(rows, schema=SALES.schema)
    batch = stores.observations.write(frame, feed="sales", source="till", trust=1.0, declared_lag=timedelta(hours=6))
    stores.observations.record([batch])


def register(
    stores: Stores,
    name: str = "stat-1",
    *,
    gates: Mapping[str, bool] | None = None,
    horizon: int | None = None,
    family: str = "statistical",
    cutoff: date = CUTOFF,
) -> None:
    """Register a model version whose snapshot, artifact and report are there, each made from the one before."""
    facts: dict[str, object] = {"prediction_date": cutoff.isoformat(), "feature_version": "f"}
    facts |= {} if horizon is None else {"horizon": horizon}

    def written(product: str, folder: str = "", **inputs: str) -> str:
        content = f"{product} of {name}".encode()
        return stores.predictions.write_artifact(
            product, content, key="training", folder=folder or product, inputs=inputs, facts=facts
        ).version

    snapshot = written("feature_snapshots", "predictions/feature_snapshots")
    artifact = written("model_artifacts", feature_snapshots=snapshot)
    report = written("evaluation_reports", model_artifacts=artifact)
    calibration = stores.predictions.write(
        CALIBRATION,
        calibration_frame(),
        key="training",
        folder=f"calibration/model_version={name}",
        inputs={"model_artifacts": artifact},
        facts={},
    )
    stores.registry.register(
        {
            "model_version": name, "family": family, "cutoff": cutoff.isoformat(),
            "artifact": artifact, "evaluation_report": report,
            "calibration": calibration.version,
            "training_snapshot": snapshot, "training_run_id": "r", "feature_version": "f",
            "gates": dict(gates or {}),
        }
    )  # fmt: skip


def accept_training(stores: Stores, name: str = "stat-1") -> None:
    """Record that the training snapshot of a version passed the rules of snapshots, as its checks do."""
    for rule in rules_of("feature_snapshots"):
        stores.predictions.accept(stores.registry.model_version(name).training_snapshot, rule.name)


def product_frame(product: str, key: RunKey, units: int = 4) -> pl.DataFrame:
    """Rows of one product of a run, as its contract wants them, with a number that tells runs apart."""
    contract = PRODUCTS[product]
    frame = products.make(product).with_columns(
        *(pl.lit(value).cast(contract.schema[name]).alias(name) for name, value in vars(key).items())
    )
    if "target_date" in frame.columns:
        frame = frame.with_columns(target_date=pl.lit(key.prediction_date) + pl.duration(days=pl.col("step")))
    same = [name for name in ("reconciled_units", "forecast_units") if name in frame.columns]
    frame = frame.with_columns(pl.lit(units).cast(contract.schema[name]).alias(name) for name in same)
    return frame


def stage(
    stores: Stores,
    key: RunKey,
    units: int = 4,
    known_until: datetime | None = None,
    policy: str = "",
    *,
    is_comparable: bool = False,
) -> dict[str, str]:
    """Write and accept everything that a publication needs; nothing of it is visible yet.

    Comparisons read features, and which artifact forecasts are made from, besides what readers do.
    """
    batches = [batch.batch_id for batch in stores.observations.batches()]
    rows = f"rows of {key.prediction_date} {known_until}".encode()
    if is_comparable:
        rows = _snapshot(f"{key.prediction_date} {known_until}")
    snapshot = stores.predictions.write_bytes(
        "feature_snapshots", rows, key=snapshot_key(key.prediction_date, known_until),
        path=f"predictions/feature_snapshots/prediction_date={key.prediction_date}/{sha256(rows)}", rows=0,
        schema="", inputs={"batches": batches},
        facts={"known_until": str(known_until), "prediction_date": str(key.prediction_date)},
    )  # fmt: skip
    facts = {"units": units, **({"policy": policy} if policy else {})}
    inputs = {"feature_snapshots": snapshot.version}
    if is_comparable:
        inputs["model_artifacts"] = stores.registry.model_version(key.model_version).artifact
        facts["feature_version"] = "f"
    made = {name: _write(stores, name, key, facts, inputs) for name in PUBLISHED}
    for product in made.values():
        for check in CHECKS:
            stores.predictions.accept(product.version, check)
    return {name: product.version for name, product in made.items()}


def _snapshot(of: str) -> bytes:
    """Rows of features that tell snapshots apart, as a file."""
    buffer = io.BytesIO()
    pl.DataFrame({"store_id": "S", "sku_id": products.SKUS, "of": of}).write_parquet(buffer)
    return buffer.getvalue()


def _write(
    stores: Stores, name: str, key: RunKey, facts: Mapping[str, Any], inputs: Mapping[str, str]
) -> ProductVersion:
    frame = product_frame(name, key, facts["units"])
    return stores.predictions.write(
        PRODUCTS[name], frame, key=key, folder=run_folder(name, key), inputs=inputs, facts=facts
    )


def publish(
    stores: Stores, key: RunKey, units: int = 4, policy: str = "", *, is_comparable: bool = False
) -> Publication:
    """Stage and commit one run, by a policy if one is named; a revision says who corrected and why."""
    correction = Correction("ana", "sales restated", known_until="later") if key.revision else None
    return stores.predictions.publish(
        key, stage(stores, key, units, policy=policy, is_comparable=is_comparable), required, correction
    )


def assert_whole(stores: Stores) -> int:
    """Read every file of every publication that is visible; return how many runs there are."""
    publications = stores.ledger.state().publications.values()
    for publication in publications:
        for version in publication.products.values():
            assert stores.predictions.read(stores.predictions.version(version)).height > 0
    return len(publications)


def catalogue(stores: Stores, folder: Path) -> Path:
    """Build the BI catalogue of the ledger's head."""
    with duckdb.connect() as connection:
        return build_catalogue(stores.predictions, folder, connection)

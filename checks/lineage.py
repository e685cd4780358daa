"""Does every link from a product to what it was made from resolve, with the bytes that were recorded?

What belongs here: walking lineage and naming what does not hold. What does not: Dagster.
"""

from collections.abc import Iterator
from dataclasses import replace

from forecast_assets.core.errors import InputError, IntegrityError
from forecast_assets.core.keys import RunKey
from forecast_assets.presentation.actions import error_text
from forecast_assets.scoring.context import given_inputs_of
from resources.ledger.entries.register import VersionRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

_SNAPSHOT = "feature_snapshots"
_ARTIFACT = "model_artifacts"


def lineage_breaks(stores: Stores, product: ProductVersion, key: RunKey) -> list[str]:
    """Return one sentence per link that does not resolve; empty when all is well.

    Every manifest and file behind the product and behind the registered model version is hashed, and every observation
    batch behind their snapshots; then what the manifests say of each other and of the version's ledger entry is
    compared.

    Args:
        stores: Where everything is.
        product: The product to walk from.
        key: The run that it claims to be of.
    """
    breaks = [] if product.key == str(key) else [f"the manifest is of {product.key}, not of {key}"]
    try:
        model = stores.registry.model_version(key.model_version)
        behind = stores.predictions.lineage(
            [product.version, model.artifact, model.evaluation_report, model.training_snapshot]
        )
        for made in behind:
            stores.predictions.verify_files(made)
        named = dict.fromkeys(name for made in behind for name in made.inputs.get("batches", ()))
        for batch in stores.observations.named(named):
            stores.observations.verify(batch)
    except (IntegrityError, InputError) as error:
        return [*breaks, error_text(error)]
    return [*breaks, *_other_links(stores, product, key, model)]


def _other_links(stores: Stores, product: ProductVersion, key: RunKey, model: VersionRecord) -> Iterator[str]:
    """Compare what manifests and the version's ledger entry say of the same thing."""
    store = stores.predictions
    artifact, report = store.version(model.artifact), store.version(model.evaluation_report)
    snapshot = store.version(product.inputs[_SNAPSHOT]) if _SNAPSHOT in product.inputs else None
    said: list[tuple[str, object, object]] = [
        ("it was made with artifact", product.inputs.get(_ARTIFACT), model.artifact),
        ("it was made by version", product.facts.get("model_version"), key.model_version),
        ("it names the evaluation report", product.facts.get("evaluation_report"), model.evaluation_report),
        ("the report is of artifact", report.inputs.get(_ARTIFACT), model.artifact),
        ("the artifact was trained on snapshot", artifact.inputs.get(_SNAPSHOT), model.training_snapshot),
        (
            "the training snapshot has feature version",
            store.version(model.training_snapshot).facts.get("feature_version"),
            model.feature_version,
        ),
    ]
    if snapshot is None:
        yield "it names no feature snapshot"
    else:
        made = snapshot.facts.get("feature_version")
        said += [
            ("it names feature version", product.facts.get("feature_version"), made),
            ("its snapshot is of", snapshot.facts.get("prediction_date"), key.prediction_date.isoformat()),
        ]
    yield from (f"{words} {found}, not {expected}" for words, found, expected in said if found != expected)
    own = str(replace(key, revision=0))
    yield from (
        f"its numbers are those of the file of {made.key}, not of {own}"
        for made in given_inputs_of(store, [product.version])
        if made.key != own
    )

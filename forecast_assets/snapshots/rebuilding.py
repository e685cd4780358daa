"""Making a stored snapshot again from what its manifest records.

What belongs here: what the manifest has to say for that, and replaying specs over the recorded batches. What does not:
deciding whether the result is right.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

import polars as pl

from forecast_assets.features.compiler import compile_contract, compute_features
from forecast_assets.features.specs import FeatureSpec, feature_version, specs_from_data, specs_to_data
from forecast_assets.history.as_known import History
from resources.store.blobs import sha256
from resources.store.manifests import ProductVersion
from resources.store.parquet import to_parquet
from resources.stores.home import Stores
from resources.stores.observations import ObservationStore


def snapshot_facts(history: History, specs: Sequence[FeatureSpec]) -> dict[str, object]:
    """Return what has to be known to make a snapshot again."""
    plans, by_feed = history.plans_known_until, history.known_by_feed
    return {
        "prediction_date": history.cutoff.isoformat(),
        "known_until": history.known_until.isoformat(),
        "feature_version": feature_version(specs),
        "specs": specs_to_data(specs),
        **({} if plans is None else {"plans_known_until": plans.isoformat()}),
        **({"known_until_by_feed": {feed: at.isoformat() for feed, at in by_feed.items()}} if by_feed else {}),
        **({"is_enriched": True} if history.is_enriched else {}),
    }


def rebuild_snapshot(snapshot: ProductVersion, observations: ObservationStore) -> pl.DataFrame:
    """Compute a snapshot again, with its own specs, batches and moment of knowledge, whatever today's are.

    Args:
        snapshot: The product version as its manifest describes it.
        observations: Where the batches are.

    Returns:
        The rows; the same bytes as those stored, written the same way.
    """
    history = History.of(snapshot, observations)
    specs = specs_from_data(snapshot.facts["specs"])
    return compute_features(specs, history.feeds_for(specs), cutoff=history.cutoff)


def write_rebuilt(snapshot: ProductVersion, stores: Stores) -> ProductVersion:
    """Compute a snapshot again and write it where the stages of a run look for it.

    What its manifest says follows from its own specs and batches, as it did the first time.

    Returns:
        The version that was written: the very same one, if bytes, code and libraries are the same.
    """
    frame = rebuild_snapshot(snapshot, stores.observations)
    specs = specs_from_data(snapshot.facts["specs"])
    data = to_parquet(frame)
    return stores.predictions.write_bytes(
        snapshot.product,
        data,
        key=snapshot.key,
        path=f"{PurePosixPath(snapshot.files[0].path).parent}/{sha256(data)}.parquet",
        rows=frame.height,
        schema=compile_contract(specs).fingerprint,
        inputs=snapshot.inputs,
        facts=snapshot_facts(History.of(snapshot, stores.observations), specs),
    )

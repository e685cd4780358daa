"""Making a stored snapshot again from what its manifest records.

What belongs here: replaying specs over the recorded batches. What does not: deciding whether the result is right.
"""

import polars as pl

from forecast_assets.features.compiler import compute_features
from forecast_assets.features.specs import specs_from_data
from forecast_assets.history import History
from resources.observation_store import ObservationStore
from resources.prediction_store import ProductVersion


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

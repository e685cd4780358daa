"""What every stage of a scoring run starts from: the snapshot, the model version, the history behind them.

What belongs here: loading them once, consistently, and saying what a product was made from.
What does not: computing any product.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from forecast_assets.errors import NotAcceptedError, first_ten
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.keys import RunKey
from forecast_assets.models.statistical import StatisticalArtifact
from resources.ledger import VersionRecord
from resources.prediction_store import ProductVersion
from resources.stores import Stores


@dataclass(frozen=True)
class RunInputs:
    """The inputs of one scoring run.

    Attributes:
        stores: Where everything is.
        key: The run.
        snapshot: The feature snapshot of the prediction date.
        model: The registered model version.
    """

    stores: Stores
    key: RunKey
    snapshot: ProductVersion
    model: VersionRecord

    @classmethod
    def newest(cls, stores: Stores, key: RunKey) -> "RunInputs":
        """Start a run from the newest snapshot of its date.

        Raises:
            NotStagedError: If the snapshot has not been made.
            UnknownVersionError: If the model version is not registered.
            NotAcceptedError: If it may not serve this date; see `require_servable`.
        """
        model = stores.predictions.model_version(key.model_version)
        require_servable(key, model)
        return cls(stores, key, stores.predictions.staged("feature_snapshots", key.prediction_date), model)

    @classmethod
    def behind(cls, stores: Stores, key: RunKey, product: ProductVersion) -> "RunInputs":
        """Go on from a product of the run, with exactly the snapshot that it was made from."""
        snapshot = stores.predictions.version(product.inputs["feature_snapshots"])
        return cls(stores, key, snapshot, stores.predictions.model_version(key.model_version))

    @cached_property
    def artifact(self) -> StatisticalArtifact:
        """The model artifact, its hash verified."""
        version = self.stores.predictions.version(self.model.artifact)
        return StatisticalArtifact.from_bytes(self.stores.predictions.read_bytes(version))

    @cached_property
    def features(self) -> pl.DataFrame:
        """The snapshot's rows: one per series, sorted by store and SKU."""
        return self.stores.predictions.read(self.snapshot)

    @cached_property
    def history(self) -> History:
        """The observations behind the snapshot."""
        return History.of(self.snapshot, self.stores.observations)

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The crossed product and store hierarchy of the series, as it stood at the prediction date."""
        return build_hierarchy(self.features, self.history)

    @property
    def inputs(self) -> dict[str, Any]:
        """What a product of this run names as the start of its lineage."""
        return {"feature_snapshots": self.snapshot.version, "model_artifacts": self.model.artifact}

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest of a product of this run records."""
        return {
            "model_version": self.key.model_version,
            "feature_version": self.snapshot.facts["feature_version"],
            "evaluation_report": self.model.evaluation_report,
            "prediction_timestamp": self.snapshot.facts["known_until"],
        }


def require_servable(key: RunKey, model: VersionRecord) -> None:
    """Refuse a version that has not been validated, or that has seen days after the prediction date.

    Raises:
        NotAcceptedError: With the gates that failed, or the cutoff that the version was trained to.
    """
    failed = [gate for gate, passed in model.gates.items() if not passed]
    if failed:
        raise NotAcceptedError(
            f"`{model.model_version}` may not serve: its evaluation report fails {first_ten(failed)}.",
            remedy=f"Look at it: forecast-assets versions {model.model_version}; train a better one.",
        )
    if key.prediction_date < model.cutoff:
        raise NotAcceptedError(
            f"`{model.model_version}` was trained on days up to {model.cutoff}, so a run for {key.prediction_date} "
            "would know its own future.",
            remedy=f"Train a version with --cutoff {key.prediction_date} or earlier.",
        )


def build_hierarchy(series: pl.DataFrame, history: History) -> Hierarchy:
    """Return the crossed hierarchy of some series as known to a history."""
    return Hierarchy.build(
        series.select("store_id", "sku_id").sort("store_id", "sku_id"),
        history.membership("product_hierarchy"),
        history.membership("store_hierarchy"),
    )

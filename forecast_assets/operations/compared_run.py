"""A published run as one side of a comparison: what it published, and what it was made from.

What belongs here: loading one run. What does not: comparing two, or forecasting.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import COMPONENTS, FORECAST_EXPLANATIONS
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import Millionths, from_units
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily, family
from forecast_assets.operations.reading import read_product
from forecast_assets.scoring.context import build_hierarchy, given_inputs_of, load_artifact
from resources.ledger.entries.publish import Publication
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

# What the forecast is made of, in the order in which it comes about.
DRIVERS: Final = (*COMPONENTS, "reconciliation_units", "override_units")
OF_BASE: Final = len(COMPONENTS)


@dataclass(frozen=True)
class ComparedRun:
    """A published run of n series over H days.

    Attributes:
        publication: Its entry of the ledger.
        snapshot: The snapshot that it was made from.
        history: The observations behind the snapshot.
        features: The snapshot's rows: n series, sorted by store and SKU.
        family: Of its version.
        artifact: Of its version.
        artifact_hash: Of the artifact's manifest.
        given: What it was given from outside; None where its family forecasts by itself.
        given_rows: The rows of that.
        published: [n, H, D] published drivers, by `DRIVERS`; they add up to the published forecast.
    """

    publication: Publication
    snapshot: ProductVersion
    history: History
    features: pl.DataFrame
    family: ModelFamily[Any]
    artifact: Artifact
    artifact_hash: str
    given: ProductVersion | None
    given_rows: pl.DataFrame | None
    published: Millionths

    @classmethod
    def of(cls, stores: Stores, key: RunKey) -> "ComparedRun":
        """Load a published run.

        Raises:
            NotPublishedError: If it is not published.
            ChangedFileError: If stored bytes changed.
        """
        store = stores.predictions
        publication = store.publication(key)
        snapshot, model = (
            source_snapshot(stores, publication.products),
            stores.registry.model_version(key.model_version),
        )
        given = next(iter(given_inputs_of(store, publication.products.values())), None)
        told = read_product(stores, publication, FORECAST_EXPLANATIONS.name)
        drivers = [from_units(told[name]).reshape(-1, key.forecast_horizon) for name in DRIVERS]
        return cls(
            publication=publication,
            snapshot=snapshot,
            history=History.of(snapshot, stores.observations),
            features=store.read(snapshot),
            family=family(model.family),
            artifact=load_artifact(stores, model),
            artifact_hash=model.artifact,
            given=given,
            given_rows=None if given is None else store.read(given),
            published=np.stack(drivers, axis=-1),
        )

    @property
    def key(self) -> RunKey:
        """The run."""
        return self.publication.key

    @property
    def is_given(self) -> bool:
        """Whether its forecasts are from outside, so that they follow from no input."""
        return self.family.given_product is not None

    @cached_property
    def series(self) -> pl.DataFrame:
        """`store_id, sku_id` of its series, in order."""
        return self.features.select(SERIES_KEY)

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The crossed hierarchy of its series."""
        return build_hierarchy(self.features, self.history)

    @cached_property
    def base(self) -> Millionths:
        """[n, H] published base forecasts."""
        return np.asarray(self.published[..., :OF_BASE].sum(axis=-1))

    @cached_property
    def reconciled(self) -> Millionths:
        """[n, H] what they were reconciled to."""
        return np.asarray(self.published[..., : OF_BASE + 1].sum(axis=-1))

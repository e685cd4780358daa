"""What a published run is made from, by its manifests, and the artifact of its version.

What belongs here: what is read from the store whatever answers, so that nothing of it has to be trusted to a cache.
What does not: inputs and rows of series (`prepared`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from forecast_assets.contracts import (
    BASE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
)
from forecast_assets.core.keys import RunKey
from forecast_assets.corrections.restatements import source_snapshot
from forecast_assets.features.specs import FeatureSpec, specs_from_data
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily, family
from forecast_assets.operations.differences import causes_of
from forecast_assets.scoring.context import load_artifact
from forecast_assets.serving.dataplane.prepared_key import PreparedKey
from forecast_assets.stockout_risk.inventory import DEFAULT_PATHS
from forecast_assets.stockout_risk.stage import band_thresholds
from resources.ledger.entries.policy import Policies
from resources.ledger.entries.publish import Publication
from resources.store.manifests import ProductVersion
from resources.store.provenance import code_version, library_versions
from resources.stores.home import Stores


@dataclass(frozen=True)
class RunBasis:
    """What a published run is made from.

    Attributes:
        key: Hashes of it.
        publication: The ledger's entry.
        snapshot: Features of its series.
        base: Base forecasts.
        reconciled: Reconciled forecasts.
        overrides: What overrides made of them; None of runs from before there were any.
        family: Of the model version.
        artifact: Of the model version.
        risk_paths: Sampled futures of a series with a position.
        risk_thresholds: Lowest stock-out probability of each band above the first, by the run's policy.
        specs: What the snapshot was computed by.
        causes: What is not the same as when the run was made, such as the code.
    """

    key: PreparedKey
    publication: Publication
    snapshot: ProductVersion
    base: ProductVersion
    reconciled: ProductVersion
    overrides: ProductVersion | None
    family: ModelFamily[Any]
    artifact: Artifact
    risk_paths: int
    risk_thresholds: Mapping[str, float]
    specs: tuple[FeatureSpec, ...]
    causes: tuple[str, ...]

    @classmethod
    def of(cls, stores: Stores, run: RunKey) -> "RunBasis":
        """Read the basis of a published run.

        Raises:
            NotPublishedError: If the run is not published.
        """
        store = stores.predictions
        publication = store.publication(run)
        snapshot = source_snapshot(stores, publication.products)
        model = stores.registry.model_version(run.model_version)
        artifact = load_artifact(stores, model)
        explanations = store.version(publication.products[FORECAST_EXPLANATIONS.name])
        base = store.version(explanations.inputs[BASE_FORECASTS.name])
        risks = store.version(explanations.inputs[STOCKOUT_RISKS.name]).facts
        overrides = publication.products.get(FORECAST_OVERRIDES.name)
        policy = stores.ledger.state().part(Policies).require(risks.get("policy", ""))
        return cls(
            key=PreparedKey(
                run, publication.sequence, snapshot.facts["feature_version"], snapshot.version, model.artifact
            ),
            publication=publication,
            snapshot=snapshot,
            base=base,
            reconciled=store.version(explanations.inputs[RECONCILED_FORECASTS.name]),
            overrides=None if overrides is None else store.version(overrides),
            family=family(model.family),
            artifact=artifact,
            risk_paths=risks.get("risk_paths", DEFAULT_PATHS),
            risk_thresholds=band_thresholds(policy, artifact),
            specs=specs_from_data(snapshot.facts["specs"]),
            causes=causes_of([base], publication.cpu, ()),
        )

    @cached_property
    def digest(self) -> str:
        """Hash of all that a cached number of the run follows from: of this code and these libraries too."""
        said = {
            **asdict(self.key),
            "run": str(self.key.run),
            "products": dict(self.publication.products),
            "code": code_version(),
            "libraries": library_versions(),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

"""What every stage of a scoring run starts from: the snapshot, the model version, the history behind them.

What belongs here: loading them once, consistently, and saying what a product was made from.
What does not: computing any product.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from forecast_assets.contracts import BASE_FORECASTS, EXTERNAL_FORECASTS
from forecast_assets.core.errors import HorizonError, InputError, NotAcceptedError, NotStagedError, first_ten
from forecast_assets.core.keys import RunKey
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.as_known import History
from forecast_assets.models.external import artifact as external
from forecast_assets.models.external.artifact import ExternalArtifact
from forecast_assets.models.family import TrainedArtifact, read_artifact
from resources.ledger.entries.publish import revision_before
from resources.ledger.entries.register import VersionRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.products import PredictionStore, snapshot_key

# The panel of the run in hand, by what alone it follows from: the snapshot's version, which names its batches by their
# bytes, and the days of history and horizon.
_PANELS: dict[tuple[str, int, int], Panel] = {}


def release_panel() -> None:
    """Let go of the kept panel: the last stage of a run that reads it calls this."""
    _PANELS.clear()


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
    def newest(cls, stores: Stores, key: RunKey, known_until: datetime | None = None) -> "RunInputs":
        """Start a run from the newest snapshot of its date, or a correction from the one of its moment of knowledge.

        Raises:
            InputError: If a correction lacks its moment of knowledge, or what is none has one.
            NotPublishedError: If the revision that it corrects is not published.
            NotStagedError: If the snapshot has not been made.
            UnknownVersionError: If the model version is not registered.
            NotAcceptedError: If it may not serve this date; see `require_servable`.
        """
        model = stores.registry.model_version(key.model_version)
        require_servable(key, model)
        require_horizon(stores, key, model)
        require_correctable(stores, key, known_until)
        snapshot = stores.predictions.staged("feature_snapshots", snapshot_key(key.prediction_date, known_until))
        return cls(stores, key, snapshot, model)

    @classmethod
    def behind(cls, stores: Stores, key: RunKey, product: ProductVersion) -> "RunInputs":
        """Go on from a product of the run, with exactly the snapshot that it was made from."""
        snapshot = stores.predictions.version(product.inputs["feature_snapshots"])
        return cls(stores, key, snapshot, stores.registry.model_version(key.model_version))

    @cached_property
    def artifact(self) -> TrainedArtifact | ExternalArtifact:
        """The model artifact, its hash verified; what later stages read of it is the same for every family."""
        version = self.stores.predictions.version(self.model.artifact)
        return read_artifact(self.model.family, self.stores.predictions.read_bytes(version))

    @cached_property
    def external_forecasts(self) -> ProductVersion:
        """What the file of a version made elsewhere says of this run; a correction takes what it corrects was made of.

        Raises:
            NotStagedError: If no file has been ingested for the run.
        """
        store = self.stores.predictions
        if self.key.revision:
            before = store.publication(revision_before(self.key))
            (made,) = outside_forecasts_of(store, before.products.values())
            return made
        require_external_forecasts(self.stores, self.key, self.model)
        return store.staged(EXTERNAL_FORECASTS.name, self.key)

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
    def panel(self) -> Panel:
        """The past of the series and the horizon, as far back as the model version reads.

        Base forecasts and stock-out risks look at the same: a process that makes both lays it out once. It is kept
        until the risks have it, see `release_panel`, or another run asks for its own.
        """
        history_days, horizon_days = self.artifact.history_days, self.key.forecast_horizon
        wanted = self.snapshot.version, history_days, horizon_days
        found = _PANELS.get(wanted)
        if found is None:
            release_panel()
            found = self.history.panel(self.features, history_days=history_days, horizon_days=horizon_days)
            _PANELS[wanted] = found
        return found

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


def outside_forecasts_of(store: PredictionStore, versions: Iterable[str]) -> list[ProductVersion]:
    """Return the forecasts made elsewhere that a run's base forecasts repeat; none for a version that was trained here.

    The lineage of a run also holds the files that its version was registered with, which may be of other dates.
    """
    base = [made for made in store.lineage(versions) if made.product == BASE_FORECASTS.name]
    found = [made.inputs.get(EXTERNAL_FORECASTS.name) for made in base]
    return [store.version(version) for version in found if version is not None]


def require_servable(key: RunKey, model: VersionRecord) -> None:
    """Refuse a version that has not been validated, or that has seen days after the prediction date.

    Raises:
        NotAcceptedError: With the gates that failed, or the cutoff that the version was trained to. Gates that only a
            channel asks for do not count: a version made elsewhere may serve under its own name without them.
    """
    failed = model.failed_gates(for_channel=False)
    if failed:
        raise NotAcceptedError(
            f"`{model.model_version}` may not serve: its evaluation report fails {first_ten(failed)}.",
            remedy=f"Look at it: forecast-assets versions {model.model_version}; train a better one.",
        )
    if key.prediction_date < model.cutoff:
        raise NotAcceptedError(
            f"`{model.model_version}` was trained on days up to {model.cutoff}, so a run for {key.prediction_date} "
            "would know its own future.",
            remedy="Ingest the forecasts of earlier days as another version."
            if model.family == external.FAMILY
            else f"Train a version with --cutoff {key.prediction_date} or earlier.",
        )


def require_horizon(stores: Stores, key: RunKey, model: VersionRecord) -> None:
    """Refuse a version that was not trained as far ahead as the run looks.

    Raises:
        HorizonError: With the horizon that the version was trained for.
    """
    trained = stores.predictions.version(model.artifact).facts.get("horizon")
    if trained is not None and key.forecast_horizon > trained:
        raise HorizonError(
            f"`{model.model_version}` was trained for {trained} days ahead, and {key.cadence} runs of "
            f"{key.forecast_horizon} days were asked of it.",
            remedy=f"Train a version for it: forecast-assets train --horizon {key.forecast_horizon}; "
            "or run it with a horizon that it was trained for.",
        )


def require_external_forecasts(stores: Stores, key: RunKey, model: VersionRecord) -> None:
    """Refuse a first run of a version made elsewhere for which no file has been ingested.

    Raises:
        NotStagedError: With the command that ingests it.
    """
    is_waiting = model.family == external.FAMILY and not key.revision
    if is_waiting and not stores.predictions.is_staged(EXTERNAL_FORECASTS.name, key):
        raise NotStagedError(
            f"`{key.model_version}` is made elsewhere, and no file with its forecasts for {key} was ingested.",
            remedy=f"Ingest it: forecast-assets ingest forecasts FILE --model-version {key.model_version} "
            f"--cadence {key.cadence} --horizon {key.forecast_horizon}",
        )


def require_correctable(stores: Stores, key: RunKey, known_until: datetime | None) -> None:
    """Refuse a revision without a moment of knowledge, or without the revision that it corrects.

    Raises:
        InputError: If only one of revision and moment is given.
        NotPublishedError: If the revision before it is not published.
    """
    if (key.revision > 0) != (known_until is not None):
        raise InputError(
            f"{key} {'lacks' if key.revision else 'is no correction and has'} a moment of knowledge of its own.",
            remedy="Give a run both `revision` (from 1) and `known_until`, or neither: forecast-assets correct --help",
        )
    if key.revision:
        stores.predictions.publication(revision_before(key))


def build_hierarchy(series: pl.DataFrame, history: History) -> Hierarchy:
    """Return the crossed hierarchy of some series as known to a history."""
    return Hierarchy.build(
        series.select("store_id", "sku_id").sort("store_id", "sku_id"),
        history.membership("product_hierarchy"),
        history.membership("store_hierarchy"),
    )

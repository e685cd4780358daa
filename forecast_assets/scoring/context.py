"""One run: what it starts from and what it has made, loaded once, consistent, and let go with it.

What belongs here: loading inputs, keeping what stages share, and storing what they make. What does not: computing any
product, or the order of stages.

Nothing is kept outside of a context, so that two runs in one process do not see each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

import polars as pl

from forecast_assets.contracts import (
    BASE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    RECONCILED_FORECASTS,
)
from forecast_assets.core.errors import NotAcceptedError
from forecast_assets.core.keys import RunKey
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.run import RunOptions, RunRequest
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.history.observed import observed_until
from forecast_assets.models.artifact import Artifact
from forecast_assets.models.family import ModelFamily, family, given_products
from forecast_assets.overrides.effects import overridden
from forecast_assets.overrides.instructions import AppliedSet, applied_sets, in_force, kept_sets
from forecast_assets.scoring.preconditions import require_correctable, require_given, require_possible
from forecast_assets.scoring.shapes import completed, in_shape, stored_columns
from forecast_assets.scoring.stage import StageResult
from resources.ledger.entries.override import PlannedOverride, PlannedOverrides
from resources.ledger.entries.policy import Policies, PolicyRecord
from resources.ledger.entries.publish import Publication, revision_before
from resources.ledger.entries.register import VersionRecord
from resources.ledger.present import present
from resources.store.manifests import ProductVersion
from resources.store.provenance import code_version, cpu_type, library_versions
from resources.stores.home import Stores
from resources.stores.products import PredictionStore, run_folder, snapshot_key

_SNAPSHOTS = "feature_snapshots"


class RunContext:
    """The inputs and products of one run.

    A run starts from the newest snapshot of its date, or a correction from that of its moment of knowledge. One that
    goes on from a stored product, in another process than the one that made it, starts from exactly the snapshot that
    the product was made from.

    Args:
        stores: Where everything is.
        request: Which run, with which settings.
        progress: Told a stage, what is done, and the total.
        schemas: By product the fingerprint of the contract that it is written by, where a run is made again that an
            earlier release made; today's for others.

    Attributes:
        stores: As given.
        request: As given.
        progress: As given.
    """

    def __init__(
        self,
        stores: Stores,
        request: RunRequest,
        progress: Progress = silent,
        schemas: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.stores = stores
        self.request = request
        self.progress = progress
        self._schemas = schemas
        self._made: dict[str, ProductVersion] = {}
        self._snapshot: ProductVersion | None = None
        self._panel: Panel | None = None

    @property
    def key(self) -> RunKey:
        """The run."""
        return self.request.key

    @property
    def options(self) -> RunOptions:
        """The run's settings."""
        return self.request.options

    # --- what it starts from ---

    def start(self) -> None:
        """Start from the snapshot, after everything that must hold for a run does; does nothing when called again.

        Raises:
            InputError: If a correction lacks its moment of knowledge, or what is none has one.
            NotPublishedError: If the revision that it corrects is not published.
            NotStagedError: If the snapshot has not been made.
            UnknownVersionError: If the model version is not registered.
            NotAcceptedError: If it may not serve this date.
            HorizonError: If it was not trained as far ahead.
        """
        if self._snapshot is not None:
            # What has been read follows from it: a newer one is that of another run.
            return
        require_possible(self.stores, self.key)
        require_correctable(self.stores, self.request)
        if self._goes_on_from is not None:
            self._snapshot = self.version(self._goes_on_from.inputs[_SNAPSHOTS])
            return
        name = snapshot_key(self.key.prediction_date, self.request.known_until)
        self._snapshot = self.stores.predictions.staged(_SNAPSHOTS, name)

    def upstream(self, product: str) -> ProductVersion:
        """Return what an earlier stage of the run made: in this context, else what was last stored for the run's key.

        Raises:
            NotStagedError: If it has not been made.
            NotAcceptedError: If it was made from another snapshot than this run's: two runs of the key overlapped. Or
                by another release: a run that was begun before an upgrade is not finished after it.
        """
        made = self._made.get(product) or self._before(product) or self._staged(product)
        version = made.inputs[_SNAPSHOTS]
        if self._snapshot is None:
            self._snapshot = self.stores.predictions.version(version)
        elif self._snapshot.version != version:
            raise NotAcceptedError(
                f"`{product}` of {self.key} was made from another snapshot: two runs of this key overlapped, or only "
                "some of its assets were launched.",
                remedy="Run the whole run again.",
            )
        self._made[product] = made
        return made

    def _staged(self, product: str) -> ProductVersion:
        made = self.stores.predictions.staged(product, self.key)
        if made.code_version != code_version():
            raise NotAcceptedError(
                f"`{product}` of {self.key} was made by {made.code_version}, and this is {code_version()}: a run that "
                "one release began is not finished by another.",
                remedy="Run the whole run again; it is made anew, and nothing of it was published.",
                product=product,
            )
        return made

    def _before(self, product: str) -> ProductVersion | None:
        """Return what a revision of overrides alone goes on from; None of what it makes itself."""
        return self._goes_on_from if product == RECONCILED_FORECASTS.name else None

    @cached_property
    def _goes_on_from(self) -> ProductVersion | None:
        """The reconciled forecasts of the revision before, where this one is made for overrides alone."""
        if self.request.correction is None or not self.request.correction.of_overrides:
            return None
        before = self.stores.predictions.publication(revision_before(self.key))
        explained = self.version(before.products[FORECAST_EXPLANATIONS.name])
        return self.version(explained.inputs[RECONCILED_FORECASTS.name])

    @cached_property
    def taken_over(self) -> Publication | None:
        """The revision before, where what it says of what overrides do not move is to the byte what this one would say.

        That is where this one goes on from its forecasts, and the same code, libraries and type of processor made it. A
        run that is made again to be compared takes nothing over, so that all of it is made anew.
        """
        if self._goes_on_from is None or self._schemas:
            return None
        before = self.stores.predictions.publication(revision_before(self.key))
        made = [self.version(version) for version in before.products.values()]
        same_code = all((each.code_version, each.libraries) == (code_version(), library_versions()) for each in made)
        return before if same_code and before.cpu == cpu_type() else None

    @property
    def snapshot(self) -> ProductVersion:
        """The feature snapshot that the run starts from."""
        if self._snapshot is None:
            self.start()
        assert self._snapshot is not None
        return self._snapshot

    @cached_property
    def model(self) -> VersionRecord:
        """The registered model version."""
        return self.stores.registry.model_version(self.key.model_version)

    @cached_property
    def family(self) -> ModelFamily[Any]:
        """The family of the model version."""
        return family(self.model.family)

    @cached_property
    def artifact(self) -> Artifact:
        """The model artifact, its hash verified; what later stages read of it is the same for every family."""
        return load_artifact(self.stores, self.model)

    @cached_property
    def given(self) -> ProductVersion | None:
        """What the run is given from outside, if its family is; a correction takes what it corrects was made of.

        Raises:
            NotStagedError: If it has not been ingested.
        """
        if self.family.given_product is None:
            return None
        store = self.stores.predictions
        if self.key.revision:
            before = store.publication(revision_before(self.key))
            (made,) = given_inputs_of(store, before.products.values())
            return made
        require_given(self.stores, self.key, self.model)
        return store.staged(self.family.given_product, self.key)

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

        Base forecasts and stock-out risks look at the same; it is kept until the last of them lets go of it.
        """
        if self._panel is None:
            self._panel = self.history.panel(
                self.features, history_days=self.artifact.history_days, horizon_days=self.key.forecast_horizon
            )
        return self._panel

    def release_panel(self) -> None:
        """Let go of the panel, the largest thing that a run keeps: the last stage that reads it calls this."""
        self._panel = None

    @cached_property
    def policy(self) -> PolicyRecord:
        """The policy of the run: as asked for, else the one in force today; fixed from the first look on.

        Raises:
            InputError: If there is no policy of the version that is asked for.
        """
        state, asked = self.stores.ledger.state(), self.options.policy
        policies = state.part(Policies)
        if asked is None:
            return policies.in_force(present(state).date())
        return policies.require(asked)

    @cached_property
    def policy_of_overrides(self) -> PolicyRecord:
        """The policy by whose rules overrides were applied: what follows from them is of the same.

        Stages may be made in processes of their own, and another policy may be applied between two of them.

        Raises:
            NotStagedError: If overrides have not been applied.
        """
        if not self._applies_overrides:
            return self.policy
        applied = self.upstream(FORECAST_OVERRIDES.name)
        return self.stores.ledger.state().part(Policies).require(applied.facts.get("policy", ""))

    @cached_property
    def applied_sets(self) -> tuple[AppliedSet, ...]:
        """Which overrides and rules move which days, oldest days first; fixed from the first look.

        Of a revision, days that are sold are moved by what moved them in the revision before.

        Raises:
            InputError: If there is no override of an id that is asked for.
        """
        kept, asked = self.stores.ledger.state().part(PlannedOverrides), self.options.overrides
        if asked is None:
            found = in_force(kept.by_id.values(), self.key.prediction_date, self.key.forecast_horizon)
            asked = tuple(each.id for each in found)
        own = AppliedSet(asked, self.policy.version if self.policy.sequence else "")
        if not self.key.revision or self.sold_until <= self.key.prediction_date:
            return (own,)
        before = self.stores.predictions.publication(revision_before(self.key)).products
        return (*kept_sets(applied_sets_of(self.stores.predictions, before), self.sold_until), own)

    @cached_property
    def sold_until(self) -> date:
        """The newest day with sales that is over, as asked for or today; a day of the run at most."""
        last = self.key.prediction_date + timedelta(days=self.key.forecast_horizon)
        return min(self.options.observed_until or observed_until(self.stores), last)

    def overrides_called(self, names: Iterable[str]) -> list[PlannedOverride]:
        """Return overrides by their ids.

        Raises:
            InputError: If there is none of an id.
        """
        kept = self.stores.ledger.state().part(PlannedOverrides)
        return [kept.require(name) for name in names]

    def policy_of(self, version: str) -> PolicyRecord:
        """Return a policy by its version; that of the release where there is none.

        Raises:
            InputError: If there is none of the version.
        """
        return self.stores.ledger.state().part(Policies).require(version)

    @property
    def _applies_overrides(self) -> bool:
        """Whether its products follow from applied overrides; not where a run of before there were any is replayed."""
        return not self._schemas or FORECAST_OVERRIDES.name in self._schemas

    def forecasts(
        self, reconciled: ProductVersion, inputs: Mapping[str, Any], columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return reconciled forecasts and what overrides made of them: `forecast_units` besides, quantiles moved.

        Args:
            reconciled: The product.
            inputs: Of what is made from both, so that all of a run follows from the same overrides.
            columns: Of the product; all if none are named.
        """
        return overridden(self.read(reconciled, columns), self.overrides(inputs))

    def overrides(self, inputs: Mapping[str, Any]) -> pl.DataFrame | None:
        """Return what overrides made of the forecasts that some product follows from; None if it names none.

        Args:
            inputs: Of the product.
        """
        applied = inputs.get(FORECAST_OVERRIDES.name)
        return None if applied is None else self.read(self.version(applied))

    # --- what it makes ---

    @property
    def inputs(self) -> dict[str, Any]:
        """What a product of this run names as the start of its lineage."""
        return {_SNAPSHOTS: self.snapshot.version, "model_artifacts": self.model.artifact}

    @property
    def overrides_input(self) -> dict[str, str]:
        """What a product that follows from applied overrides names of them."""
        if not self._applies_overrides:
            return {}
        return {FORECAST_OVERRIDES.name: self.upstream(FORECAST_OVERRIDES.name).version}

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest of a product of this run records."""
        return {
            "model_version": self.key.model_version,
            "feature_version": self.snapshot.facts["feature_version"],
            "evaluation_report": self.model.evaluation_report,
            "prediction_timestamp": self.snapshot.facts["known_until"],
        }

    def version(self, version: str) -> ProductVersion:
        """Return a product version by the hash of its manifest."""
        return self.stores.predictions.version(version)

    def read(self, product: ProductVersion, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the rows of a product, every file verified; all columns if none are named.

        Columns that an earlier release did not write have what readers see in their place, and rows of the revision
        before, where this one goes on from them, are of this one.
        """
        rows = read_rows(self.stores.predictions, product, columns)
        if "revision" not in rows.columns or product.key == str(self.key) or not self._is_before(product):
            return rows
        return rows.with_columns(pl.lit(self.key.revision, pl.Int32).alias("revision"))

    def _is_before(self, product: ProductVersion) -> bool:
        """Whether a product is one that a revision of overrides alone goes on from."""
        return self._goes_on_from is not None and product.key == self._goes_on_from.key

    def write(self, result: StageResult) -> ProductVersion:
        """Store what a stage made; return the version of its own product.

        Raises:
            ContractError: If a frame breaks its contract; nothing of it is written.
        """
        for name, frame in result.frames.items():
            self._made[name] = self.stores.predictions.write(
                *in_shape(name, frame, self._schemas.get(name)),
                key=self.key,
                folder=run_folder(name, self.key),
                inputs=result.inputs,
                facts=result.facts,
            )
        return self._made[result.product]


def policy_facts(policy: PolicyRecord) -> dict[str, str]:
    """Return what a manifest says of the policy of a run; nothing, as before there were any, until one is applied."""
    return {"policy": policy.version} if policy.sequence else {}


def read_rows(store: PredictionStore, product: ProductVersion, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of a product, as `RunContext.read` does."""
    name, schema = product.product, product.schema
    return completed(name, store.read(product, stored_columns(name, columns, schema)), columns, schema)


def applied_sets_of(store: PredictionStore, products: Mapping[str, str]) -> tuple[AppliedSet, ...]:
    """Return which overrides and rules moved which days of a run, oldest days first; the last of all further days.

    Args:
        store: Where its products are.
        products: Their versions, by name; nothing had moved a run from before there were overrides.
    """
    applied = products.get(FORECAST_OVERRIDES.name)
    return applied_sets({} if applied is None else store.version(applied).facts)


def load_artifact(stores: Stores, model: VersionRecord) -> Artifact:
    """Return the artifact of a model version, its hash verified, read by its family."""
    store = stores.predictions
    loaded: Artifact = family(model.family).load(store.read_bytes(store.version(model.artifact)))
    return loaded


def given_inputs_of(store: PredictionStore, versions: Iterable[str]) -> list[ProductVersion]:
    """Return what a run was given from outside, by what its base forecasts name; nothing for one that was not.

    The lineage of a run also holds what its version was registered with, which may be of other dates.
    """
    base = [made for made in store.lineage(versions) if made.product == BASE_FORECASTS.name]
    found = [made.inputs.get(name) for made in base for name in sorted(given_products())]
    return [store.version(version) for version in found if version is not None]


def build_hierarchy(series: pl.DataFrame, history: History) -> Hierarchy:
    """Return the crossed hierarchy of some series as known to a history."""
    return Hierarchy.build(
        series.select("store_id", "sku_id").sort("store_id", "sku_id"),
        history.membership("product_hierarchy"),
        history.membership("store_hierarchy"),
    )

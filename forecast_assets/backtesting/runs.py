"""Runs as of past cutoffs, by the code of the daily run, in a cache beside the store.

What belongs here: which snapshot, artifact and settings a run of the past has. What does not: what came afterwards, or
how good the run was.

A version scores every cutoff from its own on. Before that it would know its own future, so a version is trained as of
the cutoff by the same recipe: family, horizon and days of history.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from forecast_assets.backtesting.cache import BacktestCache, CachedStep, ProductVersions
from forecast_assets.contracts import (
    BACKTESTED_METHOD,
    BASE_FORECASTS,
    BASE_NODE_FORECASTS,
    FORECAST_EXPLANATIONS,
    FORECASTS,
    RECONCILED_FORECASTS,
    STOCKOUT_RISKS,
)
from forecast_assets.core.actions import Sentence
from forecast_assets.core.errors import HorizonError, InputError
from forecast_assets.core.keys import CADENCES, RunKey
from forecast_assets.core.progress import Progress
from forecast_assets.core.run import RunOptions, RunRequest, TrainingRequest
from forecast_assets.models.family import BASELINE, family
from forecast_assets.scoring.context import RunContext, load_artifact
from forecast_assets.scoring.preconditions import require_given
from forecast_assets.scoring.run import score
from forecast_assets.settings import Settings
from forecast_assets.snapshots.stage import SnapshotContext, date_moments, make_snapshot
from forecast_assets.training.stage import TrainingContext, train_version
from resources.ledger.entries.evaluate import ComparedMethod
from resources.ledger.entries.register import VersionRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

SNAPSHOTS: Final = "feature_snapshots"
ARTIFACTS: Final = "model_artifacts"
# What is read of every run that was scored, here or by the stages that assemble; what is not whole is made again.
_SCORED: Final = (BASE_FORECASTS.name, BASE_NODE_FORECASTS.name, RECONCILED_FORECASTS.name, STOCKOUT_RISKS.name)


@dataclass(frozen=True)
class Recipe:
    """What it takes to train a version like another one as of any cutoff.

    Attributes:
        family: Model family.
        horizon: Days that training looks ahead.
        history_days: Days of history that scoring reads.
    """

    family: str
    horizon: int
    history_days: int

    @classmethod
    def of(cls, stores: Stores, version: VersionRecord) -> "Recipe":
        """Return the recipe of a registered version."""
        made = stores.predictions.version(version.artifact)
        fitted = load_artifact(stores, version)
        return cls(version.family, int(made.facts.get("horizon", fitted.horizon_days)), fitted.history_days)

    def statistical(self, horizon: int) -> "Recipe":
        """Return the statistical family's on as much history, for as many days ahead."""
        return replace(self, family=BASELINE, horizon=horizon)


@dataclass(frozen=True)
class Method:
    """One of the methods that are compared.

    Attributes:
        name: What the report calls it.
        recipe: How it is trained where it has to be.
        version: The registered version that it is; None for a recipe alone.
    """

    name: str
    recipe: Recipe
    version: VersionRecord | None = None

    @property
    def title(self) -> str:
        """What people know it by: the version, or what the report calls it."""
        return self.name if self.version is None else self.version.model_version

    def is_recipe_at(self, cutoff: date) -> bool:
        """Whether it has to be trained anew as of a cutoff."""
        return self.version is None or cutoff < self.version.cutoff


@dataclass(frozen=True)
class BacktestRun:
    """What a method forecast as of a cutoff.

    Attributes:
        key: The run; the version is a made-up one where it was trained as of the cutoff.
        method: The method.
        artifact: The artifact that scored.
        step: The stores with what the run made: of the version that is judged all that would be published, of others
            what makes a number.
    """

    key: RunKey
    method: Method
    artifact: ProductVersion
    step: CachedStep

    @property
    def is_recipe(self) -> bool:
        """Whether the version was trained as of the cutoff."""
        return self.method.is_recipe_at(self.key.prediction_date)

    @property
    def family(self) -> str:
        """Family of what scored."""
        return self.method.recipe.family

    def record(self) -> ComparedMethod:
        """Return what the ledger says of it.

        What would not have been published is named by its risks, which follow from its forecasts.
        """
        return ComparedMethod(
            cutoff=self.key.prediction_date.isoformat(),
            method=self.method.name,
            model_version="" if self.method.version is None else self.method.title,
            family=self.family,
            is_recipe=self.is_recipe,
            artifact=self.artifact.version,
            forecasts=self.step.made.get(FORECASTS.name, self.step.made[STOCKOUT_RISKS.name]).version,
        )


class BacktestRunner:
    """Makes runs as of past cutoffs.

    Args:
        cache: Where they are made.
        settings: How much of the machine to use, and what shapes numbers: days of history, risk paths.
        progress: Called with stage, done and total.
    """

    def __init__(self, cache: BacktestCache, settings: Settings, progress: Progress) -> None:
        self._cache = cache
        self._settings = settings
        self._progress = progress

    def snapshot(self, cutoff: date) -> CachedStep:
        """Make the feature snapshot of a cutoff, as a run of that day would.

        Raises:
            IncompleteInputsError: If inputs of the day are missing.
        """
        stores = self._cache.stores
        moments = date_moments(stores, cutoff)
        is_made = stores.predictions.is_staged(SNAPSHOTS, cutoff)
        fixed = stores.predictions.staged(SNAPSHOTS, cutoff) if is_made else None

        def make(scratch: Stores) -> ProductVersions:
            if fixed is not None:
                # The first snapshot of a date fixes the moments of knowledge.
                scratch.predictions.stage(fixed, cutoff)
            asked = SnapshotContext(scratch, cutoff, self._settings.feed_tolerance)
            return {SNAPSHOTS: asked.write(make_snapshot(asked))}

        batches = sorted(batch.batch_id for batch in stores.observations.as_known(cutoff, moments))
        by_feed = {feed: moment.isoformat() for feed, moment in moments.by_feed.items()}
        inputs = {
            "cutoff": cutoff.isoformat(),
            "known_until": moments.known_until.isoformat(),
            "known_until_by_feed": by_feed,
            "batches": batches,
        }
        return self._cache.step("snapshot", inputs, make)

    def run(self, method: Method, cadence: str, horizon: int, snapshot: CachedStep) -> BacktestRun:
        """Train where needed, and score; of the version that is judged, also assemble what would be published.

        Raises:
            HorizonError: If the method is not trained so far ahead.
            InputError: If it is external and cannot be trained as of the cutoff, or if the history is too short.
            NotStagedError: If it is external and no file has its forecasts of the cutoff.
        """
        made = snapshot.made[SNAPSHOTS]
        cutoff = date.fromisoformat(made.key)
        if horizon > method.recipe.horizon:
            raise HorizonError(
                f"`{method.title}` is trained for {method.recipe.horizon} days ahead, and {horizon} were asked of it.",
                remedy=f"Backtest with --horizon {method.recipe.horizon} or less.",
                horizon=horizon,
                trained=method.recipe.horizon,
            )
        if method.version is None or method.is_recipe_at(cutoff):
            require_recipe(method, cutoff)
            try:
                trained = self._train(method.recipe, cutoff, snapshot)
            except InputError as error:
                raise InputError(
                    Sentence(f"`{method.title}` cannot be trained as of {cutoff}: ", error.sentence),
                    remedy="Or choose later cutoffs.",
                    cutoff=cutoff,
                ) from error
            version = _unregistered_version(method.recipe, cutoff, made, trained.made[ARTIFACTS])
            below, fitted = trained.stores, trained.made[ARTIFACTS]
        else:
            # Its gates say who may follow it, not whether it may be measured.
            version, below = replace(method.version, gates={}), snapshot.stores
            fitted = self._cache.stores.predictions.version(version.artifact)
        key = RunKey(cadence, cutoff, version.model_version, horizon)
        scored = self._score(key, version, made, fitted, below)
        if method.name == BACKTESTED_METHOD:
            scored = self._assemble(key, version, scored)
        return BacktestRun(key, method, fitted, scored)

    def _train(self, recipe: Recipe, cutoff: date, snapshot: CachedStep) -> CachedStep:
        name, made = _recipe_name(recipe, cutoff), snapshot.made[SNAPSHOTS]
        request = TrainingRequest(name, recipe.family, cutoff, recipe.horizon, evaluates=False)
        options = RunOptions(history_days=recipe.history_days, workers=self._settings.workers)

        def make(scratch: Stores) -> ProductVersions:
            scratch.predictions.stage(made, cutoff)
            return {ARTIFACTS: train_version(TrainingContext(scratch, request, options, self._progress)).artifact}

        inputs = {
            "snapshot": made.version,
            "history_days": recipe.history_days,
            "family": recipe.family,
            "cutoff": cutoff.isoformat(),
            "horizon": recipe.horizon,
            "evaluates": False,
        }
        return self._cache.step("training", inputs, make, below=snapshot.stores)

    def _score(
        self, key: RunKey, version: VersionRecord, snapshot: ProductVersion, fitted: ProductVersion, below: Stores
    ) -> CachedStep:
        """Forecast up to the stock-out risks, which is all that is read of what a version is compared with."""
        given = self._given(key, version)
        request = self._request(key)

        def make(scratch: Stores) -> ProductVersions:
            scratch.predictions.stage(snapshot, key.prediction_date)
            if given is not None:
                scratch.predictions.stage(given, key)
            score(RunContext(scratch, request, self._progress), last=STOCKOUT_RISKS.name)
            return {name: scratch.predictions.staged(name, key) for name in _SCORED}

        inputs = {
            "key": str(key),
            "snapshot": snapshot.version,
            "artifact": fitted.version,
            "risk_paths": request.options.risk_paths,
            "outside_forecasts": None if given is None else given.version,
        }
        return self._cache.step("scoring", inputs, make, below=below, versions=[version])

    def _assemble(self, key: RunKey, version: VersionRecord, scored: CachedStep) -> CachedStep:
        """Make of scored forecasts what would be published; its explanations are checked against it on the way."""

        def make(scratch: Stores) -> ProductVersions:
            for before in scored.made.values():
                scratch.predictions.stage(before, key)
            made = score(RunContext(scratch, self._request(key), self._progress), first=FORECAST_EXPLANATIONS.name)
            return {FORECASTS.name: made[FORECASTS.name]}

        inputs = {"key": str(key), **{name: made.version for name, made in scored.made.items()}}
        whole = self._cache.step("forecasts", inputs, make, below=scored.stores, versions=[version])
        return CachedStep(whole.stores, {**scored.made, **whole.made})

    def _request(self, key: RunKey) -> RunRequest:
        settings = self._settings
        # Models are judged, and neither planners nor rules nor where bands begin: a new policy makes no run anew.
        options = RunOptions(settings.history_days, settings.risk_paths, settings.workers, policy="", overrides=())
        return RunRequest(key, options)

    def _given(self, key: RunKey, version: VersionRecord) -> ProductVersion | None:
        product = family(version.family).given_product
        if product is None:
            return None
        require_given(self._cache.stores, key, version)
        return self._cache.stores.predictions.staged(product, key)


def require_recipe(method: Method, cutoff: date) -> None:
    """Refuse what cannot be trained as of a cutoff.

    Raises:
        InputError: If the method is external.
    """
    if family(method.recipe.family).given_product:
        first = "" if method.version is None else f" It begins with {method.version.cutoff}."
        raise InputError(
            f"`{method.title}` is external, so it cannot be trained as of {cutoff}.{first}",
            remedy="Choose cutoffs that its files have forecasts of, or leave it out.",
        )


def is_possible(cache: BacktestCache, method: Method, cadence: str, horizon: int, cutoff: date) -> bool:
    """Whether a method can be backtested at a cutoff: an external one only where a file has its forecasts."""
    if horizon > method.recipe.horizon:
        return False
    product = family(method.recipe.family).given_product
    if product is None or method.version is None:
        return True
    key = RunKey(cadence, cutoff, method.version.model_version, horizon)
    is_there = cache.stores.predictions.is_staged(product, key)
    return not method.is_recipe_at(cutoff) and is_there


def cadence_horizon(cadence: str, horizon: int | None, trained: int) -> int:
    """Return the days ahead to backtest: as asked, or the cadence's own as far as the version was trained.

    Raises:
        HorizonError: If the cadence does not allow it, or nothing was asked and the version does not reach so far.
    """
    chosen = CADENCES[cadence]
    if horizon is None and trained < chosen.shortest_horizon:
        raise HorizonError(
            f"A {cadence} run looks {chosen.shortest_horizon} days ahead or more, and the version is trained for "
            f"{trained}.",
            remedy=f"Backtest a version that was trained with --horizon {chosen.shortest_horizon} or more.",
            cadence=cadence,
            horizon=trained,
            shortest=chosen.shortest_horizon,
        )
    return chosen.horizon(horizon or min(chosen.default_horizon, trained))


def _recipe_name(recipe: Recipe, cutoff: date) -> str:
    return f"{recipe.family}-as-of-{cutoff:%Y%m%d}"


def _unregistered_version(
    recipe: Recipe, cutoff: date, snapshot: ProductVersion, made: ProductVersion
) -> VersionRecord:
    """A version that nobody registered, so that the stages of a run find it as they find every other."""
    return VersionRecord(
        model_version=_recipe_name(recipe, cutoff),
        family=recipe.family,
        cutoff=cutoff,
        artifact=made.version,
        # Nothing judges what was trained for a backtest but the backtest.
        evaluation_report=made.version,
        training_run_id="",
        training_snapshot=snapshot.version,
        feature_version=str(snapshot.facts["feature_version"]),
        gates={},
        sequence=0,
        recorded_at="",
    )

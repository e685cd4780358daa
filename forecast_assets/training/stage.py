"""The stage that trains a model version, and the one that registers it.

What belongs here: from a snapshot to a stored artifact with its report, and the record of both. What does not: fitting
or evaluating (fitting, evaluation), or Dagster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.core.errors import AlreadyRegisteredError, InputError
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.run import DEFAULT_OPTIONS, RunOptions, TrainingRequest
from forecast_assets.features.panel import Panel
from forecast_assets.history import History
from forecast_assets.models import external
from forecast_assets.models.boosted.model import GlobalArtifact
from forecast_assets.models.external.artifact import ExternalArtifact, register_external
from forecast_assets.models.family import TRAINED
from forecast_assets.models.statistical.training import DEFAULT_HISTORY_DAYS, TRAINING_HISTORY_DAYS, spread_rows
from forecast_assets.plots import as_markdown_image, evaluation_png
from forecast_assets.scoring.context import build_hierarchy
from forecast_assets.scoring.stage import StageResult, Summary
from forecast_assets.training.evaluation import gates
from forecast_assets.training.external import MEASURED_DATES, Arrived, PastDate, arrival_gates, arrival_report
from forecast_assets.training.fitting import Trained, default_horizon, fit, trained_rows
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

ARTIFACTS = "model_artifacts"


@dataclass(frozen=True)
class TrainingContext:
    """The training that is asked for.

    Attributes:
        stores: Where everything is.
        request: What is to be trained.
        options: How much of the machine to use, and the days of history that scoring will read.
        progress: Told a stage, what is done, and the total.
    """

    stores: Stores
    request: TrainingRequest
    options: RunOptions = DEFAULT_OPTIONS
    progress: Progress = silent


@dataclass(frozen=True)
class TrainedVersion:
    """What a training stored.

    Attributes:
        artifact: What scoring reads.
        report: Contract `evaluation_reports`; None where nobody asked for it.
        compared: What the backtests compared; None where nothing was.
    """

    artifact: ProductVersion
    report: ProductVersion | None
    compared: pl.DataFrame | None


def train_version(training: TrainingContext) -> TrainedVersion:
    """Train a model version on the snapshot of its cutoff, or take in one made elsewhere; store it with its report.

    Raises:
        AlreadyRegisteredError: If the name is taken.
        NotStagedError: If there is no snapshot of the cutoff.
        InputError: If there is no such family, or the history is too short.
    """
    stores, request = training.stores, training.request
    _require_free(stores, request.model_version)
    snapshot = stores.predictions.staged("feature_snapshots", request.cutoff)
    inputs = {"feature_snapshots": snapshot.version}
    if request.family == external.FAMILY:
        trained, made_from = _register_arrived(training, snapshot)
        inputs |= made_from
    else:
        trained = _fit(training, snapshot)
    return _stored(stores, request, trained, inputs)


def _stored(stores: Stores, request: TrainingRequest, trained: Trained, inputs: dict[str, str]) -> TrainedVersion:
    name, horizon = request.model_version, trained.artifact.horizon_days
    facts: dict[str, Any] = {"family": request.family, "cutoff": request.cutoff.isoformat(), "horizon": horizon}
    if isinstance(trained.artifact, GlobalArtifact):
        facts["inputs_version"] = trained.artifact.inputs_version
    artifact = stores.predictions.write_artifact(
        ARTIFACTS,
        trained.artifact.to_bytes(),
        key=name,
        folder=f"{ARTIFACTS}/model_version={name}",
        inputs=inputs,
        facts=facts,
    )
    report = None
    if trained.report is not None:
        report = stores.predictions.write(
            EVALUATION_REPORTS,
            trained.report,
            key=name,
            folder=f"{EVALUATION_REPORTS.name}/model_version={name}",
            inputs={**inputs, ARTIFACTS: artifact.version},
            facts=facts,
        )
    return TrainedVersion(artifact, report, _compared(trained))


def _compared(trained: Trained) -> pl.DataFrame | None:
    return None if isinstance(trained.artifact, ExternalArtifact) else trained.artifact.compared()


def _require_free(stores: Stores, version: str) -> None:
    known = stores.ledger.state().versions
    if version in known:
        raise AlreadyRegisteredError(
            f"`{version}` is already registered (ledger entry {known[version].sequence}).",
            remedy="A version never changes: choose another name.",
            model_version=version,
            sequence=known[version].sequence,
        )


def _fit(training: TrainingContext, snapshot: ProductVersion) -> Trained:
    config, run, stores = training.request, training.options, training.stores
    if config.family not in TRAINED:
        raise InputError(
            f"There is no model family `{config.family}` to train.", remedy=f"Use --family {' or '.join(TRAINED)}."
        )
    history = History.of(snapshot, stores.observations)
    features = stores.predictions.read(snapshot)
    age = int(features["age_days"].max() or 1)  # type: ignore[arg-type]
    horizon = config.horizon or default_horizon(min(age, run.history_days))
    hierarchy = build_hierarchy(features, history)
    days = max(run.history_days, TRAINING_HISTORY_DAYS)
    # An age may be counted within a window only, so whoever is a year old may have the whole history.
    rows = trained_rows(config.family, features.height, horizon + (days if age >= DEFAULT_HISTORY_DAYS else age))
    return fit(
        history.panel(features[rows], history_days=days, horizon_days=horizon),
        hierarchy.product_groups()[rows],
        horizon=horizon,
        family=config.family,
        hierarchy=hierarchy.take(rows),
        progress=training.progress,
        workers=run.workers,
        history_days=run.history_days,
        group_level=hierarchy.group_level.name,
        evaluates=config.evaluates,
    )


def _register_arrived(training: TrainingContext, snapshot: ProductVersion) -> tuple[Trained, dict[str, str]]:
    """Register what was made elsewhere; return its artifact and report, and the versions that they were made from."""
    stores, request, history_days = training.stores, training.request, training.options.history_days
    store = stores.predictions
    versions = [store.version(version) for version in request.given]
    arrived = [Arrived(store.read(version), version.facts) for version in versions]
    panel = _panel_of(arrived[0], History.of(snapshot, stores.observations), history_days)
    artifact = register_external(
        panel,
        first_file={"name": versions[0].facts["file"], "sha256": versions[0].facts["file_sha256"]},
        columns=versions[0].facts["columns"],
        quantile_levels=tuple(versions[0].facts["quantile_levels"]),
        history_days=history_days,
    )
    later = store.staged("feature_snapshots", request.evaluated_on or request.cutoff)
    past = _past_dates(arrived, History.of(later, stores.observations), history_days)
    inputs = {f"{version.product} {version.facts['prediction_date']}": version.version for version in versions}
    report = arrival_report(artifact, panel, arrived, past)
    return Trained(artifact, report), {**inputs, "evaluation_snapshot": later.version}


def _past_dates(arrived: Sequence[Arrived], later: History, history_days: int) -> list[PastDate]:
    """Return the dates, at most eight, after which sales are known by now."""
    back = [(each, (later.cutoff - each.made["prediction_date"][0]).days) for each in arrived]
    known = [(each, days) for each, days in back if days > 0]
    chosen = [known[at] for at in spread_rows(len(known), MEASURED_DATES)] if known else []
    return [PastDate(each.made, _panel_of(each, later, history_days + days), days) for each, days in chosen]


def _panel_of(arrived: Arrived, history: History, history_days: int) -> Panel:
    horizon = int(arrived.made["forecast_horizon"][0])
    return history.panel(
        arrived.made.select("store_id", "sku_id").unique(), history_days=history_days, horizon_days=horizon
    )


@dataclass(frozen=True)
class Registration:
    """A version that was registered, with its report.

    Attributes:
        report: The report's version.
        result: Its rows, and what people look at.
    """

    report: ProductVersion
    result: StageResult


def register_version(stores: Stores, name: str, training_run_id: str) -> Registration:
    """Register a version that was trained, with the gates that its report passes.

    Args:
        stores: Where everything is.
        name: The version.
        training_run_id: Run that trained it.

    Raises:
        NotStagedError: If it has no artifact or no report.
        AlreadyRegisteredError: If the name is taken.
    """
    artifact = stores.predictions.staged(ARTIFACTS, name)
    report = stores.predictions.staged(EVALUATION_REPORTS.name, name)
    frame = stores.predictions.read(report)
    passed = arrival_gates(frame) if artifact.facts["family"] == external.FAMILY else gates(frame)
    stores.registry.register(_record(stores, artifact, report, passed, training_run_id))
    result = StageResult({EVALUATION_REPORTS.name: frame}, report.inputs, report.facts, lambda: _summary(frame, passed))
    return Registration(report, result)


def _record(
    stores: Stores, artifact: ProductVersion, report: ProductVersion, passed: dict[str, bool], run_id: str
) -> dict[str, object]:
    snapshot = stores.predictions.version(artifact.inputs["feature_snapshots"])
    return {
        "model_version": artifact.key,
        "family": artifact.facts["family"],
        "cutoff": artifact.facts["cutoff"],
        "artifact": artifact.version,
        "evaluation_report": report.version,
        "training_run_id": run_id,
        "training_snapshot": snapshot.version,
        "feature_version": snapshot.facts["feature_version"],
        "gates": passed,
    }


def _summary(frame: pl.DataFrame, passed: dict[str, bool]) -> Summary:
    return {
        "overall": frame.filter(pl.col("segment_kind") == "all"),
        "gates": passed,
        "error_by_segment": as_markdown_image(evaluation_png(frame), "WAPE by segment"),
    }

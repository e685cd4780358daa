"""The stage that trains a model version, and the one that registers it.

What belongs here: from a snapshot to a stored artifact with its report, and the record of both. What does not: fitting
or evaluating (fitting, evaluation), or Dagster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from forecast_assets.contracts import CALIBRATION, EVALUATION_REPORTS, Contract
from forecast_assets.core.errors import AlreadyRegisteredError, InputError, NotStagedError
from forecast_assets.core.progress import Progress, silent
from forecast_assets.core.run import DEFAULT_OPTIONS, RunOptions, TrainingRequest
from forecast_assets.core.spans import concerns, span
from forecast_assets.history import History
from forecast_assets.models.family import ModelFamily, family, family_to_train
from forecast_assets.models.training import GivenDate, TrainingInputs
from forecast_assets.plots import as_markdown_image, evaluation_png
from forecast_assets.plots.calibration import calibration_pictures
from forecast_assets.scoring.context import build_hierarchy
from forecast_assets.scoring.stage import StageResult, Summary
from forecast_assets.training.fitting import TrainingResult, fit_version, inputs_of_given, inputs_of_snapshot
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
        calibration: Contract `calibration`; None where there is no report, or no distribution could be judged.
        compared: What the backtests compared; None where nothing was.
    """

    artifact: ProductVersion
    report: ProductVersion | None
    calibration: ProductVersion | None
    compared: pl.DataFrame | None


def train_version(training: TrainingContext) -> TrainedVersion:
    """Train a model version on the snapshot of its cutoff, or take in an external one; store it with its report.

    Raises:
        AlreadyRegisteredError: If the name is taken.
        NotStagedError: If there is no snapshot of the cutoff.
        InputError: If there is no such family, or the history is too short.
    """
    stores, request = training.stores, training.request
    require_free(stores, request.model_version)
    snapshot = stores.predictions.staged("feature_snapshots", request.cutoff)
    chosen = family(request.family) if request.given_versions else family_to_train(request.family)
    prepared = (
        _given_inputs(training, snapshot) if request.given_versions else _snapshot_inputs(training, chosen, snapshot)
    )
    inputs = replace(
        prepared.inputs,
        evaluates=request.evaluates,
        workers=training.options.workers,
        progress=training.progress,
    )
    made_from = {"feature_snapshots": snapshot.version, **prepared.made_from}
    concerns(f"train/{request.model_version}")
    with span("training", family=request.family):
        return _write(stores, request, fit_version(chosen, inputs), made_from)


@dataclass(frozen=True)
class _PreparedInputs:
    """What a version is trained from, and the product versions that it was made from besides the snapshot."""

    inputs: TrainingInputs
    made_from: Mapping[str, str]


def _snapshot_inputs(training: TrainingContext, chosen: ModelFamily[Any], snapshot: ProductVersion) -> _PreparedInputs:
    """Lay out the series of a snapshot."""
    stores = training.stores
    history, features = History.of(snapshot, stores.observations), stores.predictions.read(snapshot)
    inputs = inputs_of_snapshot(
        chosen,
        features,
        history,
        build_hierarchy(features, history),
        horizon=training.request.horizon,
        history_days=training.options.history_days,
    )
    return _PreparedInputs(inputs, {})


def _given_inputs(training: TrainingContext, snapshot: ProductVersion) -> _PreparedInputs:
    """Lay out what was given from outside."""
    stores, request = training.stores, training.request
    store = stores.predictions
    versions = [store.version(version) for version in request.given_versions]
    given = [GivenDate(store.read(version), version.facts) for version in versions]
    history = History.of(snapshot, stores.observations)
    later = store.staged("feature_snapshots", request.evaluated_on or request.cutoff)
    inputs = inputs_of_given(
        given,
        history,
        History.of(later, stores.observations),
        build_hierarchy(given[0].rows.unique(["store_id", "sku_id"]), history),
        history_days=training.options.history_days,
    )
    named = {f"{version.product} {version.facts['prediction_date']}": version.version for version in versions}
    return _PreparedInputs(inputs, {**named, "evaluation_snapshot": later.version})


def _write(
    stores: Stores, request: TrainingRequest, trained: TrainingResult, inputs: Mapping[str, str]
) -> TrainedVersion:
    name, fitted = request.model_version, trained.artifact
    facts = {
        "family": request.family,
        "cutoff": request.cutoff.isoformat(),
        "horizon": fitted.horizon_days,
        **fitted.facts(),
    }
    artifact = stores.predictions.write_artifact(
        ARTIFACTS, fitted.to_bytes(), key=name, folder=f"{ARTIFACTS}/model_version={name}", inputs=inputs, facts=facts
    )

    def stored(contract: Contract, frame: pl.DataFrame | None) -> ProductVersion | None:
        if frame is None:
            return None
        return stores.predictions.write(
            contract,
            frame,
            key=name,
            folder=f"{contract.name}/model_version={name}",
            inputs={**inputs, ARTIFACTS: artifact.version},
            facts=facts,
        )

    report, calibration = stored(EVALUATION_REPORTS, trained.report), stored(CALIBRATION, trained.calibration)
    return TrainedVersion(artifact, report, calibration, fitted.compared())


def _family_of(request: TrainingRequest) -> ModelFamily[Any]:
    """Return the family that is asked for.

    Raises:
        InputError: If there is none to train, or if it is given what it does not take.
    """
    if not request.given_versions:
        return family_to_train(request.family)
    chosen = family(request.family)
    if chosen.given_product is None:
        raise InputError(
            f"The family `{request.family}` is trained here, so that nothing can be given to it.",
            remedy="Leave `given_versions` out, or name a family whose forecasts come from outside.",
        )
    return chosen


def require_free(stores: Stores, version: str) -> None:
    """Refuse the name of a version that there is.

    Raises:
        AlreadyRegisteredError: If there is one.
    """
    known = stores.ledger.state().versions
    if version in known:
        raise AlreadyRegisteredError(
            f"`{version}` is already registered (ledger entry {known[version].sequence}).",
            remedy="A version never changes: choose another name.",
            model_version=version,
            sequence=known[version].sequence,
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


def register_version(stores: Stores, name: str, training_run_id: str, *, training_seconds: float = 0.0) -> Registration:
    """Register a version that was trained, with the gates that its report passes.

    Args:
        stores: Where everything is.
        name: The version.
        training_run_id: Run that trained it.
        training_seconds: How long that took; 0 where nobody knows.

    Raises:
        NotStagedError: If it has no artifact or no report.
        AlreadyRegisteredError: If the name is taken.
    """
    artifact = stores.predictions.staged(ARTIFACTS, name)
    report = stores.predictions.staged(EVALUATION_REPORTS.name, name)
    frame = stores.predictions.read(report)
    passed = family(artifact.facts["family"]).gates(frame)
    calibration = _calibration_of(stores, artifact)
    record = _record(stores, artifact, report, calibration, passed, training_run_id)
    stores.registry.register({**record, "training_seconds": round(training_seconds, 1)})
    judged = None if calibration is None else stores.predictions.read(calibration)
    result = StageResult(
        {EVALUATION_REPORTS.name: frame}, report.inputs, report.facts, lambda: _summary(frame, judged, passed)
    )
    return Registration(report, result)


def _calibration_of(stores: Stores, artifact: ProductVersion) -> ProductVersion | None:
    """Return the calibration report that was made with an artifact; None if none was."""
    try:
        found = stores.predictions.staged(CALIBRATION.name, artifact.key)
    except NotStagedError:
        return None
    # One of an earlier training under the name, where this one could judge no distribution.
    return found if found.inputs[ARTIFACTS] == artifact.version else None


def _record(
    stores: Stores,
    artifact: ProductVersion,
    report: ProductVersion,
    calibration: ProductVersion | None,
    passed: dict[str, bool],
    run_id: str,
) -> dict[str, object]:
    snapshot = stores.predictions.version(artifact.inputs["feature_snapshots"])
    return {
        "model_version": artifact.key,
        "family": artifact.facts["family"],
        "cutoff": artifact.facts["cutoff"],
        "artifact": artifact.version,
        "evaluation_report": report.version,
        "calibration": "" if calibration is None else calibration.version,
        "training_run_id": run_id,
        "training_snapshot": snapshot.version,
        "feature_version": snapshot.facts["feature_version"],
        "gates": passed,
    }


def _summary(frame: pl.DataFrame, calibration: pl.DataFrame | None, passed: dict[str, bool]) -> Summary:
    drawn = {} if calibration is None else calibration_pictures(calibration)
    return {
        "overall": frame.filter(pl.col("segment_kind") == "all"),
        "gates": passed,
        "error_by_segment": as_markdown_image(evaluation_png(frame), "WAPE by segment"),
        **{name: as_markdown_image(png, name.replace("_", " ")) for name, png in drawn.items()},
    }

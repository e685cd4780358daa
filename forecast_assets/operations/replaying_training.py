"""Rebuilding a model version from its training snapshot, and comparing the bytes.

What belongs here: which inputs and settings a training had. What does not: fitting anything: the stage is that of every
training.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from forecast_assets.contracts import EXTERNAL_FORECASTS
from forecast_assets.core.progress import Progress
from forecast_assets.core.run import RunOptions, TrainingRequest
from forecast_assets.operations.rebuilding import overlay, rebuild_snapshots, rebuilt_product, verify_inputs
from forecast_assets.operations.replaying import Replay, compared
from forecast_assets.scoring.context import load_artifact
from forecast_assets.settings import Settings
from forecast_assets.training.stage import TrainingContext, train_version
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

_SNAPSHOTS: Final = ("feature_snapshots", "evaluation_snapshot")


def replay_training(
    stores: Stores, settings: Settings, name: str, progress: Progress, *, keep: Path | None = None
) -> Replay:
    """Rebuild the artifact and the reports of a model version from its training snapshot; compare the bytes.

    Arguments, promises and errors are those of ``replaying.replay``.

    Raises:
        UnknownVersionError: If there is no such version.
        ChangedFileError: If an input does not have the bytes that were recorded, naming it.
    """
    version = stores.registry.model_version(name)
    read = stores.predictions.version
    made_then = [read(each) for each in (version.artifact, version.evaluation_report, version.calibration) if each]
    artifact = made_then[0]
    snapshots = {each: read(artifact.inputs[each]) for each in _SNAPSHOTS if each in artifact.inputs}
    files = {each: read(made) for each, made in artifact.inputs.items() if each.startswith(EXTERNAL_FORECASTS.name)}
    verify_inputs(stores, snapshots.values(), files.values(), progress)
    fitted = load_artifact(stores, version)
    request = _request_of(artifact, snapshots, files)
    with overlay(stores.as_of(version.sequence - 1), keep) as scratch:
        distinct = list({made.version: made for made in snapshots.values()}.values())
        rebuild_snapshots(scratch, distinct, progress)
        options = RunOptions(history_days=fitted.history_days, workers=settings.workers)
        train_version(TrainingContext(scratch, request, options, progress))
        products = (
            *((made, scratch.predictions.staged(made.product, made.key)) for made in distinct),
            *((made, rebuilt_product(scratch, made.product, name)) for made in made_then),
        )
        return compared(stores, scratch, name, version.sequence, products, version.cpu, (), progress)


def _request_of(
    artifact: ProductVersion, snapshots: Mapping[str, ProductVersion], files: Mapping[str, ProductVersion]
) -> TrainingRequest:
    """Return the training as it was asked for."""
    facts, later = artifact.facts, snapshots.get("evaluation_snapshot")
    return TrainingRequest(
        artifact.key,
        facts["family"],
        date.fromisoformat(facts["cutoff"]),
        facts["horizon"],
        # Their names end in their dates: the order is that of the dates.
        given_versions=tuple(files[each].version for each in sorted(files)),
        evaluated_on=None if later is None else date.fromisoformat(later.key),
    )

"""Rebuilding a model version from its training snapshot, and comparing the bytes.

What belongs here: which inputs and settings a training had. What does not: fitting anything: the stage is that of every
training.
"""

from pathlib import Path
from typing import Any, Final

import dagster as dg

from forecast_assets.contracts import EXTERNAL_FORECASTS
from forecast_assets.models.external import artifact as external
from forecast_assets.models.family import read_artifact
from forecast_assets.operations.rebuilding import made_again, materialize, overlay, rebuild_snapshots, verify_inputs
from forecast_assets.operations.replaying import Replay, compared
from forecast_assets.settings import Settings
from resources.orchestration.glue import Progress, RunSettings
from resources.stores.home import Stores

_SNAPSHOTS: Final = ("feature_snapshots", "evaluation_snapshot")


def replay_training(
    stores: Stores, settings: Settings, name: str, report: Progress, *, keep: Path | None = None
) -> Replay:
    """Rebuild the artifact and the evaluation report of a model version from its training snapshot; compare the bytes.

    Arguments, promises and errors are those of ``replaying.replay``.

    Raises:
        UnknownVersionError: If there is no such version.
        ChangedFileError: If an input does not have the bytes that were recorded, naming it.
    """
    version = stores.registry.model_version(name)
    read = stores.predictions.version
    artifact, evaluation = read(version.artifact), read(version.evaluation_report)
    snapshots = {each: read(artifact.inputs[each]) for each in _SNAPSHOTS if each in artifact.inputs}
    files = {each: read(made) for each, made in artifact.inputs.items() if each.startswith(EXTERNAL_FORECASTS.name)}
    verify_inputs(stores, snapshots.values(), files.values(), report)
    fitted = read_artifact(version.family, stores.predictions.read_bytes(artifact))
    config: dict[str, Any] = {name: artifact.facts[name] for name in ("family", "cutoff", "horizon")}
    if version.family == external.FAMILY:
        # Their names end in their dates: the order is that of the dates.
        config["external_forecasts"] = [files[each].version for each in sorted(files)]
        config["evaluated_on"] = snapshots["evaluation_snapshot"].key
    with overlay(stores.as_of(version.sequence - 1), keep) as scratch:
        distinct = list({made.version: made for made in snapshots.values()}.values())
        rebuild_snapshots(scratch, distinct, report)
        materialize(
            scratch,
            settings,
            report,
            assets=dg.AssetSelection.assets("model_artifacts"),
            partition_key=name,
            model_version=name,
            run=RunSettings(history_days=fitted.history_days, workers=settings.workers),
            config={"ops": {"model_artifacts": {"config": config}}},
        )
        products = (
            *((made, scratch.predictions.staged(made.product, made.key)) for made in distinct),
            *((made, made_again(scratch, made.product, name)) for made in (artifact, evaluation)),
        )
        return compared(stores, scratch, name, version.sequence, products, version.cpu, (), report)

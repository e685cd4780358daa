"""The assets that train and register a model version: orchestration only."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.errors import AlreadyRegisteredError, InputError
from forecast_assets.history import History
from forecast_assets.plots import as_markdown_image, evaluation_png
from forecast_assets.run_inputs import build_hierarchy
from forecast_assets.training.evaluation import gates
from forecast_assets.training.fitting import Trained, default_horizon, fit
from partitions import model_versions
from resources.orchestration import (
    ProgressReporter,
    RunSettings,
    StoresResource,
    column_schema,
    description,
    markdown_table,
    product_metadata,
)
from resources.prediction_store import ProductVersion
from resources.stores import Stores


class TrainingConfig(dg.Config):
    """What to train.

    Attributes:
        family: Model family.
        cutoff: Last day that training may see, as 2024-06-11.
        horizon: Days that backtests look ahead; None for what the length of the history allows.
    """

    family: str = "statistical"
    cutoff: str
    horizon: int | None = None


def build_training_assets() -> list[dg.AssetsDefinition]:
    """Build the training assets."""
    return [_model_artifacts(), _evaluation_reports()]


def _model_artifacts() -> dg.AssetsDefinition:
    @dg.asset(
        key="model_artifacts",
        partitions_def=model_versions,
        deps=[dg.AssetDep("feature_snapshots", partition_mapping=dg.AllPartitionMapping())],
        group_name="training",
        description=(
            "The fitted artifact of a model version: model choice per demand class, pooled effects of price, promotion "
            "and events, quantile calibration, risk thresholds.\n\n"
            "**Promise**: trained on one snapshot, named in its manifest; nothing after the cutoff is read.\n\n"
            "**Limit**: levels and weekday patterns of single series are fitted again on each snapshot."
        ),
        kinds={"json"},
        owners=["team:forecasting"],
    )
    def model_artifacts(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,
        stores: StoresResource,
        run: RunSettings,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        opened = stores.open()
        _require_free(opened, context.partition_key)
        snapshot = opened.predictions.staged("feature_snapshots", date.fromisoformat(config.cutoff))
        trained = _fit(opened, snapshot, config, run, progress, context)
        inputs = {"feature_snapshots": snapshot.version}
        horizon = trained.artifact.horizon_days
        facts: dict[str, Any] = {"family": config.family, "cutoff": config.cutoff, "horizon": horizon}
        folder = f"model_artifacts/model_version={context.partition_key}"
        artifact = opened.predictions.write_artifact(
            "model_artifacts", trained.artifact.to_bytes(), key=context.partition_key, folder=folder,
            inputs=inputs, facts=facts,
        )  # fmt: skip
        opened.predictions.write(
            EVALUATION_REPORTS,
            trained.report,
            key=context.partition_key,
            folder=f"evaluation_reports/model_version={context.partition_key}",
            inputs={**inputs, "model_artifacts": artifact.version},
            facts=facts,
        )
        return dg.MaterializeResult(metadata={"product_version": artifact.version, **facts, **inputs})

    return model_artifacts


def _require_free(stores: Stores, version: str) -> None:
    known = stores.ledger.state().versions
    if version in known:
        raise AlreadyRegisteredError(
            f"`{version}` is already registered (ledger entry {known[version].sequence}).",
            remedy="A version never changes: choose another name.",
        )


def _fit(
    stores: Stores,
    snapshot: ProductVersion,
    config: TrainingConfig,
    run: RunSettings,
    progress: ProgressReporter,
    context: dg.AssetExecutionContext,
) -> Trained:
    if config.family != "statistical":
        raise InputError(f"There is no model family `{config.family}`.", remedy="Use --family statistical.")
    history = History.of(snapshot, stores.observations)
    features = stores.predictions.read(snapshot)
    days = min(int(features["age_days"].max() or 1), run.history_days)  # type: ignore[arg-type]
    horizon = config.horizon or default_horizon(days)
    hierarchy = build_hierarchy(features, history)
    report = progress.reporter(context.log)
    return fit(
        history.panel(features, history_days=run.history_days, horizon_days=horizon),
        hierarchy.product_groups(),
        horizon=horizon,
        progress=report,
        workers=run.workers,
        history_days=run.history_days,
        group_level=hierarchy.group_level.name,
    )


def _evaluation_reports() -> dg.AssetsDefinition:
    @dg.asset(
        key="evaluation_reports",
        partitions_def=model_versions,
        deps=["model_artifacts"],
        group_name="training",
        description=description(
            EVALUATION_REPORTS, "Registers the version in the ledger; only one whose gates passed can be promoted."
        ),
        metadata={"dagster/column_schema": column_schema(EVALUATION_REPORTS)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )
    def evaluation_reports(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        opened = stores.open()
        name = context.partition_key
        artifact = opened.predictions.staged("model_artifacts", name)
        report = opened.predictions.staged("evaluation_reports", name)
        frame = opened.predictions.read(report)
        passed = gates(frame)
        opened.predictions.register(_record(opened, name, artifact, report, passed, context.run.run_id))
        return dg.MaterializeResult(metadata=product_metadata(EVALUATION_REPORTS, report, frame, _extra(frame, passed)))

    return evaluation_reports


def _record(
    stores: Stores,
    name: str,
    artifact: ProductVersion,
    report: ProductVersion,
    passed: dict[str, bool],
    run_id: str,
) -> dict[str, object]:
    snapshot = stores.predictions.version(artifact.inputs["feature_snapshots"])
    return {
        "model_version": name,
        "family": artifact.facts["family"],
        "cutoff": artifact.facts["cutoff"],
        "artifact": artifact.version,
        "evaluation_report": report.version,
        "training_run_id": run_id,
        "training_snapshot": snapshot.version,
        "feature_version": snapshot.facts["feature_version"],
        "gates": passed,
    }


def _extra(frame: pl.DataFrame, passed: dict[str, bool]) -> dict[str, object]:
    overall = frame.filter(pl.col("segment_kind") == "all")
    return {
        "overall": dg.MetadataValue.md(markdown_table(overall)),
        "gates": dg.MetadataValue.json(passed),
        "error_by_segment": dg.MetadataValue.md(as_markdown_image(evaluation_png(frame), "WAPE by segment")),
    }

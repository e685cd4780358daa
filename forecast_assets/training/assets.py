"""The assets that train and register a model version: orchestration only."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from forecast_assets.contracts import BACKTEST_REPORTS, EVALUATION_REPORTS
from forecast_assets.core.errors import AlreadyRegisteredError, InputError
from forecast_assets.features.panel import Panel
from forecast_assets.history.as_known import History
from forecast_assets.models.boosted.model import GlobalArtifact
from forecast_assets.models.external import artifact as external
from forecast_assets.models.external.artifact import register_external
from forecast_assets.models.family import TRAINED
from forecast_assets.models.selection import DEFAULT_HISTORY_DAYS, TRAINING_HISTORY_DAYS, spread_rows
from forecast_assets.plots import as_markdown_image, evaluation_png
from forecast_assets.scoring.context import build_hierarchy
from forecast_assets.training.evaluation import gates
from forecast_assets.training.external import MEASURED_DATES, Arrived, PastDate, arrival_gates, arrival_report
from forecast_assets.training.fitting import Trained, default_horizon, fit, trained_rows
from partitions import model_versions
from resources.orchestration.glue import (
    ProgressReporter,
    RunSettings,
    StoresResource,
    column_schema,
    description,
    markdown_table,
    product_metadata,
)
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores


class TrainingConfig(dg.Config):
    """What to train.

    Attributes:
        family: Model family.
        cutoff: Last day that training may see, as 2024-06-11.
        horizon: Days that backtests look ahead; None for what the length of the history allows.
        external_forecasts: Product versions that the file of a version made elsewhere was stored as, oldest date first.
        evaluated_on: Prediction date of the snapshot whose sales a version made elsewhere is measured on.
        evaluates: Whether to make the evaluation report too, without which a version cannot be registered.
    """

    family: str = "statistical"
    cutoff: str
    horizon: int | None = None
    external_forecasts: list[str] = []  # noqa: RUF012
    evaluated_on: str | None = None
    evaluates: bool = True


def build_training_assets() -> list[dg.AssetsDefinition]:
    """Build the training assets."""
    return [_model_artifacts(), _evaluation_reports()]


def backtest_report_spec() -> dg.AssetSpec:
    """Return the asset of backtest reports; `forecast-assets evaluate` makes them and reports it."""
    return dg.AssetSpec(
        key=BACKTEST_REPORTS.name,
        partitions_def=model_versions,
        deps=["model_artifacts", "feature_snapshots"],
        group_name="training",
        description=description(
            BACKTEST_REPORTS,
            "Made by `forecast-assets evaluate` and recorded in the ledger; all of them: `audit.backtest_reports`.",
        ),
        metadata={"dagster/column_schema": column_schema(BACKTEST_REPORTS)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )


def _model_artifacts() -> dg.AssetsDefinition:
    @dg.asset(
        key="model_artifacts",
        partitions_def=model_versions,
        deps=[dg.AssetDep("feature_snapshots", partition_mapping=dg.AllPartitionMapping())],
        group_name="training",
        description=(
            "The fitted artifact of a model version: model choice per demand class, pooled effects of price, promotion "
            "and events, quantile calibration, risk thresholds; of the families `global` and `combined` also the trees "
            "that all series share.\n\n"
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
        inputs = {"feature_snapshots": snapshot.version}
        if config.family == external.FAMILY:
            trained, made_from = _register_arrived(opened, snapshot, config, run.history_days)
            inputs |= made_from
        else:
            trained = _fit(opened, snapshot, config, run, progress, context)
        horizon = trained.artifact.horizon_days
        facts: dict[str, Any] = {"family": config.family, "cutoff": config.cutoff, "horizon": horizon}
        if isinstance(trained.artifact, GlobalArtifact):
            facts["inputs_version"] = trained.artifact.inputs_version
        folder = f"model_artifacts/model_version={context.partition_key}"
        artifact = opened.predictions.write_artifact(
            "model_artifacts", trained.artifact.to_bytes(), key=context.partition_key, folder=folder,
            inputs=inputs, facts=facts,
        )  # fmt: skip
        if trained.report is not None:
            opened.predictions.write(
                EVALUATION_REPORTS,
                trained.report,
                key=context.partition_key,
                folder=f"evaluation_reports/model_version={context.partition_key}",
                inputs={**inputs, "model_artifacts": artifact.version},
                facts=facts,
            )
        metadata = {"product_version": artifact.version, **facts, **inputs, **_compared(trained)}
        return dg.MaterializeResult(metadata=metadata)

    return model_artifacts


def _compared(trained: Trained) -> dict[str, Any]:
    """What the backtests compared, for a family that compares anything."""
    compared = trained.artifact.compared()
    return {} if compared is None else {"compared_by_backtests": dg.MetadataValue.md(markdown_table(compared))}


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
    if config.family not in TRAINED:
        raise InputError(
            f"There is no model family `{config.family}` to train.", remedy=f"Use --family {' or '.join(TRAINED)}."
        )
    history = History.of(snapshot, stores.observations)
    features = stores.predictions.read(snapshot)
    age = int(features["age_days"].max() or 1)  # type: ignore[arg-type]
    horizon = config.horizon or default_horizon(min(age, run.history_days))
    hierarchy = build_hierarchy(features, history)
    report = progress.reporter(context.log)
    days = max(run.history_days, TRAINING_HISTORY_DAYS)
    # An age may be counted within a window only, so whoever is a year old may have the whole history.
    rows = trained_rows(config.family, features.height, horizon + (days if age >= DEFAULT_HISTORY_DAYS else age))
    return fit(
        history.panel(features[rows], history_days=days, horizon_days=horizon),
        hierarchy.product_groups()[rows],
        horizon=horizon,
        family=config.family,
        hierarchy=hierarchy.take(rows),
        progress=report,
        workers=run.workers,
        history_days=run.history_days,
        group_level=hierarchy.group_level.name,
        evaluates=config.evaluates,
    )


def _register_arrived(
    stores: Stores, snapshot: ProductVersion, config: TrainingConfig, history_days: int
) -> tuple[Trained, dict[str, str]]:
    """Register what was made elsewhere; return its artifact and report, and the versions that they were made from."""
    store = stores.predictions
    versions = [store.version(version) for version in config.external_forecasts]
    arrived = [Arrived(store.read(version), version.facts) for version in versions]
    panel = _panel_of(arrived[0], History.of(snapshot, stores.observations), history_days)
    artifact = register_external(
        panel,
        first_file={"name": versions[0].facts["file"], "sha256": versions[0].facts["file_sha256"]},
        columns=versions[0].facts["columns"],
        quantile_levels=tuple(versions[0].facts["quantile_levels"]),
        history_days=history_days,
    )
    later = store.staged("feature_snapshots", config.evaluated_on or config.cutoff)
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
        passed = arrival_gates(frame) if artifact.facts["family"] == external.FAMILY else gates(frame)
        opened.registry.register(_record(opened, name, artifact, report, passed, context.run.run_id))
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

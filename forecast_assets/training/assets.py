"""The assets that train and register a model version: context in, metadata out."""

import time

import dagster as dg

from forecast_assets.automation.mirror import MirrorResource
from forecast_assets.contracts import EVALUATION_REPORTS
from forecast_assets.scoring.assets import materialized, rendered
from forecast_assets.training.stage import ARTIFACTS, TrainingContext, register_version, train_version
from partitions import model_versions
from resources.orchestration.configs import TrainingConfig
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource
from resources.orchestration.metadata import column_schema, description


def build_training_assets() -> list[dg.AssetsDefinition]:
    """Build the training assets."""
    return [_model_artifacts(), _evaluation_reports()]


def _model_artifacts() -> dg.AssetsDefinition:
    @dg.asset(
        key=ARTIFACTS,
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
        stores: dg.ResourceParam[StoresResource],
        run: RunResource,
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        request = config.request(context.partition_key)
        report = progress.reporter(context.log)
        trained = train_version(TrainingContext(stores.open(), request, run.options, report))
        made = trained.artifact
        compared = {} if trained.compared is None else {"compared_by_backtests": trained.compared}
        return dg.MaterializeResult(
            metadata={"product_version": made.version, **made.facts, **made.inputs, **rendered(compared)}
        )

    return model_artifacts


def _evaluation_reports() -> dg.AssetsDefinition:
    @dg.asset(
        key=EVALUATION_REPORTS.name,
        partitions_def=model_versions,
        deps=[ARTIFACTS],
        group_name="training",
        description=description(
            EVALUATION_REPORTS, "Registers the version in the ledger; only one whose gates passed can be promoted."
        ),
        metadata={"dagster/column_schema": column_schema(EVALUATION_REPORTS)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )
    def evaluation_reports(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        mirror: dg.ResourceParam[MirrorResource],
    ) -> dg.MaterializeResult[None]:
        registered = register_version(
            stores.open(), context.partition_key, context.run.run_id, training_seconds=_seconds_since_start(context)
        )
        made = materialized(EVALUATION_REPORTS, registered.report, registered.result)
        shown = mirror.follow(stores.open(), context.log)
        return dg.MaterializeResult(metadata={**(made.metadata or {}), **shown})

    return evaluation_reports


def _seconds_since_start(context: dg.AssetExecutionContext) -> float:
    """Return how long the run of Dagster has taken so far: the training, and what came before its registration."""
    record = context.instance.get_run_record_by_id(context.run.run_id)
    started = None if record is None else record.start_time
    return 0.0 if started is None else max(0.0, time.time() - started)

"""The assets that train and register a model version: context in, metadata out."""

from datetime import date

import dagster as dg

from forecast_assets.contracts import BACKTEST_REPORTS, EVALUATION_REPORTS
from forecast_assets.core.run import TrainingRequest
from forecast_assets.scoring.assets import materialized, rendered
from forecast_assets.training.stage import ARTIFACTS, TrainingContext, register_version, train_version
from partitions import model_versions
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource
from resources.orchestration.metadata import column_schema, description


class TrainingConfig(dg.Config):
    """What to train; see `core.run.TrainingRequest`, with dates as 2024-06-11."""

    family: str = "statistical"
    cutoff: str
    horizon: int | None = None
    given: list[str] = []  # noqa: RUF012
    evaluated_on: str | None = None

    @classmethod
    def of(cls, request: TrainingRequest) -> "TrainingConfig":
        """Return a request in Dagster's form; the version is the partition."""
        later = request.evaluated_on
        return cls(
            family=request.family,
            cutoff=request.cutoff.isoformat(),
            horizon=request.horizon,
            given=[*request.given],
            evaluated_on=None if later is None else later.isoformat(),
        )

    def request(self, model_version: str) -> TrainingRequest:
        """Return what is asked for of a version."""
        cutoff = date.fromisoformat(self.cutoff)
        later = None if self.evaluated_on is None else date.fromisoformat(self.evaluated_on)
        return TrainingRequest(model_version, self.family, cutoff, self.horizon, tuple(self.given), later)


def build_training_assets() -> list[dg.AssetsDefinition]:
    """Build the training assets."""
    return [_model_artifacts(), _evaluation_reports()]


def backtest_report_spec() -> dg.AssetSpec:
    """Return the asset of backtest reports; an evaluation makes them and reports it."""
    return dg.AssetSpec(
        key=BACKTEST_REPORTS.name,
        partitions_def=model_versions,
        deps=["model_artifacts", "feature_snapshots"],
        group_name="training",
        description=description(
            BACKTEST_REPORTS,
            "Made by a backtest and recorded in the ledger; all of them: `audit.backtest_reports`.",
        ),
        metadata={"dagster/column_schema": column_schema(BACKTEST_REPORTS)},
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
    )


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
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[StoresResource]
    ) -> dg.MaterializeResult[None]:
        registered = register_version(stores.open(), context.partition_key, context.run.run_id)
        return materialized(EVALUATION_REPORTS, registered.report, registered.result)

    return evaluation_reports

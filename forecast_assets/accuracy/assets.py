"""The accuracy asset: context in, metadata out."""

from datetime import date

import dagster as dg
from dagster_duckdb import DuckDBResource
from duckdb import DuckDBPyConnection

from forecast_assets.accuracy.inputs import ACTUAL_FEEDS, PRODUCT
from forecast_assets.accuracy.run_days import RunKnowledgeCache
from forecast_assets.accuracy.stage import MeasurementContext, last_weeks, measure_day, record_measurement
from forecast_assets.contracts import FORECAST_ACCURACY
from forecast_assets.core.keys import Cadence
from forecast_assets.scoring.assets import OwnChecks, rendered
from partitions import prediction_dates
from resources.orchestration.configs import MeasurementConfig
from resources.orchestration.dagster_resources import ProgressReporter, StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata
from resources.store.manifests import ProductVersion


def build_forecast_accuracy_asset(cadence: Cadence, start: date, checks: OwnChecks) -> dg.AssetsDefinition:
    """Build the asset that measures the published forecasts of a day, and whose last act is to record it."""
    key = dg.AssetKey([cadence.name, PRODUCT])

    @dg.asset(
        key=key,
        partitions_def=prediction_dates(start),
        deps=[_published(cadence), *(dg.AssetDep(dg.AssetKey(["observations", feed])) for feed in ACTUAL_FEEDS)],
        check_specs=checks.specs(key),
        group_name="accuracy",
        kinds={cadence.name, "polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(FORECAST_ACCURACY)},
        description=description(
            FORECAST_ACCURACY,
            "**Partition**: the target date. Measures every published run whose horizon holds it.",
            "One ledger entry makes it visible in `audit.forecast_accuracy`. Measured again after a restatement, both "
            "stay; with unchanged numbers nothing is recorded.",
            "Where forecasts of the day were overridden, what that was worth is recorded with it: "
            "`audit.forecast_value_added`.",
        ),
    )
    def forecast_accuracy(
        context: dg.AssetExecutionContext,
        config: MeasurementConfig,
        stores: dg.ResourceParam[StoresResource],
        progress: dg.ResourceParam[ProgressReporter],
        run_knowledge: dg.ResourceParam[RunKnowledgeCache],
        duckdb: DuckDBResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        day = date.fromisoformat(context.partition_key)
        asked = MeasurementContext(stores.open(), cadence.name, day, run_knowledge, progress.reporter(context.log))
        since = asked.newest_entry()
        result = measure_day(asked)
        version = asked.write(result)
        with duckdb.get_connection() as connection:
            results = _judged(checks, asked, version, connection)
        metadata = product_metadata(FORECAST_ACCURACY, version, result.rows, rendered(result.summary()))
        if all(judged.passed for judged in results):
            measurement, is_new = record_measurement(asked, version, since=since, required_checks=checks.required)
            metadata["ledger_sequence"] = measurement.sequence
            if not is_new:
                context.log.info("The numbers are those of ledger entry %s; nothing is recorded.", measurement.sequence)
            if config.shows:
                metadata |= rendered(last_weeks(asked))
                metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata, check_results=results)

    return forecast_accuracy


def _judged(
    checks: OwnChecks, asked: MeasurementContext, version: ProductVersion, connection: DuckDBPyConnection
) -> list[dg.AssetCheckResult]:
    """Judge a measurement, and what overrides were worth beside it; where there were none, nothing can break that."""
    key, value = dg.AssetKey([asked.cadence, PRODUCT]), asked.value_of(version)
    made = [version] if value is None else [version, value]
    results = [result for each in made for result in checks.run(asked.stores.predictions, each, connection)]
    judged = {result.check_name for result in results}
    nothing = "No forecast of the day was overridden."
    return [
        *results,
        *(
            dg.AssetCheckResult(passed=True, check_name=spec.name, description=nothing)
            for spec in checks.specs(key)
            if spec.name not in judged
        ),
    ]


def _published(cadence: Cadence) -> dg.AssetDep:
    # A day is looked at by runs of many dates and of every version.
    return dg.AssetDep(dg.AssetKey([cadence.name, "published_predictions"]), partition_mapping=dg.AllPartitionMapping())

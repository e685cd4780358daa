"""The assets of trials: context in, metadata out."""

from datetime import date

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import CHALLENGER_EVIDENCE, CHANNEL_ASSIGNMENTS, Contract
from forecast_assets.core.keys import Cadence
from forecast_assets.lifecycle.stage import (
    AssignmentContext,
    TrialContext,
    assign_stores,
    record_assignment,
    record_verdict,
    weigh_trial,
)
from forecast_assets.scoring.assets import AssetDecorator, OwnChecks, rendered
from partitions import cadence_dates, prediction_dates
from resources.orchestration.configs import AssignmentConfig
from resources.orchestration.dagster_resources import ProgressReporter, StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata


def build_channel_assignments_asset(cadence: Cadence, start: date, checks: OwnChecks) -> dg.AssetsDefinition:
    """Build the asset that records which version each store follows on a prediction date."""

    @_trial_asset(
        cadence,
        CHANNEL_ASSIGNMENTS,
        cadence_dates(cadence, start),
        "published_predictions",
        "**Partition**: the prediction date. One ledger entry makes it visible in `audit.channel_assignments`; of the "
        "newest date again whenever channels, share or runs have changed, and all stay.",
        checks,
    )
    def channel_assignments(
        context: dg.AssetExecutionContext,
        config: AssignmentConfig,
        stores: dg.ResourceParam[StoresResource],
        duckdb: DuckDBResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        asked = AssignmentContext(stores.open(), cadence.name, date.fromisoformat(context.partition_key))
        since = asked.newest_entry()
        result = assign_stores(asked)
        version = asked.write(result)
        with duckdb.get_connection() as connection:
            results = checks.run(asked.stores.predictions, version, connection)
        metadata = product_metadata(CHANNEL_ASSIGNMENTS, version, result.rows, rendered(result.summary()))
        if all(judged.passed for judged in results):
            metadata["ledger_sequence"] = record_assignment(asked, version, result.rows, since=since).sequence
            if config.shows:
                metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata, check_results=results)

    return channel_assignments


def build_challenger_evidence_asset(cadence: Cadence, start: date, checks: OwnChecks) -> dg.AssetsDefinition:
    """Build the asset that weighs the evidence of the running trial, and whose last act is to record the verdict."""

    @_trial_asset(
        cadence,
        CHALLENGER_EVIDENCE,
        prediction_dates(start),
        "forecast_accuracy",
        "**Partition**: the newest measured day. Every measured day of the trial is weighed, by its newest "
        "measurement. One ledger entry makes it visible in `audit.challenger_evidence`; earlier verdicts stay.",
        checks,
    )
    def challenger_evidence(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        progress: dg.ResourceParam[ProgressReporter],
        duckdb: DuckDBResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        asked = TrialContext(stores.open(), cadence.name, progress.reporter(context.log))
        since = asked.newest_entry()
        weighed = weigh_trial(asked)
        version = asked.write(weighed)
        with duckdb.get_connection() as connection:
            results = checks.run(asked.stores.predictions, version, connection)
        metadata = product_metadata(
            CHALLENGER_EVIDENCE, version, weighed.result.rows, rendered(weighed.result.summary())
        )
        if all(judged.passed for judged in results):
            metadata["ledger_sequence"] = record_verdict(asked, weighed, version, since=since).sequence
            metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata, check_results=results)

    return challenger_evidence


def _trial_asset(
    cadence: Cadence, contract: Contract, days: dg.PartitionsDefinition, after: str, note: str, checks: OwnChecks
) -> AssetDecorator:
    key = dg.AssetKey([cadence.name, contract.name])
    # Each rests on many partitions of the asset before it: of both versions, or of all days of the trial.
    before = dg.AssetDep(dg.AssetKey([cadence.name, after]), partition_mapping=dg.AllPartitionMapping())
    return dg.asset(
        key=key,
        partitions_def=days,
        deps=[before],
        check_specs=checks.specs(key),
        group_name="lifecycle",
        kinds={cadence.name, "polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(contract)},
        description=description(contract, note),
    )

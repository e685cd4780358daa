"""The anomaly asset: context in, metadata out, and a check that warns."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import FEATURE_ANOMALIES
from forecast_assets.feature_anomalies.signals import LEAST_SERIES, MOST_OF_ALL, MOST_OF_STORE, signals_of_rows
from forecast_assets.feature_anomalies.stage import (
    PRODUCT,
    AnomalyContext,
    due_detector,
    judge_snapshot,
    record_judged_snapshot,
)
from forecast_assets.scoring.assets import rendered
from partitions import prediction_dates
from resources.ledger.entries.judged_days import Signal
from resources.orchestration.dagster_resources import StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata

_CHECK: Final = "no_feed_has_many_anomalies"


def build_feature_anomalies_asset(start: date, retraining_weeks: int) -> dg.AssetsDefinition:
    """Build the asset that judges the series of a snapshot; its last act is to record what it finds.

    Args:
        start: First prediction date of the store.
        retraining_weeks: After how many weeks a detector is trained anew; 0 for never.
    """

    @dg.asset(
        key=PRODUCT,
        partitions_def=prediction_dates(start),
        deps=["feature_snapshots"],
        check_specs=[
            dg.AssetCheckSpec(
                _CHECK,
                asset=PRODUCT,
                description=f"True when no feed makes more than {MOST_OF_ALL:.0%} of all series anomalous, nor more "
                f"than {MOST_OF_STORE:.0%} of a store's, {LEAST_SERIES} at least; warns only.",
            )
        ],
        group_name="drift",
        kinds={"scikitlearn", "polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(FEATURE_ANOMALIES)},
        description=description(
            FEATURE_ANOMALIES,
            "Judges by the newest detector that has not seen the day; where that is older than "
            f"{retraining_weeks} weeks, or there is none, one is trained on the snapshots before the day and recorded "
            "in a ledger entry of its own.",
            "One ledger entry records the report with the signals that opened and those that are told no more; each "
            "that opened is an item of the quality backlog.",
        ),
    )
    def feature_anomalies(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[StoresResource], duckdb: DuckDBResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        asked = AnomalyContext(stores.open(), date.fromisoformat(context.partition_key), retraining_weeks)
        since = asked.newest_entry()
        result = judge_snapshot(asked, due_detector(asked))
        version = asked.write(result)
        record, _ = record_judged_snapshot(asked, version, result, since=since)
        metadata = product_metadata(FEATURE_ANOMALIES, version, result.rows, rendered(result.summary()))
        metadata["ledger_sequence"] = record.sequence
        metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        told = signals_of_rows(result.rows, asked.prediction_date)
        return dg.MaterializeResult(metadata=metadata, check_results=[_check_result(told)])

    return feature_anomalies


def _check_result(told: Sequence[Signal]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=_CHECK,
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(each.evidence for each in told) or "Nothing is told.",
    )

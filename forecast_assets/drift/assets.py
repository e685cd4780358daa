"""The drift asset: context in, metadata out, and checks that warn."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import BROKEN, CHANGED, DRIFT_REPORTS
from forecast_assets.drift.signals import signals_of
from forecast_assets.drift.stage import PRODUCT, DriftContext, judge_day, judgements_of, record_judgement
from forecast_assets.scoring.assets import rendered
from partitions import prediction_dates
from resources.ledger.entries.judged_days import Signal
from resources.orchestration.dagster_resources import StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata

# Sentences that are true when nothing is told, with the subject and the verdict that make them false.
_CHECKS: Final = {
    "no_feed_is_broken": ("feed", BROKEN, "no figure of a feed is impossible today"),
    "inputs_go_on_as_before": ("feed", CHANGED, "no figure of a feed has changed"),
    "features_are_as_in_training": ("feature", CHANGED, "every feature is distributed as in the champion's training"),
    "forecast_errors_go_on_as_before": ("forecast", CHANGED, "forecasts of the next day have no bias and hold 80%"),
}


def build_drift_asset(start: date, accuracy: Iterable[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """Build the asset that judges a day's inputs and the errors of forecasts; its last act is to record what it finds.

    Args:
        start: First prediction date of the store.
        accuracy: The assets that measure forecasts, which are read of all days.
    """

    @dg.asset(
        key=PRODUCT,
        partitions_def=prediction_dates(start),
        deps=[
            "feature_snapshots",
            *(dg.AssetDep(asset.key, partition_mapping=dg.AllPartitionMapping()) for asset in accuracy),
        ],
        check_specs=[
            dg.AssetCheckSpec(name, asset=PRODUCT, description=f"True when {words}; warns only.")
            for name, (_, _, words) in _CHECKS.items()
        ],
        group_name="drift",
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(DRIFT_REPORTS)},
        description=description(
            DRIFT_REPORTS,
            "One ledger entry records the report with the signals that opened and those that are told no more; each "
            "that opened is an item of the quality backlog.",
        ),
    )
    def drift_reports(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[StoresResource], duckdb: DuckDBResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        asked = DriftContext(stores.open(), date.fromisoformat(context.partition_key))
        since = asked.newest_entry()
        result = judge_day(asked)
        version = asked.write(result)
        record, _ = record_judgement(asked, version, result, since=since)
        told = signals_of(judgements_of(result.rows), asked.prediction_date)
        metadata = product_metadata(DRIFT_REPORTS, version, result.rows, rendered(result.summary()))
        metadata["ledger_sequence"] = record.sequence
        metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata, check_results=_check_results(told))

    return drift_reports


def _check_results(told: Sequence[Signal]) -> list[dg.AssetCheckResult]:
    results = []
    for name, (subject, verdict, _) in _CHECKS.items():
        own = [each for each in told if (each.called.subject, each.called.verdict) == (subject, verdict)]
        results.append(
            dg.AssetCheckResult(
                check_name=name,
                passed=not own,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(each.evidence for each in own) or "Nothing is told.",
            )
        )
    return results

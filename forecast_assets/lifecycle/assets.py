"""Trials and the mirror in Dagster: context in, metadata out.

What belongs here: the assets of trials, and the check and resource of the mirror. What does not: weighing evidence, or
what is mirrored and how.
"""

from datetime import date
from typing import Any, Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from forecast_assets.contracts import CHALLENGER_EVIDENCE, CHANNEL_ASSIGNMENTS, EVALUATION_REPORTS, Contract
from forecast_assets.core.errors import MirrorConflictError, MirrorUnavailableError
from forecast_assets.core.keys import Cadence
from forecast_assets.lifecycle.stage import (
    AssignmentContext,
    TrialContext,
    assign_stores,
    record_assignment,
    record_verdict,
    weigh_trial,
)
from forecast_assets.operations.mirroring import MirrorDelay, compare_mirror, follow, mirror_place
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.mirror import comparison_text, delay_text, mirror_text, version_pages
from forecast_assets.scoring.assets import AssetDecorator, rendered
from forecast_assets.settings import Settings
from partitions import cadence_dates, prediction_dates
from resources.orchestration.dagster_resources import ProgressReporter, StoresResource
from resources.orchestration.metadata import column_schema, description, product_metadata
from resources.stores.home import Stores

MIRROR_CHECK: Final = "mlflow_says_what_the_ledger_says"


class MirrorResource:
    """The MLflow mirror of a home, as assets get it.

    Args:
        settings: The home's; None where somebody else lets the mirror follow, as the command does.
    """

    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings

    def follow(self, stores: Stores, log: Any) -> dict[str, str]:
        """Let the mirror follow what was just recorded; return what to show of it.

        A mirror that cannot follow is a warning: it never makes a training fail.
        """
        outcome = None if self._settings is None else follow(self._settings, stores, version_pages)
        if outcome is None:
            return {}
        if isinstance(outcome, MirrorDelay):
            log.warning(delay_text(outcome))
            return {"mlflow": delay_text(outcome)}
        return {"mlflow": mirror_text(outcome)}


def build_mirror_check(settings: Settings) -> dg.AssetChecksDefinition:
    """Build the check that compares the mirror with the ledger, of all versions at once."""

    @dg.asset_check(
        asset=EVALUATION_REPORTS.name,
        name=MIRROR_CHECK,
        description="MLflow has a run, a registered version and the aliases of every version, and they say what the "
        "ledger says. A warning: the ledger decides, and `mlflow sync` puts it right.",
    )
    def mlflow_says_what_the_ledger_says(stores: dg.ResourceParam[StoresResource]) -> dg.AssetCheckResult:
        def result(words: str, *differences: str, passed: bool) -> dg.AssetCheckResult:
            metadata: dict[str, Any] = {"differences": dg.MetadataValue.json(list(differences)), "mlflow": words}
            return dg.AssetCheckResult(
                passed=passed, severity=dg.AssetCheckSeverity.WARN, description=words, metadata=metadata
            )

        try:
            found = compare_mirror(stores.reopened(), mirror_place(settings))
        except (MirrorUnavailableError, MirrorConflictError) as error:
            return result(error_text(error), passed=False)
        return result(comparison_text(found), *found.differences, passed=not found.differences)

    return mlflow_says_what_the_ledger_says


def build_channel_assignments_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset that records which version each store follows on a prediction date."""

    @_trial_asset(
        cadence,
        CHANNEL_ASSIGNMENTS,
        cadence_dates(cadence, start),
        "published_predictions",
        "**Partition**: the prediction date. One ledger entry makes it visible in `audit.channel_assignments`; of the "
        "newest date again whenever channels, share or runs have changed, and all stay.",
    )
    def channel_assignments(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[StoresResource], duckdb: DuckDBResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        asked = AssignmentContext(stores.open(), cadence.name, date.fromisoformat(context.partition_key))
        since = asked.newest_entry()
        result = assign_stores(asked)
        version = asked.write(result)
        recorded = record_assignment(asked, version, result.rows, since=since)
        metadata = product_metadata(CHANNEL_ASSIGNMENTS, version, result.rows, rendered(result.summary()))
        metadata["ledger_sequence"] = recorded.sequence
        metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata)

    return channel_assignments


def build_challenger_evidence_asset(cadence: Cadence, start: date) -> dg.AssetsDefinition:
    """Build the asset that weighs the evidence of the running trial, and whose last act is to record the verdict."""

    @_trial_asset(
        cadence,
        CHALLENGER_EVIDENCE,
        prediction_dates(start),
        "forecast_accuracy",
        "**Partition**: the newest measured day. Every measured day of the trial is weighed, by its newest "
        "measurement. One ledger entry makes it visible in `audit.challenger_evidence`; earlier verdicts stay.",
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
        recorded = record_verdict(asked, weighed, version, since=since)
        metadata = product_metadata(
            CHALLENGER_EVIDENCE, version, weighed.result.rows, rendered(weighed.result.summary())
        )
        metadata["ledger_sequence"] = recorded.sequence
        metadata["catalogue"] = stores.refreshed_catalogue(duckdb, context)
        return dg.MaterializeResult(metadata=metadata)

    return challenger_evidence


def _trial_asset(
    cadence: Cadence, contract: Contract, days: dg.PartitionsDefinition, after: str, note: str
) -> AssetDecorator:
    # Each rests on many partitions of the asset before it: of both versions, or of all days of the trial.
    before = dg.AssetDep(dg.AssetKey([cadence.name, after]), partition_mapping=dg.AllPartitionMapping())
    return dg.asset(
        key=dg.AssetKey([cadence.name, contract.name]),
        partitions_def=days,
        deps=[before],
        group_name="lifecycle",
        kinds={"polars", "parquet"},
        owners=["team:forecasting"],
        metadata={"dagster/column_schema": column_schema(contract)},
        description=description(contract, note),
    )

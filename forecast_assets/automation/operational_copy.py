"""The operational copy in Dagster: an asset that copies, a sensor that launches it, and a check.

What belongs here: context in, metadata out, and when it is due. What does not: which runs are copied, or how.

Copying is a run of its own, so that no publication waits for a database or fails with it.
"""

import time
from typing import Final

import dagster as dg

from forecast_assets.core.errors import ForecastAssetsError, first_ten
from forecast_assets.core.keys import CADENCES
from forecast_assets.operations.copying import compare_copy, home_copy, runs_to_copy, sync_copy
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.operational_copy import copy_comparison_text, copy_text
from forecast_assets.settings import Settings
from resources.orchestration.dagster_home import Launches
from resources.orchestration.dagster_resources import ProgressReporter, StoresResource
from resources.stores.home import Stores

COPY_ASSET: Final = "operational_copy"
COPY_CHECK: Final = "copy_says_what_the_ledger_says"
_SENSOR_SECONDS: Final = 60
# A copying that failed is launched again then.
_AGAIN_SECONDS: Final = 600


def build_copy_asset(settings: Settings) -> dg.AssetsDefinition:
    """Build the asset whose making copies what is missing."""

    @dg.asset(
        key=COPY_ASSET,
        deps=[dg.AssetDep(dg.AssetKey([cadence, "published_predictions"])) for cadence in CADENCES],
        group_name="serving",
        kinds={"postgres" if settings.operational_copy.startswith("postgresql") else "sqlite"},
        owners=["team:forecasting"],
        description="Rows of the newest published runs in a database, for programs that look them up: one transaction "
        "per run, read back before it is kept, one schema of views per model version.\n\n**Limit**: a copy. The ledger "
        "decides, and it is made anew from there at any time.",
    )
    def operational_copy(
        context: dg.AssetExecutionContext,
        stores: dg.ResourceParam[StoresResource],
        progress: dg.ResourceParam[ProgressReporter],
    ) -> dg.MaterializeResult[None]:
        report = progress.reporter(context.log)
        outcome = sync_copy(stores.reopened(), home_copy(settings), settings.operational_copy_runs, report)
        return dg.MaterializeResult(
            metadata={
                "copy": copy_text(outcome),
                "ledger_sequence": outcome.sequence,
                "runs": outcome.runs,
                "copied": [str(key) for key in outcome.written],
                "dropped": [str(key) for key in outcome.dropped],
            }
        )

    return operational_copy


def build_copy_check(settings: Settings) -> dg.AssetChecksDefinition:
    """Build the check that holds the copy against the ledger, of all runs at once."""

    @dg.asset_check(
        asset=COPY_ASSET,
        name=COPY_CHECK,
        description="The copy has the newest published runs, each with the products and as many rows as the ledger "
        "says. A warning: the ledger decides, and `copy sync --again` puts it right.",
    )
    def copy_says_what_the_ledger_says(stores: dg.ResourceParam[StoresResource]) -> dg.AssetCheckResult:
        def result(words: str, *differences: str, passed: bool) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                description=words,
                metadata={"differences": dg.MetadataValue.json(list(differences))},
            )

        try:
            found = compare_copy(stores.reopened(), home_copy(settings), settings.operational_copy_runs)
        except ForecastAssetsError as error:
            return result(error_text(error), passed=False)
        return result(copy_comparison_text(found), *found.differences, passed=not found.differences)

    return copy_says_what_the_ledger_says


def build_copy_sensor(settings: Settings, stores: StoresResource, job: str) -> dg.SensorDefinition:
    """Build the sensor that launches the copying of what is missing."""

    @dg.sensor(
        name="copy_when_runs_are_published",
        job_name=job,
        minimum_interval_seconds=_SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Copies published runs to the database of the operational copy; while it does not answer, says so "
        "and catches up later.",
    )
    def copy(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return copy_request(settings, stores.reopened(), Launches(context.instance, job), time.time())

    return copy


def copy_request(settings: Settings, stores: Stores, launches: Launches, now: float) -> dg.RunRequest | dg.SkipReason:
    """Return the request to copy what is missing, or why there is none.

    Args:
        settings: Of the home.
        stores: Where everything is.
        launches: What has been launched.
        now: Seconds since 1970: the same request is made again after a while, should its run fail.
    """
    try:
        due = runs_to_copy(stores, home_copy(settings), settings.operational_copy_runs)
    except ForecastAssetsError as error:
        return dg.SkipReason(error_text(error))
    if not due:
        return dg.SkipReason(f"The copy follows the ledger up to entry {stores.ledger.state().sequence}.")
    if launches.is_job_under_way():
        return dg.SkipReason(f"Copying is under way; left are {first_ten(due)}.")
    request = dg.RunRequest(run_key=f"copy/{stores.ledger.state().sequence}/{int(now // _AGAIN_SECONDS)}")
    if launches.has_run(request):
        return dg.SkipReason(f"Copying {first_ten(due)} was launched, and is tried again within ten minutes.")
    return request

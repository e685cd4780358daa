"""Assembly of the Dagster code location: which assets, checks, jobs, schedules and sensors there are.

What belongs here: putting parts together. What does not: any part.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import dagster as dg
from dagster_duckdb import DuckDBResource

from checks.acceptance import required_checks
from checks.asset_checks import (
    build_checks,
    build_snapshot_checks,
    judge_own,
    own_check_specs,
)
from forecast_assets.accuracy.assets import build_forecast_accuracy_asset
from forecast_assets.accuracy.run_days import RunKnowledgeCache
from forecast_assets.automation.alert_sensors import build_alert_sensors
from forecast_assets.automation.anomaly_sensor import build_anomaly_sensor
from forecast_assets.automation.drift_triggers import (
    build_challenger_sensor,
    build_drift_sensor,
    build_retraining_schedule,
    build_retraining_sensor,
)
from forecast_assets.automation.event_schedules import build_events_schedule
from forecast_assets.automation.freshness import with_freshness
from forecast_assets.automation.mirror import MirrorResource, build_mirror_check
from forecast_assets.automation.operational_copy import (
    COPY_ASSET,
    build_copy_asset,
    build_copy_check,
    build_copy_sensor,
)
from forecast_assets.automation.outbox import build_outbox_sensor
from forecast_assets.automation.restatement_sensor import build_restatement_sensor
from forecast_assets.automation.review_schedules import build_review_schedule
from forecast_assets.automation.trial_sensors import build_assignment_sensors, build_evidence_sensors
from forecast_assets.automation.triggers import build_accuracy_sensors, build_schedules, build_sensors
from forecast_assets.backtesting.assets import backtest_report_spec
from forecast_assets.base_forecasts.assets import build_base_forecasts_asset
from forecast_assets.contracts import BASE_FORECASTS, FEEDS, RECONCILED_FORECASTS
from forecast_assets.core.keys import CADENCES, Cadence
from forecast_assets.drift.assets import build_drift_asset
from forecast_assets.explanations.assets import build_forecast_explanations_asset
from forecast_assets.feature_anomalies.assets import build_feature_anomalies_asset
from forecast_assets.forecast_overrides.assets import build_forecast_overrides_asset, overrides_job
from forecast_assets.lifecycle.assets import build_challenger_evidence_asset, build_channel_assignments_asset
from forecast_assets.operations.copying import is_copied
from forecast_assets.promotion.assets import PROMOTION_JOBS, build_promotion_assets
from forecast_assets.publication.assets import build_forecasts_asset, build_published_predictions_asset
from forecast_assets.reconciliation.assets import build_reconciled_forecasts_asset
from forecast_assets.reviews.assets import build_business_reviews_asset
from forecast_assets.scoring.assets import OwnChecks
from forecast_assets.serving.assets import PREDICTION_EVENTS, build_prediction_events_asset
from forecast_assets.settings import Settings, current_settings
from forecast_assets.snapshots.assets import build_snapshot_asset
from forecast_assets.sources.assets import feed_specs
from forecast_assets.stockout_risk.assets import build_stockout_risks_asset
from forecast_assets.telemetry.starting import start
from forecast_assets.training.assets import build_training_assets
from partitions import UNFIXED_START
from resources.orchestration.dagster_resources import ProgressReporter, RunResource, StoresResource
from resources.stores.home import Stores

FEATURE_PIPELINE: Final = "feature_pipeline"
TRAINING: Final = "training"
MIRROR: Final = "mlflow_mirror"
DRIFT: Final = "drift"
ANOMALIES: Final = "anomalies"
# A job and an asset of one name are told apart by nobody, and Dagster refuses them.
EVENT_MOVES: Final = "moving_prediction_events"
COPYING: Final = "copying_published_runs"


def build_defs(resource_overrides: Mapping[str, Any] | None = None, settings: Settings | None = None) -> dg.Definitions:
    """Assemble the code location.

    Args:
        resource_overrides: Resources to use instead of the defaults, by name; the seam that tests and the CLI use.
        settings: Configuration; by default that of the process.
    """
    chosen = settings or current_settings()
    resources = {**_resources(chosen), **(resource_overrides or {})}
    # Asked once, of the stores that runs use too: a code location is loaded often, and a long ledger takes a while.
    stores: StoresResource = resources["stores"]
    start = stores.open().ledger.state().start_date or UNFIXED_START
    snapshot = build_snapshot_asset(start, FEEDS, chosen.feed_tolerance)
    branches = {cadence: _branch(cadence, start) for cadence in CADENCES.values()}
    scoring = [asset for branch in branches.values() for asset in branch]
    accuracy = {cadence: build_forecast_accuracy_asset(cadence, start, _OWN_CHECKS) for cadence in branches}
    mirror_check = build_mirror_check(chosen)
    assignments = {cadence: build_channel_assignments_asset(cadence, start, _OWN_CHECKS) for cadence in branches}
    evidence = {cadence: build_challenger_evidence_asset(cadence, start, _OWN_CHECKS) for cadence in branches}
    reviews = {cadence: build_business_reviews_asset(cadence, start) for cadence in branches}
    trials = [*assignments.values(), *evidence.values()]
    drift = build_drift_asset(start, accuracy.values())
    is_on = is_copied(chosen)
    anomalies = build_feature_anomalies_asset(start, chosen.anomaly_retraining_weeks)
    return dg.Definitions(
        assets=with_freshness(
            [
                *feed_specs(),
                snapshot,
                *build_training_assets(),
                backtest_report_spec(),
                *build_promotion_assets(),
                *scoring,
                *accuracy.values(),
                *trials,
                drift,
                anomalies,
                *reviews.values(),
                build_prediction_events_asset(start, chosen),
                *([build_copy_asset(chosen)] if is_on else []),
            ],
            chosen,
        ),
        asset_checks=[
            *build_snapshot_checks(start),
            *(check for cadence in branches for check in build_checks(cadence, start)),
            mirror_check,
            *([build_copy_check(chosen)] if is_on else []),
        ],
        jobs=[
            dg.define_asset_job(FEATURE_PIPELINE, dg.AssetSelection.assets("feature_snapshots"), executor_def=_ONE),
            # The mirror is compared when somebody asks: a training is over when its version is registered.
            dg.define_asset_job(
                TRAINING,
                dg.AssetSelection.groups("training") - dg.AssetSelection.checks(mirror_check),
                executor_def=_ONE,
            ),
            dg.define_asset_job(MIRROR, dg.AssetSelection.checks(mirror_check), executor_def=_ONE),
            *(
                dg.define_asset_job(job, dg.AssetSelection.assets(asset), executor_def=_ONE)
                for job, asset in PROMOTION_JOBS.items()
            ),
            dg.define_asset_job(EVENT_MOVES, dg.AssetSelection.assets(PREDICTION_EVENTS), executor_def=_ONE),
            *([dg.define_asset_job(COPYING, dg.AssetSelection.assets(COPY_ASSET), executor_def=_ONE)] if is_on else []),
            dg.define_asset_job(DRIFT, dg.AssetSelection.assets(drift), executor_def=_ONE),
            dg.define_asset_job(ANOMALIES, dg.AssetSelection.assets(anomalies), executor_def=_ONE),
            *(
                dg.define_asset_job(scoring_job(cadence), dg.AssetSelection.assets(*branch), executor_def=_ONE)
                for cadence, branch in branches.items()
            ),
            *(
                dg.define_asset_job(
                    overrides_job(cadence),
                    dg.AssetSelection.assets(*branch) - dg.AssetSelection.assets(*_unrevised(cadence)),
                    executor_def=_ONE,
                    description="A revision for overrides alone, launched where one is asked for with who and why.",
                )
                for cadence, branch in branches.items()
            ),
            *(
                dg.define_asset_job(accuracy_job(cadence), dg.AssetSelection.assets(asset), executor_def=_ONE)
                for cadence, asset in accuracy.items()
            ),
            *(
                dg.define_asset_job(assignment_job(cadence), dg.AssetSelection.assets(asset), executor_def=_ONE)
                for cadence, asset in assignments.items()
            ),
            *(
                dg.define_asset_job(evidence_job(cadence), dg.AssetSelection.assets(asset), executor_def=_ONE)
                for cadence, asset in evidence.items()
            ),
            *(
                dg.define_asset_job(review_job(cadence), dg.AssetSelection.assets(asset), executor_def=_ONE)
                for cadence, asset in reviews.items()
            ),
        ],
        schedules=[
            *build_schedules(chosen, stores, FEATURE_PIPELINE),
            build_retraining_schedule(chosen, stores, TRAINING),
            *(build_review_schedule(chosen, stores, cadence, review_job(cadence)) for cadence in branches),
            build_events_schedule(chosen, EVENT_MOVES),
        ],
        sensors=[
            *build_sensors(chosen, stores, FEATURE_PIPELINE, {cadence: scoring_job(cadence) for cadence in branches}),
            *build_alert_sensors(chosen, stores),
            build_restatement_sensor(stores),
            build_drift_sensor(stores, DRIFT),
            build_anomaly_sensor(stores, ANOMALIES),
            build_retraining_sensor(stores, TRAINING),
            build_challenger_sensor(stores),
            *([build_copy_sensor(chosen, stores, COPYING)] if is_on else []),
            *([build_outbox_sensor(chosen, stores)] if chosen.broker or chosen.webhooks else []),
            *build_accuracy_sensors(chosen, stores, {cadence: accuracy_job(cadence) for cadence in branches}),
            *build_assignment_sensors(stores, {cadence: assignment_job(cadence) for cadence in branches}),
            *build_evidence_sensors(chosen, stores, {cadence: evidence_job(cadence) for cadence in branches}),
        ],
        executor=_ONE,
        resources=resources,
    )


# The stages of a run share its context; a process per stage would pay the imports again. No backfill policy
# is set: Dagster's default, a run per partition, lets each date fail, wait and be repeated by itself.
_ONE: Final = dg.in_process_executor
_OWN_CHECKS: Final = OwnChecks(own_check_specs, judge_own, required_checks)


def scoring_job(cadence: Cadence) -> str:
    """Return the name of the job that scores and publishes one date with one version."""
    return f"{cadence.name}_scoring"


def accuracy_job(cadence: Cadence) -> str:
    """Return the name of the job that measures the forecasts of one day against its sales."""
    return f"{cadence.name}_accuracy"


def assignment_job(cadence: Cadence) -> str:
    """Return the name of the job that records which version each store follows on one date."""
    return f"{cadence.name}_assignment"


def evidence_job(cadence: Cadence) -> str:
    """Return the name of the job that weighs the evidence of the running trial."""
    return f"{cadence.name}_evidence"


def review_job(cadence: Cadence) -> str:
    """Return the name of the job that reviews a week."""
    return f"{cadence.name}_review"


def _unrevised(cadence: Cadence) -> list[dg.AssetKey]:
    """What a revision for overrides alone takes from the one before it."""
    return [dg.AssetKey([cadence.name, made.name]) for made in (BASE_FORECASTS, RECONCILED_FORECASTS)]


def _branch(cadence: Cadence, start: date) -> list[dg.AssetsDefinition]:
    return [
        build_base_forecasts_asset(cadence, start),
        build_reconciled_forecasts_asset(cadence, start),
        build_forecast_overrides_asset(cadence, start),
        build_stockout_risks_asset(cadence, start),
        build_forecast_explanations_asset(cadence, start),
        build_forecasts_asset(cadence, start),
        build_published_predictions_asset(cadence, start, required_checks),
    ]


def _resources(settings: Settings) -> dict[str, Any]:
    return {
        "stores": stores_resource(settings),
        "run": RunResource(
            history_days=settings.history_days, risk_paths=settings.risk_paths, workers=settings.workers
        ),
        "progress": ProgressReporter(),
        "run_knowledge": RunKnowledgeCache(),
        "mirror": MirrorResource(settings),
        "duckdb": DuckDBResource(database=":memory:"),
    }


def stores_resource(settings: Settings, stores: Stores | None = None) -> StoresResource:
    """Return the stores of a home as assets get them, or hand on those that are open already."""
    return StoresResource(
        settings.store, settings.mirror_folder, settings.catalogue_folder, settings.expectations_folder, stores
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Build the code location with the settings of the process, and let its telemetry listen.

    Every process of Dagster that runs something loads the code location first, whoever launched it.
    """
    settings = current_settings()
    start(settings, "batch")
    return build_defs(settings=settings)

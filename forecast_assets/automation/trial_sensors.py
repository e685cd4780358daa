"""Sensors of trials: stores are assigned as runs are published, and challengers are judged as days are measured.

What belongs here: deciding that an assignment or a verdict is due, and promoting on evidence where the settings ask for
it. What does not: assigning or weighing.
"""

from collections.abc import Mapping

import dagster as dg

from forecast_assets.automation.refusals import Refusals
from forecast_assets.automation.triggers import SENSOR_SECONDS, first_request
from forecast_assets.core.errors import RefusedError
from forecast_assets.core.keys import Cadence
from forecast_assets.lifecycle.stage import due_dates, due_day
from forecast_assets.operations.challengers import promote_if_better
from forecast_assets.presentation.actions import error_text
from forecast_assets.settings import Settings
from resources.ledger.entries.challenge import running_trial
from resources.ledger.entries.weigh import ChallengerVerdicts
from resources.orchestration.dagster_home import Launches
from resources.orchestration.dagster_resources import StoresResource
from resources.stores.home import Stores


def build_assignment_sensors(stores: StoresResource, jobs: Mapping[Cadence, str]) -> list[dg.SensorDefinition]:
    """Build a sensor per cadence that records which version each store follows."""
    return [_assignment_sensor(stores, cadence, job) for cadence, job in jobs.items()]


def _assignment_sensor(stores: StoresResource, cadence: Cadence, job: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{cadence.name}_assignments_when_runs_are_published",
        job_name=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"From the first {cadence.name} trial on, records which version each store follows on each date "
        f"that `{cadence.champion}` has published, and on the newest again whenever channels, share or runs change.",
    )
    def assignments(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return assignment_request(stores.reopened(), cadence, Launches(context.instance, job))

    return assignments


def assignment_request(stores: Stores, cadence: Cadence, launches: Launches) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the oldest date whose stores are to be assigned, or why there is none.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        launches: What has been launched.
    """
    state = stores.ledger.state()
    due = due_dates(state, cadence.name)
    if not due:
        return dg.SkipReason(f"No {cadence.name} date waits for an assignment.")
    day = due[0]
    key = f"assignment/{cadence.name}/{day}/{state.sequence}"
    return first_request([lambda: dg.RunRequest(run_key=key, partition_key=day.isoformat())], launches)


def build_evidence_sensors(
    settings: Settings, stores: StoresResource, jobs: Mapping[Cadence, str]
) -> list[dg.SensorDefinition]:
    """Build a sensor per cadence that weighs the evidence of a trial as days are measured."""
    return [_evidence_sensor(settings, stores, cadence, job) for cadence, job in jobs.items()]


def _evidence_sensor(settings: Settings, stores: StoresResource, cadence: Cadence, job: str) -> dg.SensorDefinition:
    then = "promotes a challenger that is shown to be better" if settings.promotes_on_evidence else "never promotes"

    @dg.sensor(
        name=f"{cadence.name}_evidence_when_days_are_measured",
        job_name=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Weighs the evidence of the running {cadence.name} trial whenever a day of it was measured, also "
        f"anew, and {then}.",
    )
    def evidence(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        launches = Launches(context.instance, job)
        return evidence_request(
            stores.reopened(),
            cadence,
            launches,
            promotes_on_evidence=settings.promotes_on_evidence,
            refusals=Refusals(context),
        )

    return evidence


def evidence_request(
    stores: Stores,
    cadence: Cadence,
    launches: Launches,
    *,
    promotes_on_evidence: bool = False,
    refusals: Refusals | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """Return the request for the newest measured day of the running trial, or why there is none.

    Args:
        stores: Where everything is.
        cadence: Rhythm of the runs.
        launches: What has been launched.
        promotes_on_evidence: Whether to promote a challenger that the newest verdict says is better.
        refusals: What was refused at an earlier tick is judged again after the next ledger entry only.
    """
    state = stores.ledger.state()
    due = due_day(state, cadence.name)
    if due is not None:
        key = f"evidence/{cadence.name}/{due}/{state.sequence}"
        request = dg.RunRequest(run_key=key, partition_key=due.isoformat())
        return first_request([lambda: request], launches)
    trial = running_trial(state, cadence.name)
    if trial is None:
        return dg.SkipReason(f"No {cadence.name} trial runs.")
    if promotes_on_evidence:
        promoted = _promoted(stores, cadence, trial.model_version, refusals or Refusals())
        if promoted:
            return dg.SkipReason(promoted)
    verdict = state.part(ChallengerVerdicts).newest(trial.begun_by)
    if verdict is None:
        return dg.SkipReason(f"No day from {trial.first_day} on was measured, on which the trial begins.")
    return dg.SkipReason(f"Weighed up to {verdict.target_date}: {verdict.decision} (ledger entry {verdict.sequence}).")


def _promoted(stores: Stores, cadence: Cadence, challenger: str, refusals: Refusals) -> str:
    """Promote a challenger that is shown to be better; say that, or why it was refused, or nothing."""
    state = stores.ledger.state()
    known = refusals.still(challenger, state)
    if known is not None:
        return known
    seen = state.sequence
    try:
        promotion = promote_if_better(stores, cadence)
    except RefusedError as error:
        why = error_text(error)
        refusals.keep(challenger, cadence.name, why, seen=seen, state=stores.ledger.state())
        return why
    return "" if promotion is None else f"{challenger} is promoted (ledger entry {promotion.sequence})."

"""Sensors of trials: what they ask for, and promote only where the settings say so."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.automation.trial_sensors import assignment_request, evidence_request
from forecast_assets.core.keys import DAILY, WEEKLY
from forecast_assets.definitions import build_defs
from forecast_assets.settings import Settings
from resources.orchestration.dagster_home import Launches
from resources.stores.home import Stores
from tests.support.store_cases import publish, run_key
from tests.support.trial_cases import (
    CHALLENGER,
    CHAMPION,
    FIRST,
    Said,
    assigned,
    begin,
    both,
    judged,
    measure_days,
    measured,
    with_champion,
)


@pytest.fixture
def launches() -> Launches:
    return Launches(dg.DagsterInstance.ephemeral(), "daily_evidence")


def said(answer: dg.RunRequest | dg.SkipReason) -> str:
    return str(answer.partition_key if isinstance(answer, dg.RunRequest) else answer.skip_message)


def test_dates_are_assigned_oldest_first(stores: Stores, launches: Launches) -> None:
    with_champion(stores)
    publish(stores, run_key(1))
    assert said(assignment_request(stores, DAILY, launches)) == "No daily date waits for an assignment."
    begin(stores)
    for day in (2, 3):
        publish(stores, run_key(day))
    for day in (2, 3):
        wanted = str(run_key(day).prediction_date)
        assert said(assignment_request(stores, DAILY, launches)) == wanted
        assigned(stores, run_key(day).prediction_date)
    assert said(assignment_request(stores, DAILY, launches)) == "No daily date waits for an assignment."
    assert said(assignment_request(stores, WEEKLY, launches)) == "No weekly date waits for an assignment."


def test_evidence_is_weighed_as_days_are_measured(stores: Stores, launches: Launches) -> None:
    with_champion(stores)
    assert said(evidence_request(stores, DAILY, launches)) == "No daily trial runs."
    begin(stores)
    assert said(evidence_request(stores, DAILY, launches)).startswith("No day from 2025-01-02 on was measured")
    measured(stores, FIRST, both(Said(), Said()))
    assert said(evidence_request(stores, DAILY, launches)) == str(FIRST)
    verdict = judged(stores)
    assert said(evidence_request(stores, DAILY, launches)) == (
        f"Weighed up to 2025-01-02: collecting (ledger entry {verdict.sequence})."
    )


@pytest.mark.parametrize("promotes", [False, True])
def test_only_where_the_settings_say_so_a_challenger_is_promoted_by_itself(
    stores: Stores, launches: Launches, promotes: bool
) -> None:
    with_champion(stores)
    begin(stores, rules={"level": 0.3})
    measure_days(stores, 28, Said(loss=90.0))
    # Evidence first, whatever the setting.
    assert said(evidence_request(stores, DAILY, launches, promotes_on_evidence=promotes)) == str(
        FIRST + timedelta(days=27)
    )
    assert judged(stores).decision == "better"
    found = said(evidence_request(stores, DAILY, launches, promotes_on_evidence=promotes))
    entry = stores.ledger.state().sequence
    assert stores.ledger.state().channel("champion") == (CHALLENGER if promotes else CHAMPION)
    assert (found == f"{CHALLENGER} is promoted (ledger entry {entry}).") == promotes
    if promotes:
        assert said(evidence_request(stores, DAILY, launches, promotes_on_evidence=True)) == "No daily trial runs."


def test_a_failed_run_is_not_asked_for_again_until_something_changes(stores: Stores, launches: Launches) -> None:
    with_champion(stores)
    begin(stores)
    measured(stores, FIRST, both(Said(), Said()))
    request = evidence_request(stores, DAILY, launches)
    assert isinstance(request, dg.RunRequest)

    @dg.job
    def daily_evidence() -> None:
        """Stands for the job."""

    tags = {"dagster/partition": str(FIRST), "dagster/run_key": str(request.run_key)}
    run = launches.instance.create_run_for_job(daily_evidence, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert said(evidence_request(stores, DAILY, launches)) == "The run of 2025-01-02 is under way."
    launches.instance.report_run_failed(run)
    assert "failed; it is tried again" in said(evidence_request(stores, DAILY, launches))
    measured(stores, FIRST, both(Said(), Said(loss=99.0)))
    assert said(evidence_request(stores, DAILY, launches)) == str(FIRST)


def test_both_cadences_have_their_sensors_and_say_whether_they_promote(tmp_path: Path) -> None:
    for promotes in (False, True):
        defs = build_defs(settings=Settings(home=tmp_path, promotes_on_evidence=promotes))
        sensors = {sensor.name: sensor.description for sensor in defs.get_repository_def().sensor_defs}
        for cadence in ("daily", "weekly"):
            assert f"{cadence}_assignments_when_runs_are_published" in sensors
            said_of = str(sensors[f"{cadence}_evidence_when_days_are_measured"])
            assert ("never promotes" in said_of) != promotes

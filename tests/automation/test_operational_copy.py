"""The copy in Dagster: a sensor launches it, a check holds it, and a database that is down stops nothing."""

from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.automation.operational_copy import COPY_CHECK, build_copy_check, copy_request
from forecast_assets.definitions import COPYING, build_defs, stores_resource
from forecast_assets.settings import Settings
from resources.orchestration.dagster_home import Launches
from resources.stores.home import Stores, open_stores
from tests.support.store_cases import ingest, publish, register, run_key


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, operational_copy="sqlite")


@pytest.fixture
def published(settings: Settings) -> Stores:
    stores = open_stores(settings.store)
    ingest(stores)
    register(stores)
    publish(stores, run_key())
    return stores


def asked(settings: Settings, instance: dg.DagsterInstance, now: float = 0.0) -> dg.RunRequest | dg.SkipReason:
    return copy_request(settings, open_stores(settings.store), Launches(instance, COPYING), now)


def test_what_is_published_is_copied_once_and_checked(published: Stores, settings: Settings) -> None:
    job = build_defs(settings=settings).resolve_job_def(COPYING)
    with dg.DagsterInstance.ephemeral() as instance:
        request = asked(settings, instance)
        assert isinstance(request, dg.RunRequest)
        tags = {"dagster/run_key": str(request.run_key)}
        result = job.execute_in_process(instance=instance, tags=tags)
        (made,) = result.get_asset_materialization_events()
        (checked,) = result.get_asset_check_evaluations()
        assert made.step_materialization_data.materialization.metadata["copied"].value == [str(run_key())]
        assert (checked.check_name, checked.passed) == (COPY_CHECK, True)
        assert "follows the ledger up to entry 3" in str(asked(settings, instance))
        publish(published, run_key(1))
        assert isinstance(asked(settings, instance), dg.RunRequest)


def test_a_copying_that_failed_is_launched_again_after_ten_minutes(published: Stores, settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        request = asked(settings, instance)
        assert isinstance(request, dg.RunRequest)
        job = build_defs(settings=settings).resolve_job_def(COPYING)
        run = instance.create_run_for_job(job, tags={"dagster/run_key": str(request.run_key)})
        instance.report_run_failed(run)
        assert f"Copying {run_key()} was launched" in str(asked(settings, instance, 599.0))
        assert isinstance(asked(settings, instance, 600.0), dg.RunRequest)
    assert published.ledger.state().publications


def test_one_copying_at_a_time_is_launched(published: Stores, settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_defs(settings=settings).resolve_job_def(COPYING)
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert f"Copying is under way; left are {run_key()}." in str(asked(settings, instance, 600.0))
    assert published.ledger.state().publications


def test_a_database_that_is_down_is_told_by_sensor_and_check(published: Stores, settings: Settings) -> None:
    down = settings.model_copy(update={"operational_copy": "postgresql://127.0.0.1:1/x"})
    with dg.DagsterInstance.ephemeral() as instance:
        assert "cannot be used" in str(asked(down, instance))
    said = build_copy_check(down)(stores=stores_resource(settings))
    assert isinstance(said, dg.AssetCheckResult)
    assert (said.passed, said.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "cannot be used" in str(said.description)
    assert published.ledger.state().publications


def test_nothing_of_it_is_there_where_it_is_off(tmp_path: Path) -> None:
    definitions = build_defs(settings=Settings(home=tmp_path))
    names = {sensor.name for sensor in definitions.sensors or []}
    assert "copy_when_runs_are_published" not in names
    assert "copy_when_runs_are_published" in {
        sensor.name for sensor in build_defs(settings=Settings(home=tmp_path, operational_copy="sqlite")).sensors or []
    }

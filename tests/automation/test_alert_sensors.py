"""Sensors of Dagster evaluate alerts: at each tick, and when a run fails."""

from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest

from forecast_assets.automation.alert_sensors import build_alert_sensors
from forecast_assets.core.keys import DAILY
from forecast_assets.definitions import stores_resource
from forecast_assets.launch import Runner
from forecast_assets.lifecycle import stage
from forecast_assets.settings import Settings
from resources.orchestration.run_history import DagsterHistory, HomeHistory
from resources.stores.home import open_stores
from tests.support.alert_receivers import http_receiver
from tests.support.store_cases import publish, run_key
from tests.support.trial_cases import begin, with_champion


def test_a_run_that_fails_is_told_and_one_that_succeeds_ends_it(tmp_path: Path) -> None:
    with http_receiver() as server:
        settings = Settings(home=tmp_path, mlflow=False, alert_to=(server.address("webhook"),))
        runner = Runner(settings)
        publish(with_champion(runner.stores), run_key())
        begin(runner.stores, share=1.0)
        every_tick, on_failure = build_alert_sensors(settings, stores_resource(settings))
        with patch.object(stage, "assignment_rows", side_effect=MemoryError("no room")), pytest.raises(MemoryError):
            runner.assign(DAILY.name)
        (run,) = runner.instance.get_runs()
        (event,) = runner.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert event.dagster_event is not None
        context = dg.build_run_status_sensor_context(
            on_failure.name, event.dagster_event, runner.instance, run
        ).for_run_failure()
        on_failure(context)
        opened = server.posts[0].said["data"]["alerts"][0]
        assert (opened["what"], opened["code"]) == ("opened", "failed-run")
        assert "MemoryError" in opened["words"]
        runner.assign(DAILY.name)
        answer = every_tick(dg.build_sensor_context(instance=runner.instance))
        assert isinstance(answer, dg.SkipReason)
        assert "closed: failed-run daily_assignment/2025-01-01" in str(answer.skip_message)
        assert len(server.posts) == 2


def test_a_setting_that_cannot_be_used_is_said_and_stops_no_sensor(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow=False, alert_to=("ftp://x",))
    every_tick, _ = build_alert_sensors(settings, stores_resource(settings))
    with dg.DagsterInstance.ephemeral() as instance:
        answer = every_tick(dg.build_sensor_context(instance=instance))
    assert isinstance(answer, dg.SkipReason)
    assert "FORECAST_ASSETS_ALERT_TO cannot be used" in str(answer.skip_message)


def test_a_home_in_which_nothing_ran_has_no_history_and_gets_none(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    history = HomeHistory(tmp_path / "dagster")
    assert (list(history.failed_runs(datetime.now(UTC))), history.trouble()) == ([], "")
    assert not (tmp_path / "dagster").exists()
    open_stores(tmp_path / "store")
    with dg.DagsterInstance.ephemeral() as instance:
        assert list(DagsterHistory(instance).failed_runs(datetime.now(UTC))) == []


def test_a_history_that_is_damaged_is_told(tmp_path: Path) -> None:
    runner = Runner(Settings(home=tmp_path, mlflow=False))
    assert runner.instance.get_runs() == []
    folder = tmp_path / "dagster"
    for database in folder.rglob("*.db"):
        database.write_bytes(b"no database" * 1000)
    assert "Dagster's history cannot be read" in HomeHistory(folder).trouble()

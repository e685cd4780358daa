"""Judging snapshots as Dagster and an operator do it: the asset, its check, the sensor, the commands."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from forecast_assets.automation.anomaly_sensor import anomaly_request
from forecast_assets.cli import cli
from forecast_assets.core.errors import IncompleteInputsError, NotReadyError
from forecast_assets.launch import Runner
from forecast_assets.settings import Settings
from resources.ledger.entries.anomalies import AnomalyRecords
from resources.ledger.entries.backlog import Backlog
from resources.orchestration.dagster_home import Launches
from resources.stores.home import Stores, open_stores
from tests.support.drift_cases import sell
from tests.support.ledger_cases import anomalies
from tests.support.snapshot_cases import LAST, stage, stage_days, swapped

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    return open_stores(tmp_path / "home/store")


def said(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments)
    assert result.exception is None, result.exception
    return result.output


def test_a_swapped_feed_is_recorded_by_the_job_and_its_check_warns(stores: Stores, tmp_path: Path) -> None:
    sell(stores, days=2)
    stage_days(stores, 18, LAST - timedelta(days=1))
    stage(stores, LAST, swapped())
    runner = Runner(Settings(home=tmp_path / "home"))
    runner.judge_series(LAST)
    key = dg.AssetCheckKey(dg.AssetKey("feature_anomalies"), "no_feed_has_many_anomalies")
    (ran,) = runner.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    evaluation = ran.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "unlike their past by inventory_positions" in str(evaluation.description)
    record = open_stores(tmp_path / "home/store").ledger.state().part(AnomalyRecords).newest_of(LAST)
    assert record is not None
    assert record.told == ("series/inventory_positions/anomaly_share/anomalous/all",)
    assert "one-class-svm-2025-06-29" in said("anomalies", "detectors")
    assert "series are unlike their past" in said("backlog", "list")


def test_snapshots_before_the_day_are_made_where_they_are_missing(stores: Stores, tmp_path: Path) -> None:
    sell(stores, days=2)
    result = CliRunner().invoke(cli, ["anomalies", "snapshot", "--earlier", "5"])
    assert "needs 8 snapshots with others before them to learn from; there is 1" in str(result.exception)
    made = open_stores(tmp_path / "home/store").predictions
    assert [made.is_staged("feature_snapshots", LAST - timedelta(days=back)) for back in range(3)] == [
        True, True, False,
    ]  # fmt: skip


def test_earlier_days_with_incomplete_inputs_are_left_out_and_named_and_other_features_are_made_anew(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(stores, days=4)
    stage_days(stores, 4)
    monkeypatch.setattr("forecast_assets.operations.use_cases.feature_version", lambda _: "others")
    asked, judged = list[date](), list[date]()

    def make(_: Runner, day: date) -> str:
        asked.append(day)
        if day == LAST - timedelta(days=2):
            raise IncompleteInputsError(day, ["no prices"])
        return ""

    monkeypatch.setattr(Runner, "snapshot", make)
    monkeypatch.setattr(Runner, "judge_series", lambda _, day: judged.append(day))
    result = CliRunner().invoke(cli, ["anomalies", "snapshot", "--earlier", "3"])
    assert asked == [LAST - timedelta(days=back) for back in (3, 2, 1, 0)]
    assert judged == [LAST]
    assert result.stderr.count("left out: ") == 1
    assert "no prices" in result.stderr


def test_a_day_is_due_once_there_are_snapshots_enough_and_it_was_not_judged(stores: Stores, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        launches = Launches(instance, "anomalies")
        assert isinstance(anomaly_request(stores, launches, NOW), dg.SkipReason), "without sales nothing is due"
        sell(stores, days=2)
        known = open_stores(tmp_path / "home/store")
        assert "up to 2025-06-30 are judged" in str(anomaly_request(known, launches, NOW))
        stage_days(known, 3)
        assert "there are 2" in str(anomaly_request(known, launches, NOW))
        stage_days(known, 16)
        request = anomaly_request(known, launches, NOW)
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == LAST.isoformat()
    assert said("anomalies", "detectors") == "No detector has been trained on snapshots yet.\n"


def test_a_day_whose_snapshot_has_other_bytes_by_now_is_asked_for_again(stores: Stores, tmp_path: Path) -> None:
    sell(stores, days=2)
    stage_days(stores, 18, LAST - timedelta(days=1))
    stage(stores, LAST, swapped())
    runner = Runner(Settings(home=tmp_path / "home"))
    runner.judge_series(LAST)
    launches = Launches(runner.instance, "anomalies")
    assert "up to 2025-06-30 are judged" in str(anomaly_request(open_stores(tmp_path / "home/store"), launches, NOW))
    stage(stores, LAST)
    request = anomaly_request(open_stores(tmp_path / "home/store"), launches, NOW)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == LAST.isoformat()
    runner.judge_series(LAST)
    known = open_stores(tmp_path / "home/store")
    assert "up to 2025-06-30 are judged" in str(anomaly_request(known, launches, NOW))
    assert not known.ledger.state().part(Backlog).present


def test_a_day_that_cannot_be_judged_does_not_hold_up_later_ones(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(stores, days=2)
    known = open_stores(tmp_path / "home/store")
    stage_days(known, 3)
    anomalies(known)
    monkeypatch.setattr("forecast_assets.automation.anomaly_sensor.require_judgeable", of_last_day)
    with dg.DagsterInstance.ephemeral() as instance:
        request = anomaly_request(known, Launches(instance, "anomalies"), NOW)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == LAST.isoformat()


def of_last_day(_: Stores, day: date) -> None:
    if day < LAST:
        raise NotReadyError(f"There are too few snapshots before {day}.", remedy="Wait.")

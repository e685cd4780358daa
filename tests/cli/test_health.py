"""The commands of operators: doctor, and alerts listed, checked, acknowledged and tried."""

import json
from pathlib import Path

import pytest

from resources.stores.home import open_stores
from tests.support.alert_receivers import http_receiver
from tests.support.command import Call, caller
from tests.support.store_cases import publish, run_key
from tests.support.trial_cases import with_champion


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    publish(with_champion(open_stores(tmp_path / "store")), run_key())
    return caller(monkeypatch, capsys)


def test_doctor_shows_what_it_saw_and_ends_well_with_warnings_alone(call: Call) -> None:
    code, said = call("doctor")
    assert code == 0
    assert "warning catalogue-behind/catalogue" in said
    assert "To do: Build it: forecast-assets catalogue." in said
    assert "0 problem" in said
    assert call("catalogue")[0] == 0
    assert "catalogue-behind" not in call("doctor")[1]


def test_doctor_names_problems_for_people_and_programs(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_DISK_FREE_MB", str(1 << 40))
    code, said = call("doctor", "--json")
    assert code == 3
    document, _, error = said.rpartition("error: ")
    assert error.startswith("1 problem: disk-nearly-full/")
    states = {each["name"]: each["state"] for each in json.loads(document)["looked"]}
    assert (states["disk"], states["ledger"], states["catalogue"]) == ("problem", "ok", "warning")


def test_doctor_does_not_show_secrets(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_REDIS", "redis://:SECRET@127.0.0.1:1")
    monkeypatch.setenv("FORECAST_ASSETS_EVENT_STORE", "postgresql://ana:SECRET@127.0.0.1:1/x")
    monkeypatch.setenv("FORECAST_ASSETS_OPERATIONAL_COPY", "postgresql://ana:SECRET@127.0.0.1:1/x")
    monkeypatch.setenv("FORECAST_ASSETS_ALERT_TO", '["slack+http://127.0.0.1:1/SECRET"]')
    said = [call("doctor"), call("doctor", "--json"), call("alerts", "check"), call("alerts", "list")]
    said += [call("alerts", "test"), call("doctor")]
    assert "redis-down/redis" in said[0][1]
    assert "copy-behind/copy" in said[0][1]
    assert "event-store-down/events" in said[0][1]
    assert "destination-down/Slack at 127.0.0.1" in said[-1][1]
    assert all("SECRET" not in text for _, text in said)


def test_alerts_are_checked_listed_acknowledged_and_over(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("alerts", "list") == (0, "No alert is open.\n")
    monkeypatch.setenv("FORECAST_ASSETS_DISK_FREE_MB", str(1 << 40))
    code, said = call("alerts", "check")
    assert (code, "opened: disk-nearly-full" in said) == (0, True)
    (alert,) = json.loads(call("alerts", "list", "--json")[1])
    assert (alert["code"], alert["severity"], alert["state"]) == ("disk-nearly-full", "problem", "open")
    code, said = call("alerts", "acknowledge", alert["alert_id"], "--by", "ana", "--hours", 8)
    assert (code, "is ana's until" in said) == (0, True)
    assert "ana until" in call("alerts", "list")[1]
    monkeypatch.delenv("FORECAST_ASSETS_DISK_FREE_MB")
    assert "closed: disk-nearly-full" in call("alerts", "check")[1]
    assert call("alerts", "list") == (0, "No alert is open.\n")
    assert "closed 2" in call("alerts", "list", "--all")[1]
    assert call("alerts", "acknowledge", alert["alert_id"], "--by", "ana")[0] == 4
    assert call("alerts", "acknowledge", 99, "--by", "ana")[0] == 2


def test_destinations_are_tried(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("alerts", "test") == (0, "Nobody is told: FORECAST_ASSETS_ALERT_TO is empty.\n")
    with http_receiver() as server:
        monkeypatch.setenv("FORECAST_ASSETS_ALERT_TO", json.dumps([server.address("webhook", "/x")]))
        code, said = call("alerts", "test")
        assert (code, "1 notification" in said, len(server.posts)) == (0, True, 2)
        server.status = 403
        code, said = call("alerts", "test")
        assert (code, "it answered 403" in said) == (6, True)
    monkeypatch.setenv("FORECAST_ASSETS_ALERT_TO", '["ftp://x"]')
    assert call("alerts", "check")[0] == 2


def test_what_verify_finds_is_an_alert_until_it_finds_nothing(call: Call, tmp_path: Path) -> None:
    stray = tmp_path / "store/manifests/stray.txt"
    stray.write_text("nobody's")
    assert call("verify")[0] == 5
    assert "opened: verify-finding manifests/stray.txt" in call("alerts", "check")[1]
    stray.unlink()
    assert "closed" not in call("alerts", "check")[1], "what nothing names only verify looks at"
    assert call("verify")[0] == 0
    assert "closed: verify-finding manifests/stray.txt" in call("alerts", "check")[1]

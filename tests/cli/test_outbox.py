"""The commands of the outbox: telling, looking, listening, telling again."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecast_assets.operations import outbox as use_cases
from forecast_assets.operations.outbox import home_outbox
from forecast_assets.settings import Settings
from resources.stores.home import Stores, open_stores
from tests.support.brokers import kafka_cluster
from tests.support.command import Call, caller
from tests.support.ledger_cases import promote
from tests.support.webhooks import webhook_receiver


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    return caller(monkeypatch, capsys, "outbox")


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    stores = open_stores(Settings(home=tmp_path).store)
    for number in range(3):
        promote(stores.ledger, f"v{number}")
    return stores


def test_without_destinations_it_says_how_to_name_one(command: Call, stores: Stores) -> None:
    assert stores.ledger.state().sequence == 3
    code, said = command("deliver")
    assert (code, "Set FORECAST_ASSETS_BROKER=HOST:PORT" in said) == (2, True)
    code, said = command("status")
    assert (code, "has told nobody anything yet" in said) == (0, True)
    code, said = command("listen", "--inbox", "x.sqlite")
    assert (code, "No broker is set" in said) == (2, True)


def test_the_table_itself_is_read_without_any_broker(command: Call, stores: Stores, tmp_path: Path) -> None:
    home_outbox(Settings(home=tmp_path)).add("alert.opened", "alerts/x", {"feed": "Läden"}, datetime.now(UTC))
    code, said = command("list", "--after", 1, "--top", 5)
    found = [json.loads(line) for line in said.splitlines()]
    assert (code, [each["sequence"][-1] for each in found]) == (0, ["2", "3"])
    assert [each["id"] for each in found] == [entry.hash for entry in stores.ledger.entries()[1:]]
    assert found[0]["data"]["body"]["model_version"] == "v1"
    code, said = command("list", "--stream", "operations")
    assert json.loads(said)["data"]["facts"] == {"feed": "Läden"}


def test_a_webhook_is_told_and_shown_and_told_again(
    command: Call, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook_receiver() as receiver:
        monkeypatch.setenv("FORECAST_ASSETS_WEBHOOKS", json.dumps([f"{receiver.url}/hook?token=hidden"]))
        name = f"webhook {receiver.url.removeprefix('http://')}/hook"
        assert command("deliver")[0] == 0
        promote(stores.ledger, "v3")
        receiver.answers = [503]
        code, said = command("deliver")
        assert code == 6
        assert "it answers 503" in said
        assert "hidden" not in said
        code, said = command("status", "--json")
        ledger = next(each for each in json.loads(said) if each["stream"] == "ledger")
        assert (ledger["destination"], ledger["position"], ledger["waiting"]) == (name, 3, 1)
        assert ledger["trouble"].endswith("it answers 503 Service Unavailable.")
        code, said = command("deliver")
        assert (code, f"{name}, ledger: 1 event delivered, up to 4; nothing waits." in said) == (0, True)
        code, said = command("move", name, "--to", 2)
        assert (code, said) == (0, f"{name} is told what stands behind position 2 of `ledger` next.\n")
        command("deliver")
        assert receiver.ids[-2:] == [entry.hash for entry in stores.ledger.entries()[2:]]
        assert command("move", name, "--to", 9)[0] == 2
        assert command("forget", name)[0] == 2
        monkeypatch.delenv("FORECAST_ASSETS_WEBHOOKS")
        assert command("forget", "nobody")[0] == 2
        assert command("forget", name) == (0, f"{name} is forgotten.\n")
        assert "has told nobody anything yet" in command("status")[1]
        assert command("move", "nobody", "--to", 0)[0] == 2


def test_a_consumer_keeps_each_event_once(
    command: Call, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "QUIET_SECONDS", 4.5)
    with kafka_cluster() as address:
        monkeypatch.setenv("FORECAST_ASSETS_BROKER", address)
        assert command("deliver")[0] == 0
        assert command("move", "broker", "--to", 1)[0] == 0
        assert command("deliver")[0] == 0
        inbox = tmp_path / "inbox.sqlite"
        code, said = command("listen", "--inbox", inbox, "--once")
        found = [json.loads(line) for line in said.splitlines()]
        assert (code, [each["id"] for each in found]) == (0, [entry.hash for entry in stores.ledger.entries()])
        code, said = command("listen", "--inbox", inbox, "--group", "anew", "--once")
        assert (code, said) == (0, "")

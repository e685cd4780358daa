"""The outbox in Dagster: there where somebody is to be told, and who is down makes no evaluation fail."""

from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.automation.outbox import OUTBOX_SENSOR, told_text
from forecast_assets.definitions import build_defs
from forecast_assets.settings import Settings
from resources.stores.home import Stores, open_stores
from tests.support.brokers import kafka_cluster, silent_address
from tests.support.ledger_cases import promote
from tests.support.webhooks import webhook_receiver


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    stores = open_stores(Settings(home=tmp_path).store)
    for number in range(3):
        promote(stores.ledger, f"v{number}")
    return stores


def sensors(settings: Settings) -> dict[str, dg.SensorDefinition]:
    return {
        each.name: each for each in build_defs(settings=settings).sensors or () if isinstance(each, dg.SensorDefinition)
    }


def test_there_is_a_sensor_where_somebody_is_to_be_told(tmp_path: Path) -> None:
    assert OUTBOX_SENSOR not in sensors(Settings(home=tmp_path))
    assert OUTBOX_SENSOR in sensors(Settings(home=tmp_path, webhooks=("https://example.com",)))
    assert OUTBOX_SENSOR in sensors(Settings(home=tmp_path, broker="127.0.0.1:9092"))


def test_an_evaluation_tells_what_is_new_and_says_so(stores: Stores, tmp_path: Path) -> None:
    with webhook_receiver() as receiver:
        settings = Settings(home=tmp_path, webhooks=(receiver.url,))
        sensor = sensors(settings)[OUTBOX_SENSOR]
        with dg.DagsterInstance.ephemeral() as instance:
            first = sensor(dg.build_sensor_context(instance))
            assert "ledger: 0 events delivered, up to 3; nothing waits." in str(first)
            promote(stores.ledger, "v4")
            second = sensor(dg.build_sensor_context(instance))
        assert "ledger: 1 event delivered, up to 4; nothing waits." in str(second)
        assert receiver.ids == [stores.ledger.state().head]


def test_who_is_down_is_said_and_others_are_told(stores: Stores, tmp_path: Path) -> None:
    with webhook_receiver() as receiver, kafka_cluster() as cluster:
        settings = Settings(home=tmp_path, broker=cluster, webhooks=(f"http://{silent_address()}/x", receiver.url))
        told_text(settings, stores)
        promote(stores.ledger, "v4")
        said = told_text(settings, stores).splitlines()
        assert [line for line in said if line.startswith("broker, ledger")] == [
            "broker, ledger: 1 event delivered, up to 4; nothing waits."
        ]
        (failing,) = [line for line in said if "there is no connection" in line]
        assert "0 events delivered, up to 3; 1 wait since " in failing
        assert len(receiver.ids) == 1

"""Several processes behind a balancer: restarted one after the other, and killed, while callers ask on."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import httpx
import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.operations.prediction_events import drain_events, event_home
from forecast_assets.settings import Settings
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores
from tests.support.balanced_services import ServiceProcess, balanced
from tests.support.store_cases import ingest, publish, register

CALLERS = 3
BODY = {"use": "what_if", "channel": "champion", "series": [{"store_id": "S", "sku_id": "A"}]}


@dataclass
class Load:
    """Callers who read and predict in turn, one request after the other each.

    Attributes:
        address: Of the balancer.
        key: Of the callers.
        tries: How often a caller asks the same again under the same id.
        events: Event by id of the request, as each was answered.
        failed: What came instead of an answer, after all tries.
        again: Requests that were sent more than once.
    """

    address: str
    key: str
    tries: int = 1
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    _stopped: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [Thread(target=self._ask, args=(f"{time.monotonic_ns()}-{at}",)) for at in range(CALLERS)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for each in self._threads:
            each.join(60)

    def _ask(self, name: str) -> None:
        number = 0
        with httpx.Client(base_url=self.address, timeout=30, headers={"Authorization": f"Bearer {self.key}"}) as client:
            while not self._stopped.is_set():
                number += 1
                self._one(client, f"{name}-{number}")
                # Few requests under way are enough, and leave the machine to the processes.
                time.sleep(0.05)

    def _one(self, client: httpx.Client, request_id: str) -> None:
        wrong = ""
        for time_of_asking in range(self.tries):
            if time_of_asking:
                self.again.append(request_id)
                time.sleep(0.3)
            try:
                read = client.get("/v1/versions")
                told = client.post("/v1/predict", json=BODY, headers={"X-Request-Id": request_id})
            except httpx.TransportError as error:
                wrong = repr(error)
                continue
            if (read.status_code, told.status_code) == (200, 200):
                self.events[request_id] = told.json()["event"]
                return
            wrong = f"{read.status_code} {told.status_code} {told.text[:200]}"
        self.failed.append(wrong)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of yesterday: its published rows answer, since what is made by hand has no model."""
    folder = tmp_path_factory.mktemp("served")
    stores = open_stores(folder / "store")
    ingest(stores)
    register(stores)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    publish(stores, RunKey("daily", yesterday, "stat-1", 7, 0))
    stores.registry.promote("stat-1", by="tests", reason="first")
    return folder


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    keys = ApiKeys(Settings(home=home).operational_path)
    return keys.create("load", "operator", now=datetime.now(UTC), valid_for=None)[1]


@pytest.fixture(scope="module")
def running(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[ServiceProcess], str]]:
    with balanced(home, tmp_path_factory.mktemp("balancer")) as found:
        yield found


def test_each_process_is_restarted_without_a_failed_request(
    running: tuple[list[ServiceProcess], str], key: str
) -> None:
    services, address = running
    with Load(address, key) as load:
        for service in services:
            answered = len(load.events)
            assert service.stop(signal.SIGTERM) == 0
            service.start()
            service.until_ready()
            # The balancer has seen it too before the other one goes.
            time.sleep(1.2)
            assert len(load.events) > answered
    assert load.failed == []
    assert len(load.events) > 20


def test_one_is_killed_under_load_and_what_is_asked_again_is_answered_and_is_one_event(
    running: tuple[list[ServiceProcess], str], home: Path, key: str
) -> None:
    services, address = running
    with Load(address, key, tries=5) as load:
        time.sleep(1.0)
        services[0].stop(signal.SIGKILL)
        time.sleep(3.0)
    assert load.failed == []
    recorded = {name for name, event in load.events.items() if event["status"] == "recorded"}
    assert len(recorded) > 20
    # Every fifth once more, as a caller does who did not get the answer.
    repeated = list(recorded)[::5]
    with httpx.Client(base_url=address, timeout=30, headers={"Authorization": f"Bearer {key}"}) as client:
        for name in repeated:
            told = client.post("/v1/predict", json=BODY, headers={"X-Request-Id": name})
            assert told.json()["event"]["id"] == load.events[name]["id"]
    services[1].stop(signal.SIGTERM)
    settings = Settings(home=home)
    drain_events(settings)
    store = event_home(settings).store
    kept = Counter(event.document["request_id"] for day in store.days() for event in store.of_day(day))
    assert recorded <= set(kept)
    assert set(kept.values()) == {1}

"""Prediction events the whole way, from answers over HTTP to PostgreSQL, while its server is stopped and started."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport

from forecast_assets.core.errors import StorageError
from forecast_assets.operations.prediction_events import event_home
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predictor
from forecast_assets.settings import Settings
from resources.events import draining
from resources.events.postgresql import PostgresqlEvents
from resources.events.record import EventRecord
from resources.events.sinks import StoreSink
from resources.operational.api_keys import ApiKeys
from resources.stores.home import Stores
from tests.support.callers import Client
from tests.support.event_cases import drained, until
from tests.support.mirrors import PostgresqlServer, postgresql_server, require
from tests.support.store_cases import ingest, publish, register, run_key

# Events of long ago would be moved to the archive meanwhile.
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Answering:
    """A service whose answers are rows of a run by hand: no model is asked."""

    plane: DataPlane
    client: Client
    numbers: Iterator[int]

    def predict(self) -> str:
        """Ask, and return the id of the event, of which the answer says that it is recorded."""
        body = {"use": "what_if", "model_version": "stat-1", "series": [{"store_id": "S", "sku_id": "A"}]}
        asked = {"X-Request-Id": f"request-{next(self.numbers)}"}
        found = self.client.request("POST", "/v1/predict", json=body, headers=asked)
        assert found.status_code == 200, found.text
        assert found.json()["event"]["status"] == "recorded"
        return str(found.json()["event"]["id"])

    def degraded(self) -> str:
        return "; ".join(self.client.get("/health/ready").json()["degraded"])

    def drained(self, events: int) -> bool:
        assert self.plane.events is not None
        return self.plane.events.buffer.state().drained == events


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    require(find_spec("psycopg"), "psycopg")
    with postgresql_server(tmp_path_factory.mktemp("server") / "postgresql") as running:
        yield running


@pytest.fixture
def server(one_server: PostgresqlServer) -> PostgresqlServer:
    """A server that runs, whatever a test before left of it, and has no event."""
    if not one_server.is_running:
        one_server.start()
    import psycopg

    with psycopg.connect(one_server.address) as connection:
        connection.execute("DROP TABLE IF EXISTS prediction_events")
    return one_server


@pytest.fixture
def settings(server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(draining, "LONGEST_WAIT_SECONDS", 1.0)
    return Settings(home=tmp_path / "home", event_store=server.address)


@contextmanager
def answering(stores: Stores, settings: Settings) -> Iterator[Answering]:
    keys = ApiKeys(settings.operational_path)
    key = keys.create("ana", "operator", now=NOW, valid_for=timedelta(days=1))[1]
    events = event_home(settings)
    # A disk that is busy with other tests is waited for.
    events.buffer._wait = 20.0
    events.buffer.start()
    plane = DataPlane(stores, lambda: NOW, events)
    plane.predictor = Predictor(plane.stores, deadline_seconds=0.0)
    callers = Callers(keys, lambda: NOW, per_minute={"operator": 10**6})
    transport = ASGITransport(app=create_app(plane, callers), raise_app_exceptions=False)
    try:
        yield Answering(plane, Client(transport, key), count())
    finally:
        plane.close()


@pytest.fixture
def published(stores: Stores) -> Stores:
    ingest(stores)
    register(stores)
    publish(stores, run_key())
    return stores


def stored(server: PostgresqlServer) -> Counter[str]:
    """Return how often each event is in the database."""
    import psycopg

    with psycopg.connect(server.address) as connection:
        found = connection.execute("SELECT event_id::text FROM prediction_events").fetchall()
    return Counter(event_id for (event_id,) in found)


def test_while_the_server_is_stopped_answers_go_on_and_their_events_come_when_it_is_back(
    published: Stores, settings: Settings, server: PostgresqlServer
) -> None:
    with answering(published, settings) as service:
        told = [service.predict() for _ in range(3)]
        until(lambda: service.drained(3), 40)
        assert "prediction events" not in service.degraded()
        server.stop()
        told += [service.predict() for _ in range(5)]
        until(lambda: "prediction events wait for the sink `store`" in service.degraded(), 40)
        assert "postgres:***@" in service.degraded()
        assert service.client.get(f"/v1/explain/{told[0]}").status_code == 503
        told += [service.predict() for _ in range(2)]
        server.start()
        told.append(service.predict())
        until(lambda: service.drained(11), 40)
        assert "prediction events" not in service.degraded()
        assert stored(server) == dict.fromkeys(told, 1)
        found = service.client.get(f"/v1/explain/{told[4]}").json()
        assert (found["event_id"], found["caller"]["name"]) == (told[4], "ana")


def test_a_server_that_stops_in_the_middle_of_a_batch_has_all_of_it_later_and_each_event_once(
    published: Stores, settings: Settings, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = iter([2, 5])
    real = PostgresqlEvents.add

    def stopped_within(store: PostgresqlEvents, records: list[EventRecord]) -> int:
        """Let the server go between two events of one transaction, or when all of it is there and unconfirmed."""
        at = next(stops, None)
        if at is None:
            return real(store, records)

        def some() -> Iterator[EventRecord]:
            for number, record in enumerate(records):
                if number == at:
                    server.stop()
                yield record
            if at >= len(records):
                server.stop()

        return real(store, Once(records, some()))  # type: ignore[arg-type]

    with answering(published, settings) as service:
        with monkeypatch.context() as patch:
            # Nothing is handed over before all are there: they are one batch.
            patch.setattr(PostgresqlEvents, "add", refused)
            told = [service.predict() for _ in range(5)]
        monkeypatch.setattr(PostgresqlEvents, "add", stopped_within)
        for _ in range(2):
            until(lambda: not server.is_running, 40)
            until(lambda: "prediction events wait" in service.degraded(), 40)
            told.append(service.predict())
            server.start()
        until(lambda: service.drained(len(told)), 60)
        assert stored(server) == dict.fromkeys(told, 1)
        assert "prediction events" not in service.degraded()


def test_what_a_service_could_not_hand_over_before_it_ended_the_next_one_does(
    published: Stores, settings: Settings, server: PostgresqlServer
) -> None:
    with answering(published, settings) as service:
        told = [service.predict()]
        until(lambda: service.drained(1), 40)
        server.stop()
        told += [service.predict() for _ in range(4)]
    server.start()
    with answering(published, settings) as service:
        told.append(service.predict())
        until(lambda: stored(server) == dict.fromkeys(told, 1), 40)
    drained(settings.spool_folder, StoreSink(PostgresqlEvents(server.address)))
    assert stored(server) == dict.fromkeys(told, 1)


class Once:
    """A batch whose days are known, and whose events come one after the other."""

    def __init__(self, records: list[EventRecord], some: Iterator[EventRecord]) -> None:
        self._records, self._some, self._has_given_days = records, some, False

    def __iter__(self) -> Iterator[EventRecord]:
        if self._has_given_days:
            return self._some
        self._has_given_days = True
        return iter(self._records)


def refused(*_: Any) -> int:
    raise StorageError("not yet", remedy="wait")

"""What fails below the service, by name, and what callers are told meanwhile."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from httpx import ASGITransport

from forecast_assets.operations.prediction_events import event_home
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.settings import Settings
from resources.events import sqlite
from resources.operational.api_keys import ApiKeys
from resources.stores.home import Stores, open_stores
from tests.support.callers import Client
from tests.support.contracted_service import ContractedService, contracted
from tests.support.event_cases import until
from tests.support.small_home import NOW_OF_SMALL, RUNS, without_model
from tests.support.store_cases import publish, run_key

ASKED = {"use": "what_if", "model_version": "stat-1", "series": [{"store_id": "S", "sku_id": "A"}]}
NEWEST = RUNS[4]
# Numbers of the fifth run.
UNITS = 7.0


@pytest.fixture
def stores(small_home: Path, tmp_path: Path) -> Stores:
    """A home of its own, to be damaged."""
    shutil.copytree(small_home / "store", tmp_path / "store")
    return open_stores(tmp_path / "store")


@pytest.fixture
def service(stores: Stores, tmp_path: Path) -> Iterator[ContractedService]:
    with contracted(without_model(stores), tmp_path / "operational home") as made:
        yield made


def predicted(client: Client, **headers: str) -> dict[str, Any]:
    found = client.request("POST", "/v1/predict", json=ASKED, headers=headers)
    assert found.status_code == 200, found.text
    told: dict[str, Any] = found.json()
    return told


def files_of(stores: Stores, tmp_path: Path, name: str) -> list[Path]:
    """The files of a product of the newest run."""
    version = stores.predictions.version(stores.predictions.publication(NEWEST).products[name])
    return [tmp_path / "store" / each.path for each in version.files]


def compared(client: Client) -> Any:
    row = f"{NEWEST}/A/S/1"
    return client.request(
        "POST", "/v1/compare", json={"first": {"prediction_id": row}, "second": {"prediction_id": row}}
    )


def test_while_the_event_store_is_read_only_answers_are_recorded_and_handed_over_afterwards(
    service: ContractedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = sqlite.operational_store

    @contextmanager
    def read_only(path: Path, table: str) -> Iterator[sqlite3.Connection]:
        with opened(path, table) as database:
            database.execute("PRAGMA query_only = ON")
            yield database

    assert service.plane.events is not None
    client, events = service.client(), service.plane.events
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "operational_store", read_only)
        told = predicted(client)["event"]
        assert told["status"] == "recorded"
        until(lambda: "store" in events.buffer.state().failing)
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert any("readonly database" in words for words in ready.json()["degraded"]), ready.json()
    until(lambda: events.buffer.state().drained == 1, 40)
    assert client.get(f"/v1/explain/{told['id']}").json()["event_id"] == told["id"]


def test_a_snapshot_that_is_gone_is_told_of_comparisons_and_of_nothing_else(
    service: ContractedService, stores: Stores, tmp_path: Path
) -> None:
    assert compared(service.client()).status_code == 200
    forecasts = stores.predictions.version(stores.predictions.publication(NEWEST).products["forecasts"])
    snapshot = stores.predictions.version(forecasts.inputs["feature_snapshots"])
    for each in snapshot.files:
        (tmp_path / "store" / each.path).unlink()
    client = service.client()
    found = compared(client)
    assert (found.status_code, found.json()["code"]) == (500, "changed-file"), found.text
    assert found.json()["remedy"] == "Tell an operator the id of the request."
    assert client.get(f"/v1/explain/{NEWEST}/A/S/1").status_code == 200
    assert predicted(client)["run"]["served_from"] == "last_batch"


def test_published_rows_that_are_cut_are_told_and_a_rule_answers_predictions(
    service: ContractedService, stores: Stores, tmp_path: Path
) -> None:
    for path in files_of(stores, tmp_path, "forecasts"):
        path.write_bytes(path.read_bytes()[:-100])
    client = service.client()
    found = client.get("/v1/forecasts", params={"model_version": "stat-1"})
    assert (found.status_code, found.json()["code"]) == (500, "changed-file"), found.text
    told = predicted(client)
    assert (told["degraded"], told["run"]["served_from"]) == (True, "rules")
    assert "the published rows cannot be read" in told["warnings"][0]
    # Another run is as it was.
    before = client.get("/v1/forecasts", params={"model_version": "stat-1", "prediction_date": "2025-01-01"})
    assert (before.status_code, len(before.json()["rows"])) == (200, 14)


def test_an_artifact_that_is_changed_costs_the_model_and_not_the_answer(stores: Stores, tmp_path: Path) -> None:
    artifact = stores.predictions.version(stores.registry.model_version("stat-1").artifact)
    for each in artifact.files:
        (tmp_path / "store" / each.path).write_bytes(b"something else")
    plane = DataPlane(open_stores(tmp_path / "store"), lambda: NOW_OF_SMALL)
    keys = ApiKeys(tmp_path / "keys.sqlite")
    key = keys.create("ana", "planner", now=NOW_OF_SMALL, valid_for=None)[1]
    client = Client(ASGITransport(app=create_app(plane, Callers(keys, lambda: NOW_OF_SMALL))), key)
    told = predicted(client)
    assert (told["degraded"], told["run"]["served_from"]) == (True, "last_batch")
    assert "the model failed" in told["warnings"][0]
    assert {row["forecast_units"] for row in told["forecasts"]} == {UNITS}


def test_a_clock_that_jumps_moves_ages_and_nothing_else(stores: Stores, tmp_path: Path) -> None:
    moments = [NOW_OF_SMALL]

    def clock() -> datetime:
        return moments[-1]

    events, keys = event_home(Settings(home=tmp_path / "home")), ApiKeys(tmp_path / "keys.sqlite")
    events.buffer.start()
    plane = without_model(stores, events)
    plane.clock = clock
    key = keys.create("ana", "operator", now=NOW_OF_SMALL, valid_for=None)[1]
    client = Client(ASGITransport(app=create_app(plane, Callers(keys, clock))), key)

    def told() -> tuple[Any, ...]:
        page = client.get("/v1/forecasts", params={"model_version": "stat-1"}).json()
        ready, answer = client.get("/health/ready"), predicted(client, **{"X-Request-Id": "visit-1"})
        assert ready.status_code == 200
        assert {row["forecast_units"] for row in page["rows"]} == {UNITS}
        return page["runs"][0]["age_days"], answer["run"]["served_from"], answer["event"]["id"]

    first = told()
    assert first[:2] == (2, "last_batch")
    found = []
    for jump in (timedelta(days=400), timedelta(days=-30), timedelta(days=-4_000), timedelta(0)):
        moments.append(NOW_OF_SMALL + jump)
        found.append(told())
    assert [each[0] for each in found] == [402, -28, -3_998, 2]
    # A number of long ago says nothing of today's shelf; one of a day that is not there yet is published all the same.
    assert [each[1] for each in found] == ["safety", "last_batch", "last_batch", "last_batch"]
    # The same request is one event, whatever the clock says.
    assert {each[2] for each in found} == {first[2]}
    assert events.buffer.flush(20)
    assert sum(events.store.days().values()) == 1
    plane.close()


@dataclass
class ChampionAsker:
    """Asks for the champion's rows, stored and in real time, and holds each answer to one run.

    Attributes:
        app: What answers.
        key: Of a planner.
        units: The number of each run, by its key; known before it is published.
        seen: Runs that answered.
        wrong: What was not of one run, or no answer.
    """

    app: Any
    key: str
    units: dict[str, float]
    seen: set[str] = field(default_factory=set)
    wrong: list[Any] = field(default_factory=list)

    def ask(self) -> tuple[str, str]:
        """Return the version and the run of the stored answer."""
        client = Client(ASGITransport(app=self.app), self.key)
        page = client.get("/v1/forecasts", params={"channel": "champion"}).json()
        (run,) = page["runs"]
        body = {"use": "what_if", "channel": "champion", "series": ASKED["series"]}
        told = client.request("POST", "/v1/predict", json=body).json()
        self._hold(run["run"], page["rows"])
        self._hold(told["run"]["run"], told["forecasts"])
        self.seen.add(run["run"])
        return run["model_version"], run["run"]

    def ask_until(self, stopped: Event) -> None:
        while not stopped.is_set():
            try:
                self.ask()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not happen
                self.wrong.append(error)

    def _hold(self, run: str, rows: list[dict[str, Any]]) -> None:
        ids = {row["prediction_id"].rsplit("/", 3)[0] for row in rows}
        if ids != {run} or {row["forecast_units"] for row in rows} != {self.units[run]}:
            self.wrong.append((run, ids, rows[:1]))


def test_amid_publications_and_rollbacks_every_answer_is_of_one_run_and_none_of_one_that_was_left(
    stores: Stores, tmp_path: Path
) -> None:
    keys = ApiKeys(tmp_path / "keys.sqlite")
    key = keys.create("bi", "planner", now=NOW_OF_SMALL, valid_for=None)[1]
    callers = Callers(keys, lambda: NOW_OF_SMALL, per_minute={"planner": 1_000_000})
    app = create_app(without_model(open_stores(tmp_path / "store")), callers)
    asker = ChampionAsker(app, key, {str(run): float(number) for number, run in enumerate(RUNS, 3)})
    stopped = Event()
    threads = [Thread(target=asker.ask_until, args=(stopped,)) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        for day, version in product((3, 4), ("stat-1", "stat-2")):
            made = run_key(day, version)
            asker.units[str(made)] = 10.0 * day + len(asker.units)
            publish(stores, made, int(asker.units[str(made)]))
            if version == "stat-2":
                stores.registry.promote("stat-2", by="tests", reason="better")
                assert asker.ask() == ("stat-2", str(made))
                stores.registry.rollback(by="tests", reason="not better")
                assert asker.ask() == ("stat-1", str(run_key(day)))
    finally:
        stopped.set()
        for each in threads:
            each.join(60)
    assert asker.wrong == []
    assert len(asker.seen) >= 4

"""Prediction events over HTTP: what an answer says of its event, and who reads it later."""

import errno
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import ASGITransport

from forecast_assets.core.errors import StorageError
from forecast_assets.operations.prediction_events import event_home
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.answered import value_at
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from forecast_assets.settings import Settings
from resources.events.home import EventHome
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW
from tests.support.callers import Client
from tests.support.event_cases import until

STAT = VersionAsked("stat-1")
DAY = NOW.date() + timedelta(days=2)


@dataclass(frozen=True)
class Service:
    """A service that records, and callers of each role."""

    plane: DataPlane
    events: EventHome
    client: Callable[[str], Client]
    series: tuple[str, str]

    def body(self, **more: Any) -> dict[str, Any]:
        named = {"store_id": self.series[0], "sku_id": self.series[1], **more}
        return {"use": "what_if", "model_version": "stat-1", "series": [named]}

    def predict(self, client: Client, *, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        found = client.request("POST", "/v1/predict", json=self.body(**more), headers=headers or {})
        assert found.status_code == 200, found.text
        told: dict[str, Any] = found.json()
        return told


@pytest.fixture
def service(plane: DataPlane, tmp_path: Path) -> Iterator[Service]:
    plane.predictor.prepare(STAT)
    events, keys = event_home(Settings(home=tmp_path)), ApiKeys(tmp_path / "keys.sqlite")
    # A disk that is busy with other tests is waited for.
    events.buffer._wait = 20.0
    events.buffer.start()
    recording = DataPlane(plane.stores, lambda: NOW, events)
    recording.predictor = plane.predictor
    transport = ASGITransport(app=create_app(recording, Callers(keys, lambda: NOW)), raise_app_exceptions=False)

    def client(role: str) -> Client:
        return Client(transport, keys.create(f"a {role}", role, now=NOW, valid_for=timedelta(days=1))[1])

    row = plane.stored(StoredQuestion("forecasts", STAT, first_step=3, last_step=3)).rows
    row = row.sort("forecast_units", descending=True)
    yield Service(recording, events, client, (row["store_id"][0], row["sku_id"][0]))
    recording.close()


@pytest.fixture
def planner(service: Service) -> Client:
    return service.client("planner")


def steps_of(event: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in event["steps"]}


def explained(client: Client, told: dict[str, Any]) -> dict[str, Any]:
    found = client.get(f"/v1/explain/{told['event']['id']}")
    assert found.status_code == 200, found.text
    event: dict[str, Any] = found.json()
    return event


def test_an_answer_is_recorded_and_its_event_says_how_it_came_about(service: Service, planner: Client) -> None:
    changes = {"price_ratios": {str(DAY): 0.5}, "promotions": {str(DAY): True}, "on_hand_units": 3}
    told = service.predict(planner, headers={"X-Request-Id": "r-1"}, **changes)
    assert told["event"]["status"] == "recorded"
    event = explained(planner, told)
    assert event["caller"]["name"] == "a planner"
    assert (event["request_id"], event["use"], event["is_degraded"]) == ("r-1", "what_if", False)
    assert event["input"] == service.body(**changes)
    assert event["run"] == told["run"]
    assert event["series"] == [list(service.series)]
    assert len(event["days"]) == 28
    steps = steps_of(event)
    assert list(steps) == ["features", "base", "adjustment", "risk", "explanation"]
    assert sum(step["milliseconds"] for step in steps.values()) <= event["milliseconds"]
    assert all(step["milliseconds"] > 0 and step["formula"] for step in steps.values())
    assert value_at(steps["base"]["inputs"]["price_ratio"], event["days"].index(str(DAY))) == 0.5
    assert value_at(steps["risk"]["inputs"]["on_hand_units"], 0) == 3


def test_every_formula_of_an_event_gives_the_numbers_that_stand_beside_it(service: Service, planner: Client) -> None:
    told = service.predict(planner, price_ratios={str(DAY): 0.5}, promotions={str(DAY): True})
    event = explained(planner, told)
    steps = steps_of(event)

    def column(step: str, part: str, name: str) -> list[Any]:
        return [value_at(steps[step][part].get(name), row) for row in range(28)]

    def parts(step: str) -> list[float]:
        names = steps[step]["decomposition"]
        return [sum(value_at(values, row) or 0.0 for values in names.values()) for row in range(28)]

    base, forecast = column("base", "outputs", "base_units"), column("adjustment", "outputs", "forecast_units")
    assert sum(base) > 0
    assert parts("base") == pytest.approx(base, abs=1e-6)
    logs = column("base", "outputs", "log_units")
    assert [math.exp(each) for each in logs if each is not None] == pytest.approx(
        [one for one in base if one], rel=1e-6
    )
    assert [one + part for one, part in zip(base, parts("adjustment"), strict=True)] == pytest.approx(
        forecast, abs=1e-6
    )
    was, became = (column("adjustment", "inputs", f"published_{name}_units") for name in ("base", "reconciled"))
    growth = sum(base) / sum(was)
    carried = [max(one + growth * (to - of), 0) if one else 0 for one, of, to in zip(base, was, became, strict=True)]
    assert carried == pytest.approx(forecast, abs=2e-6)
    assert parts("risk") == pytest.approx(column("risk", "outputs", "stockout_probability"), abs=1e-6)
    sales = column("explanation", "outputs", "expected_sales_units")
    assert [one + part for one, part in zip(forecast, parts("explanation"), strict=True)] == pytest.approx(
        sales, abs=1e-6
    )
    # And they are those of the answer.
    assert forecast == [row["forecast_units"] for row in told["forecasts"]]
    assert column("risk", "outputs", "risk_band") == [row["risk_band"] for row in told["risks"]]
    assert column("explanation", "outputs", "forecast_reason") == [
        row["forecast_reason"] for row in told["explanations"]
    ]
    assert [value_at(event["bounds"]["q950_units"], row) for row in range(28)] == [
        row["q950_units"] for row in told["forecasts"]
    ]
    scores = [row["out_of_distribution_score"] for row in told["forecasts"]]
    assert event["out_of_distribution_score"] == max(scores)


def test_the_same_request_of_the_same_caller_is_one_event(service: Service, planner: Client) -> None:
    first, again = (service.predict(planner, headers={"X-Request-Id": "r-1"})["event"] for _ in range(2))
    assert first == again
    assert UUID(first["id"]).version == 5
    another = service.predict(service.client("planner"), headers={"X-Request-Id": "r-1"})["event"]
    other_question = service.predict(planner, headers={"X-Request-Id": "r-1"}, on_hand_units=1)["event"]
    unnamed = [service.predict(planner)["event"] for _ in range(2)]
    ids = {each["id"] for each in (first, another, other_question, *unnamed)}
    assert len(ids) == 5
    assert service.events.buffer.flush(20)
    assert service.events.store.days() == {NOW.date(): 5}


def test_an_event_is_its_callers_and_supports(service: Service, planner: Client) -> None:
    told = service.predict(planner)
    for client, status in ((planner, 200), (service.client("support"), 200), (service.client("reader"), 403)):
        found = client.get(f"/v1/explain/{told['event']['id']}")
        assert found.status_code == status
    assert "another caller's" in found.json()["detail"]
    missing = planner.get(f"/v1/explain/{uuid4()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-published")
    # What is no event's id is a published row's, as before.
    row = planner.get("/v1/forecasts", params={"model_version": "stat-1", "limit": 1}).json()["rows"][0]
    assert planner.get(f"/v1/explain/{row['prediction_id']}").json()["forecast"]


def test_support_looks_events_up_by_caller_series_and_time_page_by_page(service: Service, planner: Client) -> None:
    ids = [service.predict(planner)["event"]["id"] for _ in range(3)]
    ids.append(service.predict(service.client("operator"))["event"]["id"])
    assert service.events.buffer.flush(20)
    support = service.client("support")
    store, sku = service.series
    found = support.get("/v1/events", params={"store_id": store, "sku_id": sku, "since": "2025-07-01T00:00:00Z"}).json()
    assert sorted(each["event_id"] for each in found["events"]) == sorted(ids)
    assert found["next_page"] is None
    assert "steps" not in found["events"][0]
    pages, asked = list[str](), {"caller": "a planner", "limit": "2"}
    while True:
        page = support.get("/v1/events", params=asked).json()
        pages += [each["event_id"] for each in page["events"]]
        if page["next_page"] is None:
            break
        asked["page"] = page["next_page"]
    assert sorted(pages) == sorted(ids[:3])
    assert support.get("/v1/events", params={"until": "2025-07-01T00:00:00Z"}).json()["events"] == []


@pytest.mark.parametrize(
    "asked",
    [
        {"store_id": "S-01"},
        {"limit": "201"},
        {"since": "yesterday"},
        {"since": "2025-07-01T00:00:00"},
        {"page": "x"},
        {"page": "WyIyMDI1LTA3LTAxIiwieCJd"},
        {"surprise": "1"},
    ],
)
def test_what_cannot_be_asked_of_events_is_refused(service: Service, asked: dict[str, str]) -> None:
    found = service.client("support").get("/v1/events", params=asked)
    assert (found.status_code, found.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(("role", "status"), [("reader", 403), ("planner", 403), ("support", 200), ("operator", 200)])
def test_only_support_and_operators_look_events_up(service: Service, role: str, status: int) -> None:
    assert service.client(role).get("/v1/events").status_code == status


def test_history_tells_a_caller_its_own_answers_and_support_everybodys(service: Service, planner: Client) -> None:
    told = service.predict(planner, price_ratios={str(DAY): 0.5}, promotions={str(DAY): True})
    other = service.client("planner")
    service.predict(other)
    assert service.events.buffer.flush(20)
    store, sku = service.series
    asked = {"store_id": store, "sku_id": sku, "target_date": str(DAY)}
    (own,) = planner.get("/v1/history", params=asked).json()["events"]
    assert own["event_id"] == told["event"]["id"]
    (row,) = [each for each in told["forecasts"] if each["target_date"] == str(DAY)]
    assert (own["step"], own["forecast_units"]) == (row["step"], row["forecast_units"])
    assert len(service.client("support").get("/v1/history", params=asked).json()["events"]) == 2
    assert service.client("reader").get("/v1/history", params=asked).json()["events"] == []


def test_an_event_of_several_series_has_them_one_after_the_other(planner: Client) -> None:
    rows = planner.get("/v1/forecasts", params={"model_version": "stat-1", "first_step": 1, "last_step": 1}).json()[
        "rows"
    ]
    series = [{"store_id": row["store_id"], "sku_id": row["sku_id"]} for row in reversed(rows)]
    body = {"use": "what_if", "model_version": "stat-1", "series": series}
    told = planner.request("POST", "/v1/predict", json=body).json()
    event = explained(planner, told)
    assert [tuple(each) for each in event["series"]] == sorted((one["store_id"], one["sku_id"]) for one in series)
    assert steps_of(event)["adjustment"]["outputs"]["forecast_units"] == [
        row["forecast_units"] for row in told["forecasts"]
    ]
    assert len(steps_of(event)["features"]["outputs"]["sales_mean_28d_units"]) == len(series)
    for row in told["forecasts"][5 :: 28 * 7]:
        asked = {name: row[name] for name in ("store_id", "sku_id", "target_date")}
        (own,) = planner.get("/v1/history", params=asked).json()["events"]
        assert own["forecast_units"] == row["forecast_units"]


def test_a_full_disk_costs_the_event_and_not_the_answer(
    service: Service, planner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("resources.events.spool.os.write", full)
    told = service.predict(planner)
    assert told["event"]["status"] == "dropped"
    assert len(told["forecasts"]) == 28
    health = planner.get("/health/ready").json()
    assert health["is_ready"]
    assert health["events"]["dropped"] == {"the spool cannot be written (No space left on device)": 1}
    assert "1 prediction events were dropped since the service began" in health["degraded"]


def test_a_defect_of_an_event_costs_the_event_and_not_the_answer(
    service: Service, planner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("forecast_assets.serving.dataplane.plane.event_document", broken)
    assert service.predict(planner)["event"]["status"] == "dropped"
    assert service.plane.readiness().events["dropped"] == {"no event could be made (ZeroDivisionError)": 1}  # type: ignore[index]


def test_while_the_store_is_down_answers_are_recorded_and_health_says_that_they_wait(
    service: Service, planner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StorageError("no answer", remedy="wait")

    with monkeypatch.context() as patch:
        for name in ("add", "find", "select"):
            patch.setattr(type(service.events.store), name, down)
        told = service.predict(planner)
        assert told["event"]["status"] == "recorded"
        until(lambda: "store" in service.events.buffer.state().failing)
        assert (
            "prediction events wait for the sink `store`: no answer" in planner.get("/health/ready").json()["degraded"]
        )
        assert planner.get(f"/v1/explain/{told['event']['id']}").status_code == 503
        store, sku = service.series
        asked = {"store_id": store, "sku_id": sku, "target_date": str(DAY)}
        history = planner.get("/v1/history", params=asked).json()
        assert (len(history["rows"]), history["events"]) == (1, [])
        assert "What was told in real time is not known now" in history["warnings"][0]
    until(lambda: service.events.buffer.state().drained == 1, 40)
    assert explained(planner, told)["event_id"] == told["event"]["id"]


def test_an_answer_by_published_rows_is_recorded_as_such(service: Service, planner: Client) -> None:
    slow = type(service.plane.predictor)(service.plane.stores, deadline_seconds=0.0)
    service.plane.predictor, was = slow, service.plane.predictor
    told = service.predict(planner, on_hand_units=0)
    service.plane.predictor = was
    assert told["degraded"]
    event = explained(planner, told)
    assert (event["is_degraded"], event["run"]["served_from"]) == (True, "last_batch")
    assert "NOT in these numbers" in event["warnings"][1]
    (step,) = event["steps"]
    assert step["name"] == "stored"
    units = [value_at(step["outputs"]["forecast_units"], row) for row in range(28)]
    assert units == [row["forecast_units"] for row in told["forecasts"]]


def test_a_service_that_records_nothing_says_so(plane: DataPlane, keys: ApiKeys, service: Service) -> None:
    key = keys.create("planner", "planner", now=NOW, valid_for=timedelta(days=1))[1]
    app = create_app(plane, Callers(keys, lambda: NOW))
    client = Client(ASGITransport(app=app, raise_app_exceptions=False), key)
    told = replace(service, plane=plane).predict(client)
    assert told["event"]["status"] == "dropped"
    assert client.get(f"/v1/explain/{told['event']['id']}").status_code == 404

"""What if over HTTP: rights, bounds, and the answer's own words."""

from datetime import timedelta

import pytest
from httpx import ASGITransport

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import VersionAsked
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW
from tests.support.callers import Client


@pytest.fixture
def planner(plane: DataPlane, keys: ApiKeys) -> Client:
    plane.predictor.prepare(VersionAsked("stat-1"))
    key = keys.create("planner", "planner", now=NOW, valid_for=timedelta(days=1))[1]
    return Client(ASGITransport(app=create_app(plane, Callers(keys, lambda: NOW)), raise_app_exceptions=False), key)


def body(client: Client, **more: object) -> dict[str, object]:
    row = client.get("/v1/forecasts", params={"model_version": "stat-1", "limit": 1}).json()["rows"][0]
    series = {"store_id": row["store_id"], "sku_id": row["sku_id"], **more}
    return {"use": "what_if", "model_version": "stat-1", "series": [series]}


def test_an_answer_says_what_answered_and_of_what(planner: Client) -> None:
    found = planner.request("POST", "/v1/predict", json=body(planner))
    assert found.status_code == 200
    told = found.json()
    assert (told["run"]["served_from"], told["degraded"], told["warnings"]) == ("model", False, [])
    assert len(told["forecasts"]) == len(told["risks"]) == len(told["explanations"]) == 28


def test_a_reader_may_not_predict(client: Client) -> None:
    found = client.request("POST", "/v1/predict", json=body(client))
    assert (found.status_code, found.json()["code"]) == (403, "not-allowed")
    assert "planner" in found.json()["remedy"]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"use": "resale"}, 403),
        ({"series": []}, 422),
        ({"series": [{"store_id": "S"}]}, 422),
        ({"model_version": None}, 422),
        ({"surprise": 1}, 422),
    ],
)
def test_what_cannot_be_asked_is_refused(planner: Client, wrong: dict[str, object], status: int) -> None:
    found = planner.request("POST", "/v1/predict", json={**body(planner), **wrong})
    assert found.status_code == status
    assert found.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("change", [{"on_hand_units": -1}, {"price_ratios": {"2020-01-01": 1.0}}, {"sales": {"x": 1}}])
def test_inputs_that_cannot_be_are_refused(planner: Client, change: dict[str, object]) -> None:
    found = planner.request("POST", "/v1/predict", json=body(planner, **change))
    assert found.status_code == 422

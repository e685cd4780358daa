"""Comparing over HTTP: rights, bounds, and numbers that add up."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from httpx import ASGITransport

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.queries import CompareBody
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW
from tests.support.callers import Client
from tests.support.command import caller
from tests.support.compared_runs import FIRST, SECOND, ComparedRuns

ROUTE = "/v1/compare"


@pytest.fixture(scope="module")
def other_plane(compared: ComparedRuns) -> DataPlane:
    made = DataPlane(compared.runner.stores, lambda: NOW)
    made.comparer.prepare(FIRST, SECOND)
    made.features.warm(SECOND)
    return made


@pytest.fixture
def support(other_plane: DataPlane, keys: ApiKeys) -> Client:
    key = keys.create("desk", "support", now=NOW, valid_for=timedelta(days=1))[1]
    app = create_app(other_plane, Callers(keys, lambda: NOW))
    return Client(ASGITransport(app=app, raise_app_exceptions=False), key)


def body(compared: ComparedRuns) -> dict[str, dict[str, object]]:
    (store, sku), day = compared.withdrawn, compared.day
    ids = [f"{run}/{sku}/{store}/{(day - run.prediction_date).days}" for run in (FIRST, SECOND)]
    return {"first": {"prediction_id": ids[0]}, "second": {"prediction_id": ids[1]}}


def test_an_answer_has_causes_that_add_up_and_says_what_it_is_of(support: Client, compared: ComparedRuns) -> None:
    found = support.request("POST", ROUTE, json=body(compared))
    assert found.status_code == 200, found.text
    told = found.json()
    assert (told["degraded"], told["warnings"]) == (False, [])
    assert [run["run"] for run in told["runs"]] == [str(FIRST), str(SECOND)]
    for figure in told["figures"].values():
        causes = sum((Decimal(repr(units)) for units in figure["causes"].values()), Decimal(0))
        assert causes == Decimal(repr(figure["after"])) - Decimal(repr(figure["before"]))
    assert "promotion ended" in told["words"]
    assert {"parts", "inputs", "features", "outputs", "versions"} <= told.keys()


def test_other_inputs_are_taken_like_those_of_predictions(support: Client, compared: ComparedRuns) -> None:
    asked = body(compared)
    asked["first"] = {**asked["second"], "inputs": {"promotions": {str(compared.day): True}}}
    found = support.request("POST", ROUTE, json=asked)
    assert found.status_code == 200
    assert found.json()["runs"][0]["served_from"] == "model"


def test_the_command_of_support_says_the_same(
    other_plane: DataPlane, compared: ComparedRuns, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("forecast_assets.cli.support._plane", lambda: other_plane)
    asked = [each["prediction_id"] for each in body(compared).values()]
    code, said = caller(monkeypatch, capsys)("support", "compare", *asked)
    assert code == 0, said
    assert "promotion ended" in said
    for title in ("By cause", "What each cause moved", "Inputs that differ", "Published columns that differ"):
        assert title in said
    told = other_plane.compare(CompareBody.model_validate(body(compared)).question())
    for cause, units in told.figures["forecast_units"].causes.iter_rows():
        assert re.search(rf"^{cause} +{re.escape(f'{float(units):,.3f}')}", said, re.MULTILINE), cause


def test_a_reader_may_not_compare(client: Client, compared: ComparedRuns) -> None:
    found = client.request("POST", ROUTE, json=body(compared))
    assert (found.status_code, found.json()["code"]) == (403, "not-allowed")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"first": {}}, 422),
        ({"second": {"prediction_id": "nonsense"}}, 422),
        ({"second": {"prediction_id": "daily/2025-06-30/stat-9/28/r0/A/B/1"}}, 422),
        ({"surprise": 1}, 422),
        ({"first": {"prediction_id": "x", "inputs": {"on_hand_units": -1}}}, 422),
    ],
)
def test_what_cannot_be_compared_is_refused(
    support: Client, compared: ComparedRuns, wrong: dict[str, object], status: int
) -> None:
    found = support.request("POST", ROUTE, json={**body(compared), **wrong})
    assert found.status_code == status
    assert found.headers["content-type"] == "application/problem+json"


def test_the_document_of_routes_has_an_example(support: Client) -> None:
    schemas = support.get("/openapi.json").json()["components"]["schemas"]
    assert "prediction_id" in schemas["CompareBody"]["examples"][0]["first"]

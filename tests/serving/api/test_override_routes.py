"""Overrides over the API: previewed, recorded once, decided by a second person; and what is wrong as a problem."""

from datetime import timedelta
from typing import Any

import pytest

from forecast_assets.core.overrides import Override, Scope
from forecast_assets.operations.overrides import PlannedRun, newest_run, overrides_of, preview_overrides
from forecast_assets.serving.api.answers import OverridesAnswer, OverridesRecordedAnswer
from tests.support.callers import Client
from tests.support.planning_cases import Planning
from tests.support.retailers import KEY


def day(at: int) -> str:
    return str(KEY.prediction_date + timedelta(days=at))


def said(at: int = 2, **other: Any) -> dict[str, Any]:
    return {"first_date": day(at), "form": "percent", "value": "20", "reason": "event", **other}


def post(client: Client, path: str = "", headers: dict[str, str] | None = None, **body: Any) -> Any:
    return client.request("POST", f"/v1/overrides{path}", json=body, headers=headers or {})


@pytest.fixture(scope="module")
def ana(planning: Planning) -> Client:
    return planning.as_planner()


@pytest.fixture(scope="module")
def ben(planning: Planning) -> Client:
    return planning.as_planner("ben")


def sequence(planning: Planning) -> int:
    return planning.desk.stores.ledger.state().sequence


def test_a_dry_run_says_what_the_use_case_says_and_records_nothing(planning: Planning, ana: Client) -> None:
    before = sequence(planning)
    found = post(ana, overrides=[said(last_date=day(4))], dry_run=True)
    assert found.status_code == 200, found.text
    told = OverridesRecordedAnswer.model_validate(found.json())
    stores = planning.desk.stores
    first = KEY.prediction_date + timedelta(days=2)
    override = Override(Scope.of(), first, first + timedelta(days=2), "percent", "20", "event")
    expected = preview_overrides(stores, PlannedRun.of(stores, newest_run(stores)), [override])
    assert (told.run, told.seen, told.is_recorded, told.ids) == (str(KEY), before, False, [])
    assert told.effects[0].after_units == expected.effects[0].after_units
    assert told.effects[0].after_units == pytest.approx(told.effects[0].before_units * 1.2)
    assert len(told.levels) == expected.levels.height
    assert sequence(planning) == before


def test_one_is_recorded_listed_and_approved_by_a_second_person(ana: Client, ben: Client) -> None:
    note = "=1+1; <b>'; DROP TABLE x"
    done = post(ana, overrides=[said(5, note=note)], needs_approval=True).json()
    assert (done["status"], done["is_recorded"]) == ("pending", True)
    (name,) = done["ids"]
    (listed,) = ana.get("/v1/overrides?status=pending").json()["overrides"]
    assert (listed["id"], listed["note"], listed["by"]) == (name, note, "ana")
    own = post(ana, f"/{name}/approve", reason="mine")
    assert own.status_code == 422
    assert "ana cannot approve" in own.json()["detail"]
    approved = post(ben, f"/{name}/approve", reason="seen")
    assert approved.status_code == 200
    (now,) = OverridesAnswer.model_validate(approved.json()).overrides
    assert (now.status, now.decided_by, now.decided_reason) == ("approved", "ben", "seen")
    assert post(ben, f"/{name}/reject", reason="no").status_code == 422
    assert post(ana, f"/{name}/withdraw", reason="rain").json()["overrides"][0]["status"] == "withdrawn"
    assert ana.get("/v1/overrides?by=nobody").json() == {"overrides": []}


def test_the_same_request_again_records_nothing_again(planning: Planning, ana: Client, ben: Client) -> None:
    headers = {"X-Request-Id": "override-7"}
    first = post(ana, headers=headers, overrides=[said(7)]).json()
    before = sequence(planning)
    again = post(ana, headers=headers, overrides=[said(7)]).json()
    OverridesRecordedAnswer.model_validate(again)
    assert (again["ids"], again["is_repeated"], first["is_repeated"]) == (first["ids"], True, False)
    other = post(ana, headers=headers, overrides=[said(8)])
    assert other.status_code == 422
    assert "recorded other overrides already" in other.json()["detail"]
    assert sequence(planning) == before
    assert post(ben, headers=headers, overrides=[said(9)]).json()["is_repeated"] is False


def test_an_unusual_one_has_to_be_confirmed(planning: Planning, ana: Client) -> None:
    big = said(11, value="900")
    assert post(ana, overrides=[big], dry_run=True).json()["effects"][0]["is_unusual"] is True
    before = sequence(planning)
    refused = post(ana, overrides=[big])
    assert (refused.status_code, refused.json()["facts"]["confirm"]) == (422, True)
    assert sequence(planning) == before
    assert post(ana, overrides=[big], confirm=True).json()["is_recorded"] is True


def test_of_two_at_once_the_second_is_told(ana: Client, ben: Client) -> None:
    seen = post(ben, overrides=[said(13)], dry_run=True).json()["seen"]
    assert post(ana, overrides=[said(13)], seen=seen).status_code == 200
    lost = post(ben, overrides=[said(13, value="5")], seen=seen)
    assert lost.status_code == 409
    assert "ana has overridden the same meanwhile" in lost.json()["detail"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "at least 1 item"),
        ([said(sku="NONE")], "There is no sku `NONE`"),
        ([said(product="dairy")], "names no node"),
        ([said(-20)], "is past"),
        ([said(reason="<script>")], "is no reason"),
        ([said(value="NaN")], "is no value"),
        ([said(form="double")], "is no form"),
        ([said(note="x" * 501)], "at most 500"),
        ([said(note="a\u0000b")], "cannot be printed"),
        ([said(surprise=1)], "surprise"),
        ([{**said(), "first_date": 20250703}], "write it as"),
        ([said(), said(sku="NONE"), said(value="")], "2 of 3 overrides are wrong"),
    ],
)
def test_what_is_wrong_is_a_problem_and_nothing_is_recorded(
    planning: Planning, ana: Client, overrides: list[dict[str, Any]], words: str
) -> None:
    before = sequence(planning)
    for is_dry in (True, False):
        found = post(ana, overrides=overrides, dry_run=is_dry)
        assert found.status_code == 422
        assert found.headers["content-type"] == "application/problem+json"
        assert words in found.json()["detail"]
    assert sequence(planning) == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/o999-1/approve", {"reason": "x"}, 422),
        ("/o1-1/approve", {"reason": ""}, 422),
        ("/o1-1/approve", {}, 422),
        ("/o1-1/undo", {"reason": "x"}, 404),
        ("/%3Cb%3E/reject", {"reason": "x"}, 422),
    ],
)
def test_a_decision_about_nothing_is_a_problem(ana: Client, path: str, body: dict[str, str], status: int) -> None:
    assert post(ana, path, **body).status_code == status


@pytest.mark.parametrize("role", ["reader", "support"])
def test_others_than_planners_and_operators_only_look(planning: Planning, role: str) -> None:
    client = planning.as_planner("rita", role)
    assert client.get("/v1/overrides").status_code == 200
    before = len(overrides_of(planning.desk.stores.ledger))
    assert post(client, overrides=[said()], dry_run=True).status_code == 403
    assert post(client, "/o1-1/approve", reason="x").status_code == 403
    assert len(overrides_of(planning.desk.stores.ledger)) == before


def test_an_operator_may_override(planning: Planning) -> None:
    assert post(planning.as_planner("olga", "operator"), overrides=[said(15)]).status_code == 200


def test_an_address_with_two_methods_names_both(ana: Client) -> None:
    found = ana.request("DELETE", "/v1/overrides")
    assert found.status_code == 405
    assert found.headers["allow"] == "GET, POST"


def test_pages_and_routes_tell_of_the_same_overrides(planning: Planning, ana: Client) -> None:
    ids = {each["id"] for each in ana.get("/v1/overrides").json()["overrides"]}
    text = ana.get("/plan/overrides").text
    assert ids
    assert all(name in text for name in ids)
    assert planning.desk.behind() == (KEY, True)


def test_the_entry_names_its_request_only_where_the_caller_gave_one(planning: Planning, ana: Client) -> None:
    entries = planning.desk.stores.ledger.entries
    post(ana, headers={"X-Request-Id": "override-21"}, overrides=[said(21)])
    assert entries()[-1].body["request"].endswith("/override-21")
    post(ana, overrides=[said(22)])
    assert "request" not in entries()[-1].body

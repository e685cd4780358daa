"""All doors answer the same question with the same answer, or refuse it with the same words.

A sample is asked in every run of the tests, all thousand in `make torture`.
"""

from collections import Counter
from typing import Any

import grpc
import pytest
from httpx import ASGITransport

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW as NOW_OF_PUBLISHED
from tests.support.callers import Client, asked_over_http
from tests.support.retailers import KEY
from tests.support.rpc_calls import RpcCaller, refused, serving
from tests.support.same_questions import (
    METHODS,
    STATUSES,
    Known,
    Question,
    differences,
    message_of,
    plain_problem,
    plain_reply,
    questions,
)
from tests.support.small_home import NOW_OF_SMALL, RUNS
from tests.torture.sizes import size

ASKED = size(200, 1_000)
_OF_EVENTS = {"predict": ["event"], "history": ["events", "warnings"]}
SMALL = Known(RUNS, [("S", "A"), ("S", "B")])


def compared(client: Client, caller: RpcCaller, question: Question) -> tuple[str, list[str]]:
    """Return how a question ended, and where the doors differ."""
    answer = asked_over_http(client, question)
    method, _ = METHODS[question.kind]
    try:
        reply = caller.call(method, message_of(question))
    except grpc.RpcError as error:
        found = refused(error)
        assert answer.status_code >= 400, (question, found)
        assert found.code.name == STATUSES[answer.status_code], (question, found)
        assert found.problem["is_shortened"] is False
        told: Any = plain_problem(answer.json())
        return told["code"], differences(told, plain_problem(found.problem))
    assert answer.status_code == 200, (question, answer.text)
    # What callers were told in real time is beside the answer: an event's id differs in every request.
    told = {name: value for name, value in answer.json().items() if name not in _OF_EVENTS.get(question.kind, ())}
    return "answered", differences(told, plain_reply(reply))


def test_the_same_thousand_questions_have_the_same_answer_at_every_door(
    small: DataPlane, callers: Callers, own_keys: ApiKeys, caller: RpcCaller
) -> None:
    caller.key = own_keys.create("all", "support", now=NOW_OF_SMALL, valid_for=None)[1]
    client = Client(ASGITransport(app=create_app(small, callers)), caller.key)
    ended: Counter[tuple[str, str]] = Counter()
    for question in questions(SMALL, ASKED, seed=40, kinds=list(METHODS)):
        how, found = compared(client, caller, question)
        assert not found, (question, found[:5])
        ended[question.kind, how] += 1
    # Every kind was answered, often, and every way to be refused was met.
    assert all(ended[kind, "answered"] > ASKED / 50 for kind in METHODS)
    met = {how for _, how in ended}
    assert {"input", "unknown-version", "not-published", "malformed-request", "not-allowed"} <= met


def test_what_a_model_answers_is_the_same_at_every_door(plane: DataPlane, own_keys: ApiKeys) -> None:
    plane.predictor.prepare(VersionAsked("stat-1"))
    rows = plane.stored(StoredQuestion("forecasts", VersionAsked("stat-1"), first_step=1, last_step=1)).rows
    known = Known([KEY], [*rows.select("store_id", "sku_id").iter_rows()])
    callers = Callers(own_keys, lambda: NOW_OF_PUBLISHED)
    key = own_keys.create("model", "planner", now=NOW_OF_PUBLISHED, valid_for=None)[1]
    client = Client(ASGITransport(app=create_app(plane, callers)), key)
    with serving(plane, callers, key) as caller:
        ended = [compared(client, caller, each) for each in questions(known, 25, seed=41, kinds=["predict"])]
    assert [found for _, found in ended if found] == []
    assert sum(how == "answered" for how, _ in ended) >= 5


@pytest.mark.parametrize(
    ("http", "rpc"),
    [
        ({"units": 1.25}, {"units": "1.250001"}),
        ({"rows": [1]}, {"rows": []}),
        ({"units": None}, {"units": "0"}),
        ({"is_live": True}, {"is_live": False}),
        ({"is_live": True}, {"is_live": 1}),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}),
        ({}, {"b": "y"}),
    ],
)
def test_answers_that_differ_are_seen_to(http: Any, rpc: Any) -> None:
    assert differences(http, rpc)


def test_a_decimal_in_text_is_its_number_and_null_is_what_is_not_there() -> None:
    assert (
        differences({"units": 1.25, "channel": None, "rows": [{"n": 3}]}, {"units": "1.250000", "rows": [{"n": 3}]})
        == []
    )

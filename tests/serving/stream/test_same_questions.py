"""A topic answers what HTTP answers: the same bytes, or the same words of refusal.

A sample is asked in every run of the tests, all thousand in `make torture`. The same thousand are asked over gRPC and
HTTP in `tests/serving/rpc/test_same_questions.py`.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from httpx import ASGITransport

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.questions import StoredQuestion, VersionAsked
from forecast_assets.serving.stream.answering import Answering
from resources.broker.memory import MemoryBroker
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW as NOW_OF_PUBLISHED
from tests.support.callers import Client, asked_over_http
from tests.support.retailers import KEY
from tests.support.same_questions import METHODS, Known, Question, plain_problem, questions
from tests.support.small_home import RUNS
from tests.support.stream_calls import StreamCaller, answering_on, read_body, running
from tests.torture.sizes import size

ASKED = size(200, 1_000)
SMALL = Known(RUNS, [("S", "A"), ("S", "B")])


def compared(client: Client, caller: StreamCaller, asked: list[Question], answering: Answering) -> Counter[Any]:
    """Ask all of them on the topic, each over HTTP too, and return how they ended by kind."""
    caller.send(*(caller.message(each.kind, dict(each.arguments), f"q-{at}") for at, each in enumerate(asked)))
    with running(answering):
        found = {each.headers["x-request-id"]: each for each in caller.wait(len(asked), seconds=240)}
    ended: Counter[Any] = Counter()
    for at, question in enumerate(asked):
        http, ours = asked_over_http(client, question), found[f"q-{at}"]
        assert ours.headers["status"] == str(http.status_code), (question, ours, http.text)
        if http.status_code >= 400:
            told = read_body(ours)
            assert plain_problem(told) == plain_problem(http.json()), question
            assert told["request_id"] == f"q-{at}"
            ended[question.kind, told["code"]] += 1
            continue
        ended[question.kind, "answered"] += 1
        if question.kind != "predict":
            assert ours.value == http.content, question
            continue
        # The event of each request has an id of its own.
        assert {**read_body(ours), "event": 0} == {**http.json(), "event": 0}, question
    return ended


def test_the_same_thousand_questions_have_the_same_answer_on_a_topic(
    small: DataPlane, callers: Callers, support_key: str, tmp_path: Path
) -> None:
    caller = StreamCaller(MemoryBroker(), support_key)
    client = Client(ASGITransport(app=create_app(small, callers)), support_key)
    asked = [*questions(SMALL, ASKED, seed=40, kinds=list(METHODS))]
    path = tmp_path / "s.sqlite"
    ended = compared(client, caller, asked, answering_on(caller.broker, small, callers, path))
    assert all(ended[kind, "answered"] > ASKED / 50 for kind in METHODS)
    assert {"input", "unknown-version", "not-published", "malformed-request", "not-allowed"} <= {
        how for _, how in ended
    }


def test_what_a_model_answers_is_the_same_on_a_topic(plane: DataPlane, own_keys: ApiKeys, tmp_path: Path) -> None:
    plane.predictor.prepare(VersionAsked("stat-1"))
    rows = plane.stored(StoredQuestion("forecasts", VersionAsked("stat-1"), first_step=1, last_step=1)).rows
    known = Known([KEY], [*rows.select("store_id", "sku_id").iter_rows()])
    callers = Callers(own_keys, lambda: NOW_OF_PUBLISHED)
    key = own_keys.create("model", "planner", now=NOW_OF_PUBLISHED, valid_for=None)[1]
    caller, client = StreamCaller(MemoryBroker(), key), Client(ASGITransport(app=create_app(plane, callers)), key)
    asked = [*questions(known, 25, seed=41, kinds=["predict"])]
    path = tmp_path / "s.sqlite"
    ended = compared(client, caller, asked, answering_on(caller.broker, plane, callers, path))
    assert ended["predict", "answered"] >= 5

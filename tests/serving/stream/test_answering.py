"""Requests on topics: answered once, in order, and never lost."""

import json
from collections import defaultdict
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest

from forecast_assets.core.errors import DeliveryError, StorageError
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES
from forecast_assets.serving.stream.answering import AnsweringOptions
from resources.broker.broker import Broker, BrokerMessage
from resources.broker.memory import MemoryBroker
from resources.operational.api_keys import ApiKeys
from resources.operational.stream_letters import StreamLetters
from resources.stores.home import open_stores
from tests.support.small_home import NOW_OF_SMALL, RUNS, small_stores, without_model
from tests.support.store_cases import publish, run_key
from tests.support.stream_calls import TOPICS, StreamCaller, answering_on, read_body, running

READ = {"model_version": "stat-1", "limit": 3}
NEWEST = {"channel": "champion", "limit": 1, "columns": ["forecast_units"]}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_answered_with_its_key_id_trace_and_status(
    caller: StreamCaller, broker: Broker, small: DataPlane, callers: Callers, tmp_path: Path
) -> None:
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        caller.send(caller.message("forecasts", READ, "a-1", lane="order-7", traceparent=TRACE))
        (answer,) = caller.wait(1)
    assert answer.key == "order-7"
    assert dict(answer.headers) == {
        "x-request-id": "a-1", "question": "forecasts", "status": "200", "content-type": "application/json",
        "traceparent": TRACE,
    }  # fmt: skip
    assert len(read_body(answer)["rows"]) == 3


def test_answers_of_one_key_come_in_the_order_of_its_requests(
    caller: StreamCaller, broker: Broker, small: DataPlane, callers: Callers, tmp_path: Path
) -> None:
    sent = [caller.message("forecasts", READ, f"{lane}-{at}", lane=lane) for at in range(40) for lane in "abc"]
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        caller.send(*sent)
        found = caller.wait(len(sent))
    by_lane = defaultdict[str, list[int]](list)
    for answer in found:
        by_lane[answer.key].append(int(answer.headers["x-request-id"].partition("-")[2]))
    assert dict(by_lane) == {lane: [*range(40)] for lane in "abc"}


def test_the_same_request_has_the_same_bytes_though_a_run_was_published_meanwhile(
    callers: Callers, support_key: str, tmp_path: Path
) -> None:
    stores = small_stores(tmp_path / "store")
    plane, broker = without_model(open_stores(tmp_path / "store")), MemoryBroker()
    caller = StreamCaller(broker, support_key)
    with running(answering_on(broker, plane, callers, tmp_path / "s.sqlite")):
        first = caller.ask("forecasts", NEWEST, "r-1")
        publish(stores, run_key(3), 99, is_comparable=True)
        again = caller.ask("forecasts", dict(reversed(NEWEST.items())), "r-1")
        other = caller.ask("forecasts", NEWEST, "r-2")
    assert again.value == first.value
    assert other.value != first.value
    # Of another process, likewise.
    with running(answering_on(broker, plane, callers, tmp_path / "s.sqlite")):
        assert caller.ask("forecasts", NEWEST, "r-1").value == first.value


def test_the_id_of_another_question_is_refused_and_of_another_caller_is_another_id(
    callers: Callers, own_keys: ApiKeys, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        assert caller.ask("forecasts", READ, "r-1").headers["status"] == "200"
        taken = caller.ask("risks", READ, "r-1")
        assert (taken.headers["status"], read_body(taken)["code"]) == ("409", "refused")
        caller.key = own_keys.create("else", "reader", now=NOW_OF_SMALL, valid_for=None)[1]
        assert caller.ask("risks", READ, "r-1").headers["status"] == "200"


def test_two_of_one_id_at_once_have_one_answer(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    body = {"use": "what_if", "model_version": "stat-1", "series": [{"store_id": "S", "sku_id": "A"}]}
    caller.send(*(caller.message("predict", body, "one") for _ in range(8)))
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        assert len({each.value for each in caller.wait(8)}) == 1


WRONG: list[tuple[str, Any, str | None, str | None]] = [
    ("forecasts", READ, None, None),
    ("forecasts", READ, "no spaces here", None),
    ("weather", READ, "w-1", "422"),
    ("", READ, "w-2", "422"),
    ("forecasts", b"{", "w-3", "422"),
    ("forecasts", b'"text"', "w-4", "422"),
    ("forecasts", b"\xff\xfe{}", "w-5", "422"),
    ("forecasts", b"[" * 100_000, "w-6", "422"),
    ("forecasts", b" " * (LARGEST_REQUEST_BYTES + 1), "w-7", "413"),
]


def test_what_is_no_request_is_a_dead_letter_and_the_others_are_answered(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    for at, (question, body, request_id, _) in enumerate(WRONG):
        caller.send(caller.message(question, body, request_id, lane="k", extra="é"))
        caller.send(caller.message("forecasts", READ, f"good-{at}", lane="k"))
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        letters = caller.letters(len(WRONG))
        answers = caller.wait(len(WRONG) + sum(status is not None for *_, status in WRONG))
    assert sum(each.headers["x-request-id"].startswith("good-") for each in answers) == len(WRONG)
    told = {each.headers["x-request-id"]: each.headers["status"] for each in answers}
    assert {name: told[name] for *_, name, status in WRONG if status and name} == {
        name: status for *_, name, status in WRONG if status
    }
    kept = StreamLetters(tmp_path / "s.sqlite").newest(100)[::-1]
    for (_, body, _, _), letter, own in zip(WRONG, letters, kept, strict=True):
        whole = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert own.value == whole
        assert whole.startswith(letter.value)
        assert (letter.headers["dead-letter-is-whole"] == "true") == (letter.value == whole)
        assert letter.headers["dead-letter-reason"] == own.reason
        assert own.reason
        assert (letter.headers["dead-letter-topic"], letter.headers["extra"], letter.key) == (TOPICS.requests, "é", "k")
        assert support_key not in str(letter) + str(own)


def test_a_question_that_is_wrong_is_answered_with_what_is_wrong(
    callers: Callers, small: DataPlane, support_key: str, own_keys: ApiKeys, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    reader = own_keys.create("r", "reader", now=NOW_OF_SMALL, valid_for=None)[1]
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        for body, status, code in (
            ({"limit": 1}, "422", "input"),
            ({"model_version": "stat-1", "limit": 0}, "422", "malformed-request"),
            ({"model_version": "stat-1", "colour": 1}, "422", "malformed-request"),
            ({"model_version": "none"}, "404", "unknown-version"),
        ):
            answer = caller.ask("forecasts", body, f"q-{code}-{len(body)}-{status}-{'colour' in body}")
            assert (answer.headers["status"], read_body(answer)["code"]) == (status, code)
            assert answer.headers["content-type"] == "application/problem+json"
        for key, status in ((None, "401"), ("fak_nobody", "401"), (reader, "403")):
            caller.key = key
            assert caller.ask("compare", {}, "q-right").headers["status"] == status
    assert StreamLetters(tmp_path / "s.sqlite").count() == 0


def test_who_asks_too_often_is_told_when_to_ask_again_and_may_ask_the_same_then(
    own_keys: ApiKeys, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    once = Callers(own_keys, lambda: NOW_OF_SMALL, per_minute={"support": 1})
    with running(answering_on(broker, small, once, tmp_path / "s.sqlite")):
        assert caller.ask("forecasts", READ, "l-1").headers["status"] == "200"
        refused = caller.ask("forecasts", READ, "l-2")
        assert refused.headers["status"] == "429"
        assert 0 < int(refused.headers["retry-after"]) <= 60
    again = Callers(own_keys, lambda: NOW_OF_SMALL)
    with running(answering_on(broker, small, again, tmp_path / "s.sqlite")):
        assert caller.ask("forecasts", READ, "l-2").headers["status"] == "200"


def test_an_answer_that_no_broker_would_take_is_told_so(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_assets.serving.stream.door.MOST_ANSWER_BYTES", 500)
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        answer = caller.ask("forecasts", READ, "big")
    assert (answer.headers["status"], read_body(answer)["code"]) == ("413", "answer-too-large")


class Failing:
    """A plane whose stored reads fail for some stores until it is mended."""

    def __init__(self, plane: DataPlane, error: Exception) -> None:
        self._plane, self._error, self.is_broken = plane, error, True

    def stored(self, question: Any) -> Any:
        if self.is_broken and "A" in question.sku_ids:
            raise self._error
        return self._plane.stored(question)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


def test_what_passes_is_tried_again_and_holds_up_its_own_key_alone(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker, plane = MemoryBroker(1), Failing(small, StorageError("The disk is away.", remedy="Mount it."))
    caller = StreamCaller(broker, support_key)
    broken, good = {**READ, "sku_id": ["A"]}, {**READ, "sku_id": ["B"]}
    caller.send(caller.message("forecasts", broken, "broken", lane="a"))
    caller.send(*(caller.message("forecasts", good, f"{lane}-{at}", lane=lane) for at in range(5) for lane in "ab"))
    answering = answering_on(broker, plane, callers, tmp_path / "s.sqlite")  # type: ignore[arg-type]
    with running(answering):
        assert {each.key for each in caller.wait(5)} == {"b"}
        plane.is_broken = False
        found = caller.wait(11)
    assert [each.headers["x-request-id"] for each in found if each.key == "a"] == [
        "broken",
        *(f"a-{i}" for i in range(5)),
    ]
    assert {each.headers["status"] for each in found} == {"200"}
    assert answering.counts.tried_again > 0


@pytest.mark.parametrize(("error", "status"), [(StorageError("Away.", remedy="Wait."), "503"), (KeyError("x"), "500")])
def test_what_does_not_pass_is_a_dead_letter_and_told_and_answered_when_it_is_asked_again(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path, error: Exception, status: str
) -> None:
    broker, plane = MemoryBroker(), Failing(small, error)
    caller = StreamCaller(broker, support_key)
    options = AnsweringOptions(tried_for_seconds=0.5)
    with running(answering_on(broker, plane, callers, tmp_path / "s.sqlite", options)):  # type: ignore[arg-type]
        assert caller.ask("forecasts", {**READ, "sku_id": ["A"]}, "f-1").headers["status"] == status
        (letter,) = caller.letters(1)
        assert letter.headers["x-request-id"] == "f-1"
        plane.is_broken = False
        assert caller.ask("forecasts", {**READ, "sku_id": ["A"]}, "f-1").headers["status"] == "200"


class Slow:
    """A plane that answers when it is let, and counts who waits."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane, self.let, self.waiting = plane, Event(), 0

    def stored(self, question: Any) -> Any:
        self.waiting += 1
        self.let.wait(30)
        return self._plane.stored(question)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plane, name)


def test_while_enough_is_under_way_nothing_is_read(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker, plane = MemoryBroker(), Slow(small)
    caller = StreamCaller(broker, support_key)
    caller.send(*(caller.message("forecasts", READ, f"b-{at}") for at in range(50)))
    options = AnsweringOptions(at_once=4)
    with running(answering_on(broker, plane, callers, tmp_path / "s.sqlite", options)):  # type: ignore[arg-type]
        sleep(0.5)
        assert plane.waiting == 4
        assert set(broker.groups[TOPICS.group].committed.values()) == {0}
        plane.let.set()
        caller.wait(50)


def test_when_told_to_stop_what_is_under_way_is_answered_and_the_rest_is_for_others(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker, plane = MemoryBroker(1), Slow(small)
    caller = StreamCaller(broker, support_key)
    caller.send(*(caller.message("forecasts", READ, f"s-{at}") for at in range(10)))
    options = AnsweringOptions(at_once=3)
    with running(answering_on(broker, plane, callers, tmp_path / "s.sqlite", options)) as stopped:  # type: ignore[arg-type]
        while plane.waiting < 3:
            sleep(0.01)
        stopped.set()
        plane.let.set()
    assert {each.headers["x-request-id"] for each in caller.wait(3)} == {"s-0", "s-1", "s-2"}
    group = broker.groups[TOPICS.group]
    assert group.members == []
    assert group.committed[TOPICS.requests, 0] == 3
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        found = [each.headers["x-request-id"] for each in caller.wait(10)]
    assert sorted(found) == [f"s-{at}" for at in range(10)]


class Flaky(MemoryBroker):
    """A broker that fails every so often, before or after it has taken something."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def publish(self, messages: Any) -> None:
        ours = [each for each in messages if each.topic != TOPICS.requests]
        self.calls += bool(ours)
        if ours and self.calls % 3 == 0:
            raise DeliveryError("Nobody is there.", remedy="Wait.")
        super().publish(messages)
        if ours and self.calls % 3 == 1:
            raise DeliveryError("It was not confirmed.", remedy="Wait.")


def test_a_broker_that_fails_loses_no_answer_and_repeats_are_equal(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker = Flaky()
    caller = StreamCaller(broker, support_key)
    caller.send(*(caller.message("forecasts", READ, f"f-{at}", lane=str(at % 3)) for at in range(60)))
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite", AnsweringOptions(at_once=8))):
        until = monotonic() + 60
        found = caller.wait(60)
        while len({each.headers["x-request-id"] for each in found}) < 60 and monotonic() < until:
            found = caller.wait(len(found) + 1)
    bodies = defaultdict[str, set[bytes]](set)
    for each in found:
        bodies[each.headers["x-request-id"]].add(each.value)
    assert len(bodies) == 60
    assert {len(each) for each in bodies.values()} == {1}
    assert sum(broker.groups[TOPICS.group].committed.values()) == 60


def test_two_of_a_group_share_and_answer_everything(
    caller: StreamCaller, broker: Broker, small: DataPlane, callers: Callers, tmp_path: Path
) -> None:
    sent = [caller.message("forecasts", READ, f"g-{at}", lane=str(at)) for at in range(60)]
    first, second = (answering_on(broker, small, callers, tmp_path / "s.sqlite") for _ in range(2))
    with running(first), running(second):
        caller.send(*sent[:30])
        caller.wait(30)
        caller.send(*sent[30:])
        found = caller.wait(60)
    assert {each.headers["x-request-id"] for each in found} == {f"g-{at}" for at in range(60)}


def test_what_people_are_told_of_runs_is_what_was_published(
    callers: Callers, small: DataPlane, support_key: str, tmp_path: Path
) -> None:
    broker = MemoryBroker()
    caller = StreamCaller(broker, support_key)
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        answer = caller.ask("versions", {}, "v-1")
    assert {each["model_version"] for each in read_body(answer)["versions"]} == {key.model_version for key in RUNS}


def test_a_message_of_nothing_at_all_is_a_dead_letter(
    caller: StreamCaller, broker: Broker, small: DataPlane, callers: Callers, tmp_path: Path
) -> None:
    caller.send(BrokerMessage(TOPICS.requests, "", b""))
    with running(answering_on(broker, small, callers, tmp_path / "s.sqlite")):
        (letter,) = caller.letters(1)
    assert "x-request-id" in letter.headers["dead-letter-reason"]

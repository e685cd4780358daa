"""Feedback over HTTP: what is accepted, what is dead-lettered, and that a request is kept once and whole."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES
from resources.operational.api_keys import ApiKeys
from resources.operational.opening import operational_store
from resources.stores.home import Stores, open_stores
from tests.support.callers import Client
from tests.support.feedback_cases import (
    CORRECTION,
    LABEL,
    NOW,
    QUALITY,
    ROW,
    RUN,
    FeedbackDoor,
    sent,
    with_run,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Stores that feedback only reads."""
    return with_run(open_stores(tmp_path_factory.mktemp("run") / "store"))


@pytest.fixture
def door(run: Stores, tmp_path: Path) -> FeedbackDoor:
    return FeedbackDoor(run, tmp_path / "operational/operational.sqlite")


@pytest.fixture
def client(door: FeedbackDoor) -> Client:
    return door.client()


def test_each_kind_is_kept_with_who_when_and_about_which_prediction(door: FeedbackDoor, client: Client) -> None:
    answer = sent(client, [CORRECTION, LABEL, QUALITY], "r-1")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["dead_lettered"], told["is_repeated"]) == (3, 0, False)
    assert [each["status"] for each in told["records"]] == ["accepted"] * 3
    kept = door.store.all()
    assert [each.feedback_id for each in kept] == [each["feedback_id"] for each in told["records"]]
    assert {(each.sender.name, each.sender.at, each.sender.request_id) for each in kept} == {
        ("ana", NOW.isoformat(), "r-1")
    }
    assert {each.said.prediction_id for each in kept} == {ROW}
    correction, label, quality = (each.said for each in kept)
    assert (correction.kind, correction.units, correction.comment) == ("correction", 3.0, "counted")
    assert (label.label, quality.finding) == ("too_high", "the till was closed all day")
    assert door.letters.all() == []


def test_bad_records_go_whole_to_the_dead_letters_and_good_ones_beside_them_are_kept(
    door: FeedbackDoor, client: Client
) -> None:
    body = f'[{json.dumps(CORRECTION)}, {{"kind" : "label",  "label":"too_high","label":"nice" }}, 3.10, "text"]'
    told = sent(client, body).json()
    assert (told["accepted"], told["dead_lettered"]) == (1, 3)
    letters = door.letters.all()
    assert [each.sent for each in letters] == [
        '{"kind" : "label",  "label":"too_high","label":"nice" }', "3.10", '"text"',
    ]  # fmt: skip
    assert [each.position for each in letters] == [1, 2, 3]
    assert [each["letter_id"] for each in told["records"][1:]] == [each.letter_id for each in letters]
    assert [each["reason"] for each in told["records"][1:]] == [each.reason for each in letters]
    assert all(each.sender.name == "ana" for each in letters)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({**CORRECTION, "prediction_id": f"{RUN}/A/S/99"}, "has no step 99 of SKU A in store S"),
        ({**CORRECTION, "prediction_id": f"{RUN}/A/S/{10**30}"}, "is not a prediction id"),
        ({**CORRECTION, "prediction_id": f"{RUN}/A/S/0"}, "steps count from 1"),
        ({**CORRECTION, "prediction_id": f"{RUN}/NONE/S/1"}, "has no step 1 of SKU NONE"),
        ({**CORRECTION, "prediction_id": ROW.replace("2025-01-02", "2024-12-31")}, "Nothing is published under"),
        ({**CORRECTION, "prediction_id": "nonsense"}, "is not a prediction id"),
        ({**CORRECTION, "prediction_id": 7}, "`prediction_id` is no text"),
        ({**CORRECTION, "prediction_id": f"{RUN}/{'A' * 2_000}/S/1"}, "more than 1,000"),
        ({"kind": "correction", "units": 3}, "it is about no prediction"),
        ({**CORRECTION, "event_id": str(uuid4())}, "it is about no prediction"),
        ({"kind": "correction", "units": 3, "event_id": "x"}, "`event_id` is no UUID"),
        ({"kind": "correction", "units": 3, "event_id": str(uuid4())}, "no prediction events are kept here"),
        ({**CORRECTION, "units": -1}, "`units` is no number"),
        ({**CORRECTION, "units": 10**400}, "`units` is no number"),
        ({**CORRECTION, "units": 1_000_001}, "`units` is no number"),
        ({**CORRECTION, "units": True}, "`units` is no number"),
        ({**CORRECTION, "units": "3"}, "`units` is no number"),
        ({**CORRECTION, "units": None}, "`units` is no number"),
        ({**CORRECTION, "units": float("nan")}, "NaN is no number of JSON"),
        ({**CORRECTION, "kind": "praise"}, "`kind` is none of correction, label, quality"),
        ({**CORRECTION, "kind": ["label"]}, "`kind` is none of"),
        ({**LABEL, "label": "nice"}, "`label` is none of useful, too_high, too_low, wrong_reason"),
        ({**LABEL, "units": 3}, "`units` does not belong to `label`"),
        ({**QUALITY, "finding": " "}, "`finding` is no text"),
        ({**QUALITY, "finding": "x" * 2_001}, "2,001 characters, more than 2,000"),
        ({**QUALITY, "finding": "a\x1b[2Jb"}, "control characters"),
        ({**LABEL, "comment": "\ud800"}, "control characters"),
        ({**LABEL, "colour": "red"}, 'there is no field "colour"'),
        ([], "it is no JSON object"),
        (None, "it is no JSON object"),
    ],
)
def test_what_is_wrong_with_a_record_is_told_and_kept(
    door: FeedbackDoor, client: Client, record: Any, why: str
) -> None:
    told = sent(client, [LABEL, record]).json()
    assert (told["accepted"], told["dead_lettered"]) == (1, 1)
    assert why in told["records"][1]["reason"]
    (letter,) = door.letters.all()
    assert (letter.sent, letter.state) == (json.dumps(record), "waiting")
    assert why in letter.reason


def test_a_request_of_bad_records_only_is_a_problem_whose_records_are_kept(door: FeedbackDoor, client: Client) -> None:
    answer = sent(client, [{"kind": "praise"}], "r-1")
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["facts"]["dead_lettered"]) == ("no-usable-record", 1)
    assert problem["request_id"] == "r-1"
    assert [each.letter_id for each in door.letters.all()] == [problem["facts"]["records"][0]["letter_id"]]
    assert sent(client, [{"kind": "praise"}], "r-1").status_code == 422
    assert len(door.letters.all()) == 1


def test_the_log_of_a_request_says_which_problem_was_answered(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(error: Exception) -> Callable[..., object]:
        def call(*_: object) -> object:
            raise error

        return call

    def answered(body: Any) -> tuple[int, str]:
        caplog.clear()
        with caplog.at_level("INFO"):
            status = sent(client, body).status_code
        ((line, problem),) = (
            (record.getMessage(), vars(record)["problem"]) for record in caplog.records if "problem" in vars(record)
        )
        assert f"problem {problem})" in line
        return status, problem

    assert answered([LABEL]) == (200, "-")
    assert answered([{"kind": "praise"}]) == (422, "no-usable-record")
    assert answered("x" * (LARGEST_REQUEST_BYTES + 1)) == (413, "too-large")
    for error, told in ((KeyError("a defect"), (500, "defect")), (PermissionError(13, "/srv"), (503, "storage"))):
        monkeypatch.setattr("forecast_assets.serving.api.feedback_routes.receive", fails(error))
        assert answered([LABEL]) == told


@pytest.mark.parametrize("body", ["", "{}", "[1,]", '[{"a":1} {"b":2}]', "[1] x", "[", b"[\xff]", "[" * 50_000])
def test_a_body_that_is_no_list_is_refused_and_nothing_is_kept(
    door: FeedbackDoor, client: Client, body: str | bytes
) -> None:
    answer = sent(client, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "input")
    assert "Nothing of it was kept" in answer.json()["remedy"]
    assert door.letters.all() == []


def test_of_lines_each_stands_for_itself(door: FeedbackDoor, client: Client) -> None:
    lines = f'{json.dumps(LABEL)}\n{{"kind": "label", \r\n\n{json.dumps(QUALITY)}\n'
    told = sent(client, lines, **{"Content-Type": "application/x-ndjson; charset=utf-8"}).json()
    assert (told["accepted"], told["dead_lettered"]) == (2, 1)
    (letter,) = door.letters.all()
    assert letter.sent == '{"kind": "label", \r'
    assert letter.reason.startswith("it is no JSON")


def test_one_to_500_records_are_taken(door: FeedbackDoor, client: Client) -> None:
    assert sent(client, [LABEL] * 500).json()["accepted"] == 500
    for many in (0, 501):
        answer = sent(client, [LABEL] * many)
        assert (answer.status_code, answer.json()["facts"]["records"]) == (422, many)
    assert len(door.store.all()) == 500


def test_the_same_request_again_is_kept_once_and_answered_alike(door: FeedbackDoor, client: Client) -> None:
    records = [CORRECTION, {"kind": "praise"}]
    first, again = (sent(client, records, "r-1").json() for _ in range(2))
    assert again == {**first, "is_repeated": True}
    assert (len(door.store.all()), len(door.letters.all())) == (1, 1)


def test_the_same_id_of_another_caller_or_no_id_is_another_request(door: FeedbackDoor, client: Client) -> None:
    other = door.client(name="ben")
    assert [sent(each, [LABEL], "r-1").status_code for each in (client, other)] == [200, 200]
    assert [sent(client, [LABEL]).status_code for _ in range(2)] == [200, 200]
    assert [each.sender.name for each in door.store.all()] == ["ana", "ben", "ana", "ana"]


def test_other_records_under_a_used_id_are_refused(door: FeedbackDoor, client: Client) -> None:
    sent(client, [LABEL], "r-1")
    answer = sent(client, [CORRECTION], "r-1")
    assert (answer.status_code, answer.json()["facts"]["request_id"]) == (422, "r-1")
    assert len(door.store.all()) == 1


def test_the_same_request_many_times_at_once_is_kept_once(door: FeedbackDoor, client: Client) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sent(client, [CORRECTION, {"kind": "praise"}], "r-1").json(), range(6)))
        list(pool.map(lambda at: sent(client, [LABEL], f"other-{at}"), range(6)))
    assert [each.get("detail") for each in answers] == [None] * 6
    assert len({json.dumps(each["records"]) for each in answers}) == 1
    assert sorted(each["is_repeated"] for each in answers) == [False] + [True] * 5
    assert (len(door.store.all()), len(door.letters.all())) == (7, 1)


def test_who_lacks_the_right_or_a_key_is_refused(door: FeedbackDoor) -> None:
    for role, status in (("reader", 403), ("support", 200), ("operator", 200)):
        assert sent(door.client(role), [LABEL]).status_code == status, role
    nobody = door.client()
    nobody.key = None
    assert sent(nobody, [LABEL]).status_code == 401
    assert len(door.store.all()) == 2


def test_a_sandbox_takes_none_and_writes_nothing(run: Stores, tmp_path: Path) -> None:
    door = FeedbackDoor(run, tmp_path / "operational.sqlite", is_sandbox=True)
    answer = sent(door.client(), [LABEL, {"kind": "praise"}])
    assert (answer.status_code, answer.json()["code"]) == (409, "refused")
    assert answer.headers["x-sandbox"] == "true"
    assert not door.path.exists()


def test_events_are_looked_up_where_they_are_kept(run: Stores, tmp_path: Path) -> None:
    known = str(uuid4())
    door = FeedbackDoor(run, tmp_path / "operational.sqlite", find_events=lambda ids: {known} & {*ids})
    about = [{"event_id": each, "kind": "label", "label": "useful"} for each in (known.upper(), str(uuid4()))]
    told = sent(door.client(), about).json()
    assert [each["status"] for each in told["records"]] == ["accepted", "dead-lettered"]
    assert door.store.all()[0].said.event_id == known


def test_events_are_looked_up_once_however_many_are_named(run: Stores, tmp_path: Path) -> None:
    asked: list[int] = []

    def find(ids: Sequence[str]) -> set[str]:
        asked.append(len(ids))
        return set()

    door = FeedbackDoor(run, tmp_path / "operational.sqlite", find_events=find)
    about = [{"event_id": str(UUID(int=at % 400)), "kind": "label", "label": "useful"} for at in range(500)]
    told = sent(door.client(), about)
    assert (told.status_code, told.json()["facts"]["dead_lettered"]) == (422, 500)
    assert asked == [400]
    sent(door.client(), [LABEL], "none named")
    assert asked == [400]


def test_while_somebody_holds_the_store_it_is_503_and_later_kept(run: Stores, tmp_path: Path) -> None:
    door = FeedbackDoor(run, tmp_path / "operational.sqlite", wait_seconds=0.1)
    client = door.client()
    with operational_store(door.path):
        answer = sent(client, [CORRECTION, {"kind": "praise"}], "r-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert "wait for who holds it" in answer.json()["remedy"]
    assert (door.store.all(), door.letters.all()) == ([], [])
    assert sent(client, [CORRECTION, {"kind": "praise"}], "r-1").json()["is_repeated"] is False


def broken(pragma: str) -> Callable[..., sqlite3.Connection]:
    whole = sqlite3.connect

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = whole(*arguments, **named)
        connection.execute(pragma)
        return connection

    return connect


@pytest.mark.parametrize(
    ("pragma", "what"),
    [("PRAGMA max_page_count = 40", "disk is full"), ("PRAGMA query_only = ON", "readonly database")],
)
def test_a_full_or_read_only_disk_is_503_and_nothing_is_half_kept(
    door: FeedbackDoor, client: Client, monkeypatch: pytest.MonkeyPatch, pragma: str, what: str
) -> None:
    sent(client, [LABEL], "before")
    records = [{**QUALITY, "finding": "x" * 2_000}, {"kind": "y" * 1_500}] * 60
    with monkeypatch.context() as patched:
        patched.setattr("resources.operational.opening.sqlite3.connect", broken(pragma))
        answer = sent(client, records, "r-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert what in answer.json()["detail"]
    assert "Free space" in answer.json()["remedy"]
    assert (len(door.store.all()), door.letters.all()) == (1, [])
    assert sent(client, records, "r-1").json()["accepted"] == 60


def test_a_database_from_before_feedback_goes_on_working(run: Stores, tmp_path: Path) -> None:
    path = tmp_path / "operational.sqlite"
    key, _ = ApiKeys(path).create("old", "reader", now=NOW, valid_for=None)
    door = FeedbackDoor(run, path)
    assert (door.store.all(), door.letters.all()) == ([], [])
    assert sent(door.client(), [LABEL, {"kind": "praise"}]).status_code == 200
    assert (len(door.store.all()), len(door.letters.all())) == (1, 1)
    assert [each.key_id for each in ApiKeys(path).all()] == [key.key_id]


def test_columns_of_a_later_release_are_left_alone(door: FeedbackDoor, client: Client) -> None:
    sent(client, [LABEL, {"kind": "praise"}])
    with operational_store(door.path) as database:
        for name in ("feedback", "feedback_requests", "dead_letters", "dead_letter_steps"):
            database.execute(f"ALTER TABLE {name} ADD COLUMN mood TEXT")
    assert sent(client, [LABEL, {"kind": "praise"}]).status_code == 200
    assert (len(door.store.all()), len(door.letters.all())) == (2, 2)


def test_the_route_is_in_the_document_of_all_routes(client: Client) -> None:
    body = client.get("/openapi.json").json()["paths"]["/v1/feedback"]["post"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["maxItems"] == 500

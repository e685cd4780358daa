"""`support` as somebody types it: the answers of the data plane on a terminal."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from forecast_assets.operations.prediction_events import event_home
from forecast_assets.settings import Settings
from tests.support.command import Call, caller
from tests.support.event_cases import event, event_id
from tests.support.small_home import RUNS

ROW = f"{RUNS[4]}/A/S/2"


@pytest.fixture
def call(small_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command on a home whose store is the small one's."""
    (tmp_path / "store").symlink_to(small_home / "store")
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    return caller(monkeypatch, capsys)


def test_a_row_is_explained_with_its_numbers_its_drivers_and_what_it_was_made_from(call: Call) -> None:
    code, said = call("support", "explain", ROW)
    assert code == 0, said
    assert said.startswith(ROW)
    for title in ("How it adds up", "Numbers", "What it was made from", "model_artifact"):
        assert title in said
    code, said = call("support", "explain", ROW, "--json")
    # The run of the fifth number has seven units.
    assert json.loads(said)["forecast"]["forecast_units"] == 7


def test_an_event_is_explained_step_by_step(call: Call, tmp_path: Path) -> None:
    more = {"steps": [{"name": "base", "formula": "base_units = ...", "milliseconds": 1.5,
                       "outputs": {"forecast_units": [6.25], "risk_band": "low"}}]}  # fmt: skip
    event_home(Settings(home=tmp_path)).store.add([event(1, **more)])
    code, said = call("support", "explain", event_id(1))
    assert code == 0, said
    assert "ana (planner) asked for what_if" in said
    assert "careful" in said
    assert "base_units = ..." in said
    assert "6.250" in said
    assert json.loads(call("support", "explain", event_id(1), "--json")[1])["event_id"] == event_id(1)


def test_every_forecast_of_a_day_is_listed_with_what_was_told_and_what_came(call: Call, tmp_path: Path) -> None:
    more = {"days": ["2025-01-03"], "series": [["S", "A"]],
            "steps": [{"name": "stored", "outputs": {"forecast_units": 9.5}}]}  # fmt: skip
    event_home(Settings(home=tmp_path)).store.add([event(1, **more)])
    code, said = call("support", "history", "--store", "S", "--sku", "A", "--day", "2025-01-03")
    assert code == 0, said
    assert [f"{run}/A/S/{3 - run.prediction_date.day}" in said for run in RUNS] == [True] * 4 + [False]
    assert event_id(1) in said
    assert "9.5" in said
    assert "Sold that day: 4.00 units" in said
    only = call("support", "history", "--store", "S", "--sku", "A", "--day", "2025-01-03", "--model-version", "stat-2")
    assert "stat-1" not in only[1].partition("Told in real time")[0]


def test_two_predictions_are_compared_with_what_differs(call: Call) -> None:
    code, said = call("support", "compare", ROW, ROW, "--quick")
    assert code == 0, said
    assert f"A in S on 2025-01-05: {RUNS[4]} -> {RUNS[4]}" in said
    assert "By cause" in said


def test_health_says_what_there_is_to_answer_from(call: Call) -> None:
    code, said = call("support", "health")
    assert (code, said.splitlines()[0][:5]) == (0, "Ready")
    assert "daily 2025-01-03" in said
    assert "degraded: the newest daily run of the champion" in said


def test_this_process_tells_of_no_events_and_kept_features_of_its_own(call: Call) -> None:
    code, said = call("support", "health", "--json")
    state = json.loads(said)
    assert (code, state["is_ready"], state["events"], state["features"]) == (0, True, None, None)


def test_a_home_without_a_run_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "new"))
    code, said = caller(monkeypatch, capsys)("support", "health")
    assert code == 3
    assert "not ready: nothing is published yet" in said
    assert "Publish a run" in said


@pytest.fixture
def service() -> Iterator[str]:
    """Something that answers as a service does that is not ready."""
    state = {"is_ready": False, "reasons": ["the disk is gone"], "degraded": ["two events wait"], "ledger_sequence": 9,
             "newest_prediction_date": {}, "events": {"recorded": 7, "drained": 5, "dropped": {"full": 2},
                                                      "waiting_bytes": 10}}  # fmt: skip

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(state if self.path == "/health/ready" else "else").encode()
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_running_service_is_asked_for_its_own_state(call: Call, service: str) -> None:
    code, said = call("support", "health", "--url", f"{service}/")
    assert code == 3
    for words in ("the disk is gone", "degraded: two events wait", "7 recorded, 5 in every sink, 2 dropped"):
        assert words in said
    assert "Publish a run" not in said
    assert "Mend what is named" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("explain", "nonsense"), 2, "is not a prediction id"),
        (("explain", f"{RUNS[0]}/A/S/99"), 2, "no step 99"),
        (("explain", "0e7d67d2-edfc-423c-ac9e-8b5b7ec9e006"), 2, "There is no prediction event"),
        (("history", "--store", "S", "--sku", "A", "--day", "soon"), 2, "is not a date"),
        (("history", "--store", "S", "--sku", "A", "--day", "2031-01-01"), 2, "No published daily run"),
        (("compare", ROW, ROW.replace("/A/", "/B/")), 2, "their difference has no causes"),
        (("compare", ROW, ROW, "--second-inputs", "{"), 2, "The inputs cannot be used"),
        (("compare", ROW, ROW, "--second-inputs", '{"on_hand_units": -1}'), 2, "on_hand_units"),
        (("health", "--url", "ftp://here"), 2, "is no address of a service"),
        (("health", "--url", "http://127.0.0.1:9"), 6, "Nobody answers"),
    ],
)
def test_what_cannot_be_asked_is_told(call: Call, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended, said = call("support", *arguments)
    assert words in said
    assert ended == code


def test_what_answers_but_is_no_service_is_told(call: Call, service: str) -> None:
    code, said = call("support", "health", "--url", f"{service}/elsewhere")
    assert code == 6
    assert "is no service of this kind" in said

"""Services are killed while they answer: no event is lost of which somebody was told that it is recorded."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forecast_assets.launch import Runner
from forecast_assets.operations.prediction_events import drain_events
from forecast_assets.operations.use_cases import RunOutcome
from resources.events.sinks import StoreSink
from resources.events.sqlite import SqliteEvents
from resources.events.stores import EventQuery
from resources.operational.api_keys import ApiKeys
from tests.support.event_cases import drained
from tests.support.retailers import copied
from tests.torture.publisher import REPOSITORY
from tests.torture.sizes import size

KILLS = size(8, 300)
SERVICE_KILLS = size(2, 10)
CALLERS = 4

# Records events of all sizes from four threads, hands them over meanwhile, and says which are recorded.
RECORDING = """
import sys, threading
from pathlib import Path
from resources.events.buffer import EventBuffer
from resources.events.draining import Drainer
from resources.events.sinks import StoreSink
from resources.events.sqlite import SqliteEvents
from tests.support.event_cases import event
root, first = Path(sys.argv[1]), int(sys.argv[2])
store = SqliteEvents(root / "events.sqlite")
buffer = EventBuffer(root / "spool", Drainer(root / "spool", [StoreSink(store)]), most_bytes=1 << 30)
buffer.start()
def record(thread):
    for number in range(first + thread, first + 1_000_000, 4):
        made = event(number, warnings=["x" * (number * 7_919 % 60_000)])
        if buffer.record(made.event_id, made.content).status == "recorded":
            sys.stdout.write(made.event_id + "\\n")
            sys.stdout.flush()
for thread in range(4):
    threading.Thread(target=record, args=(thread,)).start()
"""


@pytest.mark.timeout(3_600)
def test_no_event_that_was_recorded_is_lost_or_there_twice_however_often_the_process_is_killed(tmp_path: Path) -> None:
    chance, told = random.Random(5), list[str]()
    for kill in range(KILLS):
        command = [sys.executable, "-c", RECORDING, str(tmp_path), str(kill * 1_000_000)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told.append(process.stdout.readline().strip())
            time.sleep(chance.uniform(0.0, 1.5))
            process.send_signal(signal.SIGKILL)
            # A line that is not whole was not told.
            told += [line.strip() for line in process.stdout if line.endswith("\n")]
    store = SqliteEvents(tmp_path / "events.sqlite")
    drainer = drained(tmp_path / "spool", StoreSink(store))
    assert (drainer.state().failing, drainer.state().trouble) == ({}, "")
    found = Counter(each.event_id for day in store.days() for each in store.of_day(day))
    assert set(found.values()) == {1}
    assert len(told) == len(set(told)) > 20 * KILLS
    assert set(told) <= set(found)
    # Those that were being said when the process died, one a thread.
    assert len(found) <= len(told) + CALLERS * KILLS


SERVING = "from forecast_assets.cli import main; main()"


@contextmanager
def serving(runner: Runner) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-c", SERVING, "serve", "--port", "0", "--no-log-requests"]
    environment = {"FORECAST_ASSETS_HOME": str(runner.settings.home), "FORECAST_ASSETS_WORKERS": "1"}
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[2]
        finally:
            process.kill()


def ask(address: str, key: str, **headers: str) -> dict[str, Any] | None:
    """Ask for a prediction; None where there is no answer, or none yet."""
    body = {"use": "what_if", "model_version": "stat-1", "series": [{"store_id": "S-01", "sku_id": "FOOD-0001"}]}
    headers |= {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/v1/predict", json.dumps(body).encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own service
            found: dict[str, Any] = json.loads(answer.read())
            return found
    except (OSError, ValueError):
        return None


@pytest.mark.timeout(3_600)
def test_a_service_that_is_killed_under_load_loses_no_event_of_its_answers(
    published: tuple[Runner, RunOutcome], tmp_path: Path
) -> None:
    runner = copied(published[0], tmp_path / "home")
    now, keys = datetime.now(UTC), ApiKeys(runner.settings.operational_path)
    key = keys.create("ana", "planner", now=now, valid_for=timedelta(days=1))[1]
    told, lock, chance = Counter[str](), threading.Lock(), random.Random(7)
    for kill in range(SERVICE_KILLS):
        with serving(runner) as (process, address):
            while ask(address, key) is None:
                assert process.poll() is None
                time.sleep(0.2)
            ends = threading.Event()

            def call(caller: int, address: str = address, kill: int = kill, ends: threading.Event = ends) -> None:
                number = 0
                while not ends.is_set():
                    # Each is asked twice under one id, and is one event.
                    headers = {"X-Request-Id": f"{kill}-{caller}-{number // 2}"} if caller % 2 else {}
                    found = ask(address, key, **headers)
                    if found is not None and found["event"]["status"] == "recorded":
                        number += 1
                        with lock:
                            told[found["event"]["id"]] += 1

            callers = [threading.Thread(target=call, args=(caller,)) for caller in range(CALLERS)]
            for each in callers:
                each.start()
            wanted = sum(told.values()) + chance.randint(8, 40)
            while sum(told.values()) < wanted:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            ends.set()
            for each in callers:
                each.join()
    drain_events(runner.settings)
    store = SqliteEvents(runner.settings.events_path)
    found = Counter(each.event_id for day in store.days() for each in store.of_day(day))
    assert set(found.values()) == {1}
    assert len(told) > 4 * SERVICE_KILLS
    assert max(told.values()) == 2
    assert set(told) <= set(found)
    newest = store.select(EventQuery(store_id="S-01", sku_id="FOOD-0001", limit=1))[0].document
    assert [step["name"] for step in newest["steps"]] == ["features", "base", "adjustment", "risk", "explanation"]

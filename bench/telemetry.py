"""What telemetry costs a run and an answer, on and off in turns, in one process.

Simulates a retailer and trains a version. A run is scored and published from a copy of that home again and again, every
other time with its whole trace exported to a collector and its times kept. Requests of published rows and what-ifs go
straight into the application, without a client or a network, which would make the share look smaller: every other one
is counted, and a share of them traced and exported. The collector is a process of its own on this machine. Exits with 1
when a promise is missed.

    python -m bench.telemetry [--runs 8] [--reads 4000] [--what-ifs 600] [--share 0.01]
"""

import argparse
import asyncio
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from bench.goals import Goal, any_missed, goals_table
from forecast_assets.core.keys import RunKey
from forecast_assets.core.spans import concerns, listen, outermost, span
from forecast_assets.launch import Runner
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.simulated import read_simulated
from forecast_assets.telemetry.exporting import Tracing, otlp_exporter
from forecast_assets.telemetry.recording import Recorder
from forecast_assets.telemetry.request_metrics import RequestMetrics
from forecast_assets.telemetry.starting import listening
from resources.operational.api_keys import ApiKeys
from resources.operational.traces import TraceStore

RETAILER = SimulatorSettings(skus=30, stores=4, days=400, seed=11, end=date(2025, 6, 30))
KEY = RunKey("daily", RETAILER.end, "stat-1", 28)
LIMIT_OF_A_RUN, LIMIT_OF_P95 = 0.02, 0.03
_MILLION = 1_000_000
# Stages, checks, publication, ledger, catalogue.
_SPANS_OF_A_RUN = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--reads", type=int, default=4_000)
    parser.add_argument("--what-ifs", type=int, default=600)
    parser.add_argument("--share", type=float, default=0.01)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-telemetry-") as scratch, collector() as url:
        home = Path(scratch) / "home"
        runner = trained(home)
        goals = [*run_goals(Path(scratch), home, url, asked.runs)]
        runner.score(KEY)
        goals += answer_goals(runner, url, asked.share, asked.reads, asked.what_ifs)
    print(goals_table(goals, "What telemetry costs"))
    sys.exit(any_missed(goals))


def trained(home: Path) -> Runner:
    """A home with observations and a version that may serve."""
    native = home.parent / "native"
    write_native(simulate_retailer(RETAILER), native)
    runner = Runner(Settings(home=home, mlflow=False))
    runner.ingest(read_simulated(native))
    runner.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=28)
    return runner


# --- runs ---


def run_goals(scratch: Path, home: Path, url: str, pairs: int) -> Iterator[Goal]:
    """Run in turns, and compare each run with telemetry with the one without beside it."""
    off, on = [], []
    for at in range(pairs + 1):
        # Which comes first changes, so that neither always has the warmer caches.
        for is_on in (False, True) if at % 2 else (True, False):
            took = timed_run(scratch, home, url if is_on else None)
            # The first pair compiles and imports.
            if at:
                (on if is_on else off).append(took)
    clock = [with_it[0] / without[0] - 1 for with_it, without in zip(on, off, strict=True)]
    processor = [with_it[1] / without[1] - 1 for with_it, without in zip(on, off, strict=True)]
    whole = median(each[1] for each in off)
    yield Goal(f"a run without telemetry, time of the processor, median of {pairs}", whole, unit="tenths")
    yield Goal("of a run by the clock, median of pairs", median(clock), unit="added")
    yield Goal("of a run, time of the processor, median of pairs", median(processor), LIMIT_OF_A_RUN, unit="added")
    clock_alone, processor_alone = told_alone(scratch, url)
    by_clock = median(each[0] for each in off)
    yield Goal(
        "of a run, what it tells by itself: of the processor", processor_alone / whole, LIMIT_OF_A_RUN, unit="added"
    )
    yield Goal("of a run, what it tells by itself: by the clock", clock_alone / by_clock, LIMIT_OF_A_RUN, unit="added")


def told_alone(scratch: Path, url: str) -> tuple[float, float]:
    """Start, tell, keep, export and end what a run tells, without the run.

    Returns:
        Seconds by the clock, and of the processor; medians of 20.
    """
    found = []
    for _ in range(20):
        clock, processor = time.perf_counter(), time.process_time()
        with listening(Settings(home=scratch / "alone", otlp=url), "batch"), outermost("run"):
            concerns(str(KEY))
            for at in range(_SPANS_OF_A_RUN):
                with span("check", product="forecasts", check=f"check {at}") as now:
                    now.note(passed=True)
        found.append((time.perf_counter() - clock, time.process_time() - processor))
    return median(each[0] for each in found), median(each[1] for each in found)


def timed_run(scratch: Path, home: Path, url: str | None) -> tuple[float, float]:
    """Publish from a copy of a home; return seconds by the clock, and of the processor."""
    copy = scratch / "copy"
    shutil.copytree(home, copy, symlinks=True)
    settings = Settings(home=copy, mlflow=False, workers=1)
    try:
        clock, processor = time.perf_counter(), time.process_time()
        if url is None:
            Runner(settings).score(KEY)
        else:
            with listening(settings.model_copy(update={"otlp": url}), "batch"):
                Runner(settings).score(KEY)
        return time.perf_counter() - clock, time.process_time() - processor
    finally:
        shutil.rmtree(copy)


# --- answers ---


def answer_goals(runner: Runner, url: str, share: float, reads: int, what_ifs: int) -> list[Goal]:
    """Ask in turns an application that counts and traces, and one that does neither."""
    keys = ApiKeys(runner.settings.operational_path)
    callers = Callers(keys, lambda: datetime.now(UTC), per_minute={"planner": _MILLION})
    text = keys.create("bench", "planner", now=datetime.now(UTC), valid_for=None)[1]
    plane = DataPlane(runner.stores)
    bare = create_app(plane, callers)
    counted = create_app(plane, callers, RequestMetrics(CollectorRegistry(auto_describe=False)))
    tracing = Tracing(otlp_exporter(url), "bench")
    recorder = Recorder(tracing, share, TraceStore(runner.settings.traces_path))
    series = [(f"S-{1 + at % RETAILER.stores:02d}", sku) for at, sku in enumerate(skus(runner))]
    goals: list[Goal] = []
    for what, count, request in (
        ("stored read", reads, lambda at: stored(series[at % len(series)], text)),
        ("what-if", what_ifs, lambda at: what_if(series[at % len(series)], text)),
    ):
        off, on = asyncio.run(in_turns(bare, counted, recorder, request, count))
        clock_off, processor_off = zip(*off, strict=True)
        clock_on, processor_on = zip(*on, strict=True)
        added = float(np.median(processor_on) / np.median(processor_off)) - 1
        goals += [
            Goal(f"{what}: p95 without telemetry, ms", 1e3 * p95_of(clock_off), unit="plain"),
            Goal(f"{what}: of the median, time of the processor", added, LIMIT_OF_P95, unit="added"),
            Goal(
                f"{what}: of p95, time of the processor", p95_of(processor_on) / p95_of(processor_off) - 1, unit="added"
            ),
            Goal(f"{what}: of p95 by the clock", p95_of(clock_on) / p95_of(clock_off) - 1, LIMIT_OF_P95, unit="added"),
        ]
    tracing.close()
    plane.close()
    return goals


def p95_of(seconds: Sequence[float]) -> float:
    """Median of the 95th percentiles of ten stretches: one pause of the machine is in one of them."""
    return float(np.median([np.quantile(part, 0.95) for part in np.array_split(np.array(seconds), 10)]))


async def in_turns(
    bare: Any, counted: Any, recorder: Recorder, request: Callable[[int], tuple[dict[str, Any], bytes]], count: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return seconds by the clock, and of the processor, that requests took without telemetry, and with it."""
    off: list[tuple[float, float]] = []
    on: list[tuple[float, float]] = []
    for at in range(count + 200):
        for is_on in (False, True) if at % 2 else (True, False):
            listen(recorder if is_on else None)
            scope, body = request(at)
            began, used = time.perf_counter(), time.process_time()
            status = await answer(counted if is_on else bare, scope, body)
            took = (time.perf_counter() - began, time.process_time() - used)
            assert status == 200, status
            if at >= 200:
                (on if is_on else off).append(took)
    listen(None)
    return off, on


async def answer(app: Any, scope: dict[str, Any], body: bytes) -> int:
    """Ask an application, without a network; return the status."""
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


def stored(series: tuple[str, str], key: str) -> tuple[dict[str, Any], bytes]:
    query = f"model_version=stat-1&store_id={series[0]}&sku_id={series[1]}&limit=28"
    return scope_of("GET", "/v1/forecasts", query, key), b""


def what_if(series: tuple[str, str], key: str) -> tuple[dict[str, Any], bytes]:
    changed = {"store_id": series[0], "sku_id": series[1], "price_ratios": {"2025-07-02": 0.8}}
    body = {"use": "what_if", "model_version": "stat-1", "series": [changed]}
    return scope_of("POST", "/v1/predict", "", key), json.dumps(body).encode()


def scope_of(method: str, path: str, query: str, key: str) -> dict[str, Any]:
    headers = [
        (b"host", b"bench"),
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
    ]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("bench", 80), "state": {},
    }  # fmt: skip


def skus(runner: Runner) -> list[str]:
    rows = runner.stores.predictions.read(
        runner.stores.predictions.version(runner.stores.ledger.state().publications[KEY].products["stockout_risks"])
    )
    return sorted(rows["sku_id"].unique())


# --- the collector ---


@contextmanager
def collector() -> Iterator[str]:
    """Take traces in a process of its own; yield its address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_collect, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _collect(told: Any) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.send(f"http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main()

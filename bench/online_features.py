"""Online features: how large they are, what they cost, and a process that answers from Redis beside one that prepares.

Prepares a published run and puts all of it into a Redis that is started for it, if none is named. Then two processes
answer random series: one prepares the run, one has nothing but Redis. Prints times and peak memory of both, and exits
with 1 if an answer differs.

    python -m bench.online_features --home DIR --run daily/2025-06-30/stat-1/28/r0 [--redis redis://127.0.0.1:6379]
"""

import argparse
import hashlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.what_if import Took, row, timed
from forecast_assets.core.keys import RunKey
from forecast_assets.features.changes import SeriesChange
from forecast_assets.presentation.text import table
from forecast_assets.serving.dataplane.feature_entries import (
    entries_of,
    prepared_from,
    read_run_entry,
    run_entry,
    series_batch,
)
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.run_basis import RunBasis
from forecast_assets.serving.dataplane.what_if import WhatIf, what_if
from resources.feature_cache.redis_cache import RedisCache
from resources.feature_cache.sealed import opened, seal
from resources.stores.home import Stores, open_stores

_SAMPLE = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="home folder with the run")
    parser.add_argument("--run", type=RunKey.parse, required=True, help="key of a published run")
    parser.add_argument("--redis", help="address of a Redis; one is started if left out")
    parser.add_argument("--questions", type=int, default=40, help="questions about one series")
    parser.add_argument("--as", dest="role", choices=["prepares", "asks"], help="one of the two processes")
    arguments = parser.parse_args()
    stores = open_stores(arguments.home / "store").read_only()
    if arguments.role:
        answer_series(
            stores, arguments.run, arguments.redis, arguments.questions, prepares=arguments.role == "prepares"
        )
        return 0
    with redis_at(arguments.redis) as url:
        fill(stores, arguments.run, url)
        command = [sys.executable, "-m", "bench.online_features", "--home", str(arguments.home), "--redis", url]
        command += ["--run", str(arguments.run), "--questions", str(arguments.questions), "--as"]
        found = [
            json.loads(subprocess.run([*command, role], check=True, capture_output=True, text=True).stdout)
            for role in ("prepares", "asks")
        ]
    for name, each in zip(("prepares the run", "asks Redis"), found, strict=True):
        times = [Took(*took) for took in each["times"]]
        print(table(["what", "median ms", "p95 ms", "of the processor"], [[f"one series, {name}", *row(times)]]))
        print(
            f"  first answer after {each['first']:.2f} s ({each['first_processor']:.2f} s of the processor); peak "
            f"{each['megabytes']:.0f} MB, {each['before']:.0f} of which before anything was asked"
        )
    is_equal = found[0]["answers"] == found[1]["answers"]
    print("answers are equal" if is_equal else "ANSWERS DIFFER")
    return int(not is_equal)


def fill(stores: Stores, run: RunKey, url: str) -> None:
    """Put all of a run, and say how large it is and what it costs."""
    runs = PreparedRuns(stores)
    prepared, basis, random = runs.get(run), RunBasis.of(stores, run), np.random.default_rng(2)
    count = prepared.panel.series.height
    rows = np.sort(random.choice(count, min(_SAMPLE, count), replace=False))
    names = [prepared.panel.series.row(int(at)) for at in rows]
    of_run = run_entry(prepared, time.time() + 3_600.0)
    part = read_run_entry(of_run)
    encoded, encoding = cost(lambda: entries_of(series_batch(prepared, rows)))
    sealed, sealing = cost(lambda: [seal("x", entry) for entry in encoded])
    _, opening = cost(lambda: [opened("x", entry) for entry in sealed])
    one_each = list(zip(names, encoded, strict=True))
    _, decoding = cost(lambda: [prepared_from(basis, part, [name], [entry]) for name, entry in one_each])
    costs = {
        "encode, many at a time": encoding,
        "compress and digest": sealing,
        "check and decompress": opening,
        "decode, one at a time": decoding,
    }
    rows_of_costs = [[name, f"{1e6 * took / len(rows):.0f}"] for name, took in costs.items()]
    print(table(["of a series", "microseconds of the processor"], rows_of_costs))
    plain, small = (np.mean([len(entry) for entry in entries]) for entries in (encoded, sealed))
    print(
        f"  {plain:,.0f} bytes a series, {small:,.0f} in Redis; {len(of_run):,} for the run, "
        f"{len(seal('x', of_run)):,} in Redis"
    )
    features = OnlineFeatures(stores, runs, RedisCache(url))
    began, used = time.perf_counter(), time.process_time()
    features.warm(run)
    took, worked = time.perf_counter() - began, time.process_time() - used
    print(f"  {count:,} series put in {took:.1f} s ({worked:.1f} of the processor)")


def cost(make: Callable[[], list[Any]]) -> tuple[list[Any], float]:
    """Return what is made, and seconds of the processor."""
    used = time.process_time()
    found = make()
    return found, time.process_time() - used


def answer_series(stores: Stores, run: RunKey, url: str, questions: int, *, prepares: bool) -> None:
    """Answer random series as one process, and print what it took."""
    runs = PreparedRuns(stores, prepare=prepare_run if prepares else _never)
    features = OnlineFeatures(stores, runs, RedisCache(url))
    before, began, used = peak(), time.perf_counter(), time.process_time()
    frame = stores.predictions.read(RunBasis.of(stores, run).snapshot).select("store_id", "sku_id")
    names = [frame.row(int(at)) for at in np.random.default_rng(3).integers(0, frame.height, questions)]
    if prepares:
        runs.get(run)

    def ask(one: tuple[str, str]) -> WhatIf:
        return what_if(features.of(run, [one], 600.0), [SeriesChange(*one)])

    ask(names[0])
    first, first_processor = time.perf_counter() - began, time.process_time() - used
    times = timed(ask, names)
    digest = hashlib.sha256()
    for one in names:
        found = ask(one)
        digest.update((found.forecasts.write_csv() + found.risks.write_csv() + found.explanations.write_csv()).encode())
    told = {"times": times, "first": first, "first_processor": first_processor, "answers": digest.hexdigest()}
    print(json.dumps({**told, "megabytes": peak(), "before": before}))


def _never(_stores: Stores, run: RunKey) -> PreparedRun:
    raise ValueError(f"{run} is not prepared here")


def peak() -> float:
    """Return megabytes of this program; what a process says of itself counts the one that started it too."""
    said = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return float(said.split()[0]) / 2**10


@contextmanager
def redis_at(url: str | None) -> Iterator[str]:
    """Yield the address of a Redis: the one that is named, or one that runs until the block ends."""
    if url is not None:
        yield url
        return
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [shutil.which("redis-server") or "redis-server", "--port", str(port), "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait(20)


if __name__ == "__main__":
    sys.exit(main())

"""The service under load, at full size: stored reads, what-ifs and comparisons, beside a bare FastAPI service.

Publishes two runs of all 50,000 series of FreshRetailNet, if no home is named. Starts `forecast-assets serve` on it and
a bare FastAPI service, sends both requests at fixed times, and prints what answers took, what starting took, and what
memory the process holds. `--soak 10` goes on for ten minutes with stored reads and what-ifs together, and looks for
failures and for memory that grows. Exits with 1 when a promise is missed.

    python -m bench.serving [--home DIR] [--seconds 30] [--soak MINUTES]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from bench.goals import Goal, any_missed, goals_table
from bench.load import Asked, Loaded, load
from bench.real_input import fresh_parser
from forecast_assets.core.keys import PredictionId, RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import scan_product
from forecast_assets.presentation.text import progress_lines, table
from forecast_assets.settings import Settings
from forecast_assets.sources.freshretailnet import read_freshretailnet
from resources.operational.api_keys import ApiKeys
from resources.stores.home import Stores, open_stores

VERSION, NEWEST, HORIZON = "stat-1", date(2024, 6, 11), 28
READS, WHAT_IFS, COMPARISONS = 50.0, 10.0, 1.0
_AT_ONCE = 100
# A first minute fills caches; what grows by more than this after it would not end.
_GROWTH = 0.05


class Series(NamedTuple):
    """Whom is asked about."""

    store_id: str
    sku_id: str


def main() -> int:
    parser = fresh_parser(__doc__)
    parser.add_argument("--home", type=Path, help="home folder with two daily runs of `stat-1`; made if left out")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--soak", type=float, default=0.0, help="minutes under reads and what-ifs together")
    chosen = parser.parse_args()
    if chosen.home is not None:
        return measure(chosen.home, chosen.seconds, chosen.soak)
    if not chosen.folder.is_dir():
        print(f"skipped: no FreshRetailNet files at {chosen.folder}; name them with FORECAST_ASSETS_DATA")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        home = published(Path(scratch) / "home", chosen.folder)
        return measure(home, chosen.seconds, chosen.soak)


def published(home: Path, files: Path) -> Path:
    """Publish the runs of two days."""
    days = [NEWEST - timedelta(days=1), NEWEST]
    with progress_lines() as progress:
        runner = Runner(Settings(home=home), progress)
        runner.ingest(read_freshretailnet(files))
        runner.train(family="statistical", version=VERSION, cutoff=days[0] - timedelta(days=1), horizon=HORIZON)
        for day in days:
            runner.score(RunKey("daily", day, VERSION, HORIZON))
    return home


def measure(home: Path, seconds: float, soak_minutes: float) -> int:
    settings = Settings(home=home)
    stores = open_stores(settings.store)
    runs = newest_two(stores)
    rows = scan_product(stores, stores.predictions.publication(runs[-1]), "forecasts")
    series = [Series(*names) for names in rows.select("store_id", "sku_id").unique().sort("*").collect().iter_rows()]
    random = np.random.default_rng(1)
    key = ApiKeys(settings.operational_path).create(
        "bench", "operator", now=datetime.now(UTC), valid_for=timedelta(days=1)
    )
    ask = Questions(runs, [series[at] for at in random.permutation(len(series))])
    began = time.perf_counter()
    with serving(home) as (process, address):
        started = time.perf_counter() - began
        prepared = until_prepared(address, key[1], ask)
        print(f"listening after {started:.1f} s, what-ifs by the model {prepared:.1f} s later", flush=True)
        found = {
            "stored read of one series": load(address, key[1], ask.read, per_second=READS, seconds=seconds),
            "what-if of one series": load(address, key[1], ask.what_if, per_second=WHAT_IFS, seconds=seconds),
            f"what-if of {_AT_ONCE} series": load(
                address, key[1], ask.what_if_of_many, per_second=0.5, seconds=max(seconds, 20)
            ),
        }
        until_compared(address, key[1], ask)
        found["compare of one series"] = load(address, key[1], ask.compare, per_second=COMPARISONS, seconds=seconds)
        memory = process.memory_info().rss / 2**30
        grown = soaked(process, address, key[1], ask, soak_minutes) if soak_minutes else None
    with bare(forecasts_file(stores, runs[-1])) as address:
        found["bare FastAPI: an answer that is fixed"] = load(
            address, "", lambda _: Asked("GET", "/fixed"), per_second=READS, seconds=seconds
        )
        found["bare FastAPI: a look-up in Parquet"] = load(
            address, "", lambda at: Asked("GET", f"/look-up?{query(ask.one(at))}"), per_second=READS, seconds=seconds
        )
    return report(f"{len(series):,} series, {runs[-1]}", found, (started, started + prepared), memory, grown)


class Questions:
    """Requests about random series.

    Args:
        runs: Two published runs, a day apart.
        series: Whom to ask about, in turn.
    """

    def __init__(self, runs: list[RunKey], series: list[Series]) -> None:
        self._runs, self._series, self._run = runs, series, runs[-1]
        self._named = {"model_version": self._run.model_version, "prediction_date": str(self._run.prediction_date)}

    @property
    def count(self) -> int:
        """How many series there are."""
        return len(self._series)

    def one(self, at: int) -> Series:
        return self._series[at % len(self._series)]

    def read(self, at: int) -> Asked:
        version = f"model_version={self._named['model_version']}&prediction_date={self._named['prediction_date']}"
        return Asked("GET", f"/v1/forecasts?{version}&{query(self.one(at))}")

    def what_if(self, at: int) -> Asked:
        return Asked("POST", "/v1/predict", {"use": "what_if", **self._named, "series": [self._cheaper(at)]})

    def what_if_of_many(self, at: int) -> Asked:
        many = [self._cheaper(at * _AT_ONCE + each) for each in range(min(_AT_ONCE, len(self._series)))]
        return Asked("POST", "/v1/predict", {"use": "what_if", **self._named, "series": many})

    def compare(self, at: int) -> Asked:
        one, day = self.one(at), self._run.prediction_date + timedelta(days=3)
        first, second = (
            str(PredictionId(run, one.sku_id, one.store_id, (day - run.prediction_date).days)) for run in self._runs
        )
        return Asked("POST", "/v1/compare", {"first": {"prediction_id": first}, "second": {"prediction_id": second}})

    def _cheaper(self, at: int) -> dict[str, Any]:
        day = str(self._run.prediction_date + timedelta(days=1 + at % 7))
        return {**self.one(at)._asdict(), "price_ratios": {day: 0.8}, "promotions": {day: True}}


def newest_two(stores: Stores) -> list[RunKey]:
    keys = sorted(stores.ledger.state().publications, key=lambda key: (key.prediction_date, key.revision))
    return [key for key in keys if key.cadence == "daily"][-2:]


def query(one: Series) -> str:
    return str(httpx.QueryParams(one._asdict()))


@contextmanager
def serving(home: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Start the service as an operator does, and stop it."""
    command = [str(Path(sys.executable).with_name("forecast-assets")), "serve", "--port", "0", "--no-log-requests"]
    with listening(command, {"FORECAST_ASSETS_HOME": str(home)}) as (process, address):
        yield psutil.Process(process.pid), address


@contextmanager
def bare(file: Path) -> Iterator[str]:
    with listening([sys.executable, "-m", "bench.bare_service", str(file)], {}) as (_, address):
        yield address


@contextmanager
def listening(command: list[str], environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start a process that says where it listens, and stop it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Listening on "):
                yield process, line.split()[2]
                break
        process.terminate()


def forecasts_file(stores: Stores, run: RunKey) -> Path:
    """Where the forecasts of a run are, in a folder."""
    publication = stores.predictions.publication(run)
    return Path(stores.predictions.paths(stores.predictions.version(publication.products["forecasts"]).files)[0])


def until_prepared(address: str, key: str, ask: Questions, longest: float = 300.0) -> float:
    """Wait until the model answers, and return the seconds that it took."""
    return _until(lambda: _is_whole(load(address, key, ask.what_if, per_second=1, seconds=1)), longest)


def until_compared(address: str, key: str, ask: Questions, longest: float = 300.0) -> float:
    """Wait until a comparison is whole, and return the seconds that it took."""
    return _until(lambda: _is_whole(load(address, key, ask.compare, per_second=1, seconds=1)), longest)


def _is_whole(found: Loaded) -> bool:
    return not found.degraded and not found.failures


def _until(is_so: Callable[[], bool], longest: float) -> float:
    began = time.perf_counter()
    while not is_so():
        if time.perf_counter() - began > longest:
            raise TimeoutError(f"not so after {longest:g} s")
        time.sleep(0.5)
    return time.perf_counter() - began


class Soaked(NamedTuple):
    """What a long load left."""

    loaded: Loaded
    growth: float


def soaked(process: psutil.Process, address: str, key: str, ask: Questions, minutes: float) -> Soaked:
    """Send reads and what-ifs together for so long; say by how much memory grew after the first minute."""

    def both(at: int) -> Asked:
        # Of six requests, five are reads.
        return ask.what_if(at) if at % 6 == 0 else ask.read(at)

    load(address, key, both, per_second=READS + WHAT_IFS, seconds=60)
    before = process.memory_info().rss
    found = load(address, key, both, per_second=READS + WHAT_IFS, seconds=60 * minutes)
    return Soaked(found, process.memory_info().rss / before - 1)


def report(title: str, found: dict[str, Loaded], ready: tuple[float, float], memory: float, soak: Soaked | None) -> int:
    fixed, looked_up = list(found.values())[-2:]
    print(
        table(
            ["what", "answers", "median ms", "p95 ms", "p95 over fixed", "over look-up", "failed", "degraded"],
            [
                [
                    name, str(len(each.milliseconds)), f"{each.median:.1f}", f"{each.p95:.1f}",
                    f"{each.p95 / fixed.p95:.1f}", f"{each.p95 / looked_up.p95:.1f}", str(len(each.failures)),
                    str(each.degraded),
                ]
                for name, each in found.items()
            ],
        )
    )  # fmt: skip
    read, one, many, compared = list(found.values())[:4]
    loads = [*found.values(), *([soak.loaded] if soak else [])]
    goals = [
        Goal(f"stored read of one series, {READS:g} a second, p95", read.p95, 40, 20, "ms"),
        Goal(f"what-if of one series, {WHAT_IFS:g} a second, p95", one.p95, 200, 80, "ms"),
        Goal(f"what-if of {_AT_ONCE} series, p95", many.p95, 2_000, 700, "ms"),
        Goal("compare of one series, p95", compared.p95, 1_000, 400, "ms"),
        Goal("start to answers from what is published", ready[0], 15, 5, "tenths"),
        Goal("start to what-ifs by the model", ready[1], 15, 5, "tenths"),
        Goal("memory of the process", memory, 2, 1, "GB"),
        Goal("requests that failed", sum(len(each.failures) for each in loads), 0, unit="count"),
        Goal("answers of the model that were degraded", sum(each.degraded for each in loads), 0, unit="count"),
    ]
    if soak is not None:
        goals += [
            Goal(f"soak: {len(soak.loaded.milliseconds):,} answers, p95", soak.loaded.p95, unit="ms"),
            Goal("soak: memory grown after the first minute", max(soak.growth, 0.0), _GROWTH, unit="share"),
        ]
    for each in loads:
        for failure in each.failures[:3]:
            print(f"failed: {failure}")
    print(goals_table(goals, title))
    return int(any_missed(goals))


if __name__ == "__main__":
    sys.exit(main())

"""A service that is started twice: when what-ifs are answered by the model, and what the file of features takes.

The first start finds nothing and prepares the newest run; the second finds what the first has put. For each: seconds
from start to the first answer by the model, what a what-if of one series takes then, and memory. Exits with 1 when a
promise is missed.

    python -m bench.restarts --home DIR [--questions 50]
"""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from bench.goals import Goal, any_missed, goals_table
from bench.load import Asked
from bench.serving import Questions, Series, newest_two, serving
from forecast_assets.operations.reading import scan_product
from forecast_assets.presentation.text import table
from forecast_assets.settings import Settings
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores

_LONGEST_SECONDS = 300.0


class Started(NamedTuple):
    """How a start went."""

    name: str
    listening: float
    answered: float
    put: float
    milliseconds: list[float]
    while_put: list[float]
    megabytes: float
    peak: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="home folder with two daily runs; its file goes")
    parser.add_argument("--questions", type=int, default=50, help="about one series each, one after the other")
    chosen = parser.parse_args()
    settings = Settings(home=chosen.home)
    stores = open_stores(settings.store).read_only()
    runs = newest_two(stores)
    rows = scan_product(stores, stores.predictions.publication(runs[-1]), "forecasts")
    series = [Series(*names) for names in rows.select("store_id", "sku_id").unique().sort("*").collect().iter_rows()]
    ask = Questions(runs, [series[at] for at in np.random.default_rng(1).permutation(len(series))])
    key = ApiKeys(settings.operational_path).create(
        "bench", "operator", now=datetime.now(UTC), valid_for=timedelta(days=1)
    )[1]
    for path in settings.features_path.parent.glob(f"{settings.features_path.name}*"):
        path.unlink()
    found = [started(name, settings, key, ask, chosen.questions) for name in ("first", "second")]
    size = settings.features_path.stat().st_size
    print(
        table(
            ["start", "listening s", "by the model s", "put s", "what-if median ms", "p95", "while put", "MB", "peak"],
            [
                [
                    each.name, f"{each.listening:.1f}", f"{each.answered:.1f}", f"{each.put:.1f}",
                    f"{np.median(each.milliseconds):.0f}", f"{np.quantile(each.milliseconds, 0.95):.0f}",
                    f"{np.median(each.while_put):.0f}" if each.while_put else "", f"{each.megabytes:.0f}",
                    f"{each.peak:.0f}",
                ]
                for each in found
            ],
        )
    )  # fmt: skip
    print(f"{size:,} bytes on disk of {len(series):,} series, {size / len(series):,.0f} each")
    goals = [
        Goal("start again to what-ifs by the model", found[1].answered, 15, 5, "tenths"),
        Goal("memory of the process, the run on disk", found[1].megabytes / 2**10, 2, 1, "GB"),
    ]
    print(goals_table(goals, f"{len(series):,} series, {runs[-1]}"))
    return int(any_missed(goals))


def started(name: str, settings: Settings, key: str, ask: Questions, questions: int) -> Started:
    """Start the service, ask until the model answers and all is put, and then measure."""
    began = time.perf_counter()
    with serving(settings.home) as (process, address), httpx.Client(base_url=address, timeout=60) as client:
        listening = time.perf_counter() - began

        def asked(at: int) -> tuple[bool, float]:
            question: Asked = ask.what_if(at)
            since = time.perf_counter()
            answer = client.request(
                question.method, question.path, json=question.body, headers={"Authorization": f"Bearer {key}"}
            )
            took = 1_000 * (time.perf_counter() - since)
            return answer.status_code == httpx.codes.OK and not answer.json()["degraded"], took

        while not asked(0)[0]:
            if time.perf_counter() - began > _LONGEST_SECONDS:
                raise TimeoutError("the model does not answer")
            time.sleep(0.2)
        answered = time.perf_counter() - began
        while_put: list[float] = []
        while name == "first" and health(client)["features"]["put"] < ask.count:
            while_put.append(asked(len(while_put))[1])
            time.sleep(0.2)
        put = time.perf_counter() - began - answered
        # The run is let go of.
        time.sleep(3.0)
        milliseconds = [asked(at)[1] for at in range(questions)]
        return Started(
            name, listening, answered, put, milliseconds, while_put, process.memory_info().rss / 2**20, peak(process)
        )


def health(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/health/ready").json()
    return found


def peak(process: psutil.Process) -> float:
    said = Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1]
    return float(said.split()[0]) / 2**10


if __name__ == "__main__":
    sys.exit(main())

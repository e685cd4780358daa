"""What-if answers: how long they take, what they hold in memory, and how far they are from whole runs.

Simulates a retailer of 120 series, if no home is named, and publishes a run of it. Prepares the run, asks for random
series with and without changes, and prints the times beside the bare calls of the same process: reading the published
row, and LightGBM's own prediction for a version with trees. Then it makes whole runs with the same changes. Exits with
1 when a promise is missed.

    python -m bench.what_if [--home DIR --run daily/2025-06-30/global-1/14/r0] [--questions 40] [--whole-runs 3]
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from bench.distance import distance_to_whole_run
from bench.goals import Goal, any_missed, goals_table
from forecast_assets.core.keys import RunKey
from forecast_assets.features.changes import SeriesChange
from forecast_assets.launch import Runner
from forecast_assets.operations.reading import scan_product
from forecast_assets.presentation.text import table
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from forecast_assets.serving.dataplane.together import MOST_AT_ONCE
from forecast_assets.serving.dataplane.what_if import what_if, what_ifs
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.simulated import read_simulated
from resources.ledger.entries.publish import Publication

RETAILER = SimulatorSettings(skus=30, stores=4, days=400, seed=11, end=date(2025, 6, 30))
HORIZON = 14
LIMIT_MS, LIMIT_OF_100_MS, LIMIT_READY_SECONDS, LIMIT_GB = 200.0, 2_000.0, 15.0, 2.0
_AT_ONCE = 100
_CHANGED, _MANY = "one series, price and promotion", f"{_AT_ONCE} series at once"
_TOGETHER = f"{MOST_AT_ONCE} questions of one series each"


class Took(NamedTuple):
    """What a question took, in milliseconds: on the clock, and of the processor."""

    milliseconds: float
    processor: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="home folder with the run; made up if left out")
    parser.add_argument("--run", type=RunKey.parse, help="key of a published run of that home")
    parser.add_argument("--family", default="global", help="of the version that is made up")
    parser.add_argument("--questions", type=int, default=40, help="questions about one series")
    parser.add_argument("--whole-runs", type=int, default=3, help="whole runs to compare answers with")
    arguments = parser.parse_args()
    if (arguments.home is None) != (arguments.run is None):
        parser.error("--home and --run belong together.")
    if arguments.home is not None:
        runner = Runner(Settings(home=arguments.home))
        return measure(runner, arguments.run, arguments.questions, arguments.whole_runs)
    with tempfile.TemporaryDirectory() as scratch:
        runner, run = made_up(Path(scratch), arguments.family)
        return measure(runner, run, arguments.questions, arguments.whole_runs)


def made_up(folder: Path, family: str) -> tuple[Runner, RunKey]:
    """Simulate a retailer, train a version and publish a run of it."""
    write_native(simulate_retailer(RETAILER), folder / "native")
    runner = Runner(Settings(home=folder / "home"))
    runner.ingest(read_simulated(folder / "native"))
    runner.train(family=family, version="asked-1", cutoff=RETAILER.end, horizon=HORIZON)
    run = RunKey("daily", RETAILER.end, "asked-1", HORIZON)
    runner.score(run)
    return runner, run


def measure(runner: Runner, run: RunKey, questions: int, whole_runs: int) -> int:
    """Measure one run; return 1 if a promise is missed."""
    began = time.perf_counter()
    prepared = prepare_run(runner.stores, run)
    ready_seconds = time.perf_counter() - began
    random = np.random.default_rng(1)
    series = [prepared.panel.series.row(int(row)) for row in random.integers(0, len(prepared.base), questions)]
    what_if(prepared, [SeriesChange(*series[0])])
    times = {
        "one series, nothing changed": timed(lambda one: what_if(prepared, [SeriesChange(*one)]), series),
        _CHANGED: timed(lambda one: what_if(prepared, [cheaper(prepared, one, random)]), series),
        _MANY: timed(lambda _: what_if(prepared, many(prepared, random)), series[: max(questions // 8, 2)]),
        _TOGETHER: timed(
            lambda _: what_ifs(prepared, many(prepared, random)[:MOST_AT_ONCE]), series[: max(questions // 8, 2)]
        ),
        "bare: the published rows read": timed(published_rows(runner, prepared), series),
    }
    times |= bare_trees(prepared, series)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = [[name, *row(found)] for name, found in times.items()]
    print(table(["what", "median ms", "p95 ms", "of the processor"], rows))
    goals = [
        Goal(f"{_CHANGED}, p95", p95_of(times[_CHANGED]), LIMIT_MS, unit="ms"),
        Goal(f"{_MANY}, p95", p95_of(times[_MANY]), LIMIT_OF_100_MS, unit="ms"),
        Goal(f"{prepared.panel.series.height:,} series prepared", ready_seconds, LIMIT_READY_SECONDS, unit="tenths"),
        Goal("peak memory", gigabytes, LIMIT_GB, unit="GB"),
    ]
    asked = [[cheaper(prepared, one, random)] for one in series[: max(whole_runs - 1, 1)]]
    asked.append(many(prepared, random)[: min(_AT_ONCE, 20)])
    if whole_runs:
        found = distance_to_whole_run(runner.stores, prepared, asked)
        what = f"beside whole runs, {found.series} series"
        differing = f"{what}: base forecasts of {found.base_compared:,} that differ"
        goals += [
            Goal(differing, found.base_differing, unit="count"),
            Goal(f"{what}: published forecasts, median", found.median, unit="share"),
            Goal(f"{what}: published forecasts, p95", found.p95, unit="share"),
        ]
    print(goals_table(goals, str(run)))
    return int(any_missed(goals))


def timed(ask: Callable[[tuple[str, str]], Any], series: Sequence[tuple[str, str]]) -> list[Took]:
    """Measure each question."""
    found = []
    for one in series:
        began, used = time.perf_counter(), time.process_time()
        ask(one)
        found.append(Took(1_000.0 * (time.perf_counter() - began), 1_000.0 * (time.process_time() - used)))
    return found


def row(took: Sequence[Took]) -> list[str]:
    """Median and p95, and the median of what the processor did, which others on the machine move less."""
    median, p95 = np.quantile([each.milliseconds for each in took], (0.5, 0.95))
    return [f"{median:.1f}", f"{p95:.1f}", f"{np.median([each.processor for each in took]):.1f}"]


def p95_of(took: Sequence[Took]) -> float:
    return float(np.quantile([each.milliseconds for each in took], 0.95))


def cheaper(prepared: PreparedRun, series: tuple[str, str], random: np.random.Generator) -> SeriesChange:
    """A lower price, promoted, on three of the first seven days."""
    days = [prepared.panel.cutoff + timedelta(days=int(day) + 1) for day in random.choice(7, 3, replace=False)]
    ratio = float(random.uniform(0.6, 0.9))
    return SeriesChange(*series, price_ratios=dict.fromkeys(days, ratio), promotions=dict.fromkeys(days, True))


def many(prepared: PreparedRun, random: np.random.Generator) -> list[SeriesChange]:
    """Changes of a hundred series, or of all that there are."""
    count = prepared.panel.series.height
    rows = random.choice(count, min(_AT_ONCE, count), replace=False)
    return [cheaper(prepared, prepared.panel.series.row(int(row)), random) for row in rows]


def published_rows(runner: Runner, prepared: PreparedRun) -> Callable[[tuple[str, str]], pl.DataFrame]:
    """Read the published forecasts of a series, as one would without anything else."""
    publication: Publication = runner.stores.predictions.publication(prepared.key.run)
    rows = scan_product(runner.stores, publication, "forecasts")
    return lambda one: rows.filter(store_id=one[0], sku_id=one[1]).collect()


def bare_trees(prepared: PreparedRun, series: Sequence[tuple[str, str]]) -> dict[str, list[Took]]:
    """LightGBM's prediction of one series' days, where the version has trees."""
    trees = getattr(prepared.artifact, "demand", None)
    if trees is None:
        return {}
    inputs = np.zeros((prepared.key.run.forecast_horizon, len(prepared.artifact.inputs)), dtype=np.float32)  # type: ignore[attr-defined]
    return {"bare: LightGBM predicts": timed(lambda _: trees.booster.predict(inputs), series)}


if __name__ == "__main__":
    sys.exit(main())

"""Training and a daily run, each in a process of its own, so that its memory is its own.

Libraries are imported before the clock starts, on both sides of every ratio.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from bench.bare import BOOSTING, bare_calls, boosting_timed
from bench.meter import Lap, metering
from bench.meter import lap as measured_lap
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.presentation.text import progress_lines
from forecast_assets.settings import Settings
from resources.ledger.entries.publish import Publication

Result = TypeVar("Result")


@dataclass
class Training:
    """What training a version took, LightGBM's own share of it included."""

    whole: Lap
    boosting: Lap


@dataclass
class Daily:
    """What a run took from snapshot to publication, step by step, and the library calls by themselves."""

    publication: Publication
    whole: Lap
    steps: list[tuple[str, Lap]]
    bare: list[tuple[str, Lap]]

    @property
    def ratio(self) -> float:
        return self.whole.seconds / sum(each.seconds for _, each in self.bare)


def train(home: Path, family: str, version: str, cutoff: date, horizon: int) -> Training:
    return in_process(_train, home, family, version, cutoff, horizon)


def run(home: Path, key: RunKey) -> Daily:
    return in_process(_run, home, key)


def in_process(function: Callable[..., Result], *given: object) -> Result:
    """Call a function in a fresh process, whose own processes may start others."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def _train(home: Path, family: str, version: str, cutoff: date, horizon: int) -> Training:
    _import_libraries()
    with progress_lines() as report, metering() as meter:
        runner = Runner(Settings(home=home), report)
        with measured_lap(meter) as whole, boosting_timed() as boosting:
            runner.train(family=family, version=version, cutoff=cutoff, horizon=horizon)
    return Training(whole, boosting)


def _run(home: Path, key: RunKey) -> Daily:
    from bench.real_input import step_laps

    _import_libraries()
    with progress_lines() as report, metering() as meter:
        runner = Runner(Settings(home=home), report)
        with measured_lap(meter) as whole, boosting_timed() as boosting:
            publication = runner.score(key).publication
        steps = [(each.name, each.lap) for each in step_laps(runner, meter)]
        bare = [*bare_calls(runner, publication, meter), (BOOSTING, boosting)]
    return Daily(publication, whole, steps, bare)


def _import_libraries() -> None:
    import great_expectations  # noqa: F401
    import hierarchicalforecast.methods  # noqa: F401
    import lightgbm  # noqa: F401
    import matplotlib.pyplot as plt  # noqa: F401
    import pandera.polars  # noqa: F401
    import statsforecast  # noqa: F401

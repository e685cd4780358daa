"""A small retailer, simulated, trained and published once for all tests that only read it."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.simulated import read_simulated
from tests.support.brief_runs import in_full, make_brief

RETAILER = SimulatorSettings(skus=18, stores=2, days=200, seed=11, end=date(2025, 6, 30))
KEY = RunKey("daily", RETAILER.end, "stat-1", 28)


@pytest.fixture(scope="module")
def brief_runs() -> Iterator[None]:
    """Runs of a module that asks for this are brief; those that all modules share are made in full."""
    with pytest.MonkeyPatch.context() as patch:
        make_brief(patch)
        yield


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return simulate_retailer(RETAILER)


@pytest.fixture(scope="session")
def retailer_folder(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retailer") / "native"
    write_native(simulation, folder)
    return folder


def new_runner(home: Path) -> Runner:
    return Runner(Settings(home=home, workers=1, risk_paths=100))


@pytest.fixture(scope="session")
def trained(retailer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A home folder with observations and a promoted model version, and nothing published."""
    runner = new_runner(tmp_path_factory.mktemp("trained"))
    with in_full():
        runner.ingest(read_simulated(retailer_folder))
        runner.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=28)
    runner.stores.registry.promote("stat-1", by="tests", reason="first")
    return runner


@pytest.fixture(scope="session")
def published(trained: Runner, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, RunOutcome]:
    """A copy of the trained home with one published run."""
    runner = copied(trained, tmp_path_factory.mktemp("published") / "home")
    with in_full():
        return runner, runner.score(KEY)


def copied(runner: Runner, home: Path) -> Runner:
    """Return a runner on a copy of another's home folder."""
    import shutil

    shutil.copytree(runner.settings.home, home, symlinks=True)
    return new_runner(home)

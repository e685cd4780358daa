"""Runs in one process do not see each other: at once, in one home or in two, they make what each makes alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier

import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.core.run import RunOptions, RunRequest
from forecast_assets.launch import Runner
from forecast_assets.scoring.context import RunContext
from forecast_assets.scoring.run import score
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer, write_native
from forecast_assets.sources.simulated import read_simulated
from resources.store.overlay import OverlayStore
from resources.stores.home import Stores
from tests.support.retailers import RETAILER, copied, new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

OPTIONS = RunOptions(risk_paths=100, workers=1)
LATE = RunKey("daily", RETAILER.end, "stat-1", 28)
SHORTER = RunKey("daily", RETAILER.end, "stat-1", 14)

Hashes = dict[str, str]


@contextmanager
def over(stores: Stores) -> Iterator[Stores]:
    """The stores under a folder that takes what a run writes."""
    with TemporaryDirectory() as folder:
        scratch = Stores.on(OverlayStore(stores.blobs, Path(folder)), stores.ledger)
        snapshot = stores.predictions.staged("feature_snapshots", RETAILER.end)
        scratch.predictions.stage(snapshot, RETAILER.end)
        yield scratch


def made_by(stores: Stores, key: RunKey, meet: Callable[[], object] = lambda: None) -> Hashes:
    """The bytes of every product of a run, by name; `meet` is called before it starts."""
    with over(stores) as scratch:
        meet()
        made = score(RunContext(scratch, RunRequest(key, OPTIONS)))
        names = [*made, "base_node_forecasts", "aggregate_forecasts"]
        return {name: scratch.predictions.staged(name, key).files[0].sha256 for name in names}


@pytest.fixture(scope="module")
def other_home(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Another retailer with a version of the same name, as of the same day."""
    folder = tmp_path_factory.mktemp("other")
    write_native(
        simulate_retailer(SimulatorSettings(skus=12, stores=3, days=160, seed=5, end=RETAILER.end)), folder / "native"
    )
    made = new_runner(folder / "home")
    made.ingest(read_simulated(folder / "native"))
    made.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=28)
    return made


def at_once(*runs: tuple[Stores, RunKey]) -> list[Hashes]:
    barrier = Barrier(len(runs))
    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(lambda run: made_by(*run, meet=barrier.wait), runs))


def test_two_runs_of_one_home_at_once_make_what_each_makes_alone(trained: Runner) -> None:
    alone = [made_by(trained.stores, LATE), made_by(trained.stores, SHORTER)]
    assert alone[0] != alone[1]
    assert at_once((trained.stores, LATE), (trained.stores, SHORTER)) == alone


def test_runs_of_two_homes_at_once_make_what_each_makes_alone(trained: Runner, other_home: Runner) -> None:
    # The keys are the same, and so are the names of versions and days: only the homes tell the runs apart.
    alone = [made_by(trained.stores, LATE), made_by(other_home.stores, LATE)]
    # Nobody has overridden anything in either.
    assert {name for name, content in alone[0].items() if content in alone[1].values()} == {"forecast_overrides"}
    assert at_once((trained.stores, LATE), (other_home.stores, LATE)) == alone


def test_what_runs_through_dagster_is_what_a_run_in_plain_python_makes(trained: Runner, tmp_path: Path) -> None:
    plain = made_by(trained.stores, LATE)
    runner = copied(trained, tmp_path / "home")
    published = runner.score(LATE).publication
    behind = runner.stores.predictions.lineage(published.products.values())
    through = {made.product: made.files[0].sha256 for made in behind if made.product in plain}
    assert through == plain

"""Rows picked at random from many runs are rebuilt to the very values that were published."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.models.boosted.model import COMBINED
from forecast_assets.settings import Settings
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer
from forecast_assets.sources.freshretailnet import read_freshretailnet
from tests.support.brief_runs import make_brief
from tests.support.replayed_rows import picked, require_replayed
from tests.torture.sizes import size

ROWS = size(20, 200)
RETAILER = SimulatorSettings(skus=8, stores=2, days=160, seed=7, end=date(2025, 6, 30))
END, SUNDAY = RETAILER.end, date(2025, 6, 29)
# Every ninth series of the sample; with fewer, a version does not pass its gates.
FRESH_EVERY = 9
FRESH_END = date(2024, 6, 11)

FAMILIES = {"stat-1": "statistical", "combined-1": COMBINED}

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module", autouse=True)
def _brief_runs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_brief(patch)
        yield


def require_picked_rows_replayed(runner: Runner, keys: list[RunKey]) -> None:
    chosen = picked(runner, ROWS)
    assert set(chosen) == set(keys)
    for key, rows in chosen.items():
        require_replayed(runner, key, rows)


@pytest.mark.skipif(size(0, 1) == 0, reason="the sample is of runs that tests/scoring publishes anyway")
def test_random_rows_of_a_retailer_are_rebuilt_to_the_published_values(tmp_path: Path) -> None:
    runner = Runner(Settings(home=tmp_path, workers=1, risk_paths=60))
    runner.ingest(simulate_retailer(RETAILER).batches)
    for version, family in FAMILIES.items():
        runner.train(family=family, version=version, cutoff=END - timedelta(days=10), horizon=30)
    runner.train(family="statistical", version="stat-2", cutoff=END - timedelta(days=3), horizon=14)
    keys = [RunKey("weekly", SUNDAY, version, 30) for version in FAMILIES]
    keys += [RunKey("daily", END - timedelta(days=back), "combined-1", 28) for back in (0, 3)]
    keys += [RunKey("daily", END - timedelta(days=9 - back), "stat-1", 28) for back in range(7)]
    keys += [RunKey("daily", END - timedelta(days=back), "stat-2", 14) for back in range(3)]
    for key in keys:
        runner.score(key)
    require_picked_rows_replayed(runner, keys)


def test_random_rows_of_real_sales_are_rebuilt_to_the_published_values(real_data_dir: Path, tmp_path: Path) -> None:
    runner = Runner(Settings(home=tmp_path, workers=1, risk_paths=60))
    batches = read_freshretailnet(real_data_dir, sample=True)
    sold = next(batch.frame for batch in batches if batch.feed == "sales")
    series = sold.select("store_id", "sku_id").unique().sort("store_id", "sku_id").gather_every(FRESH_EVERY)
    runner.ingest([replace(batch, frame=_of(batch.frame, series)) for batch in batches])
    for version, family in FAMILIES.items():
        runner.train(family=family, version=version, cutoff=FRESH_END - timedelta(days=14), horizon=14)
    days = [FRESH_END - timedelta(days=back) for back in (0, 14)[: size(1, 2)]]
    keys = [RunKey("daily", day, version, 14) for day in days for version in FAMILIES]
    for key in keys:
        runner.score(key)
    require_picked_rows_replayed(runner, keys)


def _of(frame: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """The rows of some series, or of their products; events and stores stay."""
    on = [name for name in ("store_id", "sku_id") if name in frame.columns]
    if "sku_id" not in on:
        # Events may hold for all stores.
        return frame
    return frame.join(series.select(on).unique(), on=on, how="semi")

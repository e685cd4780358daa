"""Stores that earlier releases wrote are opened, verified, gone on with, backed up and restored by this one.

The files in tests/support/earlier were written by the code of their days, each on the same simulated retailer (6 SKUs,
1 store, 120 days, seed 11): ingested, trained, promoted, a daily run, and what came of two days measured.
"""

import tarfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.contracts import PUBLISHED
from forecast_assets.core.errors import AlreadyPublishedError
from forecast_assets.core.keys import RunKey
from forecast_assets.launch import Runner
from forecast_assets.operations.backing_up import back_up, verify_backup
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.restoring import restore
from resources.catalogue.build import refresh_catalogue
from resources.maintenance.verification import verify_store
from resources.stores.home import Stores
from tests.support.backup_cases import content, no_pages, settings_of, stores_of
from tests.support.store_cases import publish

pytestmark = pytest.mark.usefixtures("brief_runs")

EARLIER = Path(__file__).parents[1] / "support" / "earlier"
THEN = RunKey("daily", date(2025, 6, 28), "stat-1", 7)
NOW = RunKey("daily", date(2025, 6, 29), "stat-1", 7)


@dataclass(frozen=True)
class Earlier:
    """What an earlier release wrote.

    Attributes:
        head: SHA-256 of its last entry.
        entries: How many it has.
        products: How many products its run published.
        forecast: Sum of the run's forecast, as it was published.
    """

    head: str
    entries: int
    products: int
    forecast: str


STORES = {
    "first-release": Earlier("94297c52c161afb91db1d00badbda33facd68f4d46faca03f32ccd50b3ee4870", 6, 4, "334.081906"),
    "verifiable-ledger": Earlier(
        "fb4aae4ae101df8fd240c4963e387d1923dcfe2b3db45551753ea40cf398532c", 6, 4, "334.081906"
    ),
    "fused-feeds": Earlier("8c1c6c20e52514831ae3781445e2ee9f81f81aacd543ae2eb42ff4cf87f636ca", 6, 4, "334.081906"),
    "gates-and-drift": Earlier("0a006ba781f3c4688459be2964846e58729cbcad31e337238f2ebb93f16c00f5", 7, 5, "306.814379"),
}


@pytest.fixture(params=STORES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runner(name: str, tmp_path: Path) -> Runner:
    """A home with the store of an earlier release."""
    with tarfile.open(EARLIER / f"{name}.tar.xz") as packed:
        packed.extractall(tmp_path / "home", filter="data")
    return Runner(settings_of(tmp_path / "home", workers=1, risk_paths=50))


def total(stores: Stores, key: RunKey) -> str:
    frame = read_product(stores, stores.predictions.publication(key), "forecasts")
    return str(frame.select(pl.col("forecast_units").sum()).item())


def test_every_store_is_tried() -> None:
    assert {path.name.removesuffix(".tar.xz") for path in EARLIER.iterdir()} == {*STORES}


def test_it_opens_and_says_what_was_published_then(name: str, runner: Runner) -> None:
    said, stores = STORES[name], runner.stores
    found = verify_store(stores.blobs, expect_heads=[f"{said.entries}:{said.head}"])
    assert (found.findings, found.entries) == ((), said.entries)
    state = stores.ledger.state()
    assert [*state.publications] == [THEN]
    assert state.channel("champion") == "stat-1"
    assert len(state.publications[THEN].products) == said.products
    assert total(stores, THEN) == said.forecast
    catalogue = refresh_catalogue(stores.predictions, runner.settings.catalogue_folder)
    with duckdb.connect(str(catalogue), read_only=True) as connection:
        assert (
            str(connection.sql('SELECT sum(forecast_units) FROM "stat-1".forecasts').fetchall()[0][0]) == said.forecast
        )


def test_it_goes_on_and_is_backed_up_and_restored(name: str, runner: Runner, tmp_path: Path) -> None:
    said, stores = STORES[name], runner.stores
    with pytest.raises(AlreadyPublishedError):
        publish(stores, THEN)
    assert runner.score(NOW).is_new
    assert {*stores.predictions.publication(NOW).products} == {*PUBLISHED}
    assert total(stores, THEN) == said.forecast
    assert verify_store(stores.blobs, expect_heads=[f"{said.entries}:{said.head}"]).findings == ()

    to = str(tmp_path / "backup")
    copied = back_up(runner.settings, to).store
    assert (copied.sequence, copied.copied_entries) == (said.entries + 1, said.entries + 1)
    assert verify_backup(runner.settings, to).store.findings == ()
    restored = settings_of(tmp_path / "restored")
    outcome = restore(restored, to, no_pages)
    assert outcome.verification.head == copied.head
    again = stores_of(restored)
    assert (total(again, THEN), total(again, NOW)) == (said.forecast, total(stores, NOW))
    assert content(again).items() <= content(stores).items()

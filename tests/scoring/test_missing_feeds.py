"""Sources that lack a feed: the daily run works, and its products say what could not be computed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from checks.expectations import ExpectationOutcome
from forecast_assets.core.keys import RunKey
from forecast_assets.ingestion.batch import Batch
from forecast_assets.operations.reading import read_product
from forecast_assets.simulation.simulator import Simulation, SimulatorSettings, simulate_retailer
from tests.support.brief_runs import in_full
from tests.support.retailers import new_runner

pytestmark = pytest.mark.usefixtures("brief_runs")

RETAILER: Final = SimulatorSettings(skus=5, stores=2, days=120, seed=5, end=date(2025, 6, 30), horizon=7)
KEY: Final = RunKey("daily", RETAILER.end, "stat-1", 7)
UNPLACED_SKU, UNPLACED_STORE = "FOOD-0001", "S-02"

Change = Callable[[Batch], pl.DataFrame | None]


def without(*feeds: str) -> Change:
    """Leave feeds out."""
    return lambda batch: None if batch.feed in feeds else batch.frame


def sales_alone(batch: Batch) -> pl.DataFrame | None:
    return batch.frame if batch.feed == "sales" else None


def with_holes(batch: Batch) -> pl.DataFrame:
    """Leave out the plan ahead, the ordering policy, and the places of one SKU and one store."""
    if batch.feed == "prices":
        return batch.frame.filter(pl.col("event_date") <= RETAILER.end)
    if batch.feed == "inventory_positions":
        declared = ("reorder_point_units", "order_up_to_units")
        return batch.frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in declared)
    if batch.feed == "product_hierarchy":
        return batch.frame.filter(pl.col("sku_id") != UNPLACED_SKU)
    if batch.feed == "store_hierarchy":
        return batch.frame.filter(pl.col("store_id") != UNPLACED_STORE)
    return batch.frame


@dataclass(frozen=True)
class Read:
    """What was published of a source that lacks something."""

    forecasts: pl.DataFrame
    risks: pl.DataFrame
    explanations: pl.DataFrame
    aggregates: pl.DataFrame

    @property
    def wants(self) -> set[str]:
        """Everything that some row could not be computed for."""
        return {want for line in self.explanations["not_computed"] for want in line.split("; ") if want}


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_retailer(RETAILER)


@pytest.fixture
def _without_data_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Great Expectations out, which takes most of the time and is asked once, of sales alone."""

    def sound(frame: pl.DataFrame, *_: object) -> ExpectationOutcome:
        return ExpectationOutcome("sound", success=True, rows=frame.height)

    monkeypatch.setattr("checks.expectations._validate", sound)


def run(simulation: Simulation, change: Change, home: Path) -> Read:
    """Ingest what a change leaves of the batches, train, run and publish."""
    changed = ((batch, change(batch)) for batch in simulation.batches)
    runner = new_runner(home)
    runner.ingest([replace(batch, frame=frame) for batch, frame in changed if frame is not None])
    runner.train(family="statistical", version="stat-1", cutoff=RETAILER.end, horizon=7)
    publication = runner.score(KEY).publication
    names = ("forecasts", "stockout_risks", "forecast_explanations", "aggregate_forecasts")
    return Read(*(read_product(runner.stores, publication, name) for name in names))


def test_sales_alone_are_forecast_and_what_is_unknown_is_said(simulation: Simulation, tmp_path: Path) -> None:
    with in_full():
        read = run(simulation, sales_alone, tmp_path)
    assert read.wants == {
        "price and promotion: there is no price feed",
        "time of year: it shows after two years, 120 days are known",
        "calendar events: there is no event feed",
        "levels between the SKU and the total: there is no product hierarchy",
        "levels between the store and the total: there is no store hierarchy",
        "stock-out risk: neither a stock position nor stock status is known",
    }
    assert read.forecasts["forecast_units"].sum() > 0
    assert read.risks["stockout_probability"].is_null().all()
    assert set(read.risks["risk_band"]) == {"unknown"}
    assert set(read.explanations["risk_reason"]) == {
        "Unknown: there is neither a stock position nor a record of stock status"
    }
    assert (read.forecasts["expected_sales_units"] == read.forecasts["forecast_units"]).all()
    assert set(read.aggregates["product_level"]) == {"total", "sku"}


@pytest.mark.usefixtures("_without_data_docs")
def test_without_plan_policy_and_places_a_run_is_made_and_says_so_row_by_row(
    simulation: Simulation, tmp_path: Path
) -> None:
    read = run(simulation, with_holes, tmp_path)
    told = read.explanations.select("store_id", "sku_id", "step", "not_computed", "price_units")
    assert told["not_computed"].str.contains("no plan is known for it, recent weeks stand in").all()
    unplaced = {
        "sku_id": ("the SKU's place in the product hierarchy", UNPLACED_SKU),
        "store_id": ("the store's place in the store hierarchy", UNPLACED_STORE),
    }
    for key, (words, member) in unplaced.items():
        assert set(told.filter(pl.col("not_computed").str.contains(words))[key]) == {member}
    nodes = read.aggregates.filter(product_node="unassigned", store_level="total")
    own = read.forecasts.filter(sku_id=UNPLACED_SKU)
    assert set(nodes["product_level"]) == {"department", "category", "subcategory"}
    for level in nodes.partition_by("product_level"):
        assert level["forecast_units"].sum() == own["forecast_units"].sum()
    policy = pl.col("not_computed").str.contains("no ordering policy is declared")
    unknown = read.risks.filter(pl.col("stockout_probability").is_null()).select("store_id", "sku_id", "step")
    assert told.filter(policy).select("store_id", "sku_id", "step").equals(unknown)
    assert 0 < unknown.height < read.risks.height


@pytest.mark.usefixtures("_without_data_docs")
def test_without_stock_and_products_the_rest_is_computed(simulation: Simulation, tmp_path: Path) -> None:
    read = run(simulation, without("inventory_positions", "purchase_orders", "product_hierarchy"), tmp_path)
    assert read.wants == {
        "time of year: it shows after two years, 120 days are known",
        "levels between the SKU and the total: there is no product hierarchy",
        "stock-out risk: neither a stock position nor stock status is known",
    }
    assert set(read.aggregates["product_level"]) == {"total", "sku"}
    assert set(read.aggregates["store_level"]) > {"total", "store"}
    assert (read.explanations["price_units"] != 0).any()


@pytest.mark.usefixtures("_without_data_docs")
def test_without_prices_events_and_stores_the_rest_is_computed(simulation: Simulation, tmp_path: Path) -> None:
    read = run(simulation, without("prices", "events", "store_hierarchy"), tmp_path)
    assert read.wants == {
        "price and promotion: there is no price feed",
        "time of year: it shows after two years, 120 days are known",
        "calendar events: there is no event feed",
        "levels between the store and the total: there is no store hierarchy",
    }
    for driver in ("price_units", "promotion_units", "event_units"):
        assert (read.explanations[driver] == 0).all()
    assert (read.explanations["weekday_units"] != 0).any()
    assert read.risks["stockout_probability"].is_not_null().all()

"""Changing an input moves the driver that stands for it, and only then."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.sources.simulated import read_simulated
from tests.support.retailers import KEY, RETAILER, copied

pytestmark = pytest.mark.usefixtures("brief_runs")

KEY_COLUMNS = ["store_id", "sku_id", "step"]


def explained(runner: Runner, outcome: RunOutcome) -> pl.DataFrame:
    risks = read_product(runner.stores, outcome.publication, "stockout_risks")
    frame = read_product(runner.stores, outcome.publication, "forecast_explanations")
    wanted = risks.select(*KEY_COLUMNS, "stockout_probability", "on_hand_probability")
    return frame.join(wanted, on=KEY_COLUMNS).sort(KEY_COLUMNS)


@pytest.fixture(scope="module")
def busiest(published: tuple[Runner, RunOutcome]) -> tuple[str, str]:
    runner, outcome = published
    frame = read_product(runner.stores, outcome.publication, "forecasts")
    totals = frame.group_by("store_id", "sku_id").agg(pl.col("forecast_units").sum()).sort("forecast_units", "sku_id")
    store, sku, _ = totals.row(-1)
    return store, sku


def perturbed(trained: Runner, folder: Path, home: Path, feed: str, change: pl.Expr, column: str) -> Runner:
    """Return a runner to whom a more trusted source has told another value of one row."""
    runner = copied(trained, home)
    (batch,) = [each for each in read_simulated(folder) if each.feed == feed]
    row = batch.frame.filter(change).with_columns(NEW_VALUES[column])
    assert row.height == 1
    runner.ingest([replace(batch, source="inspector", trust=1.0, frame=row)])
    return runner


NEW_VALUES = {
    "price_ratio": (pl.col("price_ratio") * 0.5).alias("price_ratio"),
    "on_hand_units": (pl.col("on_hand_units") * 0 + 10_000).alias("on_hand_units"),
}


def test_a_planned_price_moves_the_price_driver_of_its_day(
    trained: Runner,
    published: tuple[Runner, RunOutcome],
    retailer_folder: Path,
    busiest: tuple[str, str],
    tmp_path: Path,
) -> None:
    store, sku = busiest
    day = RETAILER.end + timedelta(days=3)
    where = (pl.col("store_id") == store) & (pl.col("sku_id") == sku) & (pl.col("event_date") == day)
    runner = perturbed(trained, retailer_folder, tmp_path / "price", "prices", where, "price_ratio")
    before, after = explained(*published), explained(runner, runner.score(KEY))
    is_row = (before["store_id"] == store) & (before["sku_id"] == sku) & (before["step"] == 3)
    moved = (after["price_units"] != before["price_units"]).to_list()
    assert moved == is_row.to_list()
    assert after.filter(is_row)["price_units"].item() > before.filter(is_row)["price_units"].item()
    assert after.filter(is_row)["level_units"].item() == before.filter(is_row)["level_units"].item()
    assert after.filter(is_row)["forecast_reason"].item() != before.filter(is_row)["forecast_reason"].item()


def test_stock_on_hand_moves_the_stock_drivers_of_its_series(
    trained: Runner,
    published: tuple[Runner, RunOutcome],
    retailer_folder: Path,
    busiest: tuple[str, str],
    tmp_path: Path,
) -> None:
    store, sku = busiest
    where = (pl.col("store_id") == store) & (pl.col("sku_id") == sku) & (pl.col("event_date") == RETAILER.end)
    runner = perturbed(trained, retailer_folder, tmp_path / "stock", "inventory_positions", where, "on_hand_units")
    before, after = explained(*published), explained(runner, runner.score(KEY))
    is_series = (before["store_id"] == store) & (before["sku_id"] == sku)
    assert after.filter(~is_series)["on_hand_probability"].equals(before.filter(~is_series)["on_hand_probability"])
    ours = after.filter(is_series)
    assert (ours["stockout_probability"] == 0).all()
    assert (ours["stock_units"] == 0).all()
    assert (ours["on_hand_probability"] <= before.filter(is_series)["on_hand_probability"]).all()
    assert ours["on_hand_probability"].sum() < before.filter(is_series)["on_hand_probability"].sum()
    assert ours["forecast_units"].equals(before.filter(is_series)["forecast_units"])
    assert ours["risk_reason"].to_list() != before.filter(is_series)["risk_reason"].to_list()

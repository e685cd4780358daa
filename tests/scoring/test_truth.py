"""Published numbers against the simulator's truth, which the pipeline never saw."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.launch import Runner
from forecast_assets.operations.reading import read_product
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.simulation.simulator import Simulation

pytestmark = pytest.mark.usefixtures("brief_runs")

KEY = ["store_id", "sku_id", "target_date"]


@pytest.fixture(scope="module")
def scored(published: tuple[Runner, RunOutcome], simulation: Simulation) -> pl.DataFrame:
    runner, outcome = published
    truth = simulation.truth.rename({"event_date": "target_date"}).with_columns(pl.col("is_stockout").cast(pl.Float64))
    products = [
        read_product(runner.stores, outcome.publication, name).with_columns(pl.selectors.decimal().cast(pl.Float64))
        for name in ("forecasts", "stockout_risks")
    ]
    forecasts, risks = products
    wanted = risks.select(*KEY, "stockout_probability", "expected_lost_units")
    return forecasts.join(wanted, on=KEY).join(truth, on=KEY, suffix="_true")


def test_every_published_row_has_its_truth(scored: pl.DataFrame, published: tuple[Runner, RunOutcome]) -> None:
    runner, outcome = published
    assert scored.height == read_product(runner.stores, outcome.publication, "forecasts").height


def test_stockout_risk_beats_climatology(
    scored: pl.DataFrame, simulation: Simulation, published: tuple[Runner, RunOutcome]
) -> None:
    end = published[1].publication.key.prediction_date
    past = simulation.truth.filter(pl.col("event_date") <= end)
    by_series = past.group_by("store_id", "sku_id").agg(rate=pl.col("is_stockout").mean())
    rows = scored.join(by_series, on=["store_id", "sku_id"], how="left")
    outcome = rows["is_stockout"].to_numpy()

    def brier(predicted: np.ndarray) -> float:
        return float(((predicted - outcome) ** 2).mean())

    ours = brier(rows["stockout_probability"].to_numpy())
    assert ours < 0.9 * brier(np.full(len(outcome), past["is_stockout"].mean()))
    assert ours < brier(rows["rate"].fill_null(past["is_stockout"].mean()).to_numpy())


def test_stockout_risk_is_close_to_the_true_probability(scored: pl.DataFrame, simulation: Simulation) -> None:
    rows = scored.join(simulation.stockout_probability, on=KEY)
    gap = (rows["stockout_probability"] - rows["true_stockout_probability"]).to_numpy()
    assert abs(gap.mean()) < 0.03
    assert np.abs(gap).mean() < 0.06


def test_demand_is_nearly_unbiased_and_better_than_a_flat_guess(scored: pl.DataFrame, simulation: Simulation) -> None:
    demand, forecast = scored["demand_units"].to_numpy(), scored["forecast_units"].to_numpy()
    assert abs(forecast.sum() / demand.sum() - 1) < 0.1
    recent = (
        simulation.truth.filter(
            pl.col("event_date").is_between(
                scored["prediction_date"][0] - pl.duration(days=27), scored["prediction_date"][0]
            )
        )
        .group_by("store_id", "sku_id")
        .agg(flat=pl.col("sales_units").mean())
    )
    flat = scored.join(recent, on=["store_id", "sku_id"], how="left")["flat"].fill_null(0).to_numpy()
    assert np.abs(forecast - demand).sum() < 0.98 * np.abs(flat - demand).sum()


def test_expected_sales_lie_below_demand_by_what_is_lost(scored: pl.DataFrame) -> None:
    lost = scored["forecast_units"] - scored["expected_sales_units"]
    assert (lost - scored["expected_lost_units"]).abs().max() < 1e-6  # type: ignore[operator]
    assert 0.3 < scored["expected_lost_units"].sum() / scored["lost_units"].sum() < 3


def test_intervals_hold_about_as_often_as_they_say(scored: pl.DataFrame) -> None:
    inside = (scored["demand_units"] >= scored["q100_units"]) & (scored["demand_units"] <= scored["q900_units"])
    assert 0.7 < inside.mean() <= 0.95  # type: ignore[operator]

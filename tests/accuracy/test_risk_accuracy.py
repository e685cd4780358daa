"""How good the probabilities are: against a simulated retailer's truth, and on real days that were not seen."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.simulation.assortment import make_assortment
from forecast_assets.simulation.demand_law import draw, make_law, make_offers
from forecast_assets.simulation.simulator import SimulatorSettings, simulate_retailer
from forecast_assets.stockout_risk import inventory
from forecast_assets.stockout_risk.inventory import Demand, supply_at
from forecast_assets.stockout_risk.stock_status import assess_status
from tests.support.risk_cases import panel


def test_probabilities_match_those_of_a_simulated_retailer() -> None:
    """Given its true law of demand, whose own simulation shares no code with this one; its error is up to 0.025."""
    settings = SimulatorSettings(skus=24, stores=4, days=150, seed=3)
    retailer = simulate_retailer(settings)
    assortment = make_assortment(settings)
    law = make_law(settings, assortment, make_offers(settings, assortment))
    ahead = slice(settings.days, settings.days + settings.horizon)
    random = np.random.default_rng(0)
    draws = np.stack([draw(random, law, day, 2000) for day in range(ahead.start, ahead.stop)], axis=1)
    quantiles = np.moveaxis(np.quantile(draws, QUANTILES, axis=2, method="inverted_cdf"), 0, 2)
    count = len(law.activity)
    demand = Demand(law.mean_units[:, ahead], quantiles, np.zeros(count), np.ones(count, dtype=np.bool_))
    series = retailer.series.select("store_id", "sku_id").with_row_index("row")
    feeds = {batch.feed: batch.frame for batch in retailer.batches}
    orders = feeds["purchase_orders"].sort("order_id", "known_at").unique("order_id", keep="last")
    stock = supply_at(series, feeds["inventory_positions"], orders, settings.end)
    found = inventory.simulate_stock(demand, stock).probability
    true = retailer.stockout_probability.join(series, on=["store_id", "sku_id"]).sort("row", "step")
    error = found - true["true_stockout_probability"].to_numpy().reshape(found.shape)
    assert abs(error.mean()) < 0.004
    assert np.abs(error).mean() < 0.015


def _real_record(folder: Path) -> tuple[pl.DataFrame, Floats, Floats]:
    rows = pl.read_parquet(
        folder / "sample_890_series_daily.parquet",
        columns=["store_id", "product_id", "dt", "stock_hour6_22_cnt", "discount"],
    ).sort("store_id", "product_id", "dt")
    days = rows["dt"].n_unique()
    share = rows["stock_hour6_22_cnt"].cast(pl.Float64).to_numpy().reshape(-1, days) / 16
    discount = rows["discount"].cast(pl.Float64).to_numpy().reshape(-1, days)
    return rows.filter(pl.col("dt") == date(2024, 3, 28)), share, discount


@pytest.mark.real_data
def test_stock_status_beats_climatology_on_days_it_has_not_seen(real_data_dir: Path) -> None:
    """890 series, known to 2024-05-28, scored on the 14 days after it."""
    series, share, discount = _real_record(real_data_dir)
    known, horizon = 62, 14
    stores, skus = (series[name].cast(pl.String).to_list() for name in ("store_id", "product_id"))
    risk = assess_status(panel(stores, skus, share[:, :known], horizon, discount[:, : known + horizon]))
    is_out = share[:, known : known + horizon] > 0
    climatology = (share[:, :known] > 0).mean()
    brier = float(((risk.probability - is_out) ** 2).mean())
    assert brier < 0.95 * float(((climatology - is_out) ** 2).mean())
    assert abs(risk.probability.mean() - is_out.mean()) < 0.06
    assert abs(risk.out_of_stock_share.mean() - share[:, known : known + horizon].mean()) < 0.04

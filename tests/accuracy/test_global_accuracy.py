"""How good trees and levels together are, on real days and on a simulated retailer.

Versions are trained and forecast by the stages of a run, without stores and pictures (`bench.candidates`); what is
published of them is judged by `make bench-accuracy`, to which bounds leave a margin.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.candidates import family_model
from bench.cases import KEY, Case, Source
from bench.library import library_forecasts
from bench.panels import simulated_retailer
from bench.scoring import bias, wape
from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.simulation.simulator import SimulatorSettings
from forecast_assets.sources.freshretailnet import read_freshretailnet

FAMILY = "combined"
NAIVE, THETA, ETS = "SeasonalNaive", "DynamicOptimizedTheta", "AutoETS"
CUTOFF, FRESH_DAYS, FRESH_HORIZON = date(2024, 5, 28), 364, 14
WEEK, MONTH = 7, 28
RETAILER = SimulatorSettings(skus=24, stores=4, days=400 + MONTH, seed=5)


@dataclass(frozen=True)
class Scored:
    """Forecasts, [n, H], what came, and what the libraries make of the same sales."""

    demand: Floats
    expected_sales: Floats
    came: Floats
    library: dict[str, Floats]


@pytest.fixture(scope="module")
def fresh(real_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """890 real series known to the cutoff, and the fortnight after it."""
    source = Source(read_freshretailnet(real_data_dir, sample=True), tmp_path_factory.mktemp("fresh") / "store")
    case = source.case("fresh sample", CUTOFF, history_days=FRESH_DAYS, horizon=FRESH_HORIZON)
    made = family_model(FAMILY)(case)
    return Scored(made.demand, made.sales, case.sales, library(case.panel, (NAIVE, THETA)))


@pytest.fixture(scope="module")
def simulated() -> Scored:
    """A simulated retailer; what came is the demand that its law expects, which no feed tells.

    Series of less than a week, of which the library's weekly models make nothing, are left out.
    """
    made = simulated_retailer(RETAILER, MONTH)
    assert made.demand is not None
    rows = np.flatnonzero((~np.isnan(made.panel.sales)).sum(axis=1) >= WEEK)
    panel, demand = made.panel.take(rows), made.demand[rows]
    nothing = np.zeros(len(rows))
    case = Case("simulated", panel, made.hierarchy.take(rows), made.sales[rows], None, nothing, demand=demand)
    forecast = family_model(FAMILY)(case)
    return Scored(forecast.demand, forecast.sales, demand, library(panel, (NAIVE, THETA, ETS)))


def library(panel: Panel, names: tuple[str, ...]) -> dict[str, Floats]:
    """[n, H] by model: what the field's models make of sales as they were observed."""
    days = pl.date_range(panel.first_date, panel.cutoff, eager=True)
    long = panel.series.join(pl.DataFrame({"day": days}), how="cross", maintain_order="left_right")
    sold = long.with_columns(units=pl.Series(panel.sales.ravel())).filter(pl.col("units").is_not_nan())
    series, made = library_forecasts(sold.select(*KEY, "day", "units"), panel.horizon_days, names)
    assert series.equals(panel.series.select(series.columns))
    return made


@pytest.mark.real_data
def test_real_sales_are_expected_better_than_by_the_best_of_the_library(fresh: Scored) -> None:
    ours = wape(fresh.expected_sales, fresh.came)
    assert ours < 0.97 * wape(fresh.library[THETA], fresh.came)
    assert ours < 0.80 * wape(fresh.library[NAIVE], fresh.came)


@pytest.mark.real_data
def test_real_sales_are_expected_with_little_bias(fresh: Scored) -> None:
    # A holiday weekend lies ahead of this cutoff; the mean over four cutoffs is near 1% (docs/benchmarks.md).
    assert abs(bias(fresh.expected_sales, fresh.came)) < 0.06


@pytest.mark.real_data
def test_demand_lies_above_the_sales_that_stock_allows(fresh: Scored) -> None:
    """Two shelves in five are empty for some hours: what is lost is a few percent, neither nothing nor a third."""
    assert (fresh.demand >= fresh.expected_sales).all()
    assert 0.02 < 1.0 - fresh.expected_sales.sum() / fresh.demand.sum() < 0.3


def test_demand_of_a_simulated_retailer_is_found_better_than_by_any_of_the_library(simulated: Scored) -> None:
    ours = wape(simulated.demand, simulated.came)
    best = min(wape(mean, simulated.came) for mean in simulated.library.values())
    assert ours < 0.65 * best
    assert abs(bias(simulated.demand, simulated.came)) < 0.04

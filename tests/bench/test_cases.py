"""Cases that models are judged on are what a run would have read, and tell what came."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench import cases
from bench.cases import Case, Source, m5_cases, m5_levels, simulated_cases
from bench.m5_law import DEPARTMENTS, STORES
from bench.m5_shaped import Shape
from forecast_assets.ingestion.batch import Batch
from forecast_assets.simulation.simulator import SimulatorSettings

SHAPE = Shape(items=14, days=200, seed=3)
CUTOFF, HISTORY = 150, 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("m5")


@pytest.fixture(scope="module")
def case(folder: Path) -> Case:
    (made,) = m5_cases(SHAPE, folder, [CUTOFF], HISTORY)
    return made


def test_sales_after_the_cutoff_are_those_of_the_file_and_not_in_the_panel(case: Case, folder: Path) -> None:
    wide = pl.read_csv(folder / "files" / "sales_train_evaluation.csv")
    ahead = case.panel.series.join(
        wide, left_on=["store_id", "sku_id"], right_on=["store_id", "item_id"], how="left", maintain_order="left"
    ).select(f"d_{CUTOFF + step}" for step in range(1, 29))
    np.testing.assert_array_equal(case.sales, ahead.to_numpy())
    assert case.panel.cutoff == SHAPE.calendar_days[CUTOFF - 1]
    assert case.panel.sales.shape == (case.panel.series.height, HISTORY)
    assert case.days_ahead == [case.panel.cutoff + timedelta(days=step) for step in range(1, 29)]


def test_revenue_is_units_times_price_of_four_weeks(case: Case, folder: Path) -> None:
    prices = pl.read_csv(folder / "files" / "sell_prices.csv")
    calendar = pl.read_csv(folder / "files" / "calendar.csv")
    weeks = calendar["wm_yr_wk"][CUTOFF - 28 : CUTOFF].to_list()
    row = 5
    store, item = case.panel.series.row(row)
    price = dict(prices.filter(store_id=store, item_id=item).select("wm_yr_wk", "sell_price").iter_rows())
    earned = np.array([price[week] for week in weeks]) * case.panel.sales[row, -28:]
    assert case.revenue[row] == pytest.approx(earned.sum())
    assert (case.revenue > 0).mean() > 0.5


def test_m5_has_twelve_levels_and_places_in_the_law(case: Case) -> None:
    levels = m5_levels(case)
    assert [codes.max() + 1 for codes in levels.values()] == [1, 3, 10, 3, 7, 9, 21, 30, 70, 14, 42, len(case.sales)]
    department = [name for name, _ in DEPARTMENTS]
    for row in (0, 40, len(case.sales) - 1):
        store, item = case.panel.series.row(row)
        place = department.index(item.rsplit("_", 1)[0]) * len(STORES) + STORES.index(store)
        assert case.law_places()[row] == place


def test_a_simulated_retailer_comes_with_its_demand_and_its_paydays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "SIMULATED", SimulatorSettings(skus=14, stores=2, days=200))
    plain, rich = simulated_cases([3])
    assert (plain.name, rich.name) == ("simulator plain seed 3", "simulator calendar seed 3")
    assert plain.demand is not None
    assert rich.demand is not None
    assert 0.7 < plain.sales.sum() / plain.demand.sum() < 1.1
    assert np.abs(rich.demand / np.maximum(plain.demand, 1e-9) - 1).max() > 0.1
    paid = [place for place, name in enumerate(rich.panel.event_names) if name == "payday"]
    assert rich.panel.event_series[paid].sum(axis=0).tolist() == [1] * len(rich.sales), "each store has its region's"
    assert "payday" not in plain.panel.event_names
    assert plain.panel.covariates.names == ()
    known = rich.panel.covariates.as_known("temperature", rich.panel.history_days - 1, rich.panel.history_days + 28)
    assert not np.isnan(known).any(), "observed, and forecast for four weeks"
    assert (rich.panel.covariates.words.since < rich.panel.history_days).all(), "nothing that was said later"


def test_what_is_known_too_late_is_in_no_panel(tmp_path: Path) -> None:
    day = date(2025, 1, 1)
    end = datetime(2025, 1, 2, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "sku_id": "A",
            "store_id": "S",
            "event_date": [day + timedelta(days=number) for number in range(-2, 2)],
            "sales_units": [2.0, 2.0, 2.0, 5.0],
            "known_at": [end, end, end + timedelta(seconds=1), end + timedelta(days=1)],
        }
    )
    source = Source([Batch("sales", "s", 0.9, timedelta(0), rows)], tmp_path / "feeds")
    case = source.case("late", day, history_days=3, horizon=1)
    np.testing.assert_array_equal(case.panel.sales, [[2.0, 2.0, np.nan]])
    np.testing.assert_array_equal(case.sales, [[5.0]])

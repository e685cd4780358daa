"""The frame of risks: the contract, exact parts, bands, and which method serves whom."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import STOCKOUT_RISKS
from forecast_assets.core.errors import InputError
from forecast_assets.features.panel import Panel
from forecast_assets.overrides.effects import overridden
from forecast_assets.stockout_risk.assessing import of_reconciled, risk_frame
from forecast_assets.stockout_risk.inventory import Supply
from tests.support.risk_cases import no_supply, panel, reconciled, supply

DAYS, HORIZON = 28, 7


def _mixed_panel() -> Panel:
    """A has a position, B only stock status, C neither."""
    share = np.full((3, DAYS), np.nan)
    share[1] = np.tile([0.0, 0.25], DAYS // 2)
    return panel(["S"] * 3, ["A", "B", "C"], share, HORIZON)


def _mixed_supply() -> Supply:
    stock = supply([6.0, np.nan, np.nan], lead=3, deviation=1.0, orders=[(0, 1, 5.0)])
    return Supply(**{**vars(stock), "on_hand": np.array([6.0, np.nan, np.nan])})


def _mixed() -> pl.DataFrame:
    on = _mixed_panel()
    return risk_frame(reconciled(on, 2.0), on, _mixed_supply(), np.full(3, 0.2))


def test_the_frame_keeps_its_contract_and_its_rows() -> None:
    frame = STOCKOUT_RISKS.validate(_mixed())
    assert frame.select("store_id", "sku_id", "step").equals(
        reconciled(_mixed_panel(), 2.0).select("store_id", "sku_id", "step")
    )


def test_each_series_gets_the_best_method_that_its_data_allow() -> None:
    methods = _mixed().select("sku_id", "risk_method").unique().sort("sku_id")
    assert methods.rows() == [("A", "inventory_position"), ("B", "stock_status"), ("C", "none")]


def test_parts_that_apply_add_up_exactly_and_the_others_are_null() -> None:
    stages = ("demand", "on_hand", "on_order", "replenishment")
    parts = {
        "inventory_position": [f"{stage}_probability" for stage in stages],
        "stock_status": ["usual_probability", "series_probability"],
        "none": [],
    }
    every_part = {name for names in parts.values() for name in names}
    for row in _mixed().iter_rows(named=True):
        applying = parts[row["risk_method"]] if row["stockout_probability"] is not None else []
        assert all(row[name] is None for name in every_part - set(applying))
        if applying:
            assert sum((row[name] for name in applying), Decimal(0)) == row["stockout_probability"]


def test_unknown_is_not_low() -> None:
    frame = _mixed()
    unknown = frame.filter(pl.col("stockout_probability").is_null())
    # C on all days, and A after its lead time of 3 and review of 1.
    assert unknown.height == HORIZON + 3
    assert set(unknown["risk_band"]) == {"unknown"}
    assert unknown["expected_lost_units"].null_count() == unknown.height


def test_a_band_begins_at_its_threshold() -> None:
    on = panel(["S"], ["A"], np.full((1, DAYS), np.nan), 2)
    forecast = reconciled(on, [[2.0, 2.0]], spread=0.0)
    certain = risk_frame(forecast, on, supply([2.0]), np.zeros(1), {"moderate": 0.05, "high": 0.2, "critical": 1.0})
    assert certain["risk_band"].to_list() == ["low", "critical"]
    rates = panel(["S"] * 40, [f"{i:02d}" for i in range(40)], np.full((40, DAYS), 0.5), 1)
    always = risk_frame(
        reconciled(rates, 1.0), rates, no_supply(40), np.zeros(40), {"moderate": 0.1, "high": 0.2, "critical": 0.995}
    )
    assert set(always["stockout_probability"]) == {Decimal("0.995000")}
    assert set(always["risk_band"]) == {"critical"}


def test_lost_units_never_exceed_the_forecast() -> None:
    on = panel(["S"], ["A"], np.full((1, DAYS), np.nan), HORIZON)
    frame = risk_frame(reconciled(on, 0.3333333), on, supply([0.0], lead=9), np.zeros(1))
    assert frame["expected_lost_units"].to_list() == [Decimal("0.333333")] * HORIZON


def test_forecasts_of_other_series_are_refused() -> None:
    on = _mixed_panel()
    other = panel(["S"] * 3, ["A", "B", "D"], on.out_of_stock_share, HORIZON)
    with pytest.raises(InputError, match=r"do not line up.*\('S', 'D'\).*Assess the forecasts"):
        risk_frame(reconciled(other, 2.0), on, _mixed_supply(), np.zeros(3))


@pytest.mark.parametrize(
    "thresholds",
    [
        {"moderate": 0.2, "high": 0.1, "critical": 0.5},
        {"moderate": 0.2},
        {"moderate": 0.1, "high": 0.2, "critical": 1.5},
    ],
)
def test_thresholds_that_do_not_rise_are_refused(thresholds: dict[str, float]) -> None:
    on = _mixed_panel()
    with pytest.raises(InputError, match="do not rise within 0 to 1"):
        risk_frame(reconciled(on, 2.0), on, _mixed_supply(), np.zeros(3), thresholds)


@pytest.mark.parametrize("stock", [_mixed_supply(), no_supply(3)], ids=["a position", "no position"])
def test_what_is_read_of_forecasts_is_all_that_is_needed(stock: Supply) -> None:
    on = _mixed_panel()
    forecast = reconciled(on, 2.0)
    read = overridden(forecast.select(of_reconciled(stock)), None)
    assert read.width < forecast.width
    assert risk_frame(read, on, stock, np.full(3, 0.2)).equals(risk_frame(forecast, on, stock, np.full(3, 0.2)))


def test_the_same_inputs_give_the_same_frame() -> None:
    assert _mixed().equals(_mixed())


def test_a_series_rated_by_its_status_loses_the_share_that_it_is_given() -> None:
    """By default the share of its own panel; the run hands on the one that its forecasts rest on."""
    on = panel(["S"] * 3, ["A", "B", "C"], np.tile([0.0, 0.5], (3, 20)), 4)
    forecast = reconciled(on, 2.0)
    given = risk_frame(forecast, on, no_supply(3), np.zeros(3), lost_share=np.array([0.1, 0.2, 0.3]))
    lost = given["expected_lost_units"].cast(pl.Float64).to_numpy().reshape(3, 4)
    assert lost.mean(axis=1) == pytest.approx([0.2, 0.4, 0.6], abs=1e-5)
    own = risk_frame(forecast, on, no_supply(3), np.zeros(3))
    assert own["expected_lost_units"].cast(pl.Float64).mean() == pytest.approx(0.5, abs=0.05)
    assert own["stockout_probability"].equals(given["stockout_probability"])


def test_on_a_closed_day_nothing_is_lost_and_no_demand_meets_an_empty_shelf() -> None:
    """Six units for two a day are scarce; the third day ahead is closed."""
    on, mean = _mixed_panel(), np.full((3, HORIZON), 2.0)
    mean[:, 2] = 0.0
    frame = risk_frame(reconciled(on, mean), on, _mixed_supply(), np.full(3, 0.2))
    closed = frame.filter(pl.col("step") == 3, pl.col("sku_id") != "C")
    assert closed["expected_lost_units"].to_list() == [Decimal(0)] * 2
    assert closed["stockout_probability"][0] == Decimal(0)
    assert frame.filter(pl.col("step") < 3, sku_id="A")["expected_lost_units"].sum() > 0

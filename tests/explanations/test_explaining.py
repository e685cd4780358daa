"""Explanations: sums are exact, and drivers and words move when their cause moves."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import BASE_FORECASTS, COMPONENTS, FORECAST_EXPLANATIONS
from forecast_assets.core.errors import InputError
from forecast_assets.core.quantities import publish
from forecast_assets.explanations.explaining import _FEW_ROWS, OF_BASE, OF_RECONCILED, OF_RISKS, explanation_frame
from forecast_assets.explanations.explanation_context import ExplanationContext
from forecast_assets.features.panel import Panel
from forecast_assets.overrides.effects import overridden
from forecast_assets.stockout_risk.assessing import risk_frame
from tests.support.risk_cases import panel, reconciled, supply

DAYS, HORIZON = 28, 7
SERIES = ("A", "B", "C")
Products = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def _panel() -> Panel:
    share = np.full((3, DAYS), np.nan)
    share[1] = np.tile([0.0, 0.5], DAYS // 2)
    return panel(["S"] * 3, SERIES, share, HORIZON)


def _run(on_hand: float = 6.0, price: float = 0.0, weekday: float = 0.0, lift: float = 0.0) -> Products:
    """Base, reconciled and risks of A (position), B (status) and C (nothing): a usual day of 2 units."""
    on = _panel()
    drivers = {**dict.fromkeys(COMPONENTS, 0.0), "level_units": 2.0, "price_units": price, "weekday_units": weekday}
    total = sum(drivers.values())
    forecasts = reconciled(on, total + lift).with_columns(publish(np.full(21, total), "base_units"))
    base = BASE_FORECASTS.conform(
        forecasts.with_columns(
            pl.lit("smooth").alias("demand_class"),
            pl.lit("SES").alias("model_used"),
            pl.lit(value=False).alias("is_fallback"),
            pl.lit(None, pl.Float64).alias("lost_share"),
            pl.lit(None, pl.Float64).alias("out_of_distribution_score"),
            pl.lit("").alias("quality_flags"),
            *(publish(np.full(21, value), name) for name, value in drivers.items()),
        )
    )
    stock = supply([on_hand, np.nan, np.nan], lead=3, deviation=1.0, orders=[(0, 1, 5.0)])
    return base, forecasts, risk_frame(forecasts, on, stock, np.zeros(3))


def _features(on_hand: float = 6.0) -> ExplanationContext:
    facts = {
        "on_hand_units": [on_hand, None, None],
        "lead_time_days": [3.0, None, None],
        "days_out_of_stock_28d_share": [None, 0.5, None],
    }
    return ExplanationContext(series=pl.DataFrame({"store_id": ["S"] * 3, "sku_id": SERIES, **facts}))


def _row(frame: pl.DataFrame, sku: str, step: int = 1) -> dict[str, object]:
    return frame.filter(sku_id=sku, step=step).row(0, named=True)


def test_drivers_add_up_to_the_published_numbers_exactly() -> None:
    random = np.random.default_rng(2)
    base, forecasts, risks = _run()
    values = random.normal(1.0, 0.7, (len(COMPONENTS), 21)).round(6)
    base = base.with_columns(publish(row, name) for name, row in zip(COMPONENTS, values, strict=True))
    base = base.with_columns(publish(values.sum(axis=0), "base_units"))
    frame = FORECAST_EXPLANATIONS.validate(explanation_frame(base, forecasts, risks))
    for row in frame.iter_rows(named=True):
        drivers = (*COMPONENTS, "reconciliation_units", "override_units")
        assert sum((row[name] for name in drivers), Decimal(0)) == row["forecast_units"]
        assert row["forecast_units"] + row["stock_units"] == row["expected_sales_units"]


def test_a_price_moves_its_driver_and_its_words() -> None:
    plain = _row(explanation_frame(*_run()), "A")
    cut = _row(explanation_frame(*_run(price=0.6)), "A")
    assert (plain["price_units"], cut["price_units"]) == (Decimal(0), Decimal("0.6"))
    assert cut["forecast_units"] - plain["forecast_units"] == Decimal("0.6")  # type: ignore[operator]
    assert "price" not in str(plain["forecast_reason"])
    assert "a price as in recent weeks adds 0.6" in str(cut["forecast_reason"])


def test_stock_on_hand_moves_the_risk_its_part_and_the_words() -> None:
    (*_, risks), (*_, fuller) = _run(on_hand=3.0), _run(on_hand=9.0)
    assert _row(fuller, "A", 2)["on_hand_probability"] < _row(risks, "A", 2)["on_hand_probability"]  # type: ignore[operator]
    few = _row(explanation_frame(*_run(on_hand=3.0), _features(3.0)), "A", 2)
    many = _row(explanation_frame(*_run(on_hand=9.0), _features(9.0)), "A", 2)
    assert few["stock_units"] < many["stock_units"] <= 0  # type: ignore[operator]
    assert "3 on hand lasts 1.5 days at this demand" in str(few["risk_reason"])
    assert "9 on hand lasts 4.5 days at this demand" in str(many["risk_reason"])


def test_reconciliation_and_weekday_are_told_in_words() -> None:
    row = _row(explanation_frame(*_run(weekday=0.8, lift=-0.1)), "A")
    assert row["reconciliation_units"] == Decimal("-0.1")
    assert row["forecast_reason"] == (
        "The usual day sells 2.0; Mondays sell 40% more than the week's mean (+0.8); "
        "adding up with the levels above takes away 0.1"
    )


def test_what_rounds_to_nothing_is_not_told() -> None:
    assert _row(explanation_frame(*_run(price=0.003)), "A")["forecast_reason"] == "The usual day sells 2.0"


def test_a_forecast_of_nothing_says_so() -> None:
    assert _row(explanation_frame(*_run(lift=-2.0)), "A")["forecast_reason"] == (
        "No demand is expected; the usual day sells 2.0; adding up with the levels above takes away 2.0"
    )


def test_each_kind_of_risk_has_its_words() -> None:
    frame = explanation_frame(*_run(), _features())
    assert "orders on the way take away" in str(_row(frame, "A", 4)["risk_reason"])
    assert "an order takes 3 days" in str(_row(frame, "A", 4)["risk_reason"])
    assert _row(frame, "A", 7)["risk_reason"] == "Unknown beyond lead time and review: no further orders are declared"
    status = str(_row(frame, "B")["risk_reason"])
    assert "is usual for this product and store on Mondays" in status
    assert "out of stock on 50% of the last 28 days" in status
    assert str(_row(frame, "C")["risk_reason"]).startswith("Unknown: there is neither")


def test_unknown_losses_count_as_none() -> None:
    row = _row(explanation_frame(*_run()), "C")
    assert row["stock_units"] == 0
    assert row["expected_sales_units"] == row["forecast_units"]


def test_what_is_read_of_products_is_all_that_is_needed() -> None:
    base, forecasts, risks = _run()
    read = base.select(OF_BASE), overridden(forecasts.select(OF_RECONCILED), None), risks.select(OF_RISKS)
    assert explanation_frame(*read, _features()).equals(explanation_frame(base, forecasts, risks, _features()))


def test_a_snapshot_without_the_facts_leaves_their_phrases_out() -> None:
    row = _row(explanation_frame(*_run()), "A")
    assert "stock on hand lasts 3 days at this demand" in str(row["risk_reason"])
    assert "an order takes" not in str(row["risk_reason"])
    assert row["not_computed"] == ""


def test_products_of_different_rows_are_refused() -> None:
    base, forecasts, risks = _run()
    with pytest.raises(InputError, match="not the same rows in the same order"):
        explanation_frame(base, forecasts.head(20), risks)
    with pytest.raises(InputError, match="stock-out risks"):
        explanation_frame(base, forecasts, risks.reverse())


def test_few_rows_are_told_as_among_many() -> None:
    """Words on what a few rows do not have are left out of what is planned, and many go another way; none differ."""
    parts = [_run(price=price, weekday=weekday) for price, weekday in ((0.0, 0.0), (0.5, 0.0), (0.0, -0.4))]
    many = [pl.concat([each[at] for each in parts * 100]) for at in range(3)]
    together = explanation_frame(*many)
    assert together.height > _FEW_ROWS
    rows = 0
    for part in parts:
        height = part[0].height
        of_series = [frame.slice(start, HORIZON) for start in range(0, height, HORIZON) for frame in part]
        apart = [explanation_frame(*of_series[at : at + 3]) for at in range(0, len(of_series), 3)]
        assert pl.concat(apart).equals(together.slice(rows, height))
        rows += height

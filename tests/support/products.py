"""A tiny, coherent set of products, written by hand: two SKUs in one store, seven steps."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from forecast_assets.accuracy.measuring import measure_run
from forecast_assets.contracts import (
    BACKTEST_REPORTS,
    BUSINESS_REVIEWS,
    COMPONENTS,
    COVERING_COLUMNS,
    FEATURE_ANOMALIES,
    PRODUCTS,
    QUANTILE_COLUMNS,
    SALES,
    WEEKS_BEFORE,
)
from forecast_assets.core.keys import RunKey
from forecast_assets.features.compiler import compile_contract
from forecast_assets.features.specs import DEFAULT_SPECS
from tests.support import accuracy_cases

KEY = RunKey("daily", date(2025, 1, 1), "stat-1", 7)
SKUS = ("A", "B")
KNOWN_UNTIL = datetime(2025, 1, 2, 6, tzinfo=UTC)


def _row(sku: str, step: int) -> dict[str, Any]:
    """All columns of all series-step products for one row: 4 units a day, one of them lost."""
    zero = dict.fromkeys((*COMPONENTS, "reconciliation_units", "override_units"), 0)
    return {
        "cadence": KEY.cadence,
        "prediction_date": KEY.prediction_date,
        "model_version": KEY.model_version,
        "forecast_horizon": KEY.forecast_horizon,
        "revision": 0,
        "store_id": "S",
        "sku_id": sku,
        "step": step,
        "target_date": KEY.prediction_date + timedelta(days=step),
        "demand_class": "smooth",
        "model_used": "SES",
        "is_fallback": False,
        **zero,
        "level_units": 3,
        "weekday_units": 1,
        "base_units": 4,
        "reconciled_units": 4,
        "forecast_units": 4,
        "expected_lost_units": 1,
        "stock_units": -1,
        "expected_sales_units": 3,
        **{name: at for at, name in enumerate(QUANTILE_COLUMNS)},
        "stockout_probability": Decimal("0.25"),
        "demand_probability": 1,
        "on_hand_probability": Decimal("-0.5"),
        "on_order_probability": Decimal("-0.25"),
        "replenishment_probability": 0,
        "usual_probability": None,
        "series_probability": None,
        "days_of_cover": 2,
        "risk_band": "high",
        "risk_method": "inventory_position",
        "forecast_reason": "Wednesdays sell more.",
        "risk_reason": "Stock lasts 2 days.",
        "not_computed": "",
        "lost_share": None,
        "out_of_distribution_score": 0.5,
        "quality_flags": "",
    }


def _aggregate_rows() -> list[dict[str, Any]]:
    nodes = [("total", "total", "total", "total", 2), ("total", "total", "store", "S", 2),
             ("sku", "A", "total", "total", 1), ("sku", "B", "total", "total", 1)]  # fmt: skip
    return [
        {
            **_row("", step),
            "product_level": product_level,
            "product_node": product,
            "store_level": store_level,
            "store_node": store,
            "series_count": count,
            "base_units": 4 * count,
            "variance_ratio": 0.5,
            "forecast_units": 4 * count,
            "expected_sales_units": 3 * count,
        }
        for product_level, product, store_level, store, count in nodes
        for step in range(1, 8)
    ]


def _cumulative_rows() -> list[dict[str, Any]]:
    """The first week, which is the horizon too, and a lead time of two days or three."""
    periods = {"lead_time": (Decimal("2.5"), 10), "first_7_days": (7, 28), "horizon": (7, 28)}
    return [
        {
            **_row(sku, 1),
            "period": period,
            "period_days": days,
            "forecast_units": units,
            **{name: 20 + at for at, name in enumerate(COVERING_COLUMNS)},
        }
        for sku in SKUS
        for period, (days, units) in periods.items()
    ]


def _override_rows() -> list[dict[str, Any]]:
    """A planner says one more of a day, a rule one fewer, and what the planner said before of the node is left out."""
    told = [
        ("o3-1", False, "add", "1", 4, 5, ""),
        ("o2-1", False, "percent", "50", 5, 5, "o3-1"),
        ("minimum_presentation sku:A=4", True, "floor", "4", 5, 4, ""),
    ]
    names = ("override_id", "is_rule", "form", "value", "before_units", "after_units", "superseded_by")
    return [
        {
            **_row(sku, step),
            **dict(zip(names, said, strict=True)),
            "application": application,
            "scope": f"sku {sku} in all stores",
            "model_units": 4,
            "by": "policy" if said[1] else "ana",
            "reason": "event",
            "note": "",
        }
        for sku in SKUS
        for step in range(1, 8)
        for application, said in enumerate(told, start=1)
    ]


def make(product: str) -> pl.DataFrame:
    """Return one product that keeps every promise."""
    contract = PRODUCTS[product]
    if "product_level" in contract.names:
        rows = _aggregate_rows()
    elif "application" in contract.names:
        rows = _override_rows()
    elif "period" in contract.names:
        rows = _cumulative_rows()
    elif "application" in contract.names:
        # Nobody has overridden anything.
        rows = []
    else:
        rows = [_row(sku, step) for sku in SKUS for step in range(1, 8)]
    picked = [{name: row[name] for name in contract.names} for row in rows]
    return pl.DataFrame(picked, schema=contract.schema)


def make_snapshot() -> pl.DataFrame:
    """Return the snapshot that the products were made from."""
    contract = compile_contract(DEFAULT_SPECS)
    facts = {"prediction_date": KEY.prediction_date, "store_id": "S", "age_days": 9.0, "sales_mean_7d_units": 2.0}
    rows = [{**facts, "sku_id": sku} for sku in SKUS]
    return pl.DataFrame([{name: row.get(name) for name in contract.names} for row in rows], schema=contract.schema)


def make_sales() -> pl.DataFrame:
    """Return the sales behind the snapshot: 2 a day, and two rows that it must not have read."""
    day, nine = KEY.prediction_date, {"store_id": "S", "sku_id": "A", "sales_units": 9.0}
    rows = [
        {"store_id": "S", "sku_id": sku, "event_date": day - timedelta(days=back), "known_at": KNOWN_UNTIL,
         "sales_units": 2.0}
        for sku in SKUS for back in range(10)
    ]  # fmt: skip
    ahead = {**nine, "event_date": day + timedelta(days=1), "known_at": KNOWN_UNTIL}
    late = {**nine, "event_date": day, "known_at": KNOWN_UNTIL + timedelta(hours=1)}
    return pl.DataFrame([*rows, ahead, late], schema=SALES.schema)


def make_accuracy() -> pl.DataFrame:
    """Return a measurement of one run on one day, one row of which is late."""
    return measure_run(
        accuracy_cases.KEY, accuracy_cases.TARGET, accuracy_cases.forecasts(), accuracy_cases.risks(),
        accuracy_cases.naive(), accuracy_cases.actuals(late=1), accuracy_cases.hierarchy(),
    )  # fmt: skip


def make_backtests(version: str = "stat-1", wape: float = 0.25) -> pl.DataFrame:
    """Return the report of a version at one past cutoff, and of all cutoffs together."""
    rows = [
        (version, cutoff, method, "all", "all", "wape", value, 14)
        for cutoff in (KEY.prediction_date, None)
        for method, value in (("version", wape), ("seasonal_naive", 0.5))
    ]
    return pl.DataFrame(rows, schema=BACKTEST_REPORTS.schema, orient="row")


def make_review(figure: float = 0.25) -> pl.DataFrame:
    """Return one figure of a reviewed week, a tenth above the four weeks before."""
    before = {f"figure_{back}_before": 0.15 + back / 1000 for back in range(1, WEEKS_BEFORE + 1)}
    row = {
        "cadence": "daily", "week": "2025-W01", "role": "champion", "model_version": "stat-1", "segment_kind": "all",
        "segment": "all", "kpi": "wape", "figure": figure, **before, "shift": 0.0975, "chance": 0.008431,
        "is_beyond_chance": True, "lowest": None, "highest": None, "is_beyond_bound": None, "days": 5, "rows": 10,
        "policy": "a35963d207b0",
    }  # fmt: skip
    return pl.DataFrame([row], schema=BUSINESS_REVIEWS.schema)


def make_anomalies(day: date, detector: str) -> pl.DataFrame:
    """Return one series of a snapshot that is anomalous by what is on hand of it."""
    row = {
        "prediction_date": day, "store_id": "S-01", "sku_id": "FOOD-0001", "verdict": "anomalous", "score": 2.5,
        "threshold": 1.25, "detector": detector, "feed": "inventory_positions",
        "inputs": "on_hand_units;lead_time_days", "value": 900.0, "usual_value": 90.0,
    }  # fmt: skip
    return pl.DataFrame([row], schema=FEATURE_ANOMALIES.schema)


def make_all() -> Mapping[str, pl.DataFrame]:
    """Return every product and the snapshot, by name."""
    return {
        "feature_snapshots": make_snapshot(),
        "sales": make_sales(),
        "forecast_accuracy": make_accuracy(),
        **{name: make(name) for name in PRODUCTS if name != "evaluation_reports"},
    }

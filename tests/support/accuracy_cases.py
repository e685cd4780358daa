"""Small cases of published forecasts and what came: two stores, two SKUs, one of a category each."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl

from forecast_assets.accuracy.measuring import DayActuals
from forecast_assets.contracts import QUANTILE_COLUMNS
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS
from forecast_assets.hierarchy import Hierarchy

KEY = RunKey("daily", date(2025, 6, 1), "stat-1", 7)
TARGET = date(2025, 6, 3)
SERIES = [("N", "A"), ("N", "B"), ("S", "A"), ("S", "B")]
CLASSES = ["smooth", "lumpy", "smooth", "smooth"]
DEMAND = [5.0, 2.0, 8.0, 1.5]
EXPECTED = [4.0, 2.0, 6.5, 1.5]
SALES = [3.0, 4.0, 6.0, 0.0]
NAIVE = [3.0, 1.0, 9.0]
STOCKOUTS = [False, False, True]
PROBABILITY = ["0.1", "0.2", "0.9", None]
BANDS = ["moderate", "high", "critical", "unknown"]


def frame(columns: dict[str, Any], series: list[tuple[str, str]] = SERIES, **types: Any) -> pl.DataFrame:
    keys = {"store_id": [store for store, _ in series], "sku_id": [sku for _, sku in series]}
    return pl.DataFrame({**keys, **columns}, schema_overrides={**dict.fromkeys(keys, pl.String), **types})


def forecasts() -> pl.DataFrame:
    # Quantiles rise from 0 in steps of one unit: the median is 6 units, the central half lies between 5 and 7.
    quantiles = {name: [float(at)] * 4 for at, name in enumerate(QUANTILE_COLUMNS)}
    said = {"demand_class": CLASSES, "forecast_units": DEMAND, "expected_sales_units": EXPECTED, **quantiles}
    return frame(said).with_columns(pl.col(pl.Float64).cast(UNITS))


def risks() -> pl.DataFrame:
    probability = [None if each is None else Decimal(each) for each in PROBABILITY]
    return frame({"risk_band": BANDS, "stockout_probability": probability}, stockout_probability=UNITS)


def naive() -> pl.DataFrame:
    return frame({"naive_units": NAIVE}, SERIES[:3])


def actuals(*, late: int = 0) -> DayActuals:
    """What came; the rows of the last ``late`` series have not arrived."""
    known = SERIES[: 4 - late]
    sales = frame({"sales_units": SALES[: len(known)]}, known, sales_units=pl.Float64)
    return DayActuals(sales, frame({"is_stockout": STOCKOUTS}, SERIES[:3]))


def hierarchy() -> Hierarchy:
    series = pl.DataFrame(SERIES, schema=["store_id", "sku_id"], orient="row")
    products = pl.DataFrame(
        {"sku_id": ["A", "B"], "depth": [1, 1], "level_name": ["category"] * 2, "node_id": ["food", "toys"]}
    )
    return Hierarchy.build(series, products, None)

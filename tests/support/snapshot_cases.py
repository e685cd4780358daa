"""Snapshots of made-up series that move a little every day, where a store looks for them, and faults in them."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import numpy as np
import polars as pl

from forecast_assets.features.compiler import compile_contract
from forecast_assets.features.specs import DEFAULT_SPECS, feature_version, specs_to_data
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

LAST = date(2025, 6, 30)
STORES = ("N", "S", "W")
PRODUCTS = 12
STOCK = ("on_hand_units", "lead_time_days", "reorder_point_units", "order_up_to_units")
CONTRACT = compile_contract(DEFAULT_SPECS)

Fault = Callable[[pl.DataFrame], pl.DataFrame]


def snapshot(day: date, fault: Fault = lambda rows: rows) -> pl.DataFrame:
    """Return the snapshot of a day: the same whenever it is asked for, and what a fault makes of it."""
    count = len(STORES) * PRODUCTS
    level = 20.0 + np.arange(count)
    random = np.random.default_rng(day.toordinal())
    on_hand = np.round(level * random.uniform(0.4, 2.0, count))
    columns = {
        "prediction_date": [day] * count,
        "store_id": [store for store in STORES for _ in range(PRODUCTS)],
        "sku_id": [f"P{number:02}" for _ in STORES for number in range(PRODUCTS)],
        "age_days": [300.0] * count,
        "days_since_sale_days": [0.0] * count,
        "sales_mean_7d_units": level * random.uniform(0.9, 1.1, count),
        "sales_mean_28d_units": level * random.uniform(0.97, 1.03, count),
        "sales_max_91d_units": level * 2,
        "on_hand_units": on_hand,
        "lead_time_days": 3.0 + np.arange(count) % 4,
        "reorder_point_units": np.round(level),
        "order_up_to_units": np.round(level * 2),
        "price_ratio": np.where(random.random(count) < 0.2, 0.8, 1.0),
    }
    return CONTRACT.conform(fault(CONTRACT.conform(_whole(columns, count))))


def _whole(columns: dict[str, object], count: int) -> pl.DataFrame:
    missing = {name: pl.Series([None] * count, dtype=pl.Float64) for name in CONTRACT.names if name not in columns}
    return pl.DataFrame({**columns, **missing})


def stage(stores: Stores, day: date, fault: Fault = lambda rows: rows) -> ProductVersion:
    """Write the snapshot of a day where stages look for it."""
    facts = {
        "prediction_date": day.isoformat(),
        "known_until": f"{day + timedelta(days=1)}T06:00:00+00:00",
        "feature_version": feature_version(DEFAULT_SPECS),
        "specs": specs_to_data(DEFAULT_SPECS),
    }
    folder = f"predictions/feature_snapshots/prediction_date={day}"
    return stores.predictions.write(
        CONTRACT, snapshot(day, fault), key=day, folder=folder, inputs={"batches": []}, facts=facts
    )


def stage_days(stores: Stores, days: int, last: date = LAST) -> None:
    """Write the snapshots of days up to the last."""
    for back in reversed(range(days)):
        stage(stores, last - timedelta(days=back))


def times(column: str, factor: float, products: Iterable[str] = ("P03", "P07")) -> Fault:
    """Return a fault that multiplies a column of some products."""
    is_hit = pl.col("sku_id").is_in([*products])
    return lambda rows: rows.with_columns(pl.when(is_hit).then(pl.col(column) * factor).otherwise(column).alias(column))


def swapped(columns: Iterable[str] = STOCK) -> Fault:
    """Return a fault by which the feed of stock has two stores by each other's names."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        names = pl.col("store_id").replace({"N": "W", "W": "N"})
        stock = rows.select(names, "sku_id", *columns)
        return rows.drop(*columns).join(stock, on=["store_id", "sku_id"], how="left")

    return change

"""Small retailers with a known law of demand, for tests of models, hierarchy and reconciliation."""

from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy

FIRST = date(2025, 1, 6)
WEEKDAY = np.array([0.8, 0.8, 0.9, 0.9, 1.1, 1.4, 1.1])
ELASTICITY, UPLIFT, EVENT = -2.0, 0.3, 1.5


def panel_of(sales: npt.ArrayLike, horizon: int = 7, **changes: Any) -> Panel:
    """Lay sales [n, T] out as a panel in which nothing else happens; ``changes`` replace its fields."""
    known = np.asarray(sales, dtype=np.float64)
    count, days = known.shape
    fields: dict[str, Any] = {
        "series": series_of(count),
        "first_date": FIRST,
        "history_days": days,
        "horizon_days": horizon,
        "sales": known,
        "is_censored": np.zeros((count, days), dtype=np.bool_),
        "out_of_stock_share": np.full((count, days), np.nan),
        "price_ratio": np.ones((count, days + horizon)),
        "is_promotion": np.zeros((count, days + horizon), dtype=np.bool_),
        "has_plan": np.ones((count, horizon), dtype=np.bool_),
        "event_names": (),
        "event_days": np.zeros((0, days + horizon), dtype=np.bool_),
        "is_closed": np.zeros((count, days + horizon), dtype=np.bool_),
    }
    fields |= changes
    derived = {
        "missed_share": fields["out_of_stock_share"],
        "event_series": np.ones((len(fields["event_names"]), count), dtype=np.bool_),
    }
    return Panel(**{**derived, **fields})


def series_of(count: int, stores: int = 2) -> pl.DataFrame:
    """Return `store_id, sku_id` of some series, sorted; SKUs are shared by the stores."""
    pairs = [(f"S{i % stores}", f"K{i // stores:03d}") for i in range(count)]
    return pl.DataFrame(pairs, schema=["store_id", "sku_id"], orient="row").sort("store_id", "sku_id")


def lawful_panel(count: int = 60, days: int = 112, horizon: int = 14, level: float = 20.0, seed: int = 1) -> Panel:
    """Draw Poisson sales from level x weekday x price x promotion x event, with shelves never empty."""
    return panel_of(**lawful_fields(count, days, horizon, level, seed)[0])


def lawful_fields(count: int, days: int, horizon: int, level: float, seed: int) -> tuple[dict[str, Any], Floats]:
    """Fields of a lawful panel, and its true mean [n, T + H]."""
    random = np.random.default_rng(seed)
    width = days + horizon
    price = np.where(random.random((count, width)) < 0.2, 0.7, 1.0)
    promotion = (price < 1.0) & (random.random((count, width)) < 0.5)
    events = np.zeros((1, width), dtype=np.bool_)
    events[0, 10::25] = True
    levels = level * random.uniform(0.5, 1.5, (count, 1))
    weekday = WEEKDAY[(FIRST.weekday() + np.arange(width)) % 7]
    mean = levels * weekday * price**ELASTICITY * np.exp(UPLIFT * promotion) * np.where(events[0], EVENT, 1.0)
    fields = {
        "sales": random.poisson(mean[:, :days]).astype(np.float64),
        "horizon": horizon,
        "price_ratio": price,
        "is_promotion": promotion,
        "event_names": ("fair",),
        "event_days": events,
    }
    return fields, mean


def one_group(count: int) -> npt.NDArray[np.str_]:
    return np.full(count, "all")


def two_by_two() -> Hierarchy:
    """Two stores of one region, three SKUs in two categories; store S2 does not sell C."""
    series = pl.DataFrame({"store_id": ["S1", "S1", "S1", "S2", "S2"], "sku_id": ["A", "B", "C", "A", "B"]})
    return Hierarchy.build(series, products(("A", "x"), ("B", "x"), ("C", "y")), None)


def products(*members: tuple[str, str], level: str = "category", depth: int = 1) -> pl.DataFrame:
    rows = [(sku, depth, level, node) for sku, node in members]
    schema = {"sku_id": pl.String, "depth": pl.Int32, "level_name": pl.String, "node_id": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")

"""Made-up retailers of which only stock status is known."""

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Groups
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from tests.support.risk_cases import panel

STORES, SKUS, DAYS, HORIZON = 12, 15, 63, 7
GROUPS: Groups = np.array([f"G{at % 3}" for at in range(STORES * SKUS)])


def empty_shelves(days: int = DAYS + HORIZON, seed: int = 3) -> Bools:
    """[n, days] Whether each shelf is empty for a while: each series' own rate, and mostly as the day before."""
    random = np.random.default_rng(seed)
    usual = random.uniform(0.1, 0.7, (STORES * SKUS, 1))
    out = np.empty((STORES * SKUS, days), dtype=np.bool_)
    out[:, 0] = random.random(STORES * SKUS) < usual[:, 0]
    for day in range(1, days):
        likely = 0.4 * usual[:, 0] + 0.6 * out[:, day - 1]
        out[:, day] = random.random(STORES * SKUS) < likely
    return out


def status_panel(out: Bools, horizon: int = HORIZON) -> Panel:
    """A panel whose series are out of stock for a quarter of the day on those of its days."""
    share = np.where(out, 0.25, 0.0)
    stores = [f"S{at // SKUS:02d}" for at in range(len(out))]
    skus = [f"A{at % SKUS:02d}" for at in range(len(out))]
    return panel(stores, skus, share, horizon, sales=_sales(share))


def _sales(share: Floats) -> Floats:
    return np.asarray(np.random.default_rng(8).poisson(6.0, share.shape) * (1.0 - share))


def status_hierarchy(on: Panel) -> Hierarchy:
    """Three groups of products, and two areas of stores."""
    stores = on.series.select("store_id").unique().sort("store_id")
    areas = stores.select(
        "store_id",
        depth=pl.lit(1, pl.Int32),
        level_name=pl.lit("city"),
        node_id=pl.when(pl.col("store_id") < "S06").then(pl.lit("north")).otherwise(pl.lit("south")),
    )
    return Hierarchy.build(on.series, None, areas)

"""Small demands, supplies and panels for tests of stock-out risk, built by hand."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from forecast_assets.contracts import QUANTILE_COLUMNS, QUANTILES, RECONCILED_FORECASTS
from forecast_assets.core.arrays import Floats
from forecast_assets.core.quantities import publish
from forecast_assets.features.panel import Panel
from forecast_assets.overrides.effects import overridden
from forecast_assets.stockout_risk.inventory import Demand, Supply

FIRST = date(2025, 1, 6)  # a Monday
NO_ORDERS: Sequence[tuple[int, int, float]] = ()


def certain_demand(units: Sequence[Sequence[float]]) -> Demand:
    """Demand without any variance."""
    mean = np.array(units, dtype=np.float64)
    quantiles = np.repeat(mean[:, :, None], len(QUANTILES), axis=2)
    return Demand(mean, quantiles, np.zeros(len(mean)), np.zeros(len(mean), dtype=np.bool_))


def poisson_demand(mean: Floats, rho: float = 0.0) -> Demand:
    """Whole demand with the quantiles of the Poisson distribution."""
    from scipy.stats import poisson

    quantiles = poisson.ppf(np.array(QUANTILES), mean[:, :, None])
    return Demand(mean, quantiles, np.full(len(mean), rho), np.ones(len(mean), dtype=np.bool_))


def supply(
    on_hand: Sequence[float],
    *,
    lead: float = 2.0,
    deviation: float = 0.0,
    review: float = 1.0,
    policy: tuple[float, float] = (np.nan, np.nan),
    orders: Sequence[tuple[int, int, float]] = NO_ORDERS,
) -> Supply:
    """Supply of as many series as there are stocks; orders are (series, days since placed, units)."""
    count = len(on_hand)
    columns = list(zip(*orders, strict=True)) or [(), (), ()]
    return Supply(
        np.array(on_hand, dtype=np.float64),
        np.full(count, lead, dtype=np.float64),
        np.full(count, deviation, dtype=np.float64),
        np.full(count, review),
        np.full(count, policy[0]),
        np.full(count, policy[1]),
        order_series=np.array(columns[0], dtype=np.int64),
        order_elapsed_days=np.array(columns[1], dtype=np.int64),
        order_units=np.array(columns[2], dtype=np.float64),
    )


def no_supply(count: int) -> Supply:
    return supply([np.nan] * count, lead=np.nan, deviation=np.nan, review=np.nan)


def panel(
    stores: Sequence[str],
    skus: Sequence[str],
    share: Floats,
    horizon: int,
    price_ratio: Floats | None = None,
    sales: Floats | None = None,
) -> Panel:
    """A panel of given out-of-stock shares [n, T]; one unit sold a day at list price unless given."""
    count, days = share.shape
    return Panel(
        series=pl.DataFrame({"store_id": stores, "sku_id": skus}, schema={"store_id": pl.String, "sku_id": pl.String}),
        first_date=FIRST,
        history_days=days,
        horizon_days=horizon,
        sales=np.ones((count, days)) if sales is None else sales,
        is_censored=share > 0,
        out_of_stock_share=share,
        missed_share=share,
        price_ratio=np.ones((count, days + horizon)) if price_ratio is None else price_ratio,
        is_promotion=np.zeros((count, days + horizon), dtype=np.bool_),
        has_plan=np.ones((count, horizon), dtype=np.bool_),
        event_names=(),
        event_days=np.zeros((0, days + horizon), dtype=np.bool_),
        event_series=np.zeros((0, count), dtype=np.bool_),
        is_closed=np.zeros((count, days + horizon), dtype=np.bool_),
    )


def reconciled(on: Panel, mean: Any, spread: float = 1.0) -> pl.DataFrame:
    """Contract `reconciled_forecasts` as not overridden, of a panel's series; quantiles run to (1 +- spread) x mean."""
    count, horizon = on.series.height, on.horizon_days
    units = np.broadcast_to(np.asarray(mean, dtype=np.float64), (count, horizon))
    steps = pl.DataFrame({"step": np.arange(1, horizon + 1, dtype=np.int32)})
    run = {"cadence": "daily", "prediction_date": on.cutoff, "model_version": "stat-1"}
    counts = {"forecast_horizon": horizon, "revision": 0}
    levels = np.linspace(1 - spread, 1 + spread, len(QUANTILES))
    frame = on.series.join(steps, how="cross", maintain_order="left_right").with_columns(
        *(pl.lit(value).alias(name) for name, value in run.items()),
        *(pl.lit(value, pl.Int32).alias(name) for name, value in counts.items()),
        pl.Series("target_date", [on.cutoff + timedelta(days=step) for step in range(1, horizon + 1)] * count),
        publish(units, "base_units"),
        publish(units, "reconciled_units"),
        *(publish(units * level, name) for level, name in zip(levels, QUANTILE_COLUMNS, strict=True)),
    )
    return overridden(RECONCILED_FORECASTS.conform(frame), None)

"""Figures of made-up stores: weekday, season and noise as asked, and what happens to them."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from forecast_assets.contracts import SALES
from forecast_assets.core.arrays import Floats
from forecast_assets.drift.daily_figures import Figure, Scale
from forecast_assets.drift.expectations import KnownDays
from forecast_assets.drift.judging import DriftJudgement, judge_figures
from resources.stores.home import Stores

LAST = date(2025, 6, 30)
WEEKDAYS = np.log(np.array([0.8, 0.8, 0.9, 1.0, 1.1, 1.4, 1.0]))


def calendar(days: int, last: date = LAST) -> KnownDays:
    first = last - timedelta(days=days - 1)
    return KnownDays((first.weekday() + np.arange(days)) % 7, {})


def logs(days: int = 500, stores: int = 4, *, spread: float = 0.05, season: float = 0.0, seed: int = 3) -> Floats:
    """[S, T] Logarithms of units: some hundreds, busier towards the weekend, with a wave of the year."""
    random = np.random.default_rng(seed)
    wave = season * np.cos(2 * np.pi * np.arange(days) / 365.25)
    made = 6.0 + np.arange(stores)[:, None] / 4 + WEEKDAYS[calendar(days).weekday] + wave
    return np.asarray(made + random.normal(0.0, spread, (stores, days)))


def figure(values: Floats, name: str = "sales_units", scale: Scale = "log", last: date = LAST) -> Figure:
    weights = np.nan_to_num(np.exp(values)) if scale == "log" else np.where(np.isnan(values), 0.0, 100.0)
    stores = tuple(f"S{number}" for number in range(len(values)))
    return Figure("sales", name, scale, stores, last, values, weights)


def judged(values: Floats, name: str = "sales_units", scale: Scale = "log") -> dict[str, DriftJudgement]:
    """Judge the last day; by store, and `all`."""
    made = figure(values, name, scale)
    return {each.scope: each for each in judge_figures([made], {made.store_ids: calendar(values.shape[1])})}


def sell(stores: Stores, *, days: int, last: date = LAST, units: float = 50.0, last_day: float = 1.0) -> None:
    """Record the sales of twelve products in two stores, more towards the weekend.

    Args:
        stores: Where.
        days: How many days up to the last.
        last: The last day.
        units: Units of a product on a usual day.
        last_day: What those of the last day are multiplied by.
    """
    random = np.random.default_rng(5)
    rows = [
        {
            "store_id": store, "sku_id": f"P{sku}", "event_date": day,
            "known_at": datetime.combine(day, time(22), UTC),
            "sales_units": float(round(units * np.exp(WEEKDAYS[day.weekday()] + random.normal(0.0, 0.1))
                                       * (last_day if day == last else 1.0))),
        }
        for day in (last - timedelta(days=back) for back in range(days))
        for store in ("N", "S")
        for sku in range(12)
    ]  # fmt: skip
    frame = SALES.conform(pl.DataFrame(rows, schema_overrides=SALES.schema))
    batch = stores.observations.write(frame, feed="sales", source="till", trust=1.0, declared_lag=timedelta(0))
    stores.observations.record([batch])

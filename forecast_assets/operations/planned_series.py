"""One series as a planner looks at it: each day ahead with its risk, stock, price and events, and who overrode it.

What belongs here: what a published run and its inputs say of the days ahead of one SKU in one store. What does not: its
past and its fan (operations.reading), what other runs said, or showing anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import (
    FORECAST_EXPLANATIONS,
    FORECAST_OVERRIDES,
    FORECASTS,
    OPEN_ORDER_DAYS,
    STOCKOUT_RISKS,
)
from forecast_assets.core.overrides import Scope
from forecast_assets.history import History
from forecast_assets.history.events import store_events_ahead
from forecast_assets.operations.overrides import overrides_of
from forecast_assets.operations.reading import ReadRows, one_series, run_history, scan_product
from forecast_assets.operations.worklist import PlannableRun
from forecast_assets.overrides.instructions import ScopeRows, days_of
from resources.ledger.entries.override import PlannedOverride
from resources.stores.home import Stores

# Of the same SKU in other stores.
_MOST_RELATIVES: Final = 5


@dataclass(frozen=True)
class SeriesAhead:
    """The days ahead of one series.

    Attributes:
        line: Its line of the worklist; see `Worklist.lines`.
        days: A row per step: `step, target_date, forecast_units, q100_units, q900_units, expected_sales_units,
            stockout_probability, risk_band, expected_lost_units, override_units`; `arriving_units` and `stock_units` at
            the end of the day, expected without further orders (null where no position is known); `price_ratio,
            unit_price, is_promotion` as planned, and `events`, joined with commas.
        overrides: Those in force or waiting for approval that are about one of these days, oldest first.
        applied: What the run made of overrides and rules: contract `forecast_overrides`, the rows of the series.
        relatives: Lines of the worklist of the same SKU in other stores, the greatest expected loss first.
    """

    line: dict[str, object]
    days: pl.DataFrame
    overrides: tuple[PlannedOverride, ...]
    applied: pl.DataFrame
    relatives: pl.DataFrame


def series_ahead(
    stores: Stores, run: PlannableRun, store_id: str, sku_id: str, read: ReadRows | None = None
) -> SeriesAhead:
    """Return the days ahead of a series of a published run.

    Args:
        stores: Where everything is.
        run: The run.
        store_id: Store.
        sku_id: SKU.
        read: Reads rows of few series; by default from files.

    Raises:
        InputError: If the run has no such series.
    """
    place = run.place(store_id, sku_id)
    published = run.planned.publication
    told, risks, explained = (
        one_series(stores, published, product.name, store_id, sku_id, read)
        for product in (FORECASTS, STOCKOUT_RISKS, FORECAST_EXPLANATIONS)
    )
    days = (
        told.select(
            "step", "target_date", "forecast_units", "q100_units", "q900_units", "expected_sales_units", "quality_flags"
        )
        .join(risks.select("step", "stockout_probability", "risk_band", "expected_lost_units"), on="step")
        .join(explained.select("step", "override_units"), on="step")
        .sort("step")
    )
    history = run_history(stores, published)
    days = _with_plans(history, _with_stock(history, days, store_id, sku_id), store_id, sku_id)
    return SeriesAhead(
        {**run.lines.row(place, named=True), "planners": ""},
        days,
        tuple(_about(stores, run, place)),
        _applied(stores, run, store_id, sku_id),
        _relatives(run, place, sku_id),
    )


def _about(stores: Stores, run: PlannableRun, place: int) -> Sequence[PlannedOverride]:
    """Return overrides that move the series on some day of the run, or would if they were approved."""
    rows_of, key = ScopeRows(run.planned.hierarchy.take(np.array([place]))), run.key
    return [
        each
        for each in overrides_of(stores.ledger)
        if each.is_open
        and days_of(each, key.prediction_date, key.forecast_horizon)
        and len(rows_of(each.override.scope))
    ]


def _applied(stores: Stores, run: PlannableRun, store_id: str, sku_id: str) -> pl.DataFrame:
    published = run.planned.publication
    if FORECAST_OVERRIDES.name not in published.products:
        return pl.DataFrame(schema=FORECAST_OVERRIDES.schema)
    rows = scan_product(stores, published, FORECAST_OVERRIDES.name).filter(store_id=store_id, sku_id=sku_id)
    return rows.collect().sort("step", "application")


def _relatives(run: PlannableRun, place: int, sku_id: str) -> pl.DataFrame:
    same = run.planned.rows_of(Scope.of(sku=sku_id))
    others: pl.DataFrame = run.lines[same[same != place]]
    return others.sort("lost_units", descending=True, maintain_order=True).head(_MOST_RELATIVES)


def _with_plans(history: History, days: pl.DataFrame, store_id: str, sku_id: str) -> pl.DataFrame:
    """Add planned prices and events."""
    since, ahead = history.cutoff + timedelta(days=1), days.height
    prices = history.unresolved_feed("prices", since=since, ahead_days=ahead)
    planned = ["price_ratio", "unit_price", "is_promotion"]
    if prices is None:
        days = days.with_columns(
            pl.lit(None, kind).alias(name)
            for name, kind in zip(planned, (pl.Float64, pl.Float64, pl.Boolean), strict=True)
        )
    else:
        own = history.resolved("prices", prices.filter(store_id=store_id, sku_id=sku_id))
        told = own.select("event_date", *planned).collect()
        days = days.join(told, left_on="target_date", right_on="event_date", how="left", maintain_order="left")
    named = store_events_ahead(history, pl.Series([store_id]), ahead)
    if named is None:
        return days.with_columns(events=pl.lit(""))
    of_day = named.group_by("target_date").agg(events=pl.col("event_name").sort().str.join(", "))
    return days.join(of_day, on="target_date", how="left", maintain_order="left").with_columns(
        pl.col("events").fill_null("")
    )


def _with_stock(history: History, days: pl.DataFrame, store_id: str, sku_id: str) -> pl.DataFrame:
    """Add what arrives each day, and what is expected to be left at its end; null where no position is known."""
    found = _position(history, store_id, sku_id)
    if found is None:
        nothing = pl.lit(None, pl.Float64)
        return days.with_columns(arriving_units=nothing, stock_units=nothing)
    on_hand, lead_days = found
    arriving = np.zeros(days.height)
    for order in _open_orders(history, store_id, sku_id).iter_rows(named=True):
        # One that is late is expected the next day.
        elapsed = (history.cutoff - order["event_date"]).days
        step = max(round(lead_days) - elapsed, 1)
        if step <= days.height:
            arriving[step - 1] += order["ordered_units"]
    stock, left = [], on_hand
    for sold, came in zip(days["expected_sales_units"].cast(pl.Float64), arriving, strict=True):
        left = max(left + came - sold, 0.0)
        stock.append(left)
    return days.with_columns(arriving_units=pl.Series(arriving), stock_units=pl.Series(stock, dtype=pl.Float64))


def _position(history: History, store_id: str, sku_id: str) -> tuple[float, float] | None:
    """Return units on hand at the end of the prediction date, and the lead time in days."""
    said = history.unresolved_feed("inventory_positions", since=history.cutoff)
    if said is None:
        return None
    own = history.resolved("inventory_positions", said.filter(store_id=store_id, sku_id=sku_id)).collect()
    if own.is_empty():
        return None
    row = own.row(0, named=True)
    return row["on_hand_units"], row["lead_time_days"]


def _open_orders(history: History, store_id: str, sku_id: str) -> pl.DataFrame:
    said = history.unresolved_feed("purchase_orders", since=history.cutoff - timedelta(days=OPEN_ORDER_DAYS - 1))
    if said is None:
        return pl.DataFrame(schema={"event_date": pl.Date, "ordered_units": pl.Float64})
    own = history.resolved("purchase_orders", said.filter(store_id=store_id, sku_id=sku_id)).collect()
    is_here = (pl.col("received_date") <= history.cutoff).fill_null(value=False)
    return own.filter(~is_here).select("event_date", "ordered_units")

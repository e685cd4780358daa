"""Daily figures of feeds by store: how many rows, units, at what price, how much is zero, missing or promoted.

What belongs here: which figures are watched, and computing them from resolved rows. What does not: what is to be
expected of a figure (``expectations``), or judging it (``detectors``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

import numpy as np
import polars as pl

from forecast_assets.contracts import FEEDS
from forecast_assets.core.arrays import Floats, Ints, Rows

Scale = Literal["log", "share"]

# Quantities that are compared as shares of what was before, and what is a share itself.
LOG: Final = "log"
SHARE: Final = "share"
ALL_STORES: Final = "all"
ROWS: Final = "rows"
ZERO: Final = "_zero_share"
MISSING: Final = "_missing_share"

# What adds up over a store's rows of a day.
_SUMS: Final[Mapping[str, str]] = {
    "sales": "sales_units",
    "inventory_positions": "on_hand_units",
    "purchase_orders": "ordered_units",
}
_PRICE: Final = "price_level"
_PROMOTION: Final = "promotion_share"
_OUT_OF_STOCK: Final = "out_of_stock_share"
# Columns that are null for a reason of their own, or say again what another one says.
_NOT_WATCHED: Final = frozenset({"received_date", "review_period_days"})
# A purchase order is an event, and orders come in waves: of them only what cannot be is told, not a change.
EVENTFUL: Final = frozenset({"purchase_orders"})
WATCHED_FEEDS: Final = ("sales", "stock_status", "inventory_positions", "prices", "purchase_orders")


@dataclass(frozen=True)
class Figure:
    """One figure of one feed, day by day.

    Attributes:
        feed: The feed.
        name: The figure.
        scale: `log` if a change is a ratio, `share` if it is a difference of shares.
        store_ids: [S] stores, sorted.
        last: The last of T days.
        values: [S, T] logarithms or shares; NaN where a store has no row that day.
        weights: [S, T] how much of the whole a store is: rows, or what is summed.
    """

    feed: str
    name: str
    scale: Scale
    store_ids: tuple[str, ...]
    last: date
    values: Floats
    weights: Floats

    def day(self, column: int) -> date:
        """Return the day of a column."""
        return self.last - timedelta(days=self.values.shape[1] - 1 - column)

    def until(self, day: date) -> "Figure":
        """Return what there was of it on an earlier day."""
        keep = self.values.shape[1] - (self.last - day).days
        return Figure(
            self.feed, self.name, self.scale, self.store_ids, day, self.values[:, :keep], self.weights[:, :keep]
        )


def feed_figures(feed: str, rows: pl.LazyFrame, *, since: date, until: date) -> list[Figure]:
    """Return the figures of a feed.

    Args:
        feed: One of `WATCHED_FEEDS`.
        rows: Its resolved rows.
        since: First day.
        until: Last day.
    """
    watched = rows.filter(pl.col("event_date").is_between(since, until))
    if feed == "prices":
        watched = watched.with_columns(_relative_price())
    columns = _columns(feed)
    if feed in EVENTFUL:
        # A store orders some products on some days: only all stores together are an even flow.
        watched = watched.with_columns(store_id=pl.lit(ALL_STORES))
    daily = (
        watched.group_by("store_id", "event_date")
        .agg(pl.len().cast(pl.Float64).alias(ROWS), *(expression.alias(name) for name, expression in columns.items()))
        .sort("store_id", "event_date")
        .collect()
    )
    if daily.is_empty():
        return []
    stores = tuple(daily["store_id"].unique().sort())
    day_count = (until - since).days + 1
    at = np.searchsorted(np.array(stores), daily["store_id"].to_numpy())
    on = daily["event_date"].to_physical().to_numpy() - (since - date(1970, 1, 1)).days
    counts = _matrix(daily, ROWS, at, on, (len(stores), day_count))
    figures = []
    for name in columns if feed in EVENTFUL else (ROWS, *columns):
        raw = counts if name == ROWS else _matrix(daily, name, at, on, counts.shape)
        is_quantity = name == ROWS or name == _SUMS.get(feed)
        scale: Scale = "log" if is_quantity or name == _PRICE else "share"
        # Half a unit stands for nothing: the logarithm of an empty day is far below that of any other.
        values = np.log(np.maximum(raw, 0.5)) if is_quantity else raw
        weights = np.nan_to_num(raw if is_quantity else counts)
        figures.append(Figure(feed, name, scale, stores, until, values, weights))
    return figures


def read_figures(
    feeds: Mapping[str, pl.LazyFrame], *, since: date, until: date, names: Sequence[str] = WATCHED_FEEDS
) -> list[Figure]:
    """Return the figures of every feed that there is."""
    found = [feed_figures(name, feeds[name], since=since, until=until) for name in names if name in feeds]
    return [figure for figures in found for figure in figures]


def _columns(feed: str) -> dict[str, pl.Expr]:
    contract = FEEDS[feed]
    found: dict[str, pl.Expr] = {}
    if feed in _SUMS:
        found[_SUMS[feed]] = pl.col(_SUMS[feed]).sum()
    if feed == "prices":
        found[_PRICE] = pl.col(_PRICE).mean()
        found[_PROMOTION] = pl.col("is_promotion").mean()
    if feed == "stock_status":
        found[_OUT_OF_STOCK] = (pl.col("out_of_stock_hours") > 0).mean()
    if feed in EVENTFUL:
        return found
    for column in contract.columns:
        if column.dtype == pl.Float64 and column.name not in _NOT_WATCHED:
            found[f"{column.name}{ZERO}"] = (pl.col(column.name) == 0).sum() / pl.len()
            if column.nullable:
                found[f"{column.name}{MISSING}"] = pl.col(column.name).is_null().mean()
    return found


def _relative_price() -> pl.Expr:
    """Logarithm of a price over the usual one of the same product in the same store.

    So that products which come and go do not look like changes of price.
    """
    price = pl.coalesce(pl.when(pl.col("unit_price") > 0).then("unit_price"), "price_ratio")
    logarithm = pl.when(price > 0).then(price.log())
    return (logarithm - logarithm.median().over("sku_id", "store_id")).alias(_PRICE)


def _matrix(daily: pl.DataFrame, name: str, at: Rows, on: Ints, shape: tuple[int, int]) -> Floats:
    made = np.full(shape, np.nan)
    made[at, on] = daily[name].cast(pl.Float64).to_numpy()
    return made

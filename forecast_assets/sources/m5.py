"""Reader of the M5 files, as published (Makridakis et al. 2022, doi 10.1016/j.ijforecast.2021.07.007).

What belongs here: what the three CSV files mean in the words of the contracts. What does not: opening them and their
errors (``m5_files``), writing a simulation in this format (``m5_writer``), or any modelling.

Choices, each where the data leaves one:

- The files list every item in every store on every day, long before it was sold there. A series begins with the first
  week that has a price, or with its first sale if that is earlier; from then on every day counts, also those of 0.
- A price holds for all days of its week. The files have no list price: the ratio is that to the highest price of the
  trailing 52 weeks, and whether a lower price was a promotion they do not say, so `is_promotion` is false.
- `snap_CA` and its like mark days on which food stamps may be spent in a state: the event `snap`, limited to the state.
- Nothing says when something was known: sales count as known at the end of their day, prices ``PRICE_DAYS`` days ahead
  (the competition gave the prices of the 28 days to be forecast), events ``EVENT_DAYS`` days ahead, as calendars are.
- Batches follow the calendar (January to June, July to December), so that a folder with more days than before gives the
  same batches again, apart from the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import (
    ALL_STORES,
    EVENTS,
    PRICES,
    PRODUCT_HIERARCHY,
    RECURRING,
    SALES,
    STORE_HIERARCHY,
)
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from forecast_assets.sources.m5_files import Items, M5Calendar, read_calendar, read_items, read_prices, require_m5

SOURCE: Final = "m5"
PRICE_DAYS: Final = 28
EVENT_DAYS: Final = 364
RATIO_WEEKS: Final = 52


_TRUST: Final = 0.9
_PRODUCT_LEVELS: Final = {"category": "cat_id", "department": "dept_id"}
_STORE_LEVELS: Final = {"state": "state_id"}


def read_m5(folder: Path) -> Iterator[Batch]:
    """Read the M5 files, half a year at a time.

    Args:
        folder: Holds `sales_train_evaluation.csv` (or `sales_train_validation.csv`), `calendar.csv` and
            `sell_prices.csv`. The sales may have any contiguous run of `d_N` columns.

    Yields:
        Batches of both hierarchies and of events, then sales and prices of each half of a calendar year. Weeks of the
        calendar after the last day of sales are the plan. Memory is that of the sales as 32-bit counts (0.25 GB for
        30,490 series of 1,941 days) plus one batch.

    Raises:
        SourceError: Naming what is missing or wrong in the files.
    """
    sales_path = require_m5(folder)
    calendar = read_calendar(folder)
    items = read_items(sales_path, calendar)
    table = _M5Tables(calendar, items, read_prices(folder, items.series, calendar))
    yield from (_batch(feed, frame) for feed, frame in _described(table).items() if frame.height)
    for since, until in _half_years(items.first_day, calendar.last_day):
        yield from (_batch(feed, frame) for feed, frame in table.between(since, until) if frame.height)


def _batch(feed: str, frame: pl.DataFrame) -> Batch:
    return Batch(feed, SOURCE, _TRUST, timedelta(0), frame)


def _half_years(first: date, last: date) -> list[tuple[date, date]]:
    """Return the first and last day of each half of a calendar year that days from `first` to `last` fall into."""
    starts = [date(year, month, 1) for year in range(first.year, last.year + 2) for month in (1, 7)]
    halves = [(start, following - timedelta(days=1)) for start, following in pairwise(starts)]
    return [(max(start, first), min(end, last)) for start, end in halves if end >= first and start <= last]


@dataclass(frozen=True)
class _M5Tables:
    """Sales and prices of n series as matrices.

    Attributes:
        calendar: Days, weeks and events.
        items: Series in the order of the rows, and their sales.
        price: [n, W] price in each week of the calendar; NaN where there is none.
    """

    calendar: M5Calendar
    items: Items
    price: Floats

    @cached_property
    def ratio(self) -> Floats:
        """[n, W] price over the highest of the trailing 52 weeks, this one included; NaN where there is no price."""
        highest = self.price.copy()
        for back in range(1, min(RATIO_WEEKS, highest.shape[1])):
            np.fmax(highest[:, back:], self.price[:, :-back], out=highest[:, back:])
        return np.divide(self.price, highest, out=np.ones_like(highest), where=highest != 0).round(6)

    @cached_property
    def start(self) -> Ints:
        """[n] day on which each series begins, counted from the first day of sales; the number of days if never."""
        days = self.items.days
        has_price = ~np.isnan(self.price)
        week_starts = np.searchsorted(self.calendar.week, np.arange(self.price.shape[1]))
        first_priced = np.where(has_price.any(axis=1), week_starts[has_price.argmax(axis=1)], self.calendar.days)
        begins = np.maximum(first_priced - self.calendar.place(self.items.first_day), 0)
        start: Ints = np.minimum(np.minimum(begins, self.items.first_sale), days)
        return start

    def between(self, since: date, until: date) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield sales and prices of some days, each sorted by day, SKU and store."""
        last = min(until, self.items.last_day)
        if since <= last:
            yield "sales", self._sales(since, last)
        yield "prices", self._prices(since, until)

    def _sales(self, since: date, until: date) -> pl.DataFrame:
        place = (since - self.items.first_day).days
        days = place + np.arange((until - since).days + 1)
        units = self.items.units(days)
        day, row = np.nonzero((days[None] >= self.start[:, None]).T)
        return (
            self._keyed(since, day, row)
            .with_columns(_at_midnight(pl.col("event_date") + timedelta(days=1)), sales_units=units[row, day])
            .select(pl.col(SALES.names))
            .cast({"sales_units": pl.Float64})
        )

    def _prices(self, since: date, until: date) -> pl.DataFrame:
        days = (until - since).days + 1
        week = self.calendar.week[self.calendar.place(since) :][:days]
        day, row = np.nonzero(~np.isnan(self.price[:, week]).T)
        place = row, week[day]
        return (
            self._keyed(since, day, row)
            .with_columns(
                _at_midnight(pl.col("event_date") - timedelta(days=PRICE_DAYS)),
                unit_price=self.price[place],
                price_ratio=self.ratio[place],
                is_promotion=pl.lit(value=False),
            )
            .select(PRICES.names)
        )

    def _keyed(self, since: date, day: Ints, row: Ints) -> pl.DataFrame:
        first = (since - date(1970, 1, 1)).days
        return pl.DataFrame(
            {
                "sku_id": self.items.series["item_id"].gather(row),
                "store_id": self.items.series["store_id"].gather(row),
                "event_date": pl.Series((day + first).astype(np.int32)).cast(pl.Date),
            }
        )


def _described(table: _M5Tables) -> dict[str, pl.DataFrame]:
    series, first = table.items.series, table.items.first_day
    return {
        "product_hierarchy": _memberships(series, "item_id", "sku_id", _PRODUCT_LEVELS, first).select(
            PRODUCT_HIERARCHY.names
        ),
        "store_hierarchy": _memberships(series, "store_id", "store_id", _STORE_LEVELS, first).select(
            STORE_HIERARCHY.names
        ),
        "events": _events(table.calendar, series["state_id"]),
    }


def _memberships(series: pl.DataFrame, member: str, key: str, levels: dict[str, str], since: date) -> pl.DataFrame:
    """Return one row per member and level, from the first day on."""
    depths = {column: depth for depth, column in enumerate(levels.values(), start=1)}
    names = {column: name for name, column in levels.items()}
    nodes = series.select(pl.col(member).alias(key), *(pl.col(column).alias(f"node {column}") for column in names))
    return (
        nodes.unique()
        .unpivot(index=key, variable_name="level", value_name="node_id")
        .with_columns(pl.col("level").str.strip_prefix("node "), event_date=pl.lit(since, pl.Date))
        .with_columns(
            _at_midnight(pl.col("event_date")),
            depth=pl.col("level").replace_strict(depths, return_dtype=pl.Int32),
            level_name=pl.col("level").replace_strict(names, return_dtype=pl.String),
        )
        .sort("event_date", key, "depth", "node_id")
    )


def _events(calendar: M5Calendar, states: pl.Series) -> pl.DataFrame:
    names = (
        calendar.frame.select("date", "event_name_1", "event_name_2")
        .unpivot(index="date", value_name="event_name")
        .select("event_name", pl.lit(ALL_STORES).alias("store_node"), "date", event_kind=pl.lit(None, pl.String))
    )
    snap = [
        calendar.frame.filter(pl.col(f"snap_{state}") == 1).select(
            pl.lit("snap").alias("event_name"), pl.lit(state).alias("store_node"), "date", event_kind=pl.lit(RECURRING)
        )
        for state in states.unique().sort()
        if f"snap_{state}" in calendar.frame.columns
    ]
    return (
        pl.concat([names.drop_nulls("event_name"), *snap])
        .rename({"date": "event_date"})
        .unique()
        .with_columns(_at_midnight(pl.col("event_date") - timedelta(days=EVENT_DAYS)))
        .select(EVENTS.names)
        .sort("event_date", "event_name", "store_node")
    )


def _at_midnight(day: pl.Expr) -> pl.Expr:
    return midnight(day).alias("known_at")

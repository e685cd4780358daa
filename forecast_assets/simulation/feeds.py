"""What the simulated retailer's systems say: the feeds, with their lags, delays, errors and corrections.

What belongs here: frames of each feed, made from the truth. What does not: the truth itself, or writing files.

Two sales sources overlap. `pos` is trusted more; a few of its rows come days late, a few are wrong at first and
corrected days later, and its last word is the truth. `backoffice` is slower, never corrected, and now and then wrong.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.contracts import (
    ALL_STORES,
    COVARIATES,
    EVENTS,
    INVENTORY_POSITIONS,
    PRICES,
    PRODUCT_HIERARCHY,
    PURCHASE_ORDERS,
    RECURRING,
    SALES,
    STORE_HIERARCHY,
    TIMESTAMP,
)
from forecast_assets.core.arrays import Bools, Ints, Names
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from forecast_assets.simulation.assortment import (
    FESTIVALS,
    PLAN_DAYS,
    PRODUCT_LEVELS,
    STORE_LEVELS,
    Assortment,
    SimulatorSettings,
    calendar,
    event_matrix,
)
from forecast_assets.simulation.calendar_law import PAYDAY, CalendarLaw
from forecast_assets.simulation.demand_law import Offers
from forecast_assets.simulation.replenishment import ReplenishmentTerms, SupplyHistory
from forecast_assets.simulation.weather import weather_frame

SOON: Final = timedelta(hours=6)
LATER: Final = timedelta(hours=30)
NO_LAG: Final = timedelta(0)
_EVENTS_KNOWN_DAYS: Final = 365
_LATE_SHARE: Final = 0.01
_RESTATED_SHARE: Final = 0.005
_DISAGREEING_SHARE: Final = 0.005

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True)
class Cells:
    """Series-days that exist, by day and then series, and how to name them.

    Attributes:
        settings: Start of the day numbers.
        assortment: Identifiers.
        day: [rows] day number.
        series: [rows] series number.
    """

    settings: SimulatorSettings
    assortment: Assortment
    day: Ints
    series: Ints

    @classmethod
    def of(cls, settings: SimulatorSettings, assortment: Assortment, days: int) -> "Cells":
        """Return the cells from each product's launch to day number `days`, exclusive."""
        launch = assortment.launch[assortment.sku_of_series]
        day, series = np.nonzero(np.arange(days)[:, None] >= launch)
        return cls(settings, assortment, day, series)

    def repeat(self, times: Ints) -> "Cells":
        """Return each cell so many times in a row."""
        return Cells(self.settings, self.assortment, np.repeat(self.day, times), np.repeat(self.series, times))

    def pick(self, matrix: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return [rows] the cells' values of a [series, days] matrix."""
        return matrix[self.series, self.day]

    def names(self) -> dict[str, pl.Series]:
        """Return `sku_id, store_id, event_date`, [rows] each."""
        sku = self.assortment.sku_of_series[self.series]
        store = self.assortment.store_of_series[self.series]
        return {
            "sku_id": pl.Series(self.assortment.sku_ids.tolist()).gather(sku),
            "store_id": pl.Series(self.assortment.store_ids.tolist()).gather(store),
            "event_date": days_after(self.settings.start, self.day),
        }

    def day_end(self, lag: timedelta) -> Ints:
        """Return [rows] the end of the cell's day plus a lag, in microseconds since 1970."""
        return moments(self.settings.start, self.day + 1, lag)


def days_after(start: date, day: Ints) -> pl.Series:
    """Return day numbers as dates."""
    return pl.Series(day + (start - date(1970, 1, 1)).days, dtype=pl.Int32).cast(pl.Date)


def moments(start: date, day: Ints, lag: timedelta) -> Ints:
    """Return the midnight at which day numbers begin plus a lag, in microseconds since 1970."""
    return (day + (start - date(1970, 1, 1)).days) * _DAY + lag // timedelta(microseconds=1)


def known(micros: Ints) -> pl.Series:
    """Return microseconds since 1970 as knowledge times."""
    return pl.Series(micros, dtype=pl.Int64).cast(TIMESTAMP)


def make_feeds(
    settings: SimulatorSettings,
    assortment: Assortment,
    offers: Offers,
    terms: ReplenishmentTerms,
    supply: SupplyHistory,
    effects: CalendarLaw | None = None,
) -> tuple[Batch, ...]:
    """Return one batch per source and feed, each sorted by event date, then key."""
    cells = Cells.of(settings, assortment, settings.days)
    sales = cells.pick(supply.sales).astype(np.int64)
    return (
        Batch("sales", "pos", 0.9, SOON, _pos_sales(cells, sales)),
        Batch("sales", "backoffice", 0.7, LATER, _backoffice_sales(cells, sales)),
        Batch("inventory_positions", "wms", 0.9, SOON, _positions(cells, terms, supply)),
        Batch("purchase_orders", "erp", 0.9, SOON, _purchase_orders(settings, assortment, supply)),
        Batch("prices", "pricing", 0.9, NO_LAG, _prices(settings, assortment, offers)),
        Batch("events", "calendar", 0.9, NO_LAG, _events(settings, effects)),
        Batch("product_hierarchy", "masterdata", 0.9, NO_LAG, _products(settings, assortment)),
        Batch("store_hierarchy", "masterdata", 0.9, NO_LAG, _stores(settings, assortment)),
        *_weather(settings, effects),
    )


def _weather(settings: SimulatorSettings, effects: CalendarLaw | None) -> tuple[Batch, ...]:
    """Return what was observed and forecast of the weather, where there is any."""
    if effects is None:
        return ()
    said = weather_frame(settings, effects.weather).select(COVARIATES.names)
    return (Batch("covariates", "weather", 0.9, NO_LAG, said),)


def _pos_sales(cells: Cells, sales: Ints) -> pl.DataFrame:
    random = cells.settings.stream(6)
    is_late = random.random(len(sales)) < _LATE_SHARE
    is_restated = random.random(len(sales)) < _RESTATED_SHARE
    first_known = cells.day_end(SOON) + np.where(is_late, random.integers(1, 6, len(sales)), 0) * _DAY
    first_value = np.where(is_restated, _wrong(random, sales), sales)
    rows = np.repeat(np.arange(len(sales)), 1 + is_restated)
    is_correction = np.append(False, rows[1:] == rows[:-1])
    wait = random.integers(1, 11, len(rows)) * _DAY
    known_at = first_known[rows] + np.where(is_correction, wait, 0)
    return _sales(cells.repeat(1 + is_restated), known_at, np.where(is_correction, sales[rows], first_value[rows]))


def _backoffice_sales(cells: Cells, sales: Ints) -> pl.DataFrame:
    random = cells.settings.stream(7)
    differs = random.random(len(sales)) < _DISAGREEING_SHARE
    return _sales(cells, cells.day_end(LATER), np.where(differs, _wrong(random, sales), sales))


def _sales(cells: Cells, known_at: Ints, units: Ints) -> pl.DataFrame:
    columns = {**cells.names(), "known_at": known(known_at), "sales_units": units.astype(np.float64)}
    return pl.DataFrame(columns).select(SALES.names)


def _wrong(random: np.random.Generator, units: Ints) -> Ints:
    """Return other whole units near the right ones, never the right ones, never negative."""
    error = 1 + random.poisson(0.1 * units)
    is_short = (random.random(len(units)) < 0.5) & (units >= error)  # noqa: PLR2004  as often short as over
    return np.where(is_short, units - error, units + error)


def _positions(cells: Cells, terms: ReplenishmentTerms, supply: SupplyHistory) -> pl.DataFrame:
    series = cells.series
    return pl.DataFrame(
        {
            **cells.names(),
            "known_at": known(cells.day_end(SOON)),
            "on_hand_units": cells.pick(supply.on_hand).astype(np.float64),
            "lead_time_days": terms.lead_time_days[series],
            "lead_time_deviation_days": terms.lead_time_deviation_days[series],
            "review_period_days": pl.repeat(1, len(series), dtype=pl.Int32, eager=True),
            "reorder_point_units": terms.reorder_point_units[series].astype(np.float64),
            "order_up_to_units": terms.order_up_to_units[series].astype(np.float64),
        }
    ).select(INVENTORY_POSITIONS.names)


def _purchase_orders(settings: SimulatorSettings, assortment: Assortment, supply: SupplyHistory) -> pl.DataFrame:
    """Return a row when an order is placed and, once it has arrived, another with the day it did."""
    orders = supply.orders
    numbers = np.flatnonzero(orders.placed < settings.days)
    rows = np.repeat(numbers, 1 + (orders.received[numbers] < settings.days))
    is_receipt = np.append(False, rows[1:] == rows[:-1])
    placed, received = orders.placed[rows], orders.received[rows]
    names = Cells(settings, assortment, placed, orders.series[rows]).names()
    known_on = np.where(is_receipt, received, placed) + 1
    frame = pl.DataFrame(
        {
            "order_id": rows + 1,
            **names,
            "known_at": known(moments(settings.start, known_on, SOON)),
            "ordered_units": orders.units[rows].astype(np.float64),
            "received_date": days_after(settings.start, received),
            "is_receipt": is_receipt,
        }
    )
    order_id = "PO-" + pl.col("order_id").cast(pl.String).str.zfill(8)
    received_date = pl.when("is_receipt").then("received_date")
    return frame.with_columns(order_id=order_id, received_date=received_date).select(PURCHASE_ORDERS.names)


def _prices(settings: SimulatorSettings, assortment: Assortment, offers: Offers) -> pl.DataFrame:
    cells = Cells.of(settings, assortment, settings.days + PLAN_DAYS)
    ratio = offers.price_ratio[cells.series, cells.day]
    list_price = offers.list_price[assortment.sku_of_series[cells.series]]
    return pl.DataFrame(
        {
            **cells.names(),
            "known_at": known(moments(settings.start, cells.day - PLAN_DAYS, NO_LAG)),
            "unit_price": np.round(list_price * ratio, 2),
            "price_ratio": ratio,
            "is_promotion": cells.pick(offers.is_promotion),
        }
    ).select(PRICES.names)


def _events(settings: SimulatorSettings, effects: CalendarLaw | None) -> pl.DataFrame:
    """Return festivals, which hold everywhere, and the paydays of each region, where there are any."""
    festivals = _festivals(settings)
    if effects is None or effects.paydays.is_empty():
        return festivals
    paydays = effects.paydays.with_columns(
        midnight(pl.col("event_date") - timedelta(days=_EVENTS_KNOWN_DAYS)).alias("known_at"),
        event_name=pl.lit(PAYDAY),
        event_kind=pl.lit(RECURRING),
    )
    every = pl.concat([festivals, paydays.select(EVENTS.names)])
    return every.sort("event_date", "event_name", "store_node")


def _festivals(settings: SimulatorSettings) -> pl.DataFrame:
    is_on: Bools = event_matrix(calendar(settings))
    day, festival = np.nonzero(is_on.T)
    return pl.DataFrame(
        {
            "event_name": np.array(list(FESTIVALS))[festival].tolist(),
            "store_node": [ALL_STORES] * len(day),
            "event_date": days_after(settings.start, day),
            "known_at": known(moments(settings.start, day - _EVENTS_KNOWN_DAYS, NO_LAG)),
            "event_kind": pl.Series([None] * len(day), dtype=pl.String),
        }
    ).select(EVENTS.names)


def _products(settings: SimulatorSettings, assortment: Assortment) -> pl.DataFrame:
    members = _memberships("sku_id", assortment.sku_ids, assortment.sku_nodes, PRODUCT_LEVELS)
    since = np.repeat(assortment.launch, len(PRODUCT_LEVELS))
    return _dated(members, settings, since).select(PRODUCT_HIERARCHY.names).sort("event_date", "sku_id", "depth")


def _stores(settings: SimulatorSettings, assortment: Assortment) -> pl.DataFrame:
    members = _memberships("store_id", assortment.store_ids, assortment.store_nodes, STORE_LEVELS)
    since = np.zeros(members.height, dtype=np.int64)
    return _dated(members, settings, since).select(STORE_HIERARCHY.names)


def _memberships(column: str, members: Names, nodes: Names, levels: tuple[str, ...]) -> pl.DataFrame:
    """Return one row per member and level, widest level first."""
    return pl.DataFrame(
        {
            column: np.repeat(members, len(levels)).tolist(),
            "depth": pl.Series(np.tile(np.arange(1, len(levels) + 1), len(members)), dtype=pl.Int32),
            "level_name": np.tile(np.array(levels), len(members)).tolist(),
            "node_id": nodes.ravel().tolist(),
        }
    )


def _dated(members: pl.DataFrame, settings: SimulatorSettings, since: Ints) -> pl.DataFrame:
    return members.with_columns(
        event_date=days_after(settings.start, since),
        known_at=known(moments(settings.start, since, NO_LAG)),
    )

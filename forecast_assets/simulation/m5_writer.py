"""A simulation in the M5 file format, as published (Makridakis et al. 2022, doi 10.1016/j.ijforecast.2021.07.007).

What belongs here: writing it. What does not: reading the format (``m5``), or the native format (``simulator``).

The format says less than the simulation: sales only, a price per week (that of the week's first day on sale), two
events a day at most, no stock, no plan of promotions. Weeks run from Saturday to Friday and are numbered within a
fiscal year that starts on the last Saturday of January. The `snap_` columns (food-stamp days) are the paydays of each
region, and 0 where there are none.
"""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from forecast_assets.simulation.calendar_law import PAYDAY
from forecast_assets.simulation.simulator import Simulation, describe
from forecast_assets.sources.files import write_folder
from forecast_assets.sources.m5_files import CALENDAR_FILE, PRICES_FILE, SALES_FILE

LABEL_FILE: Final = "simulation.json"

_SATURDAY: Final = 5
_WEEK: Final = timedelta(days=7)


def write_m5(simulation: Simulation, folder: Path) -> bool:
    """Write a simulation as M5's three CSV files, all or nothing.

    Args:
        simulation: What to write. Departments become M5's categories, categories its departments, regions its states.
        folder: New or empty; or one that already holds the same simulation as M5 files, which is left as it is.

    Returns:
        Whether it was written; False if it was there already.

    Raises:
        SourceError: If the folder holds anything else.
        StorageError: If it cannot be written.
    """
    facts = {**describe(simulation.settings), "layout": "m5"}

    def write(draft: Path) -> None:
        calendar = _calendar(simulation)
        calendar.write_csv(draft / CALENDAR_FILE)
        _sales(simulation).write_csv(draft / SALES_FILE)
        _prices(simulation, calendar).write_csv(draft / PRICES_FILE, float_precision=2)
        (draft / LABEL_FILE).write_text(json.dumps(facts, indent=2) + "\n")

    return write_folder(folder, LABEL_FILE, facts, write)


def week_number(day: date) -> int:
    """Return M5's `wm_yr_wk` of a day: 1, then the fiscal year's and the week's last two digits.

    Example:
        >>> week_number(date(2011, 1, 29)), week_number(date(2016, 6, 19))
        (11101, 11621)
    """
    saturday = day - timedelta(days=(day.weekday() - _SATURDAY) % 7)
    year = saturday.year if saturday >= _year_start(saturday.year) else saturday.year - 1
    return 10000 + (year % 100) * 100 + (saturday - _year_start(year)) // _WEEK + 1


def m5_calendar(days: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of M5's calendar up to the `snap_` columns; every event is a national one.

    Args:
        days: One row per day: `date`, and `event_name_1` and `event_name_2`, null where there is none.
    """
    day, national = pl.col("date"), pl.lit("National")
    return days.select(
        day,
        pl.Series("wm_yr_wk", [week_number(one) for one in days["date"]]),
        weekday=day.dt.to_string("%A"),
        wday=(day.dt.weekday() + 1) % 7 + 1,
        month=day.dt.month(),
        year=day.dt.year(),
        d=pl.format("d_{}", pl.int_range(1, pl.len() + 1)),
        event_name_1="event_name_1",
        event_type_1=pl.when(pl.col("event_name_1").is_not_null()).then(national),
        event_name_2="event_name_2",
        event_type_2=pl.when(pl.col("event_name_2").is_not_null()).then(national),
    )


def _year_start(year: int) -> date:
    last = date(year, 1, 31)
    return last - timedelta(days=(last.weekday() - _SATURDAY) % 7)


def _frame(simulation: Simulation, feed: str) -> pl.DataFrame:
    return next(batch.frame for batch in simulation.batches if batch.feed == feed)


def _calendar(simulation: Simulation) -> pl.DataFrame:
    settings = simulation.settings
    days = [settings.start + timedelta(days=number) for number in range(settings.days + settings.horizon)]
    every = _frame(simulation, "events")
    paydays = every.filter(event_name=PAYDAY)
    events = (
        every.filter(pl.col("event_name") != PAYDAY)
        .sort("event_date", "event_name")
        .group_by("event_date", maintain_order=True)
        .agg(event_name_1=pl.col("event_name").first(), event_name_2=pl.col("event_name").get(1, null_on_oob=True))
    )
    named = pl.DataFrame({"date": days}).join(
        events, left_on="date", right_on="event_date", how="left", maintain_order="left"
    )
    if paydays.is_empty():
        return m5_calendar(named).with_columns(snap_CA=0, snap_TX=0, snap_WI=0)
    return m5_calendar(named).with_columns(
        pl.col("date")
        .is_in(paydays.filter(store_node=region)["event_date"].implode())
        .cast(pl.Int64)
        .alias(f"snap_{region}")
        for region in paydays["store_node"].unique().sort()
    )


def _sales(simulation: Simulation) -> pl.DataFrame:
    """Return one row per series and one column per day; a day before the launch is a zero, as in M5."""
    settings = simulation.settings
    number = (pl.col("event_date") - settings.start).dt.total_days() + 1
    days = [f"d_{number}" for number in range(1, settings.days + 1)]
    sold = (
        simulation.truth.filter(pl.col("event_date") <= settings.end)
        .select("sku_id", "store_id", pl.format("d_{}", number).alias("d"), pl.col("sales_units").cast(pl.Int64))
        .pivot(on="d", on_columns=days, index=["sku_id", "store_id"], values="sales_units")
        .sort("store_id", "sku_id")
        .fill_null(0)
    )
    products = _levels(simulation, "product_hierarchy", "sku_id").rename(
        {"department": "cat_id", "category": "dept_id"}
    )
    stores = _levels(simulation, "store_hierarchy", "store_id").rename({"region": "state_id"})
    return (
        sold.join(products, on="sku_id", how="left", maintain_order="left")
        .join(stores, on="store_id", how="left", maintain_order="left")
        .select(
            pl.format("{}_{}_evaluation", "sku_id", "store_id").alias("id"),
            pl.col("sku_id").alias("item_id"),
            "dept_id",
            "cat_id",
            "store_id",
            "state_id",
            *days,
        )
    )


def _levels(simulation: Simulation, feed: str, member: str) -> pl.DataFrame:
    return _frame(simulation, feed).pivot(on="level_name", index=member, values="node_id")


def _prices(simulation: Simulation, calendar: pl.DataFrame) -> pl.DataFrame:
    weeks = calendar.select(pl.col("date").alias("event_date"), "wm_yr_wk")
    return (
        _frame(simulation, "prices")
        .join(weeks, on="event_date", maintain_order="left")
        .group_by("store_id", "sku_id", "wm_yr_wk")
        .agg(sell_price=pl.col("unit_price").sort_by("event_date").first())
        .sort("store_id", "sku_id", "wm_yr_wk")
        .rename({"sku_id": "item_id"})
    )

"""Files of M5's shape and size, made up: counts, calendar and prices by a seeded law, for measuring.

python -m bench.m5_shaped FOLDER [--items 3049] [--days 1941]
"""

import argparse
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.simulation.m5_writer import m5_calendar, week_number
from forecast_assets.sources.m5_files import CALENDAR_FILE, PRICES_FILE, SALES_FILE

FIRST_DAY = date(2011, 1, 29)
PLAN_DAYS = 28
STORES = ("CA_1", "CA_2", "CA_3", "CA_4", "TX_1", "TX_2", "TX_3", "WI_1", "WI_2", "WI_3")
STATES = ("CA", "TX", "WI")
# Departments and their share of the items, as in M5.
DEPARTMENTS = (
    ("FOODS_1", 216), ("FOODS_2", 398), ("FOODS_3", 823), ("HOBBIES_1", 416), ("HOBBIES_2", 149),
    ("HOUSEHOLD_1", 532), ("HOUSEHOLD_2", 515),
)  # fmt: skip
WEEKDAYS = np.array([0.95, 0.88, 0.88, 0.9, 1.02, 1.22, 1.15])
EVENTS = {(1, 1): "NewYear", (2, 14): "ValentinesDay", (7, 4): "IndependenceDay", (10, 31): "Halloween"}
CLOSED = (12, 25)
_CHUNK = 2000


@dataclass(frozen=True)
class Shape:
    items: int = 3049
    days: int = 1941
    seed: int = 5

    @property
    def calendar_days(self) -> list[date]:
        return [FIRST_DAY + timedelta(days=number) for number in range(self.days + PLAN_DAYS)]


def write_m5_shaped(folder: Path, shape: Shape) -> None:
    """Write the three files; the same shape gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    series = _series(shape)
    week = _week_of_day(shape)
    launch = _launches(shape, len(series), week)
    _calendar(shape).write_csv(folder / CALENDAR_FILE)
    _prices(shape, series, week, launch).write_csv(folder / PRICES_FILE, float_precision=2)
    counts = _counts(shape, series, launch)
    days = [pl.Series(f"d_{number + 1}", counts[:, number]) for number in range(shape.days)]
    series.select(_ID, "item_id", "dept_id", "cat_id", "store_id", "state_id").hstack(days).write_csv(
        folder / SALES_FILE
    )


_ID = pl.format("{}_{}_evaluation", "item_id", "store_id").alias("id")


def _series(shape: Shape) -> pl.DataFrame:
    total = sum(count for _, count in DEPARTMENTS)
    counts = [max(1, round(count * shape.items / total)) for _, count in DEPARTMENTS]
    items = pl.concat(
        pl.DataFrame({"dept_id": name, "number": np.arange(1, count + 1)})
        for (name, _), count in zip(DEPARTMENTS, counts, strict=True)
    )
    named = items.select(
        pl.format("{}_{}", "dept_id", pl.col("number").cast(pl.String).str.zfill(3)).alias("item_id"),
        "dept_id",
        pl.col("dept_id").str.split("_").list.first().alias("cat_id"),
    )
    stores = pl.DataFrame({"store_id": STORES, "state_id": [name[:2] for name in STORES]})
    return stores.join(named, how="cross", maintain_order="left_right")


def _launches(shape: Shape, count: int, week: Ints) -> Ints:
    """[n] first day on sale of each series, the first of a week: two in five are there from the start."""
    random = np.random.default_rng([shape.seed, 1])
    latest = random.integers(0, max(shape.days * 3 // 4, 1), count)
    day = np.where(random.random(count) < 0.4, 0, latest)
    return np.searchsorted(week, week[day])


def _week_of_day(shape: Shape) -> Ints:
    return np.array([week_number(day) for day in shape.calendar_days])


def _snap(shape: Shape) -> Bools:
    """[3, days] food-stamp days: ten a month, others in each state."""
    day = np.array([day.day for day in shape.calendar_days])
    return np.stack([day <= 10, (day % 2 == 1) & (day <= 15) | (day == 6) | (day == 12), (day % 3 != 1) & (day <= 15)])


def _calendar(shape: Shape) -> pl.DataFrame:
    days = shape.calendar_days
    names = [
        EVENTS.get((day.month, day.day)) or ("Christmas" if (day.month, day.day) == CLOSED else None) for day in days
    ]
    named = pl.DataFrame({"date": days, "event_name_1": names, "event_name_2": None})
    snap = zip(STATES, _snap(shape), strict=True)
    return m5_calendar(named).with_columns(pl.Series(f"snap_{state}", on.astype(np.int64)) for state, on in snap)


def _counts(shape: Shape, series: pl.DataFrame, launch: Ints) -> npt.NDArray[np.int32]:
    """[n, T] units: a slow mover's Poisson about a level that drifts by the month, with weeks, years and SNAP."""
    random = np.random.default_rng([shape.seed, 2])
    usual = _usual(shape)
    state = series["state_id"].replace_strict(dict(zip(STATES, range(3), strict=True))).to_numpy()
    is_food = series["cat_id"].to_numpy() == "FOODS"
    rate = np.exp(random.normal(-0.9, 1.2, series.height)) * np.where(is_food, 1.6, 0.8)
    snap = 1.0 + 0.15 * _snap(shape)[:, : shape.days]
    out = np.zeros((series.height, shape.days), dtype=np.int32)
    for start in range(0, series.height, _CHUNK):
        rows = slice(start, min(start + _CHUNK, series.height))
        drift = np.repeat(random.gamma(4.0, 0.25, (rows.stop - start, shape.days // 28 + 1)), 28, axis=1)
        mean = rate[rows, None] * drift[:, : shape.days] * usual
        mean *= np.where(is_food[rows, None], snap[state[rows]], 1.0)
        mean *= np.arange(shape.days) >= launch[rows, None]
        out[rows] = random.poisson(mean)
    return out


def _usual(shape: Shape) -> Floats:
    """[T] what week and year do to every level; nothing sells on Christmas Day."""
    days = shape.calendar_days[: shape.days]
    year = 1.0 + 0.12 * np.sin(2 * np.pi * np.arange(shape.days) / 365.25)
    is_open = np.array([(day.month, day.day) != CLOSED for day in days])
    weekday = WEEKDAYS[(FIRST_DAY.weekday() + np.arange(shape.days)) % 7]
    return np.asarray(weekday * year * is_open)


def _prices(shape: Shape, series: pl.DataFrame, week: Ints, launch: Ints) -> pl.DataFrame:
    """One row per series and week on sale: a list price that steps up now and then, and weeks at a lower one."""
    random = np.random.default_rng([shape.seed, 3])
    weeks, week_at = np.unique(week, return_inverse=True)
    size = series.height, len(weeks)
    listed = np.exp(random.normal(1.2, 0.6, (series.height, 1))) * 1.04 ** np.cumsum(random.random(size) < 0.02, axis=1)
    price = np.round(listed * np.where(random.random(size) < 0.05, 0.8, 1.0), 2)
    row, column = np.nonzero(np.arange(len(weeks)) >= week_at[launch][:, None])
    return pl.DataFrame(
        {
            "store_id": series["store_id"].gather(row),
            "item_id": series["item_id"].gather(row),
            "wm_yr_wk": weeks[column],
            "sell_price": np.maximum(price[row, column], 0.01),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=3049)
    parser.add_argument("--days", type=int, default=1941)
    arguments = parser.parse_args()
    write_m5_shaped(arguments.folder, Shape(arguments.items, arguments.days))


if __name__ == "__main__":
    main()

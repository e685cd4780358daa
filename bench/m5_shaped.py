"""Files of M5's shape and size, made up by a seeded law, for measuring.

What belongs here: items, their own levels and prices, and the files. What does not: what moves departments in stores,
and the truth of it (`bench.m5_law`).

Levels of items are log-normal, so that most sell less than one a day, as M5's do; food twice as much as the rest. Each
wanders by 0.25 from month to month, on the log, and returns by a tenth: for such items a level that forgets 4% a day is
about right, as it is for M5's. Two in five are there from the start of M5's five years and the others come over the
first three quarters of the files at the same pace, so that a file of a year and a half has few launches, as M5's last
year and a half has. Counts are Poisson about all that.

python -m bench.m5_shaped FOLDER [--items 3049] [--days 1941] [--seed 5]
"""

import argparse
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from bench.m5_law import DEPARTMENTS, FIRST_DAY, PLAN_DAYS, STATES, STORES, Law, named_events, paydays, wandering
from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.simulation.m5_writer import m5_calendar, week_number
from forecast_assets.sources.m5_files import CALENDAR_FILE, PRICES_FILE, SALES_FILE

LEVEL, LEVEL_SPREAD, FOOD_LEVEL, OTHER_LEVEL = -0.9, 1.2, 1.6, 0.8
LEVEL_STEP, LEVEL_KEPT, MONTH_DAYS = 0.25, 0.9, 28
# A launch a day, of all that ever come.
LAUNCHES_A_DAY = 0.6 / (1941 * 3 // 4)
_CHUNK = 2000


@dataclass(frozen=True)
class Shape:
    items: int = 3049
    days: int = 1941
    seed: int = 5

    @property
    def calendar_days(self) -> list[date]:
        return [FIRST_DAY + timedelta(days=number) for number in range(self.days + PLAN_DAYS)]

    @property
    def law(self) -> Law:
        """What moves departments in stores, to the end of the plan: the truth that estimates are held against."""
        return Law(self.calendar_days, self.seed)


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
    """[n] first day on sale of each series, the first of a week."""
    random = np.random.default_rng([shape.seed, 1])
    latest = max(shape.days * 3 // 4, 1)
    day = np.where(random.random(count) < LAUNCHES_A_DAY * latest, random.integers(0, latest, count), 0)
    return np.searchsorted(week, week[day])


def _week_of_day(shape: Shape) -> Ints:
    return np.array([week_number(day) for day in shape.calendar_days])


def _calendar(shape: Shape) -> pl.DataFrame:
    days = shape.calendar_days
    named = pl.DataFrame({"date": days, "event_name_1": named_events(days), "event_name_2": None})
    snap = zip(STATES, paydays(days) > 0, strict=True)
    return m5_calendar(named).with_columns(pl.Series(f"snap_{state}", on.astype(np.int64)) for state, on in snap)


def _counts(shape: Shape, series: pl.DataFrame, launch: Ints) -> npt.NDArray[np.int32]:
    """[n, T] units: Poisson about each item's own level times what its department does in its store."""
    random = np.random.default_rng([shape.seed, 2])
    factors = shape.law.factors[:, :, : shape.days]
    department, store = _places(series)
    is_food = series["cat_id"].to_numpy() == "FOODS"
    rate = np.exp(random.normal(LEVEL, LEVEL_SPREAD, series.height)) * np.where(is_food, FOOD_LEVEL, OTHER_LEVEL)
    out = np.zeros((series.height, shape.days), dtype=np.int32)
    for start in range(0, series.height, _CHUNK):
        rows = slice(start, min(start + _CHUNK, series.height))
        mean = rate[rows, None] * _own_level(random, rows.stop - start, shape.days)
        mean *= factors[department[rows], store[rows]]
        mean *= np.arange(shape.days) >= launch[rows, None]
        out[rows] = random.poisson(mean)
    return out


def _places(series: pl.DataFrame) -> tuple[Ints, Ints]:
    """[n] department and store of each series, as the law counts them."""
    names = [name for name, _ in DEPARTMENTS]
    department = series["dept_id"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    store = series["store_id"].replace_strict(STORES, range(len(STORES)), return_dtype=pl.Int64)
    return department.to_numpy(), store.to_numpy()


def _own_level(random: np.random.Generator, count: int, days: int) -> Floats:
    """[count, days] what wanders from month to month, 1 on average, and in a straight line between months."""
    months = days // MONTH_DAYS + 2
    log = wandering(random, (count, months), LEVEL_STEP, LEVEL_KEPT)
    month, day = np.divmod(np.arange(days), MONTH_DAYS)
    share = day / MONTH_DAYS
    level = log[:, month] * (1.0 - share) + log[:, month + 1] * share
    return np.asarray(np.exp(level - LEVEL_STEP**2 / (1.0 - LEVEL_KEPT**2) / 2))


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
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    write_m5_shaped(arguments.folder, Shape(arguments.items, arguments.days, arguments.seed))


if __name__ == "__main__":
    main()

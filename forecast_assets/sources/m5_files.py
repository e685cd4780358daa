"""The three M5 files, opened and checked: series with their sales, the calendar, prices by week.

What belongs here: columns, types, and everything that can be wrong with the files, each named. What does not: what the
files mean as feeds (``m5``).
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from forecast_assets.core.arrays import Floats, Ints
from forecast_assets.core.errors import FIRST, SourceError, first_line, first_ten
from forecast_assets.sources.files import require_folder, require_single

SALES_FILE: Final = "sales_train_evaluation.csv"
SHORTER_SALES_FILE: Final = "sales_train_validation.csv"
CALENDAR_FILE: Final = "calendar.csv"
PRICES_FILE: Final = "sell_prices.csv"


_WHAT: Final = f"the M5 files: {SALES_FILE}, {CALENDAR_FILE} and {PRICES_FILE}"
_SERIES: Final = dict.fromkeys(("item_id", "dept_id", "cat_id", "store_id", "state_id"), pl.String)
_CALENDAR: Final = ("date", "wm_yr_wk", "d", "event_name_1", "event_name_2")
_PRICES: Final = {"store_id": pl.String, "item_id": pl.String, "wm_yr_wk": pl.Int32, "sell_price": pl.Float64}
_AGAIN: Final = "Download the file again, or correct it; nothing was stored."


@dataclass(frozen=True)
class M5Calendar:
    """Consecutive days.

    Attributes:
        frame: `date, number` (N of `d_N`), `wm_yr_wk, event_name_1, event_name_2`, `snap_XX` as there are; by day.
        weeks: The W week numbers, rising.
        week: [days] place of each day's week in `weeks`.
    """

    frame: pl.DataFrame
    weeks: pl.Series
    week: Ints

    @property
    def days(self) -> int:
        """How many days there are."""
        return self.frame.height

    @property
    def first_day(self) -> date:
        """The first day."""
        return self.frame["date"].item(0)  # type: ignore[no-any-return]

    @property
    def last_day(self) -> date:
        """The last day."""
        return self.frame["date"].item(-1)  # type: ignore[no-any-return]

    def place(self, day: date) -> int:
        """Return which day of the calendar a day is, from 0."""
        return (day - self.first_day).days


@dataclass(frozen=True)
class Items:
    """The n series and their sales on T consecutive days.

    Attributes:
        series: `item_id, dept_id, cat_id, store_id, state_id`, sorted by item and store.
        first_day: Day of the first column.
        counts: n rows, T columns of whole units.
    """

    series: pl.DataFrame
    first_day: date
    counts: pl.DataFrame

    @property
    def days(self) -> int:
        """T."""
        return self.counts.width

    @property
    def last_day(self) -> date:
        """Day of the last column."""
        return self.first_day + timedelta(days=self.days - 1)

    @property
    def first_sale(self) -> Ints:
        """[n] place of the first day with a sale; T if there is none."""
        first = np.full(self.series.height, self.days)
        for place in range(self.days - 1, -1, -1):
            first[(self.counts.to_series(place) > 0).to_numpy()] = place
        return first

    def units(self, places: Ints) -> npt.NDArray[np.int32]:
        """[n, len(places)] units on the days at these places."""
        return self.counts.select(self.counts.columns[places[0] : places[-1] + 1]).to_numpy()


def require_m5(folder: Path) -> Path:
    """Return the file of the sales, having made sure that all three files are there.

    Raises:
        SourceError: Naming the folder or the files that are missing.
    """
    shorter = (folder / SHORTER_SALES_FILE).is_file() and not (folder / SALES_FILE).is_file()
    name = SHORTER_SALES_FILE if shorter else SALES_FILE
    require_folder(folder, [name, CALENDAR_FILE, PRICES_FILE], _WHAT)
    return folder / name


def read_calendar(folder: Path) -> M5Calendar:
    """Read and check `calendar.csv`.

    Raises:
        SourceError: If columns are missing, dates cannot be read, or days do not follow one another.
    """
    path = folder / CALENDAR_FILE
    columns = _header(path, _CALENDAR)
    kept = [*_CALENDAR, *(name for name in columns if name.startswith("snap_"))]
    raw = _read(path, dict.fromkeys(kept, pl.String))
    parsed = raw.with_columns(
        pl.col("date").str.to_date("%Y-%m-%d", strict=False),
        pl.col("wm_yr_wk").cast(pl.Int32, strict=False),
        pl.col("d").str.extract(r"^d_(\d+)$").cast(pl.Int32, strict=False).alias("number"),
        pl.col("^snap_.*$").cast(pl.Int32, strict=False),
    )
    _require_none(path, raw.filter(parsed.select(pl.any_horizontal(pl.col(_DAY).is_null())).to_series()), "unreadable")
    snap = pl.col("^snap_.*$")
    if any(name.startswith("snap_") for name in kept):
        is_odd = parsed.select(pl.any_horizontal(~snap.is_in([0, 1]).fill_null(value=False))).to_series()
        _require_none(path, raw.filter(is_odd).select("date", snap), "whose `snap_` columns are not 0 or 1")
    ordered = parsed.sort("number")
    date_place = (pl.col("date") - pl.col("date").first()).dt.total_days()
    number_place = pl.col("number") - pl.col("number").first()
    place = pl.int_range(pl.len())
    skipping = ordered.filter((date_place != place) | (number_place != place))
    _require_none(
        path, skipping.select("date", "d"), "out of step: dates and `d` must both rise by one from row to row"
    )
    back = ordered.filter(pl.col("wm_yr_wk") < pl.col("wm_yr_wk").shift())
    _require_none(path, back.select("date", "wm_yr_wk"), "whose week lies before that of the day before")
    weeks = ordered["wm_yr_wk"].unique().sort()
    week = ordered["wm_yr_wk"].replace_strict(weeks, pl.int_range(len(weeks), eager=True)).cast(pl.Int64).to_numpy()
    return M5Calendar(ordered, weeks, week)


_DAY: Final = ("date", "wm_yr_wk", "number")


def read_items(path: Path, calendar: M5Calendar) -> Items:
    """Read and check the sales.

    Raises:
        SourceError: If columns are missing, days have holes or are not in the calendar, series come twice, or sales are
            not whole numbers from 0.
    """
    names = _day_columns(path, _header(path, _SERIES))
    first = _date_of(path, names, calendar)
    frame = _read(path, {**_SERIES, **dict.fromkeys(names, pl.Int32)})
    _require_counts(path, frame, names)
    repeated = frame.select("item_id", "store_id").filter(pl.struct("item_id", "store_id").is_duplicated())
    _require_none(path, repeated.unique().sort("item_id", "store_id"), "of an item and a store that come twice")
    ordered = frame.sort("item_id", "store_id")
    return Items(ordered.select(list(_SERIES)), first, ordered.select(names))


def read_prices(folder: Path, series: pl.DataFrame, calendar: M5Calendar) -> Floats:
    """Read and check `sell_prices.csv`.

    Args:
        folder: Where it is.
        series: `item_id, store_id` of the n series.
        calendar: Its W weeks.

    Returns:
        [n, W] price; NaN where there is none.

    Raises:
        SourceError: If columns are missing, or prices are not numbers from 0, come twice, or are of unknown items or
            weeks.
    """
    path = folder / PRICES_FILE
    _header(path, _PRICES)
    prices = _read(path, _PRICES)
    price = pl.col("sell_price")
    is_wrong = price.is_null() | ~price.is_finite() | (price < 0) | pl.col("wm_yr_wk").is_null()
    _require_none(path, prices.filter(is_wrong), "whose week or price is not a number from 0")
    key = ["item_id", "store_id"]
    placed = prices.join(series.select(key).with_row_index("row"), key, how="left")
    unknown = placed.filter(pl.col("row").is_null()).select(key).unique().sort(key)
    _require_none(path, unknown, "of items in stores that the sales do not list")
    weeks = pl.DataFrame({"wm_yr_wk": calendar.weeks}).with_row_index("week")
    found = placed.join(weeks, "wm_yr_wk", how="left")
    beyond = found.filter(pl.col("week").is_null()).select("wm_yr_wk").unique().sort("wm_yr_wk")
    _require_none(path, beyond, f"of weeks that {CALENDAR_FILE} does not have")
    cell = found["row"].cast(pl.Int64) * weeks.height + found["week"]
    repeated = found.filter(cell.is_duplicated()).select(list(_PRICES)).sort(list(_PRICES))
    _require_none(path, repeated, "of an item, store and week that come twice")
    out = np.full((series.height, weeks.height), np.nan)
    out.ravel()[cell.to_numpy()] = found["sell_price"].to_numpy()
    return out


def _header(path: Path, wanted: Any) -> list[str]:
    """Return the columns of a file.

    Raises:
        SourceError: If it is not CSV or lacks some of those wanted.
    """
    columns = _csv(path, n_rows=0).columns
    require_single(path, columns)
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise SourceError(
            f"{path.name} lacks the columns {missing}. Found: {first_ten(columns)}.",
            remedy=f"Give {path} as published, in UTF-8: it has {first_ten(wanted)}.",
        )
    return columns


def _read(path: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """Read some columns; what does not fit its type is null."""
    frame = _csv(path, columns=list(schema), schema_overrides=schema, ignore_errors=True)
    if frame.is_empty():
        raise SourceError(f"{path.name} has no rows.", remedy=_AGAIN)
    return frame


def _csv(path: Path, **options: Any) -> pl.DataFrame:
    try:
        return pl.read_csv(path, glob=False, **options)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as CSV: {first_line(error)}.",
            remedy=f"It needs a line of column names, in UTF-8. {_AGAIN}",
        ) from error


def _day_columns(path: Path, columns: list[str]) -> list[str]:
    """Return the `d_N` columns in order."""
    numbers = sorted(int(name[2:]) for name in columns if re.fullmatch(r"d_\d+", name))
    if not numbers:
        raise SourceError(f"{path.name} has no columns d_1, d_2, ...: no days.", remedy=_AGAIN)
    absent = [f"d_{number}" for number in sorted(set(range(numbers[0], numbers[-1])) - set(numbers))]
    if absent:
        raise SourceError(
            f"{path.name} skips {len(absent)} days between d_{numbers[0]} and d_{numbers[-1]}: {first_ten(absent)}.",
            remedy="Give every day between the first and the last; a day without a sale is a 0.",
        )
    return [f"d_{number}" for number in numbers]


def _date_of(path: Path, names: list[str], calendar: M5Calendar) -> date:
    """Return the day of the first column."""
    absent = [name for name in names if name not in set(calendar.frame["d"])]
    if absent:
        raise SourceError(
            f"{len(absent)} days of {path.name} are not in {CALENDAR_FILE}: {first_ten(absent)}.",
            remedy="Give the calendar that belongs to the sales.",
        )
    return calendar.frame.filter(pl.col("d") == names[0])["date"].item()  # type: ignore[no-any-return]


def _require_counts(path: Path, frame: pl.DataFrame, names: list[str]) -> None:
    wrong = [name for name in names if frame[name].null_count() or (frame[name] < 0).any()]
    if not wrong:
        return
    key = ["item_id", "store_id"]
    raw = _read(path, dict.fromkeys([*key, *wrong[:FIRST]], pl.String))
    cells = raw.unpivot(index=key, variable_name="day", value_name="value")
    is_count = pl.col("value").str.contains(r"^\d+$") & pl.col("value").cast(pl.Int32, strict=False).is_not_null()
    shown = cells.filter(~is_count.fill_null(value=False))
    _require_none(path, shown, f"and days whose sales are not whole numbers from 0, on {len(wrong)} days")


def _require_none(path: Path, rows: pl.DataFrame, what: str) -> None:
    if rows.height:
        named = [", ".join(f"{name} {value!r}" for name, value in row.items()) for row in rows.head(FIRST).to_dicts()]
        left = f" and {rows.height - FIRST} more" if rows.height > FIRST else ""
        raise SourceError(f"{path.name} has {rows.height} rows {what}: {'; '.join(named)}{left}.", remedy=_AGAIN)

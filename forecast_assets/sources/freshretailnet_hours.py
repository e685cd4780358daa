"""The hours of FreshRetailNet-50K: what the empty hours of a day would have sold.

What belongs here: the publisher's table of hours, and the share of a usual day that it adds to the table of days.
What does not: the shape of a day itself (``intraday``), or the feeds (``freshretailnet``).

Choices:

- Sales are counted in whole thousandths, as the daily ones, so that sums do not depend on the order of rows.
- 5% of sales fall outside the trading hours, and at night shelves are empty as a matter of course (on 40% of days). A
  day whose shelf was never empty in trading hours is a usual day and misses nothing; on any other day all 24 hours
  count.
- The profile rests on every series of the file, also where only some of them are taken in: a series gets the same
  numbers in a sample and in the whole.
"""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.errors import SourceError, first_line
from forecast_assets.sources.files import scan_parquet
from forecast_assets.sources.intraday import HOURS, day_profiles, missed_share

HOURLY_FILE: Final = "hourly.parquet"
TRADING: Final = range(6, 22)
DEMAND_SHARE: Final = "out_of_stock_demand_share"

_KEY: Final = ["store_id", "product_id", "dt"]
_COLUMNS: Final = {
    "store_id": pl.Int16,
    "product_id": pl.Int16,
    "dt": pl.Date,
    "oos_bits": pl.UInt32,
    "hours_sale": pl.List(pl.Float32),
}
_IN_TRADING: Final = sum(1 << hour for hour in TRADING)
_THOUSANDTHS: Final = 1000


def with_demand_share(daily: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Add the share of a usual day's sales that falls into each day's hours without stock.

    Each share rests on the hours of its own and of earlier days: it is known at the end of its day.

    Args:
        daily: `store_id, product_id, dt` and `stock_hour6_22_cnt`, trading hours without stock, among others.
        path: The table of hours; it may have more rows, and lack some.

    Returns:
        `daily` in its order with `out_of_stock_demand_share`, 0..1: 0 where no trading hour was without stock, null
        where the hours are not there or have another number of empty trading hours.

    Raises:
        SourceError: If the file cannot be used: other columns, a key twice, or a day that has not 24 hours.
    """
    hourly = scan_parquet(path, _COLUMNS)
    try:
        dates, profiles = _profiles(hourly)
        empty = (
            daily.lazy()
            .select(_KEY)
            .join(hourly.select(*_KEY, "oos_bits"), on=_KEY, how="left", validate="m:1", maintain_order="left")
        )
        bits = empty.select("oos_bits").collect().to_series()
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            f"{path} cannot be used: {first_line(error)}.",
            remedy=f"It needs one row per store, product and day, with {HOURS} numbers in `hours_sale`.",
        ) from error
    day = dates.search_sorted(daily["dt"]).clip(0, len(dates) - 1).cast(pl.Int64)
    share = missed_share(profiles, day.to_numpy(), bits.fill_null(0).to_numpy())
    out, counted = pl.col("stock_hour6_22_cnt"), pl.lit((bits & _IN_TRADING).bitwise_count_ones())
    # Without hours the count is null and fits nothing.
    fits = counted == out
    return daily.with_columns(
        pl.when(fits & (out == 0)).then(0.0).when(fits).then(pl.lit(pl.Series(share))).alias(DEMAND_SHARE)
    )


def _profiles(hourly: pl.LazyFrame) -> tuple[pl.Series, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Return the d dates of the file, in order, and the [d, 24] profile as known at the end of each."""
    is_whole = (pl.col("oos_bits") & _IN_TRADING) == 0
    names = [f"hour_{hour}" for hour in range(HOURS)]
    sold = pl.col("hours_sale").list.to_array(HOURS)
    thousandths = [
        (sold.arr.get(hour) * _THOUSANDTHS).round().cast(pl.Int64).filter(is_whole).sum().alias(name)
        for hour, name in enumerate(names)
    ]
    by_day = (
        hourly.group_by("dt")
        .agg(is_whole.sum().cast(pl.Int64).alias("days"), *thousandths)
        .sort("dt")
        .collect(engine="streaming")
    )
    return by_day["dt"], day_profiles(by_day.select(names).to_numpy(), by_day["days"].to_numpy(), TRADING)

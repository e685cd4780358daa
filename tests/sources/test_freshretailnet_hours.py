"""Hours of sales: what the empty hours of a day would have sold, as known at the day's end."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.core.errors import InputError, SourceError
from forecast_assets.models.demand import uncensor
from forecast_assets.sources.freshretailnet_hours import DEMAND_SHARE, TRADING, with_demand_share
from forecast_assets.sources.intraday import day_profiles
from tests.support.forecast_cases import panel_of

FIRST = date(2024, 4, 1)
KEY = ["store_id", "product_id", "dt"]
SERIES, DAYS = 300, 5
RUSH, QUIET, NIGHT = range(8, 12), range(18, 22), range(4)
LAST = DAYS - 1

# Nine tenths of a day are sold before noon.
SOLD = np.zeros(24, dtype=np.float32)
SOLD[list(RUSH)], SOLD[list(QUIET)], SOLD[list(NIGHT)] = 0.9, 0.08, 0.02


def bits(hours: Sequence[int]) -> int:
    return sum(1 << hour for hour in hours)


def hours_of(empty: dict[tuple[int, int], Sequence[int]] | None = None, sold: np.ndarray = SOLD) -> pl.DataFrame:
    """The table of hours: all series sell alike; `empty` says by series and day which hours were without stock."""
    gone = empty or {}
    cells = [(series, day) for series in range(SERIES) for day in range(DAYS)]
    masks = [np.isin(np.arange(24), list(gone.get(cell, ()))) for cell in cells]
    return pl.DataFrame(
        {
            "store_id": pl.Series([series for series, _ in cells], dtype=pl.Int16),
            "product_id": pl.Series([1] * len(cells), dtype=pl.Int16),
            "dt": [FIRST + timedelta(days=day) for _, day in cells],
            "oos_bits": pl.Series([bits(np.flatnonzero(mask).tolist()) for mask in masks], dtype=pl.UInt32),
            "hours_sale": pl.Series([np.where(mask, 0.0, sold).tolist() for mask in masks], dtype=pl.List(pl.Float32)),
        }
    )


def shares(hourly: pl.DataFrame, folder: Path, daily: pl.DataFrame | None = None) -> pl.DataFrame:
    """What the reader makes of both tables; the daily one follows from the hours unless given."""
    path = folder / "hourly.parquet"
    hourly.write_parquet(path)
    counted = (pl.col("oos_bits") & bits(TRADING)).bitwise_count_ones().cast(pl.Int8).alias("stock_hour6_22_cnt")
    return with_demand_share(hourly.select(*KEY, counted) if daily is None else daily, path)


def share_of(made: pl.DataFrame, series: int, day: int) -> float | None:
    found: float | None = made.row(by_predicate=_cell(series, day), named=True)[DEMAND_SHARE]
    return found


def _cell(series: int, day: int) -> pl.Expr:
    return (pl.col("store_id") == series) & (pl.col("dt") == FIRST + timedelta(days=day))


def test_hours_of_the_rush_miss_more_than_as_many_quiet_ones(tmp_path: Path) -> None:
    """Four hours of sixteen each: a quarter of the day if all hours were alike."""
    made = shares(hours_of({(0, LAST): RUSH, (1, LAST): QUIET}), tmp_path)
    rush, quiet = share_of(made, 0, LAST), share_of(made, 1, LAST)
    assert rush == pytest.approx(0.9, abs=0.03)
    assert quiet == pytest.approx(0.08, abs=0.03)
    assert made.filter(pl.col("stock_hour6_22_cnt") == 0)[DEMAND_SHARE].unique().to_list() == [0.0]

    sales, hours = np.full((2, 28), 10.0), np.zeros((2, 28))
    sales[:, -1], hours[:, -1] = (1.0, 9.2), 0.25
    missed = np.where(hours > 0, np.array([[rush], [quiet]], dtype=np.float64), 0.0)
    told = {"out_of_stock_share": hours, "is_censored": hours > 0}
    by_hour = uncensor(panel_of(sales, **told, missed_share=missed))[:, -1]
    by_number = uncensor(panel_of(sales, **told))[:, -1]
    assert by_hour == pytest.approx([10.0, 10.0], rel=0.05)
    assert by_hour[0] - 1.0 > by_number[0] - 1.0 > 2.0
    assert by_hour[1] - 9.2 < 1.0 < by_number[1] - 9.2


def test_later_days_cannot_change_an_earlier_row(tmp_path: Path) -> None:
    """All sales of the last day move to the quiet hours: its rows follow, those before stay."""
    empty = {(series, day): QUIET for series in (0, 1) for day in range(DAYS)}
    other = hours_of(empty, np.roll(SOLD, QUIET.start - RUSH.start))
    is_last = pl.col("dt") == FIRST + timedelta(days=LAST)
    before = shares(hours_of(empty), tmp_path)
    mixed = pl.concat([hours_of(empty).filter(~is_last), other.filter(is_last)])
    after = shares(mixed, tmp_path)
    assert before.filter(~is_last).equals(after.filter(~is_last).sort(KEY))
    assert (share_of(after, 0, LAST) or 0) > (share_of(before, 0, LAST) or 0) + 0.01
    cut = shares(hours_of(empty).filter(~is_last), tmp_path)
    assert cut.equals(before.filter(~is_last))


def test_the_order_of_rows_changes_no_byte(tmp_path: Path) -> None:
    hourly = hours_of({(5, 2): RUSH, (6, 3): range(24)})
    straight = shares(hourly, tmp_path)
    shuffled = shares(hourly.sample(fraction=1.0, shuffle=True, seed=3), tmp_path)
    assert shuffled.sort(KEY).equals(straight)
    assert share_of(straight, 6, 3) == 1.0


def test_some_series_of_the_file_get_what_they_get_among_all(tmp_path: Path) -> None:
    hourly = hours_of({(5, 2): QUIET})
    whole = shares(hourly, tmp_path)
    few = pl.col("store_id") < 7
    assert shares(hourly, tmp_path, whole.filter(few).drop(DEMAND_SHARE)).equals(whole.filter(few))


def test_a_night_without_stock_counts_only_on_days_without_stock_in_trading_hours(tmp_path: Path) -> None:
    made = shares(hours_of({(0, LAST): NIGHT, (1, LAST): [*NIGHT, *QUIET]}), tmp_path)
    assert share_of(made, 0, LAST) == 0.0
    assert share_of(made, 1, LAST) == pytest.approx(0.1, abs=0.03)


def test_days_without_fitting_hours_are_not_known(tmp_path: Path) -> None:
    hourly = hours_of({(0, 1): QUIET})
    daily = shares(hourly, tmp_path).drop(DEMAND_SHARE)
    wrong = daily.with_columns(
        pl.when(_cell(2, 2)).then(pl.lit(3, pl.Int8)).otherwise("stock_hour6_22_cnt").alias("stock_hour6_22_cnt")
    )
    made = shares(hourly.filter(~_cell(1, 0)), tmp_path, wrong)
    assert made.filter(pl.col(DEMAND_SHARE).is_null()).select("store_id", "dt").rows() == [
        (1, FIRST),
        (2, FIRST + timedelta(days=2)),
    ]


def test_hours_that_are_none_are_refused(tmp_path: Path) -> None:
    hourly = hours_of()
    with pytest.raises(SourceError, match=r"hourly\.parquet cannot be used.*one row per store, product and day"):
        shares(
            pl.concat([hourly, hourly.head(1)]), tmp_path, hourly.select(*KEY, stock_hour6_22_cnt=pl.lit(0, pl.Int8))
        )
    short = hourly.with_columns(pl.col("hours_sale").list.head(23))
    with pytest.raises(SourceError, match=r"cannot be used.*24 numbers in `hours_sale`"):
        shares(short, tmp_path)
    with pytest.raises(SourceError, match=r"lacks the columns \['oos_bits'\]"):
        shares(hourly.drop("oos_bits"), tmp_path, hourly.select(*KEY, stock_hour6_22_cnt=pl.lit(0, pl.Int8)))


def test_without_any_record_a_day_is_spread_evenly_over_trading_hours() -> None:
    profiles = day_profiles(np.zeros((2, 24), dtype=np.int64), np.array([0, 0]), TRADING)
    assert profiles[:, TRADING.start : TRADING.stop] == pytest.approx(1 / 16)
    assert profiles.sum(axis=1) == pytest.approx(1.0)


def test_more_returned_than_sold_is_no_profile() -> None:
    with pytest.raises(InputError, match=r"less than nothing"):
        day_profiles(np.full((1, 24), -1, dtype=np.int64), np.array([1]), TRADING)

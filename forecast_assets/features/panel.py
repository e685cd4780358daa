"""The panel: what was known of every series at a cutoff, as dense matrices that the models read.

What belongs here: the shape of the data between observations and models, and its assembly from resolved frames.
What does not: reading stores, deciding which observations count (fusion), or any model.

Matrices are series x days. Reductions along a fixed axis of a dense matrix give the same bytes on every run, which
multi-threaded grouping of floats does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SERIES_KEY: Final = ["store_id", "sku_id"]


@dataclass(frozen=True)
class Panel:
    """Series x days, history first, then the horizon.

    Attributes:
        series: `store_id, sku_id`, sorted by both; row i of every matrix.
        first_date: Day of column 0. The cutoff is column `history_days - 1`.
        history_days: T, days up to and including the cutoff.
        horizon_days: H, days after it.
        sales: [n, T] units sold; NaN where nothing is known (before the first day, or a late row).
        is_censored: [n, T] whether the shelf was empty for some of the day, so that sales bound demand from below.
        out_of_stock_share: [n, T] share of trading hours without stock, 0..1; NaN where hours are not known.
        price_ratio: [n, T + H] price over list price; 1 where no price is known.
        is_promotion: [n, T + H] whether a promotion is on or planned.
        has_plan: [n, H] whether the price of that future day was known at the cutoff.
        event_names: E names, sorted.
        event_days: [E, T + H] on which days each event falls.
    """

    series: pl.DataFrame
    first_date: date
    history_days: int
    horizon_days: int
    sales: Floats
    is_censored: Bools
    out_of_stock_share: Floats
    price_ratio: Floats
    is_promotion: Bools
    has_plan: Bools
    event_names: tuple[str, ...]
    event_days: Bools

    @property
    def cutoff(self) -> date:
        """The last observed day."""
        return self.first_date + timedelta(days=self.history_days - 1)

    @property
    def weekday(self) -> npt.NDArray[np.int64]:
        """[T + H] day of the week of each column, Monday 0."""
        return (self.first_date.weekday() + np.arange(self.history_days + self.horizon_days)) % 7

    def as_of(self, days_earlier: int) -> "Panel":
        """Return the panel as of an earlier cutoff with the same horizon, for backtests.

        The days between become part of the horizon's plan; their sales are left out.

        Args:
            days_earlier: Days to move the cutoff back; at least the horizon, less than the history.
        """
        history = self.history_days - days_earlier
        width = history + self.horizon_days
        return Panel(
            series=self.series,
            first_date=self.first_date,
            history_days=history,
            horizon_days=self.horizon_days,
            sales=self.sales[:, :history],
            is_censored=self.is_censored[:, :history],
            out_of_stock_share=self.out_of_stock_share[:, :history],
            price_ratio=self.price_ratio[:, :width],
            is_promotion=self.is_promotion[:, :width],
            has_plan=np.ones((self.series.height, self.horizon_days), dtype=np.bool_),
            event_names=self.event_names,
            event_days=self.event_days[:, :width],
        )


def assemble_panel(
    series: pl.DataFrame,
    observations: Mapping[str, pl.LazyFrame],
    *,
    cutoff: date,
    history_days: int,
    horizon_days: int,
) -> Panel:
    """Lay resolved observations out as matrices.

    Args:
        series: `store_id, sku_id` of the n series to lay out.
        observations: Resolved rows by feed, as of the cutoff: one row per SKU, store and day. Feeds may be missing.
        cutoff: The last observed day.
        history_days: T, how far back to read; shorter where the sales begin later.
        horizon_days: H.

    Returns:
        The panel, with its series sorted by store and SKU.
    """
    ordered = series.select(SERIES_KEY).unique().sort(SERIES_KEY)
    first = _first_date(observations["sales"], cutoff, history_days)
    history = (cutoff - first).days + 1
    grid = _Grid(ordered, first, history + horizon_days)
    (sales,) = grid.matrices(observations["sales"], ["sales_units"])
    price_ratio, is_promotion = grid.matrices(observations.get("prices"), ["price_ratio", "is_promotion"])
    is_censored, share = _shelf(grid, observations, history)
    event_names, event_days = _events(observations.get("events"), grid)
    return Panel(
        series=ordered,
        first_date=first,
        history_days=history,
        horizon_days=horizon_days,
        sales=sales[:, :history],
        is_censored=is_censored,
        out_of_stock_share=share,
        price_ratio=np.nan_to_num(price_ratio, nan=1.0),
        is_promotion=is_promotion > 0,
        has_plan=~np.isnan(price_ratio[:, history:]),
        event_names=event_names,
        event_days=event_days,
    )


@dataclass(frozen=True)
class _Grid:
    """Where each (series, day) goes in a matrix."""

    series: pl.DataFrame
    first_date: date
    width: int

    def matrices(self, rows: pl.LazyFrame | None, columns: Sequence[str]) -> list[Floats]:
        """Scatter columns of long rows into series x days; NaN where there is no row, rows outside are left out."""
        out = [np.full((self.series.height, self.width), np.nan) for _ in columns]
        if rows is None:
            return out
        placed = (
            rows.with_columns(day=(pl.col("event_date") - pl.lit(self.first_date)).dt.total_days())
            .filter(pl.col("day").is_between(0, self.width - 1))
            .join(self.series.lazy().with_row_index("row"), on=SERIES_KEY, how="inner")
            .select("row", "day", *(pl.col(name).cast(pl.Float64) for name in columns))
            .collect()
        )
        cells = placed["row"].to_numpy(), placed["day"].to_numpy()
        for matrix, name in zip(out, columns, strict=True):
            matrix[cells] = placed[name].to_numpy()
        return out


def _first_date(sales: pl.LazyFrame, cutoff: date, history_days: int) -> date:
    earliest: date = sales.select(pl.col("event_date").min()).collect().item()
    return max(earliest, cutoff - timedelta(days=history_days - 1))


def _shelf(grid: _Grid, observations: Mapping[str, pl.LazyFrame], history: int) -> tuple[Bools, Floats]:
    """Whether, and for which share of the trading hours, each shelf was empty: from hours, else from positions."""
    hours, trading_hours = grid.matrices(observations.get("stock_status"), ["out_of_stock_hours", "trading_hours"])
    (on_hand,) = grid.matrices(observations.get("inventory_positions"), ["on_hand_units"])
    share = (hours / trading_hours)[:, :history]
    return (share > 0) | (on_hand[:, :history] <= 0), share


def _events(rows: pl.LazyFrame | None, grid: _Grid) -> tuple[tuple[str, ...], Bools]:
    if rows is None:
        return (), np.zeros((0, grid.width), dtype=np.bool_)
    days = rows.select("event_name", "event_date").unique().sort("event_name", "event_date").collect()
    last = grid.first_date + timedelta(days=grid.width - 1)
    inside = days.filter(pl.col("event_date").is_between(grid.first_date, last))
    names = sorted(inside["event_name"].unique().to_list())
    matrix = np.zeros((len(names), grid.width), dtype=np.bool_)
    for name, day in inside.iter_rows():
        matrix[names.index(name), (day - grid.first_date).days] = True
    return tuple(names), matrix

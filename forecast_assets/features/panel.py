"""The panel: what was known of every series at a cutoff, as dense matrices that the models read.

What belongs here: the shape of the data between observations and models, and its assembly from resolved frames.
What does not: reading stores, deciding which observations count (fusion), or any model.

Matrices are series x days. Reductions along a fixed axis of a dense matrix give the same bytes on every run, which
multi-threaded grouping of floats does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from forecast_assets.contracts import RARE, RECURRING
from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Groups, Ints, Rows
from forecast_assets.core.numbering import number_pairs
from forecast_assets.core.rows import rows_at
from forecast_assets.features.covariates import Covariates, lay_out_covariates
from forecast_assets.features.places import stores_in
from forecast_assets.features.pooled import COMPUTED, Pooled

SERIES_KEY: Final = ["store_id", "sku_id"]
# What a panel is laid out from.
PANEL_FEEDS: Final = (
    "sales", "prices", "events", "covariates", "store_closures", "stock_status", "inventory_positions",
)  # fmt: skip
# Days that are read at a time: long rows take up many times the room of the matrices that they go into.
_SLICE_DAYS: Final = 91
# Days after the horizon whose events are read: what an event does to the days before it is of the horizon.
DAYS_BEYOND: Final = 3
# An event whose kind nobody says recurs if it fell on so many days of the history, in so many runs of days, of which
# there is one in so many days.
_LEAST_DAYS: Final = 8
_LEAST_RUNS: Final = 3
_MOST_DAYS_APART: Final = 46


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
        missed_share: [n, T] share of a usual day's sales that falls into the hours without stock, 0..1: by the hours
            in which a usual day sells where those are known, else the share of hours; NaN where hours are not known.
        price_ratio: [n, T + H] price over list price; 1 where no price is known.
        is_promotion: [n, T + H] whether a promotion is on or planned.
        has_plan: [n, H] whether the price of that future day was known at the cutoff.
        event_names: E names, sorted; a name comes once for each place that it is limited to.
        event_days: [E, T + H] on which days each event falls.
        event_series: [E, n] which series it applies to.
        is_closed: [n, T + H] whether the store is said to be closed that day, or to be going to be.
        event_kinds: E kinds, `recurring` or `rare` as the newest day that says one does, None where none does; empty
            where no event has one.
        events_beyond: [E, B] on which of the B days after the last one each event falls, as far as that is known.
        covariates: What was said of covariates on all T + H days, as every cutoff of the history knew it.
        availability_power: Exponent with which the share of a usual day's sales that found stock counts; 1 unless a
            version has learned another.
        pooled: Where statistics that are not of one series alone come from: all series of the panel, unless a few of a
            run's are forecast again.
    """

    series: pl.DataFrame
    first_date: date
    history_days: int
    horizon_days: int
    sales: Floats
    is_censored: Bools
    out_of_stock_share: Floats
    missed_share: Floats
    price_ratio: Floats
    is_promotion: Bools
    has_plan: Bools
    event_names: tuple[str, ...]
    event_days: Bools
    event_series: Bools
    is_closed: Bools
    event_kinds: tuple[str | None, ...] = ()
    covariates: Covariates = field(default_factory=Covariates)
    events_beyond: Bools | None = None
    availability_power: float = 1.0
    pooled: Pooled = field(default=COMPUTED, compare=False, repr=False)

    @property
    def cutoff(self) -> date:
        """The last observed day."""
        return self.first_date + timedelta(days=self.history_days - 1)

    @property
    def weekday(self) -> Ints:
        """[T + H] day of the week of each column, Monday 0."""
        return (self.first_date.weekday() + np.arange(self.history_days + self.horizon_days)) % 7

    @property
    def recurring_events(self) -> tuple[str, ...]:
        """Names of the events that come so often that their effect can be learned from their own days, sorted.

        What a source says of a name decides, `recurring` before `rare`. Where nobody says it, those recur that fell in
        one of their places on eight days of the history, which were not all in one or two runs, with a run in 46 days
        and more: a long holiday was seen once, however many its days.
        """
        said: dict[str, set[str | None]] = {name: set() for name in self.event_names}
        for name, kind in zip(self.event_names, self.event_kinds, strict=False):
            said[name].add(kind)
        past = self.event_days[:, : self.history_days]
        runs = past[:, :1].sum(axis=1) + (past[:, 1:] & ~past[:, :-1]).sum(axis=1)
        is_often = (past.sum(axis=1) >= _LEAST_DAYS) & (runs >= _LEAST_RUNS)
        is_often &= runs * _MOST_DAYS_APART >= self.history_days
        often = {name for name, comes in zip(self.event_names, is_often, strict=True) if comes}
        return tuple(
            name for name, kinds in sorted(said.items()) if RECURRING in kinds or (name in often and RARE not in kinds)
        )

    @property
    def knows_stock_status(self) -> bool:
        """Whether the hours without stock of any day are known."""
        return bool(self.pooled.of_all("stock status", lambda: np.array(not np.isnan(self.out_of_stock_share).all())))

    @property
    def event_days_and_beyond(self) -> Bools:
        """[E, T + H + B] on which days each event falls, the horizon's and those after it."""
        return self.event_days if self.events_beyond is None else np.c_[self.event_days, self.events_beyond]

    def groups_in_stores(self, product_groups: Groups) -> GroupCodes:
        """[n] Number of the product group of each series in its store, by store, then group.

        Args:
            product_groups: [n] group of each series.
        """
        store, group = (
            np.unique(names, return_inverse=True)[1]
            for names in (self.series["store_id"].to_numpy().astype(str), product_groups)
        )
        return number_pairs(store, group)

    def occurrences(self, event_name: str) -> tuple[Rows, Bools]:
        """Return the c columns on which an event falls anywhere, and [n, c] for which series it does."""
        kinds = [kind for kind, name in enumerate(self.event_names) if name == event_name]
        columns = np.flatnonzero(self.event_days[kinds].any(axis=0))
        applies = np.zeros((self.series.height, len(columns)), dtype=np.bool_)
        for kind in kinds:
            applies |= self.event_series[kind][:, None] & self.event_days[kind, columns][None]
        return columns, applies

    def as_of(self, days_earlier: int) -> "Panel":
        """Return the panel as of an earlier cutoff with the same horizon, for backtests.

        The days between become part of the horizon's plan; their sales are left out.

        Args:
            days_earlier: Days to move the cutoff back; at least 1, less than the history. With less than the
                horizon, its last days have no sales yet.
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
            missed_share=self.missed_share[:, :history],
            price_ratio=self.price_ratio[:, :width],
            is_promotion=self.is_promotion[:, :width],
            # Where nothing is ever planned, prices that came would tell what they led to.
            has_plan=np.full((self.series.height, self.horizon_days), self.has_plan.any()),
            event_names=self.event_names,
            event_days=self.event_days[:, :width],
            event_series=self.event_series,
            is_closed=self.is_closed[:, :width],
            event_kinds=self.event_kinds,
            covariates=self.covariates.as_of(history - 1),
            events_beyond=self._beyond(width),
            availability_power=self.availability_power,
        )

    def recent(self, days: int) -> "Panel":
        """Return the panel with at most that many days of history; the horizon stays. No matrix is copied."""
        start = max(self.history_days - days, 0)
        matrices = (
            "sales", "is_censored", "out_of_stock_share", "missed_share", "price_ratio", "is_promotion", "event_days",
            "is_closed",
        )  # fmt: skip
        return replace(
            self,
            first_date=self.first_date + timedelta(days=start),
            history_days=self.history_days - start,
            covariates=self.covariates.since(start),
            **{name: getattr(self, name)[:, start:] for name in matrices},
        )

    def ahead(self, days: int) -> "Panel":
        """Return the panel with a horizon of that many days, at most its own; the history stays."""
        width = self.history_days + days
        return replace(
            self,
            horizon_days=days,
            price_ratio=self.price_ratio[:, :width],
            is_promotion=self.is_promotion[:, :width],
            has_plan=self.has_plan[:, :days],
            event_days=self.event_days[:, :width],
            is_closed=self.is_closed[:, :width],
            events_beyond=self._beyond(width),
        )

    def _beyond(self, width: int) -> Bools:
        """[E, B] on which days after so many columns each event falls."""
        return self.event_days_and_beyond[:, width : width + DAYS_BEYOND]

    def within(self, scope: str) -> "Panel":
        """Return the panel for a part of a run in which pooled statistics of the same names are others."""
        return replace(self, pooled=self.pooled.within(scope))

    def take(self, rows: Rows) -> "Panel":
        """Return the series at ``rows``."""
        # A copy of all of them may not fit beside it.
        if np.array_equal(rows, np.arange(self.series.height)):
            return self
        matrices = (
            "sales", "is_censored", "out_of_stock_share", "missed_share", "price_ratio", "is_promotion", "has_plan",
            "is_closed",
        )  # fmt: skip
        chosen: dict[str, Any] = {name: getattr(self, name)[rows] for name in matrices}
        chosen |= {"event_series": self.event_series[:, rows], "covariates": self.covariates.take(rows)}
        return replace(self, series=rows_at(self.series, rows), pooled=self.pooled.take(rows), **chosen)


def assemble_panel(
    series: pl.DataFrame,
    observations: Mapping[str, pl.LazyFrame],
    *,
    cutoff: date,
    history_days: int,
    horizon_days: int,
    store_nodes: pl.DataFrame | None = None,
) -> Panel:
    """Lay resolved observations out as matrices.

    Args:
        series: `store_id, sku_id` of the n series to lay out.
        observations: Resolved rows by feed, as of the cutoff: one row per SKU, store and day. Feeds may be missing.
            Of `covariates` the words as every cutoff knew them: see `lay_out_covariates`.
        cutoff: The last observed day.
        history_days: T, how far back to read; shorter where the sales begin later.
        horizon_days: H.
        store_nodes: `store_id, node_id` of every level of the store hierarchy, for events that hold in a node; None
            where there is no hierarchy. An event of a node that no store belongs to applies to no series.

    Returns:
        The panel, with its series sorted by store and SKU.
    """
    ordered = series.select(SERIES_KEY).unique().sort(SERIES_KEY)
    first = _first_date(observations["sales"], cutoff, history_days)
    history = (cutoff - first).days + 1
    grid = _Grid(ordered, first, history + horizon_days)
    (sales,) = grid.matrices(observations["sales"], ["sales_units"])
    price_ratio, is_promotion = grid.matrices(observations.get("prices"), ["price_ratio", "is_promotion"])
    is_censored, share, missed = _shelf(grid, observations, history)
    events = _events(observations.get("events"), grid, store_nodes)
    return Panel(
        series=ordered,
        first_date=first,
        history_days=history,
        horizon_days=horizon_days,
        sales=sales[:, :history],
        is_censored=is_censored,
        out_of_stock_share=share,
        missed_share=missed,
        price_ratio=np.nan_to_num(price_ratio, nan=1.0),
        is_promotion=is_promotion > 0,
        has_plan=~np.isnan(price_ratio[:, history:]),
        event_names=events.names,
        event_days=events.days[:, : grid.width],
        event_series=events.applies,
        is_closed=_closed(grid, observations.get("store_closures")),
        event_kinds=events.kinds,
        covariates=lay_out_covariates(
            observations.get("covariates"), ordered, first, history + horizon_days, store_nodes
        ),
        events_beyond=events.days[:, grid.width :],
    )


@dataclass(frozen=True)
class _Grid:
    """Where each (series, day) goes in a matrix."""

    series: pl.DataFrame
    first_date: date
    width: int

    def matrices(self, rows: pl.LazyFrame | None, columns: Sequence[str]) -> list[Floats]:
        """Scatter columns of long rows into series x days; NaN where there is no row, rows outside are left out."""
        shape = self.series.height, self.width
        if rows is None:
            return [np.broadcast_to(np.nan, shape)] * len(columns)
        out = [np.full(shape, np.nan) for _ in columns]
        for start in range(0, self.width, _SLICE_DAYS):
            placed = self._placed(rows, columns, start, min(start + _SLICE_DAYS, self.width) - 1)
            cells = placed["row"].to_numpy(), placed["day"].to_numpy()
            for matrix, name in zip(out, columns, strict=True):
                matrix[cells] = placed[name].to_numpy()
        return out

    def _placed(self, rows: pl.LazyFrame, columns: Sequence[str], first: int, last: int) -> pl.DataFrame:
        """Return the rows of some days with their places in a matrix."""
        since, until = (self.first_date + timedelta(days=day) for day in (first, last))
        return (
            rows.filter(pl.col("event_date").is_between(since, until))
            .join(self.series.lazy().with_row_index("row"), on=SERIES_KEY, how="inner")
            .select(
                "row",
                (pl.col("event_date") - pl.lit(self.first_date)).dt.total_days().alias("day"),
                *(pl.col(name).cast(pl.Float64) for name in columns),
            )
            .collect()
        )


def _first_date(sales: pl.LazyFrame, cutoff: date, history_days: int) -> date:
    earliest: date = sales.select(pl.col("event_date").min()).collect().item()
    return max(earliest, cutoff - timedelta(days=history_days - 1))


def _shelf(grid: _Grid, observations: Mapping[str, pl.LazyFrame], history: int) -> tuple[Bools, Floats, Floats]:
    """Whether each shelf was empty, from hours, else from positions; for which share of trading hours; and of sales.

    Where nobody says which hours were without stock, sales are taken as spread evenly over trading hours.
    """
    (on_hand,) = grid.matrices(observations.get("inventory_positions"), ["on_hand_units"])
    if "stock_status" not in observations:
        (unknown,) = grid.matrices(None, ["out_of_stock_hours"])
        return on_hand[:, :history] <= 0, unknown[:, :history], unknown[:, :history]
    hours, trading_hours, said = (
        matrix[:, :history]
        for matrix in grid.matrices(
            observations["stock_status"], ["out_of_stock_hours", "trading_hours", "out_of_stock_demand_share"]
        )
    )
    share = hours / trading_hours
    return (share > 0) | (on_hand[:, :history] <= 0), share, np.where(np.isnan(said), share, said)


def _closed(grid: _Grid, rows: pl.LazyFrame | None) -> Bools:
    """[n, T + H] whether each series' store is said to be closed."""
    if rows is None:
        return np.broadcast_to(np.False_, (grid.series.height, grid.width))
    stores, code = np.unique(grid.series["store_id"].to_numpy().astype(str), return_inverse=True)
    of_stores = pl.DataFrame({"store_id": stores, "sku_id": ""}, schema=grid.series.schema)
    said = rows.select("store_id", "event_date", "is_closed", sku_id=pl.lit(""))
    (closed,) = replace(grid, series=of_stores).matrices(said, ["is_closed"])
    return np.asarray(closed[code] > 0, dtype=np.bool_)


@dataclass(frozen=True)
class _Events:
    """Events by place: E names, kinds, days on which each falls [E, T + H + B], series to which it applies [E, n]."""

    names: tuple[str, ...]
    kinds: tuple[str | None, ...]
    days: Bools
    applies: Bools


def _events(rows: pl.LazyFrame | None, grid: _Grid, store_nodes: pl.DataFrame | None) -> _Events:
    if rows is None:
        shapes = (0, grid.width + DAYS_BEYOND), (0, grid.series.height)
        return _Events((), (), *(np.zeros(shape, dtype=np.bool_) for shape in shapes))
    key = ["event_name", "store_node"]
    width = grid.width + DAYS_BEYOND
    last = grid.first_date + timedelta(days=width - 1)
    within = rows.filter(pl.col("event_date").is_between(grid.first_date, last))
    days = within.select(*key, "event_date", "event_kind").collect()
    places = (
        days.sort(*key, "event_date").group_by(key, maintain_order=True).agg(pl.col("event_kind").drop_nulls().last())
    )
    placed = days.join(places.select(key).with_row_index("place"), on=key)
    matrix = np.zeros((places.height, width), dtype=np.bool_)
    column = (placed["event_date"] - grid.first_date).dt.total_days()
    matrix[placed["place"].to_numpy(), column.to_numpy()] = True
    scope = {node: stores_in(node, grid.series["store_id"], store_nodes) for node in places["store_node"].unique()}
    applies = np.array([scope[node] for node in places["store_node"]], dtype=np.bool_)
    shape = places.height, grid.series.height
    return _Events(tuple(places["event_name"]), tuple(places["event_kind"]), matrix, applies.reshape(shape))

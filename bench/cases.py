"""Retailers as of past cutoffs with what came after, to train and judge models on by plain calls, without a store.

What belongs here: reading a source, and laying out what was known at a cutoff beside what was sold after it. What does
not: models, or judging anything (`bench.skill`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bench.m5_law import DEPARTMENTS, STORES, Law
from bench.m5_shaped import Shape, write_m5_shaped
from bench.panels import simulated_retailer
from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.features.panel import PANEL_FEEDS, Panel, assemble_panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.moments import midnight
from forecast_assets.ingestion.batch import Batch
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.training import TrainingInputs
from forecast_assets.simulation.simulator import CalendarSettings, SimulatorSettings
from forecast_assets.sources.freshretailnet import read_freshretailnet
from forecast_assets.sources.m5 import read_m5

KEY = ["store_id", "sku_id"]
M5_HISTORY_DAYS, M5_HORIZON, REVENUE_DAYS = 450, 28, 28
# Spring, late summer and Thanksgiving of the second year; the file ends four weeks after the last.
M5_CUTOFFS = (450, 548, 646)
FRESH_HISTORY_DAYS, FRESH_HORIZON = 364, 14
FRESH_CUTOFFS = (date(2024, 5, 7), date(2024, 5, 14), date(2024, 5, 21), date(2024, 5, 28))
SIMULATED = SimulatorSettings(skus=100, stores=6, days=500)
SIMULATED_HORIZON = 28
_TOTAL = "total"


@dataclass(frozen=True)
class Case:
    """What was known of n series at a cutoff, and what came in the H days after it.

    Attributes:
        name: For tables, and the key of recorded figures.
        panel: n series, T days of history, H ahead.
        hierarchy: Of the same series.
        sales: [n, H] units that came.
        is_out_of_stock: [n, H] whether any trading hour was without stock; None where nobody recorded that.
        revenue: [n] of the last four weeks, for weights; zeros where prices are not known.
        law: What truly moves departments in stores; None where nobody knows.
        demand: [n, H] units of demand that were to be expected; None where nobody knows.
    """

    name: str
    panel: Panel
    hierarchy: Hierarchy
    sales: Floats
    is_out_of_stock: Bools | None
    revenue: Floats
    law: Law | None = None
    demand: Floats | None = None

    @property
    def days_ahead(self) -> list[date]:
        return [self.panel.cutoff + timedelta(days=step) for step in range(1, self.panel.horizon_days + 1)]

    def training(self, *, evaluates: bool = False) -> TrainingInputs:
        """Return what a version is trained from."""
        return TrainingInputs(
            panel=self.panel,
            product_groups=self.hierarchy.product_groups(),
            hierarchy=self.hierarchy,
            horizon=self.panel.horizon_days,
            group_level=self.hierarchy.group_level.name,
            evaluates=evaluates,
        )

    def scoring(self, history_days: int, group_level: str) -> ForecastInputs:
        """Return what a version forecasts from that reads so many days."""
        groups = self.hierarchy.product_groups(group_level)
        return ForecastInputs(self.panel.recent(history_days), groups, self.hierarchy)

    def nodes(self, product_level: str, store_level: str) -> Ints:
        """[n] node of each series at a pair of levels, from 0."""
        products = next(each for each in self.hierarchy.product_levels if each.name == product_level)
        stores = next(each for each in self.hierarchy.store_levels if each.name == store_level)
        place = products.code * len(stores.nodes) + stores.code
        return np.asarray(np.unique(place, return_inverse=True)[1], dtype=np.int64)

    def law_places(self) -> Ints:
        """[n] place of each series' department and store in the law: department times stores, plus store."""
        names = [name for name, _ in DEPARTMENTS]
        levels = {each.name: each for each in (*self.hierarchy.product_levels, *self.hierarchy.store_levels)}
        department = np.array([names.index(node) for node in levels["department"].nodes])[levels["department"].code]
        store = np.array([STORES.index(node) for node in levels["store"].nodes])[levels["store"].code]
        return np.asarray(department * len(STORES) + store)


class Source:
    """Batches of a source that has one row per series and day, put down as Parquet, and cut as of any day.

    Args:
        batches: All that the source says.
        scratch: A new folder.
    """

    def __init__(self, batches: Iterable[Batch], scratch: Path) -> None:
        scratch.mkdir(parents=True)
        self._scratch = scratch
        self._feeds = set()
        for number, batch in enumerate(batches):
            batch.frame.write_parquet(scratch / f"{batch.feed}-{number:04}.parquet")
            self._feeds.add(batch.feed)

    def case(self, name: str, cutoff: date, *, history_days: int, horizon: int, law: Law | None = None) -> Case:
        """Lay out a cutoff: the series that had begun by then, by what was known at the end of that day."""
        known = {feed: self._known(feed, cutoff) for feed in self._feeds}
        series = known["sales"].select(KEY).unique().sort(KEY).collect()
        stores = _memberships(known.get("store_hierarchy"))
        panel = assemble_panel(
            series,
            {feed: rows for feed, rows in known.items() if feed in PANEL_FEEDS},
            cutoff=cutoff,
            history_days=history_days,
            horizon_days=horizon,
            store_nodes=stores,
        )
        return Case(
            name=name,
            panel=panel,
            hierarchy=Hierarchy.build(panel.series, _memberships(known.get("product_hierarchy")), stores),
            sales=self._ahead("sales", "sales_units", panel),
            is_out_of_stock=self._out_of_stock(panel),
            revenue=_revenue(known.get("prices"), panel),
            law=law,
        )

    def _feed(self, name: str) -> pl.LazyFrame:
        return pl.scan_parquet(self._scratch / f"{name}-*.parquet")

    def _known(self, name: str, cutoff: date) -> pl.LazyFrame:
        return self._feed(name).filter(pl.col("known_at") <= midnight(pl.lit(cutoff + timedelta(days=1))))

    def _ahead(self, feed: str, column: str, panel: Panel) -> Floats:
        """[n, H] what a feed says of the days after the cutoff, which nobody knew at it."""
        until = panel.cutoff + timedelta(days=panel.horizon_days)
        rows = self._feed(feed).filter((pl.col("event_date") > panel.cutoff) & (pl.col("event_date") <= until))
        return _laid_out(rows, column, panel.series, panel.cutoff + timedelta(days=1), panel.horizon_days)

    def _out_of_stock(self, panel: Panel) -> Bools | None:
        if "stock_status" not in self._feeds:
            return None
        return np.asarray(self._ahead("stock_status", "out_of_stock_hours", panel) > 0)


def m5_cases(
    shape: Shape, scratch: Path, cutoffs: Sequence[int] = M5_CUTOFFS, history_days: int = M5_HISTORY_DAYS
) -> Iterator[Case]:
    """Make files up and cut them after some numbers of days; what paydays and weekdays truly do is told with them."""
    write_m5_shaped(scratch / "files", shape)
    source = Source(read_m5(scratch / "files"), scratch / "feeds")
    for days in cutoffs:
        name = f"m5 {shape.items * len(STORES)} seed {shape.seed} day {days}"
        cutoff = shape.calendar_days[days - 1]
        yield source.case(name, cutoff, history_days=history_days, horizon=M5_HORIZON, law=shape.law)


def fresh_cases(folder: Path, scratch: Path, cutoffs: Sequence[date] = FRESH_CUTOFFS, every: int = 1) -> Iterator[Case]:
    """Cut FreshRetailNet's days, all of its stores or one in so many."""
    source = Source((_some_stores(batch, every) for batch in read_freshretailnet(folder)), scratch / "feeds")
    for cutoff in cutoffs:
        name = f"fresh 1/{every} {cutoff}"
        yield source.case(name, cutoff, history_days=FRESH_HISTORY_DAYS, horizon=FRESH_HORIZON)


def simulated_cases(seeds: Sequence[int]) -> Iterator[Case]:
    """Play two retailers of each seed, a plain one and one with all effects of the calendar, and hide four weeks."""
    for kind, calendar in (("plain", None), ("calendar", CalendarSettings())):
        for seed in seeds:
            made = simulated_retailer(replace(SIMULATED, seed=seed, calendar=calendar), SIMULATED_HORIZON)
            nothing = np.zeros(len(made.sales))
            name = f"simulator {kind} seed {seed}"
            yield Case(name, made.panel, made.hierarchy, made.sales, None, nothing, demand=made.demand)


def _some_stores(batch: Batch, every: int) -> Batch:
    if "store_id" not in batch.frame.columns or every == 1:
        return batch
    kept = batch.frame.filter(pl.col("store_id").cast(pl.Int64) % every == 0)
    return Batch(batch.feed, batch.source, batch.trust, batch.declared_lag, kept)


def _memberships(rows: pl.LazyFrame | None) -> pl.DataFrame | None:
    return None if rows is None else rows.drop("event_date", "known_at").collect()


def _laid_out(rows: pl.LazyFrame, column: str, series: pl.DataFrame, first: date, days: int) -> Floats:
    """[n, days] values of long rows; 0 where there is none."""
    out = np.zeros((series.height, days))
    placed = (
        rows.join(series.lazy().with_row_index("row"), on=KEY, how="inner")
        .select("row", day=(pl.col("event_date") - pl.lit(first)).dt.total_days(), value=pl.col(column))
        .collect()
    )
    out[placed["row"].to_numpy(), placed["day"].to_numpy()] = placed["value"].to_numpy()
    return out


def _revenue(prices: pl.LazyFrame | None, panel: Panel) -> Floats:
    """[n] units times price over the last four weeks."""
    first = panel.cutoff - timedelta(days=REVENUE_DAYS - 1)
    if prices is None:
        return np.zeros(panel.series.height)
    recent = prices.filter(
        (pl.col("event_date") >= first) & (pl.col("event_date") <= panel.cutoff) & pl.col("unit_price").is_not_null()
    )
    price = _laid_out(recent, "unit_price", panel.series, first, REVENUE_DAYS)
    return np.asarray((price * np.nan_to_num(panel.sales[:, -REVENUE_DAYS:])).sum(axis=1))


def m5_levels(case: Case) -> Mapping[str, Ints]:
    """[n] node of each series at each of M5's twelve levels, by name and in M5's order."""
    names = (
        (_TOTAL, _TOTAL), (_TOTAL, "state"), (_TOTAL, "store"), ("category", _TOTAL), ("department", _TOTAL),
        ("category", "state"), ("department", "state"), ("category", "store"), ("department", "store"),
        ("sku", _TOTAL), ("sku", "state"), ("sku", "store"),
    )  # fmt: skip
    return {f"{product} x {store}": case.nodes(product, store) for product, store in names}

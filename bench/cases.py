"""Retailers as of past cutoffs with what came after, to train and judge models on by plain calls.

What belongs here: reading a source, and laying out what was known at a cutoff beside what was sold after it. What does
not: models, or judging anything (`bench.skill`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bench.m5_law import DEPARTMENTS, STORES, Law
from bench.m5_shaped import Shape, write_m5_shaped
from bench.panels import simulated_retailer
from forecast_assets.core.arrays import Bools, Floats, Ints
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history import History
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.ingest import ingest_batches
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.training import TrainingInputs
from forecast_assets.simulation.simulator import CalendarSettings, SimulatorSettings
from forecast_assets.sources.freshretailnet import read_freshretailnet
from forecast_assets.sources.m5 import read_m5
from resources.stores.home import open_stores

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
    """Batches of a source, stored as a run would find them but unchecked, and cut as of any day.

    Args:
        batches: All that the source says.
        scratch: A new folder.
    """

    def __init__(self, batches: Iterable[Batch], scratch: Path) -> None:
        self._store = open_stores(scratch).observations
        ingest_batches(batches, self._store, expect=_nothing, progress=_silent)
        self._batches = tuple(self._store.batches())

    def case(self, name: str, cutoff: date, *, history_days: int, horizon: int, law: Law | None = None) -> Case:
        """Lay out a cutoff: the series that had begun by then, by what was known at the end of that day."""
        history = self._history(cutoff)
        series = _rows(history, "sales").select(KEY).unique().sort(KEY).collect()
        panel = history.panel(series, history_days=history_days, horizon_days=horizon)
        products, stores = (history.membership(feed) for feed in ("product_hierarchy", "store_hierarchy"))
        later = self._history(cutoff + timedelta(days=horizon))
        first = cutoff + timedelta(days=1)
        return Case(
            name=name,
            panel=panel,
            hierarchy=Hierarchy.build(panel.series, products, stores),
            sales=_laid_out(_rows(later, "sales", first), "sales_units", panel.series, first, horizon),
            is_out_of_stock=_out_of_stock(later, panel.series, first, horizon),
            revenue=_revenue(history, panel),
            law=law,
        )

    def _history(self, cutoff: date) -> History:
        end = cutoff + timedelta(days=1)
        return History(self._store, self._batches, cutoff, datetime(end.year, end.month, end.day, tzinfo=UTC))


def _nothing(_batch: Batch) -> list[str]:
    """What makes files up, or is published for all, is not judged again."""
    return []


def _silent(_stage: str, _done: int, _total: int) -> None:
    pass


def _rows(history: History, feed: str, since: date | None = None) -> pl.LazyFrame:
    rows = history.feed(feed, since=since)
    if rows is None:
        raise ValueError(f"the source has no {feed}")
    return rows


def _out_of_stock(later: History, series: pl.DataFrame, first: date, days: int) -> Bools | None:
    rows = later.feed("stock_status", since=first)
    return None if rows is None else np.asarray(_laid_out(rows, "out_of_stock_hours", series, first, days) > 0)


def m5_cases(
    shape: Shape, scratch: Path, cutoffs: Sequence[int] = M5_CUTOFFS, history_days: int = M5_HISTORY_DAYS
) -> Iterator[Case]:
    """Make files up and cut them after some numbers of days; what paydays and weekdays truly do is told with them."""
    write_m5_shaped(scratch / "files", shape)
    source = Source(read_m5(scratch / "files"), scratch / "store")
    for days in cutoffs:
        name = f"m5 {shape.items * len(STORES)} seed {shape.seed} day {days}"
        cutoff = shape.calendar_days[days - 1]
        yield source.case(name, cutoff, history_days=history_days, horizon=M5_HORIZON, law=shape.law)


def fresh_cases(folder: Path, scratch: Path, cutoffs: Sequence[date] = FRESH_CUTOFFS, every: int = 1) -> Iterator[Case]:
    """Cut FreshRetailNet's days, all of its stores or one in so many."""
    source = Source((_some_stores(batch, every) for batch in read_freshretailnet(folder)), scratch / "store")
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


def _revenue(history: History, panel: Panel) -> Floats:
    """[n] units times price over the last four weeks."""
    first = panel.cutoff - timedelta(days=REVENUE_DAYS - 1)
    prices = history.feed("prices", since=first)
    if prices is None:
        return np.zeros(panel.series.height)
    price = _laid_out(prices, "unit_price", panel.series, first, REVENUE_DAYS)
    return np.asarray(np.nan_to_num(price * panel.sales[:, -REVENUE_DAYS:]).sum(axis=1))


def m5_levels(case: Case) -> Mapping[str, Ints]:
    """[n] node of each series at each of M5's twelve levels, by name and in M5's order."""
    names = (
        (_TOTAL, _TOTAL), (_TOTAL, "state"), (_TOTAL, "store"), ("category", _TOTAL), ("department", _TOTAL),
        ("category", "state"), ("department", "state"), ("category", "store"), ("department", "store"),
        ("sku", _TOTAL), ("sku", "state"), ("sku", "store"),
    )  # fmt: skip
    return {f"{product} x {store}": case.nodes(product, store) for product, store in names}

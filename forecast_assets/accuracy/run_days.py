"""What published runs said of a day, and what each of their times knew.

What belongs here: reading no more of a run than one day needs, and keeping what the next day needs too. What does not:
which runs look at a day, or any error or sum.

The days of a `measure` call are looked at by much the same runs. What a run's time knew never changes, so its hierarchy
and its seasonal naive forecast (one per day of the week) are kept from day to day, named by the run's own product.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import polars as pl

from forecast_assets.accuracy.measuring import READ_OF_FORECASTS, READ_OF_RISKS, SERIES, naive_days
from forecast_assets.accuracy.overridden import READ_OF_OVERRIDDEN, READ_OF_OVERRIDES
from forecast_assets.contracts import FORECAST_OVERRIDES
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.history.as_known import History
from resources.ledger.entries.publish import Publication
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

# Series of all runs that are kept together: as many as four weeks of daily runs of 30,490 series have, and then some.
KEPT_SERIES: Final = 1_000_000


@dataclass(frozen=True)
class RunDay:
    """What one published run said of one day, and what its time knew.

    Attributes:
        forecasts: Rows of contract `forecasts` on the day, the columns that are measured.
        risks: Rows of contract `stockout_risks` on the day, likewise.
        naive: `store_id, sku_id, naive_units`: the last same weekday that was known at the prediction date.
        hierarchy: The crossed hierarchy that the run was made with.
    """

    forecasts: pl.DataFrame
    risks: pl.DataFrame
    naive: pl.DataFrame
    hierarchy: Hierarchy


@dataclass(frozen=True)
class RunKnowledge:
    """What the time of a published run knew.

    Attributes:
        products: Memberships of SKUs; None where there are none.
        stores: Memberships of stores, likewise.
        hierarchy: The crossed hierarchy that follows from them.
        naive_units: By day of the week (Monday 0): what seasonal naive forecasts, in the order of the hierarchy's
            series; null where it knows nothing.
    """

    products: pl.DataFrame | None
    stores: pl.DataFrame | None
    hierarchy: Hierarchy
    naive_units: dict[int, pl.Series] = field(default_factory=dict)

    @classmethod
    def of(cls, history: History, series: pl.DataFrame, other: "RunKnowledge | None") -> "RunKnowledge":
        """Return the past of some series; its hierarchy is that of another past where nothing tells them apart."""
        products, stores = history.membership("product_hierarchy"), history.membership("store_hierarchy")
        if other is not None and (
            series.equals(other.hierarchy.series)
            and _is_same(products, other.products)
            and _is_same(stores, other.stores)
        ):
            return cls(other.products, other.stores, other.hierarchy)
        return cls(products, stores, Hierarchy.build(series, products, stores))

    def naive(self, weekday: int) -> pl.DataFrame:
        """Return `store_id, sku_id, naive_units` of the series of which it knows something."""
        return self.hierarchy.series.with_columns(self.naive_units[weekday]).drop_nulls("naive_units")


def _is_same(one: pl.DataFrame | None, other: pl.DataFrame | None) -> bool:
    return one is other if one is None or other is None else one.equals(other)


class RunKnowledgeCache:
    """What runs knew, by product version; the one longest unused goes first once there are too many series.

    Args:
        most_series: Series of all runs together that are kept; a single run is kept whatever its size.
    """

    def __init__(self, most_series: int = KEPT_SERIES) -> None:
        self._most_series = most_series
        self._kept: OrderedDict[str, RunKnowledge] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def at(self, stores: Stores, forecasts: ProductVersion, series: pl.DataFrame, target_date: date) -> RunKnowledge:
        """Return the past of a run, with its seasonal naive forecast of a day.

        Args:
            stores: Where everything is.
            forecasts: The run's product `forecasts`.
            series: `store_id, sku_id` of the run, sorted.
            target_date: The day.
        """
        past = self._kept.get(forecasts.version)
        if past is None or target_date.weekday() not in past.naive_units:
            snapshot = stores.predictions.version(forecasts.inputs["feature_snapshots"])
            history = History.of(snapshot, stores.observations)
            past = past or RunKnowledge.of(history, series, next(reversed(self._kept.values()), None))
            past.naive_units[target_date.weekday()] = _seasonal_naive(history, past.hierarchy.series, target_date)
        self._keep(forecasts.version, past)
        return past

    def _keep(self, version: str, past: RunKnowledge) -> None:
        self._kept[version] = past
        self._kept.move_to_end(version)
        series = sum(each.hierarchy.series.height for each in self._kept.values())
        while series > self._most_series and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            series -= gone.hierarchy.series.height


def read_run(stores: Stores, run: Publication, target_date: date, cache: RunKnowledgeCache) -> RunDay:
    """Read what a published run said of a day; every file is verified before it is first read.

    Raises:
        ChangedFileError: If a file or a batch record is missing or changed.
    """
    forecasts = stores.predictions.version(run.products["forecasts"])
    risks = stores.predictions.version(run.products["stockout_risks"])
    said = _of_day(stores, forecasts, READ_OF_FORECASTS, target_date)
    past = cache.at(stores, forecasts, said.select(SERIES), target_date)
    return RunDay(
        forecasts=said,
        risks=_of_day(stores, risks, READ_OF_RISKS, target_date),
        naive=past.naive(target_date.weekday()),
        hierarchy=past.hierarchy,
    )


def read_overridden(stores: Stores, run: Publication, target_date: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read what overrides made of a published run on one day, and the stages of its forecasts.

    Returns:
        Rows of contracts `forecast_overrides` and `forecasts` on the day, the columns that are judged.

    Raises:
        ChangedFileError: If a file is missing or changed.
    """
    overrides, forecasts = (
        _of_day(stores, stores.predictions.version(run.products[name]), columns, target_date)
        for name, columns in ((FORECAST_OVERRIDES.name, READ_OF_OVERRIDES), ("forecasts", READ_OF_OVERRIDDEN))
    )
    return overrides, forecasts


def _of_day(stores: Stores, product: ProductVersion, columns: tuple[str, ...], day: date) -> pl.DataFrame:
    rows = stores.predictions.scan_verified(product).filter(pl.col("target_date") == day)
    return rows.select(*SERIES, *columns).sort(SERIES).collect()


def _seasonal_naive(history: History, series: pl.DataFrame, target_date: date) -> pl.Series:
    """The last same weekday that was known, in the order of the series."""
    days = naive_days(history.cutoff, target_date)
    rows = history.feed("sales", days=days)
    if rows is None:
        return pl.Series("naive_units", [None] * series.height, dtype=pl.Float64)
    known = rows.sort(*SERIES, "event_date")
    newest = known.unique(SERIES, keep="last", maintain_order=True).collect()
    return series.join(newest, on=SERIES, how="left", maintain_order="left")["sales_units"].alias("naive_units")

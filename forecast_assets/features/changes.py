"""Changed inputs of single series: what is asked of a what-if question, and what it makes of a panel.

What belongs here: which inputs may be other than a run knew them, what is allowed of each, and putting them where the
run's own would be. What does not: forecasting, or supply (`stockout_risk`).

A change is what a feed would have said of the one series; whatever follows from an input follows by the code of every
run. So a change is laid into the panel, and nothing else is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import LARGEST_UNITS
from forecast_assets.core.arrays import Ints, Rows
from forecast_assets.core.errors import InputError, first_ten
from forecast_assets.features.compiler import compute_features
from forecast_assets.features.panel import SERIES_KEY, Panel
from forecast_assets.features.specs import FeatureSpec

_HIGHEST_RATIO: Final = 10.0


@dataclass(frozen=True)
class ExpectedOrder:
    """An order on the way whose day of arrival is known.

    Attributes:
        arrives: Day at whose opening it is there.
        units: How much it brings.
    """

    arrives: date
    units: float


@dataclass(frozen=True)
class SeriesChange:
    """Inputs of one series that are other than a run knew them; what is left out stays.

    Attributes:
        store_id: Its store.
        sku_id: Its product.
        on_hand_units: Stock at the end of the prediction date.
        orders: Orders on the way besides those that the run knew.
        price_ratios: Price over list price of days ahead.
        promotions: Whether a promotion is on, of days ahead.
        events: Names of events, known to the run, that fall on days ahead besides those that it knew.
        sales: Units sold on days up to the prediction date that the run did not know, or knew otherwise.
    """

    store_id: str
    sku_id: str
    on_hand_units: float | None = None
    orders: tuple[ExpectedOrder, ...] = ()
    price_ratios: Mapping[date, float] = field(default_factory=dict)
    promotions: Mapping[date, bool] = field(default_factory=dict)
    events: Mapping[date, tuple[str, ...]] = field(default_factory=dict)
    sales: Mapping[date, float] = field(default_factory=dict)

    @property
    def series(self) -> tuple[str, str]:
        """Store and SKU."""
        return self.store_id, self.sku_id

    @property
    def moves_demand(self) -> bool:
        """Whether anything of it is an input of demand, rather than of supply alone."""
        return bool(self.price_ratios or self.promotions or self.events or self.sales)


def require_changes(changes: Sequence[SeriesChange], panel: Panel) -> None:
    """Refuse what no feed could have said of the panel's days.

    Args:
        changes: Each of another series.
        panel: Of the run, whose days and events are meant.

    Raises:
        InputError: With everything that is wrong, the first ten.
    """
    twice = {series for series, times in Counter(change.series for change in changes).items() if times > 1}
    wrong = [f"{'/'.join(series)} is there twice" for series in sorted(twice)]
    wrong += [
        f"{change.store_id}/{change.sku_id}: {mistake}" for change in changes for mistake in _mistakes(change, panel)
    ]
    if wrong:
        ahead = f"{panel.cutoff + timedelta(days=1)} to {panel.cutoff + timedelta(days=panel.horizon_days)}"
        raise InputError(
            f"These changes cannot be made: {first_ten(wrong)}.",
            remedy=f"Plans and arrivals are of days from {ahead}, sales of days from {panel.first_date} to "
            f"{panel.cutoff}; units are 0 or more, and price ratios 0 to {_HIGHEST_RATIO:g}.",
            mistakes=wrong,
        )


def _mistakes(change: SeriesChange, panel: Panel) -> Iterator[str]:
    last = panel.cutoff + timedelta(days=panel.horizon_days)
    ahead = {"price": change.price_ratios, "promotion": change.promotions, "event": change.events}
    days = {name: list(of_days) for name, of_days in ahead.items()}
    days["arrival"] = [order.arrives for order in change.orders]
    for name, found in days.items():
        yield from (f"{name} of {day} is of no day ahead" for day in found if not panel.cutoff < day <= last)
    for day in change.sales:
        if not panel.first_date <= day <= panel.cutoff:
            yield f"sales of {day} are of no day that the run reads"
    amounts = [*change.sales.values(), *(order.units for order in change.orders)]
    amounts += [] if change.on_hand_units is None else [change.on_hand_units]
    yield from (f"{units} units are none" for units in amounts if not 0.0 <= units <= LARGEST_UNITS)
    yield from (
        f"{ratio} is no price ratio" for ratio in change.price_ratios.values() if not 0 <= ratio <= _HIGHEST_RATIO
    )
    unknown = {name for names in change.events.values() for name in names}.difference(panel.event_names)
    yield from (f"the run knows no event `{name}`" for name in sorted(unknown))


def changed(panel: Panel, rows: Rows, changes: Sequence[SeriesChange]) -> Panel:
    """Return a panel in which some series have other inputs.

    Args:
        panel: n series, T days of history, H ahead.
        rows: [k] which series are changed.
        changes: [k] what of each; as `require_changes` lets them pass.
    """
    sales, is_censored = panel.sales.copy(), panel.is_censored.copy()
    price_ratio, is_promotion, has_plan = panel.price_ratio.copy(), panel.is_promotion.copy(), panel.has_plan.copy()
    last = panel.history_days - 1
    for row, change in zip(rows, changes, strict=True):
        for day, units in change.sales.items():
            sales[row, _column(panel, day)] = units
        for day, ratio in change.price_ratios.items():
            price_ratio[row, _column(panel, day)] = ratio
        for day, is_on in change.promotions.items():
            is_promotion[row, _column(panel, day)] = is_on
        for day in (*change.price_ratios, *change.promotions):
            has_plan[row, _column(panel, day) - panel.history_days] = True
        if change.on_hand_units is not None:
            is_empty = change.on_hand_units <= 0.0
            is_censored[row, last] = is_empty or panel.out_of_stock_share[row, last] > 0
    moved = replace(
        panel, sales=sales, is_censored=is_censored, price_ratio=price_ratio, is_promotion=is_promotion,
        has_plan=has_plan,
    )  # fmt: skip
    return _with_events(moved, rows, changes)


def _column(panel: Panel, day: date) -> int:
    return (day - panel.first_date).days


def _with_events(panel: Panel, rows: Rows, changes: Sequence[SeriesChange]) -> Panel:
    """Return the panel with events of single series as events of places of their own."""
    places: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for row, change in zip(rows, changes, strict=True):
        for name in sorted({name for names in change.events.values() for name in names}):
            on = tuple(sorted(_column(panel, day) for day, names in change.events.items() if name in names))
            places.setdefault((name, on), []).append(int(row))
    if not places:
        return panel
    known = panel.event_days_and_beyond
    days, applies = (
        np.zeros((len(places), known.shape[1]), np.bool_),
        np.zeros((len(places), len(panel.sales)), np.bool_),
    )
    for at, ((_, on), members) in enumerate(places.items()):
        days[at, list(on)], applies[at, members] = True, True
    names = [*panel.event_names, *(name for name, _ in places)]
    kinds = dict(zip(panel.event_names, panel.event_kinds, strict=False))
    order = _by_name(names)
    all_days = np.concatenate([known, days])[order]
    return replace(
        panel,
        event_names=tuple(names[at] for at in order),
        event_kinds=tuple(kinds[names[at]] for at in order) if kinds else (),
        event_days=all_days[:, : panel.event_days.shape[1]],
        events_beyond=None if panel.events_beyond is None else all_days[:, panel.event_days.shape[1] :],
        event_series=np.concatenate([panel.event_series, applies])[order],
    )


def _by_name(names: Sequence[str]) -> Ints:
    return np.asarray(np.argsort(np.array(names), kind="stable"), dtype=np.int64)


def changed_features(
    features: pl.DataFrame, specs: Sequence[FeatureSpec], panel: Panel, changes: Sequence[SeriesChange]
) -> pl.DataFrame:
    """Return the snapshot's rows of some series as they are with changed sales and stock, by the compiler of snapshots.

    Plans and orders are in no feature. Windows that reach further back than the panel keep what the snapshot says of
    the days before it.

    Args:
        features: Rows of k series.
        specs: What the snapshot was computed by.
        panel: The same k series in the same order, changed.
        changes: [k].
    """
    out = features
    if any(change.sales for change in changes):
        found = compute_features(
            [spec for spec in specs if spec.feed == "sales"], {"sales": _sales(panel)}, cutoff=panel.cutoff
        )
        computed = features.select(SERIES_KEY).join(found, on=SERIES_KEY, how="left", maintain_order="left")
        of_sales = [spec for spec in specs if spec.feed == "sales"]
        ages = [features[spec.name] for spec in of_sales if spec.aggregate == "days_since_first"]
        # Of a series that is no older than the panel, the panel holds all.
        holds_all = (ages[0] <= panel.history_days).fill_null(value=False) if ages else pl.Series([False])
        # Of the others all stays as the snapshot has it, whoever is asked about beside them.
        is_changed = pl.lit(pl.Series([bool(change.sales) for change in changes]))
        found_anew = (
            _reaching_back(spec, features[spec.name], computed[spec.name], holds_all, panel.history_days)
            for spec in of_sales
        )
        out = features.with_columns(
            pl.when(is_changed).then(new).otherwise(pl.lit(features[spec.name])).alias(spec.name)
            for spec, new in zip(of_sales, found_anew, strict=True)
        )
    on_hand = [change.on_hand_units for change in changes]
    if all(units is None for units in on_hand):
        return out
    stock = pl.Series("on_hand", on_hand, pl.Float64)
    latest = [spec.name for spec in specs if spec.column == "on_hand_units" and spec.aggregate == "latest"]
    return out.with_columns(pl.coalesce(stock, pl.col(name)).alias(name) for name in latest)


def _sales(panel: Panel) -> pl.LazyFrame:
    row, day = np.nonzero(~np.isnan(panel.sales))
    days = pl.Series("event_date", [panel.first_date + timedelta(days=at) for at in range(panel.history_days)], pl.Date)
    units = pl.Series("sales_units", panel.sales[row, day])
    return panel.series.select(SERIES_KEY)[row].with_columns(days[day], units).lazy()


def _reaching_back(spec: FeatureSpec, old: pl.Series, new: pl.Series, holds_all: pl.Series, days: int) -> pl.Expr:
    """A feature of sales: as computed where the panel holds its window, else with what the snapshot knew before it."""
    if spec.window_days is not None and spec.window_days <= days:
        return pl.lit(new).alias(spec.name)
    further: pl.Expr = pl.lit(old)
    if spec.aggregate == "days_since_first":
        further = pl.max_horizontal(pl.lit(old), pl.lit(new))
    elif spec.aggregate == "days_since_last_positive":
        further = pl.coalesce(pl.lit(new), pl.lit(old))
    return pl.when(pl.lit(holds_all)).then(pl.lit(new)).otherwise(further).alias(spec.name)

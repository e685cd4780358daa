"""Nodes of a published run as planners drill down: what is below one, its fan, and what changed since the run before.

What belongs here: sums of published numbers over nodes, exactly, and the largest changes between two runs. What does
not: causes of changes (attribution), or showing anything.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import AGGREGATE_FORECASTS, FORECAST_EXPLANATIONS
from forecast_assets.core.arrays import Codes
from forecast_assets.core.overrides import Scope
from forecast_assets.core.quantities import SCALE, Millionths
from forecast_assets.features.panel import SERIES_KEY
from forecast_assets.operations.comparison import DRIVERS
from forecast_assets.operations.reading import ReadRows, daily_sales, history_after, run_history, scan_product
from forecast_assets.operations.worklist import PlannableRun
from resources.ledger.entries.publish import Publication
from resources.ledger.state import LedgerState
from resources.stores.home import Stores

# Of which more is told than by how much they changed.
FIRST_CHANGES: Final = 10
# As many as a picture shows well beside the days ahead.
_PAST_DAYS: Final = 91


@dataclass(frozen=True)
class NodeAhead:
    """A node, and what is below it.

    Attributes:
        scope: The node.
        series: Series below it.
        above: The nodes that it is below of, by narrower and narrower scopes, itself last.
        fan: Rows of `aggregate_forecasts`, sorted by step; of a single series none.
        past: `event_date, sales_units`, sorted: what its series sold before, as the run knew it; none of a series.
        came: The same of days that the run looks at, as far as they are known now.
        forecast_units: Over the horizon; with `sales_units, lost_units`.
        sales_units: Expected sales.
        lost_units: Expected loss.
        change_units: Since the run before, over the days that both look at; None without a run before.
        below: A row per node one level down, of either dimension: `side` (`product` or `store`), `level, node, series,
            forecast_units, sales_units, lost_units, change_units`; the greatest forecast first.
    """

    scope: Scope
    series: int
    above: tuple[Scope, ...]
    fan: pl.DataFrame
    past: pl.DataFrame
    came: pl.DataFrame
    forecast_units: float
    sales_units: float
    lost_units: float
    change_units: float | None
    below: pl.DataFrame


@dataclass(frozen=True)
class RunChanges:
    """What changed between two runs, over the days that both look at.

    Attributes:
        first_day: First common day.
        last_day: Last common day.
        before_units: Forecast of all common series then.
        after_units: The same now.
        only_before: Series that only the run before has.
        only_after: Series that only this run has.
        largest: `store_id, sku_id, before_units, after_units, change_units, moved_units` (day by day, without sign) and
            `largest_day`, on which it moved most; the most moved first.
        drivers: Of the first ten of them, `store_id, sku_id, driver, change_units` over all common days: they add up to
            the change of the forecast, with `stock_units` to that of expected sales.
    """

    first_day: date
    last_day: date
    before_units: float
    after_units: float
    only_before: int
    only_after: int
    largest: pl.DataFrame
    drivers: pl.DataFrame


def run_before(state: LedgerState, published: Publication) -> Publication | None:
    """Return the newest revision of the same version's run on the day nearest before; of several horizons the same."""
    key = published.key
    earlier = [
        each
        for each in state.publications.values()
        if (each.key.cadence, each.key.model_version) == (key.cadence, key.model_version)
        and each.key.prediction_date < key.prediction_date
    ]

    def nearest(each: Publication) -> tuple[date, bool, int, int]:
        days = each.key.forecast_horizon
        return each.key.prediction_date, days == key.forecast_horizon, days, each.key.revision

    return max(earlier, key=nearest, default=None)


def node_ahead(stores: Stores, run: PlannableRun, scope: Scope, before: PlannableRun | None) -> NodeAhead:
    """Return a node of a run and what is below it.

    Raises:
        InputError: If there is no such level or node.
    """
    rows = run.rows(scope)
    moved = None if before is None else _moved(run, before)[1].sum(axis=1)
    hierarchy, frames = run.planned.hierarchy, []
    figures = {
        "forecast_units": run.forecast.sum(axis=1), "sales_units": run.sales.sum(axis=1),
        "lost_units": run.lost.sum(axis=1),
    }  # fmt: skip
    if moved is not None:
        figures["change_units"] = moved
    for side, levels, name in (
        ("product", hierarchy.product_levels, scope.product_level),
        ("store", hierarchy.store_levels, scope.store_level),
    ):
        names = [level.name for level in levels]
        if names.index(name) + 1 == len(levels):
            continue
        level = levels[names.index(name) + 1]
        places, code = np.unique(level.code[rows], return_inverse=True)
        sums = {what: _sums(code, units[rows], len(places)) for what, units in figures.items()}
        frames.append(
            pl.DataFrame(
                {
                    "side": [side] * len(places),
                    "level": [level.name] * len(places),
                    "node": [level.nodes[at] for at in places],
                    "series": np.bincount(code, minlength=len(places)),
                    **{what: units / SCALE for what, units in sums.items()},
                    **({} if moved is not None else {"change_units": [None] * len(places)}),
                },
                schema_overrides={"change_units": pl.Float64},
            ).sort("forecast_units", descending=True, maintain_order=True)
        )
    total = {what: float(units[rows].sum()) / SCALE for what, units in figures.items()}
    return NodeAhead(
        scope,
        len(rows),
        _above(run, scope),
        _fan(stores, run, scope),
        *_sold(stores, run, scope),
        total["forecast_units"],
        total["sales_units"],
        total["lost_units"],
        total.get("change_units"),
        pl.concat(frames) if frames else pl.DataFrame(schema=_BELOW),
    )


_BELOW: Final = {
    "side": pl.String, "level": pl.String, "node": pl.String, "series": pl.Int64, "forecast_units": pl.Float64,
    "sales_units": pl.Float64, "lost_units": pl.Float64, "change_units": pl.Float64,
}  # fmt: skip


def _sums(code: Codes, units: Millionths, count: int) -> Millionths:
    sums = np.zeros(count, dtype=np.int64)
    np.add.at(sums, code, units)
    return sums


def _above(run: PlannableRun, scope: Scope) -> tuple[Scope, ...]:
    """Return the way down to a node: first through the products, then through the stores."""
    hierarchy, rows = run.planned.hierarchy, run.rows(scope)
    at = int(rows[0]) if len(rows) else 0
    found = [Scope.of()]
    for levels, name, is_product in (
        (hierarchy.product_levels, scope.product_level, True), (hierarchy.store_levels, scope.store_level, False),
    ):  # fmt: skip
        names = [level.name for level in levels]
        for level in levels[1 : names.index(name) + 1]:
            node = level.nodes[level.code[at]]
            found.append(
                replace(found[-1], product_level=level.name, product_node=node)
                if is_product
                else replace(found[-1], store_level=level.name, store_node=node)
            )
    return tuple(found)


def _fan(stores: Stores, run: PlannableRun, scope: Scope) -> pl.DataFrame:
    rows = scan_product(stores, run.planned.publication, AGGREGATE_FORECASTS.name)
    if scope.is_series:
        return rows.head(0).collect()
    return rows.filter(**vars(scope)).collect().sort("step")


def _sold(stores: Stores, run: PlannableRun, scope: Scope) -> tuple[pl.DataFrame, pl.DataFrame]:
    own = run.planned.hierarchy.series[run.rows(scope) if not scope.is_series else []]
    history, after = run_history(stores, run.planned.publication), history_after(stores, run.planned.publication)
    return (
        daily_sales(history, own, history.cutoff - timedelta(days=_PAST_DAYS - 1)),
        daily_sales(after, own, history.cutoff + timedelta(days=1)),
    )


def _common_days(run: PlannableRun, before: PlannableRun) -> tuple[int, int]:
    """By how many days a run is later than another, and how many days both look at."""
    late = (run.key.prediction_date - before.key.prediction_date).days
    return late, max(min(run.forecast.shape[1], before.forecast.shape[1] - late), 0)


def _moved(run: PlannableRun, before: PlannableRun) -> tuple[Millionths, Millionths]:
    """[n, H] What was forecast of the same day before, and the change; 0 where the run before says nothing of it."""
    own = run.planned.hierarchy.series
    places = own.join(before.planned.hierarchy.series.with_row_index("at"), on=SERIES_KEY, how="left",
                      maintain_order="left")["at"]  # fmt: skip
    late, common = _common_days(run, before)
    was = np.zeros_like(run.forecast)
    change = np.zeros_like(run.forecast)
    known = places.is_not_null().to_numpy()
    at = places.drop_nulls().to_numpy()
    was[known, :common] = before.forecast[at, late : late + common]
    change[known, :common] = run.forecast[known, :common] - was[known, :common]
    return was, change


def run_changes(
    stores: Stores, run: PlannableRun, before: PlannableRun, *, limit: int, read: ReadRows | None = None
) -> RunChanges:
    """Return the largest changes of forecasts since the run before.

    Args:
        stores: Where everything is.
        run: The run.
        before: The run before it.
        limit: Series that are told at most.
        read: Reads rows of few series; by default from files.
    """
    was, change = _moved(run, before)
    _, common = _common_days(run, before)
    moved = np.abs(change).sum(axis=1)
    order = np.argsort(-moved, kind="stable")[:limit]
    order = order[moved[order] > 0]
    now = was + change
    first = run.key.prediction_date + timedelta(days=1)
    series = run.planned.hierarchy.series
    largest = series[order].with_columns(
        pl.Series("before_units", was[order].sum(axis=1) / SCALE),
        pl.Series("after_units", now[order].sum(axis=1) / SCALE),
        pl.Series("change_units", change[order].sum(axis=1) / SCALE),
        pl.Series("moved_units", moved[order] / SCALE),
        largest_day=pl.Series(
            [first + timedelta(days=int(at)) for at in np.abs(change[order]).argmax(axis=1)], dtype=pl.Date
        ),
    )
    return RunChanges(
        first,
        first + timedelta(days=common - 1),
        float(was.sum()) / SCALE,
        float(now.sum()) / SCALE,
        before.planned.hierarchy.series.join(series, on=SERIES_KEY, how="anti").height,
        series.join(before.planned.hierarchy.series, on=SERIES_KEY, how="anti").height,
        largest,
        _drivers(stores, run, before, largest.head(FIRST_CHANGES), read),
    )


def _drivers(
    stores: Stores, run: PlannableRun, before: PlannableRun, of: pl.DataFrame, read: ReadRows | None
) -> pl.DataFrame:
    """Return what each driver moved of some series, over the days that both runs look at."""
    named = of.select("store_id", "sku_id").rows()
    sides = [_told(stores, each.planned.publication, named, read) for each in (before, run)]
    both = sides[0].join(sides[1], on=[*SERIES_KEY, "target_date"], suffix=".after")
    changes = both.group_by(SERIES_KEY, maintain_order=True).agg(
        (pl.col(f"{name}.after") - pl.col(name)).sum().alias(name) for name in DRIVERS
    )
    long = changes.unpivot(index=[*SERIES_KEY], variable_name="driver", value_name="change_units")
    return long.with_columns(pl.col("change_units").cast(pl.Float64)).filter(pl.col("change_units") != 0)


def _told(stores: Stores, published: Publication, named: list[tuple[str, str]], read: ReadRows | None) -> pl.DataFrame:
    product = FORECAST_EXPLANATIONS.name
    if read is None:
        wanted = pl.LazyFrame(named, schema={"store_id": pl.String, "sku_id": pl.String}, orient="row")
        rows = scan_product(stores, published, product).join(wanted, on=["store_id", "sku_id"], how="semi")
    else:
        rows = read(published, product, named)
    return rows.select(*SERIES_KEY, "target_date", *DRIVERS).collect()

"""Estimating a calendar from the series of a panel: on groups in stores, or on groups and stores apart.

What belongs here: which sums a calendar is read from, and naming what was found. What does not: the regression, or what
becomes of a calendar.

Where product groups in single stores hold a series or two, no pattern of their own is to be seen in them, and there may
be tens of thousands. The calendar then has effects of groups and of stores only, and for these the sums of each group
and of each store say all there is to know: in a model of products of factors, margins are sufficient statistics (Deming
& Stephan 1940, doi:10.1214/aoms/1177731829, who fit one margin given the other in turn).
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, Groups, Names
from forecast_assets.features.panel import Panel
from forecast_assets.models.calendar.calendar import Calendar, packed
from forecast_assets.models.calendar.fitting import (
    ALL,
    NODE,
    STORE,
    CalendarEffects,
    CalendarFit,
    fit_calendar_effects,
)
from forecast_assets.models.calendar.sums import NamedSums, sum_nodes

# Groups in stores are many, and small, beyond these: so many of them, and fewer series in each on average.
_MANY_NODES: Final = 2000
_FEW_SERIES: Final = 3.0
_ANY: Final = "any"


@dataclass(frozen=True)
class FittedCalendar:
    """A calendar, and where its fit ended: the same series with other prices need few steps more.

    Attributes:
        calendar: What was found.
        fit: Of sums.
        by_store: The part of stores, where they were fitted apart.
    """

    calendar: Calendar
    fit: CalendarFit
    by_store: "FittedCalendar | None" = None


def fit_calendar(
    panel: Panel, product_groups: Groups, units: Floats, exposure: Floats, before: FittedCalendar | None = None
) -> FittedCalendar:
    """Estimate a calendar from the series of a panel.

    Args:
        panel: n series, T days of history.
        product_groups: [n] group of each series.
        units: [n, T] units sold; 0 where unknown.
        exposure: [n, T] what they are measured against; see `sum_nodes`.
        before: The calendar of the same series and units, with what was thought of prices and promotions before.
    """
    stores = panel.series["store_id"].to_numpy().astype(str)
    if before.by_store if before else _are_tiny(panel, product_groups):
        return _fit_margins(panel, product_groups, stores, units, exposure, before)
    return _fitted(sum_nodes(panel, product_groups, stores, units, exposure), before)


def _are_tiny(panel: Panel, product_groups: Groups) -> bool:
    """Whether groups in stores are many, and hold hardly more than one series each."""
    nodes = int(panel.groups_in_stores(product_groups).max(initial=-1)) + 1
    return nodes > _MANY_NODES and panel.series.height < _FEW_SERIES * nodes


def _fitted(named: NamedSums, before: FittedCalendar | None) -> FittedCalendar:
    fit = fit_calendar_effects(named.sums, before.fit if before else None)
    return FittedCalendar(_named(named, fit.effects()), fit)


def _fit_margins(
    panel: Panel,
    product_groups: Groups,
    stores: Names,
    units: Floats,
    exposure: Floats,
    before: FittedCalendar | None,
) -> FittedCalendar:
    """Fit sums of groups given what is of stores, and sums of stores given what is of groups; the first time twice."""
    days, same = panel.weekday[: panel.history_days], np.full(panel.series.height, _ANY)
    groups, by_store = before, before.by_store if before else None
    for _ in range(1 if before else 2):
        sees = exposure * by_store.calendar.factors(panel, same).on_days(days) if by_store else exposure
        groups = _fitted(sum_nodes(panel, product_groups, same, units, sees), groups)
        sees = exposure * groups.calendar.factors(panel, product_groups).on_days(days)
        by_store = _fitted(sum_nodes(panel, same, stores, units, sees), by_store)
    assert groups is not None
    assert by_store is not None
    return FittedCalendar(_joined(groups.calendar, by_store.calendar), groups.fit, by_store)


def _joined(by_group: Calendar, by_store: Calendar) -> Calendar:
    """Return the effects of groups and those of stores as one calendar; what either found for all is added."""
    common = packed(by_group.by_layer[ALL] + by_store.by_layer[ALL])
    return replace(
        by_group,
        stores=by_store.stores,
        effects={**by_group.effects, **by_store.effects, ALL: common},
        deviations={**by_store.deviations, **by_group.deviations},
    )


def _named(named: NamedSums, found: CalendarEffects) -> Calendar:
    """Return effects with the names of what they are of."""
    sums = named.sums
    _, first = np.unique(sums.pair, return_index=True)
    pairs = zip(named.groups[sums.group[first]].tolist(), named.stores[sums.store[first]].tolist(), strict=True)
    return Calendar(
        recurring=sums.columns.recurring,
        rare=sums.columns.rare,
        groups=tuple(named.groups.tolist()),
        stores=tuple(named.stores.tolist()) if STORE in found.by_layer else (),
        nodes=tuple(pairs) if NODE in found.by_layer else (),
        effects={layer: packed(_without_constants(named, found, layer)) for layer in found.by_layer},
        node_columns=tuple(found.columns.get(NODE, np.arange(0)).tolist()),
        has_month=sums.columns.has_month,
        deviations=found.deviations,
        weekends=sums.columns.weekends,
    )


def _without_constants(named: NamedSums, found: CalendarEffects, layer: str) -> Floats:
    """Effects whose days of the month average 0: what they share is a level, not a time of month."""
    out = found.by_layer[layer].copy()
    is_month = named.sums.columns.kind[found.columns[layer]] == "month"
    if is_month.any():
        out[is_month] -= out[is_month].mean(axis=0)
    return out

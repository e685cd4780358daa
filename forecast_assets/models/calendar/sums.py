"""Sums: the series of a panel laid out as the nodes that the calendar is read from.

What belongs here: which series make a node, and adding them up. What does not: the regression.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Groups, Names
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.calendar.columns import CalendarColumns, CalendarDays, Places
from forecast_assets.models.calendar.fitting import NodeDays
from forecast_assets.models.demand import ratio


@dataclass(frozen=True)
class NamedSums:
    """Sums of the nodes of a panel, with the names of their units.

    Attributes:
        sums: Of J nodes on T days.
        groups: Names of product groups, by number.
        stores: Names of stores, by number.
    """

    sums: NodeDays
    groups: Names
    stores: Names


def sum_nodes(panel: Panel, product_groups: Groups, stores: Names, units: Floats, exposure: Floats) -> NamedSums:
    """Add up the series of each product group in each store, apart where they differ in their events.

    A series counts with its usual level on the days on which it was on sale and seen, so that a node to which series
    come, or whose shelves are empty, is not taken for one that sells more or less.

    Args:
        panel: n series, T days of history.
        product_groups: [n] group of each series.
        stores: [n] store of each.
        units: [n, T] units sold; 0 where unknown.
        exposure: [n, T] what they are measured against: the share of the day that was seen, times what price and
            promotion do to it; 0 where unknown.
    """
    places = Places.of(panel)
    columns = CalendarColumns.of(panel)
    groups, group = np.unique(product_groups, return_inverse=True)
    names, store = _in_order_of(places.code, stores)
    number = (places.code * len(names) + store) * len(groups) + group
    _, first, node = np.unique(number, return_index=True, return_inverse=True)
    summing = summing_of(node)
    level = ratio(units.sum(axis=1), exposure.sum(axis=1))
    days = CalendarDays.since(panel.first_date, panel.history_days)
    edges = np.searchsorted(places.code[first], np.arange(len(places.falls) + 1))
    sums = NodeDays(
        group=group[first],
        store=store[first],
        columns=columns,
        designs=[columns.design(days, falls) for falls in places.falls],
        nodes=[slice(int(start), int(stop)) for start, stop in pairwise(edges)],
        units=np.ascontiguousarray((summing @ units).T),
        expected=np.ascontiguousarray((summing @ (level[:, None] * exposure)).T),
    )
    return NamedSums(sums, groups, names)


def _in_order_of(place: GroupCodes, stores: Names) -> tuple[Names, GroupCodes]:
    """Return the names of stores in the order of their places, and [n] number of that of each series."""
    names, first, code = np.unique(stores, return_index=True, return_inverse=True)
    order = np.argsort(place[first], kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return names[order], number[code]

"""Levels of new series, borrowed from the product in other stores and from the product group in the same store.

What belongs here: what a series without a past of its own is expected to sell. What does not: telling which series are
new, or forecasting those that are not.

Each step is an average of own and borrowed, weighted by days seen (Efron & Morris 1975,
doi:10.1080/01621459.1975.10479864): the level of a group in a store, which is the group's times the store's scale; a
product's level against those, over all stores that sell it, drawn towards what young products do; the series' own
level, drawn towards its product's. So a launch in ten stores is known after one day by ten, and a series without a sale
so far is expected to sell what its parents lead to expect.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, GroupCodes, Groups, Names, Rows
from forecast_assets.features.panel import Panel
from forecast_assets.features.pooled import Statistic
from forecast_assets.models.demand import ratio

PREFIX: Final = "BorrowedLevel"
BORROWED: Final = tuple(f"{PREFIX}({days})" for days in (3, 1, 7, 14))
# Days of its own that an established series lends to its product.
_LENT_DAYS: Final = 28.0
# Series that a group in a store, and days that a product, are drawn towards their parents by.
_PRIOR_SERIES: Final = 5.0
_PRIOR_DAYS: Final = 3.0
_PRIOR_PRODUCTS: Final = 5.0


@dataclass(frozen=True)
class BorrowedLevels:
    """What is known of n series by themselves and through their parents.

    Attributes:
        parent: [n] units a day on a plain day that the parents lead to expect.
        units: [n] units of the series itself.
        days: [n] plain days that these units stand for.
    """

    parent: Floats
    units: Floats
    days: Floats

    def level(self, name: str, rows: Rows) -> Floats:
        """[k] level of some series by a model such as `BorrowedLevel(3)`: parents count as that many days."""
        prior = float(name.removeprefix(f"{PREFIX}(").removesuffix(")"))
        return np.asarray((self.units[rows] + prior * self.parent[rows]) / (self.days[rows] + prior))


def borrow(
    panel: Panel,
    product_groups: Groups,
    units: Floats,
    days: Floats,
    recent: Floats,
    is_new: Bools,
    is_established: Bools,
) -> BorrowedLevels:
    """Work out what the parents of every series lead to expect of it.

    Assumes that stores differ by a factor that is the same for all products of a group.

    Args:
        panel: n series.
        product_groups: [n] group of each series.
        units: [n] units of each series' whole record.
        days: [n] plain days (share of the day with stock, times the day's factors) that they stand for.
        recent: [n] units a day on a plain day, lately.
        is_new: [n] whether a series is too young for a level of its own.
        is_established: [n] whether it has one: neither new nor dead nor ended.
    """
    parent = panel.pooled.of_series(
        "levels of parents",
        lambda: Statistic(_parents(panel, product_groups, units, days, recent, is_new, is_established)),
    )
    return BorrowedLevels(parent, units, days)


def _parents(
    panel: Panel,
    product_groups: Groups,
    units: Floats,
    days: Floats,
    recent: Floats,
    is_new: Bools,
    is_established: Bools,
) -> Floats:
    """[n] Units a day on a plain day that the parents of each series lead to expect; arguments as for `borrow`."""
    store, sku = (_codes(panel.series[name].to_numpy()) for name in ("store_id", "sku_id"))
    if is_established.any():
        typical = _typical(recent, is_established, store, sku, _codes(product_groups))
    else:
        typical = np.full(len(units), float(ratio(units.sum(keepdims=True), days.sum(keepdims=True))[0]))
    # What a series says of its product, in days of the typical level: the young all they know, the others four weeks.
    seen = np.where(is_new, days, np.where(is_established, _LENT_DAYS, 0.0))
    sold = np.where(is_new, units, np.where(is_established, _LENT_DAYS * recent, 0.0))
    young = _young_against_typical(sku, np.where(is_new, sold, 0.0), np.where(is_new, seen * typical, 0.0))
    count = np.bincount(sku)
    prior = _PRIOR_DAYS * _sum(sku, typical) / np.maximum(count, 1)
    against = ratio(_sum(sku, sold) + prior * young, _sum(sku, seen * typical) + prior)
    return np.asarray(against[sku] * typical)


def _sum(code: GroupCodes, values: Floats) -> Floats:
    """Sums by unit, in the order of the rows."""
    return np.bincount(code, weights=values).astype(np.float64)


def _codes(names: Names) -> GroupCodes:
    return np.asarray(np.unique(names.astype(str), return_inverse=True)[1])


def _typical(recent: Floats, is_established: Bools, store: GroupCodes, sku: GroupCodes, group: GroupCodes) -> Floats:
    """[n] Level of the group of each series times the scale of its store in that group.

    A store's scale compares like with like: its products against the same products everywhere, so that a store is not
    taken for large because it sells what sells well.
    """
    lent = np.where(is_established, recent, 0.0)
    overall = float(lent.sum()) / float(is_established.sum())
    by_group = _mean(group, lent, is_established, np.full(len(lent), overall))
    alike = _mean(sku, lent, is_established, by_group) * is_established
    by_store = ratio(_sum(store, lent), _sum(store, alike))
    scale = np.where(by_store > 0, by_store, 1.0)[store]
    pair = np.unique(store * (int(group.max()) + 1) + group, return_inverse=True)[1]
    prior = _PRIOR_SERIES * by_group
    own = ratio(_sum(pair, lent)[pair] + prior * scale, _sum(pair, alike)[pair] + prior)
    return np.asarray(by_group * own)


def _mean(code: GroupCodes, values: Floats, counted: Bools, towards: Floats) -> Floats:
    """[n] Mean of the counted values of each one's unit, drawn towards another by as much as five values."""
    total, count = _sum(code, values), _sum(code, counted.astype(np.float64))
    return np.asarray((total[code] + _PRIOR_SERIES * towards) / (count[code] + _PRIOR_SERIES))


def _young_against_typical(sku: GroupCodes, sold: Floats, expected: Floats) -> float:
    """How young products sell against the typical level, each product counted once, drawn towards alike."""
    expected_by_sku = _sum(sku, expected)
    rates = ratio(_sum(sku, sold), expected_by_sku)
    seen = expected_by_sku > 0
    return float((rates[seen].sum() + _PRIOR_PRODUCTS) / (seen.sum() + _PRIOR_PRODUCTS))

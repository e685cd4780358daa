"""Metrics of sums: how forecasts did at every pair of a product level and a store level.

What belongs here: the nodes of all levels with the series themselves, the scales that their errors are divided by, and
the metrics of a level. What does not: metrics of rows, or which forecasts are judged.

Definitions are those of the M5 competition (Makridakis, Spiliotis and Assimakopoulos 2022,
doi:10.1016/j.ijforecast.2021.11.013): errors of a node are divided by its one-day differences after its first sale,
nodes of a level are weighted by what they sold last, levels count alike. Crossing four product levels with three store
levels gives M5's twelve. A day of a node is judged on the series whose sales are known on that day, on both sides.

The signed bias of a level, over all its nodes, is that of the rows: errors add up. Nodes that are too high and nodes
that are too low cancel in it, so `node_bias` beside it adds up each node's bias without its sign.

Before reconciliation a level has two forecasts: the sum of its series' base forecasts, and what its nodes were forecast
by themselves, which reconciliation listens to. Both are judged, on the same sales.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from forecast_assets.contracts import BACKTESTED_METHOD
from forecast_assets.core.arrays import Codes, Floats
from forecast_assets.hierarchy import Hierarchy, Sparse
from forecast_assets.hierarchy.membership import PRODUCT, STORE, TOTAL
from forecast_assets.metrics.ratios import MetricKey, Ratio, Ratios

LEVEL: Final = "level"
# Days of history that are summed at a time: all of them over all nodes would take many times the room of the panel.
_SLICE_DAYS: Final = 64


@dataclass(frozen=True)
class Nodes:
    """The nodes of all crossed levels over n series; the series themselves are the last level.

    Attributes:
        levels: Names, as `category x store`, from the widest; the last is `sku x store`.
        level: [m] level of each node, as a place in ``levels``.
        matrix: [m, n] sparse (CSR) ones: row i sums the series below node i.
    """

    levels: tuple[str, ...]
    level: Codes
    matrix: Sparse

    @classmethod
    def of(cls, hierarchy: Hierarchy | None, series_count: int) -> "Nodes":
        """Lay out the nodes of a hierarchy, or only the total and the series where there is none."""
        from scipy import sparse

        upper = _upper_levels(hierarchy, series_count)
        levels = [*upper, (f"{PRODUCT} x {STORE}", np.arange(series_count, dtype=np.int64), series_count)]
        sizes = [size for _, _, size in levels]
        starts = np.cumsum([0, *sizes[:-1]])
        rows = np.concatenate([code + start for (_, code, _), start in zip(levels, starts, strict=True)])
        columns = np.tile(np.arange(series_count), len(levels))
        matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(sum(sizes), series_count))
        return cls(tuple(name for name, _, _ in levels), np.repeat(np.arange(len(levels)), sizes), matrix)

    def sums(self, values: Floats) -> Floats:
        """[m, k] Sums over the series below each node, of values [n, k] without NaN; on one thread, in one order."""
        return np.asarray(self.matrix @ values, dtype=np.float64)

    def per_level(self, values: Floats) -> Floats:
        """[levels] Sums over the nodes of each level, of values [m]."""
        return np.asarray(np.bincount(self.level, weights=values, minlength=len(self.levels)), dtype=np.float64)

    @cached_property
    def series(self) -> slice:
        """Where the series stand among the nodes."""
        return slice(self.matrix.shape[0] - self.matrix.shape[1], None)


@dataclass(frozen=True)
class Scales:
    """What errors of the m nodes are divided by; NaN for a node without two days since its first sale.

    Attributes:
        squared: [m] mean squared one-day difference of sales, in units squared.
        absolute: [m] mean absolute one-day difference of sales, in units.
    """

    squared: Floats
    absolute: Floats

    @classmethod
    def of(cls, past_sales: Floats, nodes: Nodes) -> "Scales":
        """Measure the one-day differences of every node from its first sale on.

        Args:
            past_sales: [n, T] units; unknown days count as days without sales, as they do for seasonal naive.
            nodes: The nodes.
        """
        count = nodes.matrix.shape[0]
        squares, sizes, days = np.zeros(count), np.zeros(count), np.zeros(count)
        last, has_begun = np.zeros((count, 1)), np.zeros((count, 1), dtype=np.bool_)
        for start in range(0, past_sales.shape[1], _SLICE_DAYS):
            sales = np.hstack([last, nodes.sums(np.nan_to_num(past_sales[:, start : start + _SLICE_DAYS]))])
            begun = np.logical_or.accumulate(np.hstack([has_begun, sales[:, 1:] > 0]), axis=1)
            change = np.where(begun[:, :-1], np.diff(sales, axis=1), 0.0)
            squares += (change**2).sum(axis=1)
            sizes += np.abs(change).sum(axis=1)
            days += begun[:, :-1].sum(axis=1)
            last, has_begun = sales[:, -1:], begun[:, -1:]
        days[days == 0] = np.nan
        return cls(squares / days, sizes / days)


@dataclass(frozen=True)
class BeforeReconciliation:
    """What a version said before reconciliation.

    Attributes:
        expected_sales: [n, H] units that the series' base forecasts expected to sell.
        demand: [n, H] units of demand after reconciliation; None where nodes have no forecasts of their own.
        node_demand: [m - n, H] units of demand that each node above the series was forecast by itself, in the order of
            `Nodes`; NaN where it was not.
    """

    expected_sales: Floats
    demand: Floats | None = None
    node_demand: Floats | None = None


def level_ratios(
    nodes: Nodes,
    scales: Scales,
    weight: Floats,
    sales: Floats,
    forecasts: Mapping[str, Floats],
    before: BeforeReconciliation | None = None,
) -> Ratios:
    """Judge forecasts of sales at every level.

    Args:
        nodes: m nodes over n series.
        scales: Of the nodes.
        weight: [n] what each series counts in WRMSSE.
        sales: [n, H] units that came; NaN where unknown.
        forecasts: [n, H] units expected, by method.
        before: What the version said before reconciliation, if that is known.

    Returns:
        `wape`, `bias`, `node_bias`, `rmsse` (mean over nodes) and `wrmsse` (weighted) of each level and method, over
        all levels `wrmsse`, and of the version also the biases before reconciliation: `..._before_reconciliation` of
        the sums of series, `..._of_node_forecasts` of what nodes were forecast by themselves.
    """
    found: Ratios = {}
    for method, forecast in forecasts.items():
        actual, error, days = _laid_out(nodes, sales, forecast)
        found |= _biases(nodes, method, actual, error, days)
        found |= _scaled(nodes, method, _rmsse(error, days, scales), nodes.sums(weight[:, None])[:, 0])
    if before is not None:
        found |= _biases_before(nodes, sales, forecasts[BACKTESTED_METHOD], before)
    return found


def _biases_before(nodes: Nodes, sales: Floats, expected: Floats, before: BeforeReconciliation) -> Ratios:
    """Biases of each level before reconciliation, of sums of series and of nodes' own forecasts."""
    sums = _biases(nodes, BACKTESTED_METHOD, *_laid_out(nodes, sales, before.expected_sales))
    found = _renamed(sums, "before_reconciliation")
    if before.node_demand is None or before.demand is None:
        return found
    actual, error, days = _laid_out(nodes, sales, expected)
    # Of demand to sales of the series that are known: as what was published, so that only the forecast differs.
    published = nodes.sums(before.demand)
    kept = np.divide(actual + error, published, out=np.zeros_like(published), where=published > 0)
    of_nodes = np.full_like(published, np.nan)
    of_nodes[: nodes.series.start] = before.node_demand * kept[: nodes.series.start]
    own = _biases(nodes, BACKTESTED_METHOD, actual, of_nodes - actual, days)
    return found | _renamed(
        {key: ratio for key, ratio in own.items() if not np.isnan(ratio.numerator)}, "of_node_forecasts"
    )


def _renamed(biases: Ratios, suffix: str) -> Ratios:
    return {
        key._replace(metric=f"{key.metric}_{suffix}"): ratio for key, ratio in biases.items() if key.metric != "wape"
    }


def node_rmsse(nodes: Nodes, scales: Scales, sales: Floats, forecast: Floats) -> Floats:
    """[m] Root mean squared scaled error of each node; NaN where it cannot be judged.

    The root of the mean squared error over the days ahead, over ``scales.squared`` (utilsforecast's `rmsse` with a
    season of one day, on history from the first sale on).
    """
    _, error, days = _laid_out(nodes, sales, forecast)
    return _rmsse(error, days, scales)


def _upper_levels(hierarchy: Hierarchy | None, series_count: int) -> list[tuple[str, Codes, int]]:
    """Name, [n] node of each series and number of nodes, of each level above the series."""
    if hierarchy is None:
        return [(f"{TOTAL} x {TOTAL}", np.zeros(series_count, dtype=np.int64), 1)]
    return [(" x ".join(level.name), level.code, len(level.places)) for level in hierarchy.crossed_levels]


def _laid_out(nodes: Nodes, sales: Floats, forecast: Floats) -> tuple[Floats, Floats, Floats]:
    """[m, H] Sales and errors of each node over the series that are known, and 1 on the days with any such series."""
    known = ~np.isnan(sales) & ~np.isnan(forecast)
    actual = nodes.sums(np.where(known, sales, 0.0))
    error = nodes.sums(np.where(known, forecast - sales, 0.0))
    return actual, error, (nodes.sums(known.astype(np.float64)) > 0).astype(np.float64)


def _biases(nodes: Nodes, method: str, actual: Floats, error: Floats, days: Floats) -> Ratios:
    """WAPE and bias of each level; the whole horizon of a node is one bias."""
    sold, judged = nodes.per_level(actual.sum(axis=1)), nodes.per_level(days.sum(axis=1))
    measured = {
        "wape": np.abs(error).sum(axis=1),
        "bias": error.sum(axis=1),
        "node_bias": np.abs(error.sum(axis=1)),
    }
    return {
        MetricKey(method, LEVEL, level, metric): Ratio(float(total), float(sold[at]), int(judged[at]))
        for metric, values in measured.items()
        for at, (level, total) in enumerate(zip(nodes.levels, nodes.per_level(values), strict=True))
    }


def _rmsse(error: Floats, days: Floats, scales: Scales) -> Floats:
    known_days = days.sum(axis=1)
    can_be = (known_days > 0) & (scales.squared > 0)
    found = np.full(len(error), np.nan)
    found[can_be] = np.sqrt((error[can_be] ** 2).sum(axis=1) / known_days[can_be] / scales.squared[can_be])
    return found


def _scaled(nodes: Nodes, method: str, rmsse: Floats, weight: Floats) -> Ratios:
    """Mean and weighted RMSSE of each level, and the mean of the latter over levels, each level once per cutoff."""
    is_judged = (~np.isnan(rmsse)).astype(np.float64)
    values = np.nan_to_num(rmsse)
    counts, totals = nodes.per_level(is_judged), nodes.per_level(values)
    weights, weighted = nodes.per_level(weight * is_judged), nodes.per_level(weight * values)
    found: Ratios = {}
    for at, level in enumerate(nodes.levels):
        found[MetricKey(method, LEVEL, level, "rmsse")] = Ratio(float(totals[at]), float(counts[at]), int(counts[at]))
        if weights[at] > 0:
            mean = float(weighted[at] / weights[at])
            found[MetricKey(method, LEVEL, level, "wrmsse")] = Ratio(mean, 1.0, int(counts[at]))
    of_levels = [ratio for key, ratio in found.items() if key.metric == "wrmsse"]
    if of_levels:
        mean = sum(ratio.numerator for ratio in of_levels) / len(of_levels)
        found[MetricKey(method, "all", "all", "wrmsse")] = Ratio(mean, 1.0, sum(ratio.rows for ratio in of_levels))
    return found

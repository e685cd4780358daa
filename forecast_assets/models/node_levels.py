"""What past cutoffs say of the forecasts of upper nodes: which level model, and by pair of levels how far to trust it.

What belongs here: the decision, how it is learned and applied. What does not: forecasting nodes, or reconciling.

A node has two forecasts, its own and the sum of its series'. Both are wrong about much the same, so what tells is the
regression of what came, less the sums, on the difference of the two (Bates & Granger 1969,
doi:10.1057/jors.1969.103). Nodes and days of one cutoff err together: a cutoff is one observation, and a level's share
is drawn towards a half by one more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Bools, Floats, GroupCodes
from forecast_assets.hierarchy import Sparse, summing_of
from forecast_assets.models.selection import spread_rows

# Nodes of a level that are looked at; more would only cost time.
MOST_NODES: Final = 300
_HALF: Final = 0.5
# Neither forecast is ever thought to know nothing.
_LEAST_SHARE: Final = 0.05
_TINY: Final = 1e-12
# Units a day below which a node is one of which nothing is expected.
_LEAST_UNITS: Final = 1e-6


@dataclass(frozen=True)
class NodeLevel:
    """What is decided of the nodes of a pair of levels.

    Attributes:
        product_level: Product level.
        store_level: Store level.
        share: Share of their own forecasts beside the sums of their series', 0.05..0.95.
    """

    product_level: str
    store_level: str
    share: float

    @property
    def variance_ratio(self) -> float:
        """Variance of the errors of own forecasts over that of sums by which this is their share."""
        return (1.0 - self.share) / self.share


@dataclass(frozen=True)
class NodesAtCutoff:
    """Forecasts of m nodes of a level as of one past cutoff, and what came.

    Attributes:
        own: [m, H] their own forecasts by level model, units.
        sums: [m, H] sums of their series' forecasts, units, over what is known of the day.
        actual: [m, H] what came of that, units.
    """

    own: Mapping[str, Floats]
    sums: Floats
    actual: Floats

    def loss(self, model: str) -> float:
        """Mean squared error over the units of a node; nodes of which nothing is expected say nothing."""
        told = self._is_told
        return float(np.mean(((self.own[model] - self.actual) ** 2 / self._units)[told])) if told.any() else 0.0

    def missed(self, model: str, share: float) -> Floats:
        """[m, H] Units that came less those that a share of own forecasts, and sums for the rest, expected."""
        return np.asarray(self.actual - self.sums - share * (self.own[model] - self.sums))

    def best_share(self, model: str) -> float:
        """Return the share of own forecasts that would have been best; a half where both forecasts are the same."""
        apart, missed = self.own[model] - self.sums, self.actual - self.sums
        told, units = self._is_told, self._units[self._is_told]
        room = float((apart[told] ** 2 / units).sum())
        wanted = float(((apart * missed)[told] / units).sum())
        return float(np.clip(wanted / room, 0.0, 1.0)) if room > _TINY else _HALF

    @property
    def _is_told(self) -> Bools:
        """[m] Whether anything is expected of a node."""
        return np.asarray(self.sums.mean(axis=1) > _LEAST_UNITS, dtype=np.bool_)

    @property
    def _units(self) -> Floats:
        return np.asarray(np.maximum(self.sums.mean(axis=1, keepdims=True), _TINY))


def losses_by_model(levels: Sequence[Sequence[NodesAtCutoff]]) -> dict[str, float]:
    """Return the mean loss of each level model, every level over that of its best model.

    Args:
        levels: By level, its nodes as of each cutoff.
    """
    losses = [{model: sum(at.loss(model) for at in cutoffs) for model in cutoffs[0].own} for cutoffs in levels]
    return {
        model: sum(level[model] / max(min(level.values()), _TINY) for level in losses) / len(losses)
        for model in losses[0]
    }


def learned_share(cutoffs: Sequence[NodesAtCutoff], model: str, expected: float = _HALF, counted: float = 1.0) -> float:
    """Return the share of own forecasts, the mean of what would have been best at each cutoff.

    Args:
        cutoffs: Nodes of a level as of past cutoffs.
        model: Level model of their own forecasts.
        expected: Share that is expected before.
        counted: As how many cutoffs that counts.
    """
    total = expected * counted + sum(cutoff.best_share(model) for cutoff in cutoffs)
    return float(np.clip(total / (counted + len(cutoffs)), _LEAST_SHARE, 1.0 - _LEAST_SHARE))


def summing_matrix(code: GroupCodes, most: int) -> Sparse:
    """[m, n] sparse ones that sum the series of each of at most so many nodes, evenly spread.

    Args:
        code: [n] node of each series.
        most: Nodes at most.
    """
    summing = summing_of(code)
    return summing[spread_rows(summing.shape[0], most)]


def some_nodes(code: GroupCodes, most: int) -> GroupCodes:
    """[n] Which row of `summing_matrix` sums each series; -1 for none."""
    count = int(code.max(initial=-1)) + 1
    row, chosen = np.full(count, -1, dtype=np.intp), spread_rows(count, most)
    row[chosen] = np.arange(len(chosen))
    return row[code]


def variance_ratios(nodes: pl.DataFrame, levels: Sequence[NodeLevel]) -> Floats:
    """[m] Variance ratio of each node; 1 of levels that nothing was decided of.

    Args:
        nodes: m rows with `product_level, store_level`.
        levels: What was decided.
    """
    ratios = {(level.product_level, level.store_level): level.variance_ratio for level in levels}
    return np.array([ratios.get(name, 1.0) for name in _level_names(nodes)])


def decided(nodes: pl.DataFrame, levels: Sequence[NodeLevel]) -> Bools:
    """[m] Whether anything was decided of each node's levels."""
    names = {(level.product_level, level.store_level) for level in levels}
    return np.array([name in names for name in _level_names(nodes)], dtype=np.bool_)


def _level_names(nodes: pl.DataFrame) -> list[tuple[str, str]]:
    return list(nodes.select("product_level", "store_level").iter_rows())

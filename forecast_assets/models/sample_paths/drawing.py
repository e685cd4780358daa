"""Drawing paths: which outcomes of series and days come together.

What belongs here: joint outcomes of all series, day by day. What does not: marginals, learning how series hang
together, or what is made of paths.

Each series' outcomes of a day are the same equally likely ones in every run; a Gaussian copula decides in which path
each comes (Latin hypercube sampling with dependence: Packham & Schmidt 2010, doi:10.21314/JCF.2010.215). So every
series' marginal is exact whatever the number of paths, and a sum over series or days is a path of the sum.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Codes, Floats, GroupCodes, Rows
from forecast_assets.core.threads import in_threads
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.hierarchy.membership import NODE
from forecast_assets.models.sample_paths.dependence import OWN, Dependence, level_name
from forecast_assets.models.sample_paths.marginals import Marginals
from forecast_assets.models.sample_paths.randomness import Keys, even_normals, keys_of, normals

SmallFloats = npt.NDArray[np.float32]
DEFAULT_PATHS: Final = 500
# The same numbers in every run, so that quantiles of one day and the next differ by what was learned, not by chance.
SEED: Final = 20_26
# So many that threads seldom wait for one another to call the next function, and so few that a block stays in a
# processor's cache.
_BLOCK: Final = 256


@dataclass(frozen=True)
class Factor:
    """A level that has a factor.

    Attributes:
        keys: [m] stream of each node.
        node: [n] node of each series.
    """

    keys: Keys
    node: Codes | GroupCodes

    def take(self, rows: Rows | slice) -> "Factor":
        """Return the factor of some series, without the nodes that none of them is of."""
        nodes, node = np.unique(self.node[rows], return_inverse=True)
        return Factor(self.keys[nodes], node)


def factors_of(hierarchy: Hierarchy, dependence: Dependence, seed: int = SEED) -> dict[str, Factor]:
    """Return the factor of each level that has a share; of levels that are gone by now there is none.

    Args:
        hierarchy: Crossed hierarchy of n series.
        dependence: Shares by level.
        seed: Of all random numbers.
    """
    wanted = {*dependence.lasting, *dependence.daily}
    return {
        name: Factor(keys_of(level.frame.select(NODE).iter_rows(), seed), level.code)
        for level in hierarchy.crossed_levels
        if (name := level_name(*level.name)) in wanted
    }


def series_keys(hierarchy: Hierarchy, seed: int = SEED) -> Keys:
    """[n] stream of each series."""
    return keys_of(hierarchy.series.select("store_id", "sku_id").iter_rows(), seed)


@dataclass(frozen=True)
class JointPaths:
    """Paths of n series over H days.

    Attributes:
        marginals: Of each series and day.
        dependence: Shares of factors.
        keys: [n] stream of each series.
        factors: By level that has a share.
        paths: N.
        block: Series that are drawn at a time.
        workers: Threads; all cores if left out.
    """

    marginals: Marginals
    dependence: Dependence
    keys: Keys
    factors: Mapping[str, Factor]
    paths: int = DEFAULT_PATHS
    block: int = _BLOCK
    workers: int | None = None

    def take(self, rows: Rows) -> "JointPaths":
        """Return the paths of some of the series, which are what they are among all."""
        few = {level: factor.take(rows) for level, factor in self.factors.items()}
        return replace(self, marginals=self.marginals.take(rows), keys=self.keys[rows], factors=few)

    def until(self, days: int) -> "JointPaths":
        """Return the paths of the first days, which are what they are before any others."""
        return replace(self, marginals=self.marginals.until(days))

    def units(self, rows: Rows) -> Floats:
        """Return what some series sell: [r, H, N] units; for a few series at a time, whose paths fit into memory."""
        return np.stack([*self.take(rows).steps()], axis=1)

    def steps(self) -> Iterator[Floats]:
        """Yield [n, N] units of each day in turn: column k of all days is one future of all series."""
        for step in range(self.marginals.mean.shape[1]):
            yield self.on_day(step)

    def on_day(self, step: int, out: Floats | None = None) -> Floats:
        """[n, N] units of a day, from 0; written to `out` if that is given, contiguous and as large."""
        out = np.empty((len(self.keys), self.paths)) if out is None else out
        for _ in in_threads(partial(self._draw, out, self._of_day(step), step), self._blocks, self.workers):
            pass
        return out

    def _draw(self, out: Floats, of_day: Mapping[str, Floats], step: int, rows: slice) -> None:
        """Write to [n, N] the units of some series on a day, each path's outcome by its rank among all paths."""
        place = order_of(self._scores(rows, step, of_day))
        place += np.arange(len(place))[:, None] * self.paths
        out[rows].reshape(-1)[place] = self.marginals.take(rows).outcomes(step, self.paths)

    def _scores(self, rows: slice, step: int, of_day: Mapping[str, Floats]) -> Floats:
        """[r, N] Sum of the factors of some series on a day, of variance 1."""
        shares = self.dependence
        scores = normals(self.keys[rows], self.paths * (step + 1), self.paths)
        scores *= shares.rest**0.5
        if self._lasting_own is not None:
            scores += self._lasting_own[rows]
        for level, factor in self.factors.items():
            scores += of_day[level][factor.node[rows]]
        return scores

    def _of_day(self, step: int) -> dict[str, Floats]:
        """[m, N] what nodes of each level add to the scores of their series on a day."""
        daily = self.dependence.daily
        drawn = {level: self._of_nodes(level, share, self.paths * (step + 1)) for level, share in daily.items()}
        return {
            level: lasting + drawn[level] if level in drawn else lasting for level, lasting in self._lasting.items()
        }

    def _of_nodes(self, level: str, share: float, first: int) -> Floats:
        """[m, N] a part of what nodes of a level add, from their streams' number ``first`` on."""
        keys = self.factors[level].keys
        out = np.empty((len(keys), self.paths))

        def one_block(rows: slice) -> Floats:
            return np.asarray(share**0.5 * even_normals(keys[rows], first, self.paths))

        for rows, scores in in_threads(one_block, self._blocks_of(len(keys)), self.workers):
            out[rows] = scores
        return out

    @property
    def _blocks(self) -> list[slice]:
        return self._blocks_of(len(self.keys))

    def _blocks_of(self, count: int) -> list[slice]:
        return [slice(start, min(start + self.block, count)) for start in range(0, count, self.block)]

    @cached_property
    def _lasting_own(self) -> SmallFloats | None:
        """[n, N] what series add by themselves on all days; half the digits, for half the memory."""
        share = self.dependence.lasting.get(OWN, 0.0)
        if not share:
            return None
        out = np.empty((len(self.keys), self.paths), dtype=np.float32)
        for rows, own in in_threads(lambda rows: normals(self.keys[rows], 0, self.paths), self._blocks, self.workers):
            out[rows] = share**0.5 * own
        return out

    @cached_property
    def _lasting(self) -> dict[str, Floats]:
        """[m, N] what nodes of each level add on all days."""
        shares = self.dependence.lasting
        return {
            level: self._of_nodes(level, shares[level], 0)
            if level in shares
            else np.zeros((len(factor.keys), self.paths))
            for level, factor in self.factors.items()
        }


def order_of(scores: Floats) -> GroupCodes:
    """[r, N] Places of [r, N] scores in rising order: what sorting places by score gives, sooner.

    Each place is written into the last bits of its score, so that scores can be sorted by themselves. A row in which
    that leaves two scores equal is sorted by place.

    Example:
        >>> order_of(np.array([[0.3, -1.0, 0.2], [1.0, 0.5, 1.0 + 2e-16]])).tolist()
        [[1, 2, 0], [1, 0, 2]]
    """
    bits = (scores.shape[1] - 1).bit_length()
    carried = scores.view(np.int64) >> bits << bits
    carried |= np.arange(scores.shape[1])
    carried.view(np.float64).sort(axis=1)
    kept = carried >> bits
    is_close = (kept[:, 1:] == kept[:, :-1]).any(axis=1)
    carried &= (1 << bits) - 1
    if is_close.any():
        carried[is_close] = scores[is_close].argsort(axis=1)
    return np.asarray(carried, dtype=np.intp)

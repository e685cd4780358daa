"""Dependence: how errors of series and days hang together, as factors that nodes of the hierarchy share.

What belongs here: the factors and learning them from errors of past cutoffs. What does not: drawing, or how far off a
single day is.

The normal score of a series on a day is a sum of factors: what all share on that day, what its store does, its group,
its group in its store, and so on, some of which lasts over the horizon and some of which is of that day, and what is
its own. Shares of variance are learned so that sums come out right, over nodes and over days: the covariance of two
errors is, to first order, the share that they have in common times the moment of each with its score
(`marginals.moment_with_score`), so that squares of sums of errors are linear in the shares, and non-negative least
squares finds them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Codes, Floats, GroupCodes
from forecast_assets.core.errors import InputError
from forecast_assets.core.numbering import number_pairs
from forecast_assets.hierarchy import summing_of

# A series by itself.
OWN: Final = "own"
# What is left to a series' own day, at least: a sum of shares above that says more than errors can.
_LEAST_REST: Final = 0.02


def level_name(product_level: str, store_level: str) -> str:
    """Return the name of a pair of levels.

    Example:
        >>> level_name("department", "store")
        'department x store'
    """
    return f"{product_level} x {store_level}"


@dataclass(frozen=True)
class Dependence:
    """Shares of variance that factors have.

    Attributes:
        lasting: By level, what is the same on all days of the horizon: names of crossed levels as `product x store`,
            and `own` for the series itself.
        daily: By level, what is of the day.
        borrowed: By level none of whose nodes had two series with errors to learn from, the level whose shares stand
            for its own: the finest one above that had, or `own` where none had.
    """

    lasting: Mapping[str, float]
    daily: Mapping[str, float]
    borrowed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def none(cls) -> "Dependence":
        """Return series and days that know nothing of one another."""
        return cls({}, {})

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Dependence":
        """Read the JSON form back.

        Raises:
            InputError: If shares are negative or add up to more than 1.
        """
        found = cls(dict(data["lasting"]), dict(data["daily"]), dict(data.get("borrowed", {})))
        shares = [*found.lasting.values(), *found.daily.values()]
        if not all(share >= 0.0 for share in shares) or sum(shares) > 1.0 or OWN in found.daily:
            raise InputError(f"The shares of factors are wrong: {data}.", remedy="Train the version again.")
        return found

    def to_data(self) -> dict[str, Any]:
        """Return the JSON form, without levels that borrow where none does."""
        borrowed = {"borrowed": dict(self.borrowed)} if self.borrowed else {}
        return {"lasting": dict(self.lasting), "daily": dict(self.daily), **borrowed}

    def only(self, levels: Collection[str]) -> "Dependence":
        """Return the shares of these levels and of series themselves; what others had becomes a series' own day's."""
        lasting, daily = (
            {name: share for name, share in part.items() if name in levels or name == OWN}
            for part in (self.lasting, self.daily)
        )
        return replace(self, lasting=lasting, daily=daily)

    @property
    def rest(self) -> float:
        """Share of variance that is a series' own on a day."""
        return 1.0 - sum(self.lasting.values()) - sum(self.daily.values())


@dataclass(frozen=True)
class NodeErrors:
    """Errors of some nodes of a level.

    Attributes:
        node: [n] which of them each series belongs to; -1 for none.
        error: [m, H] units that came less those that were forecast.
    """

    node: Codes | GroupCodes
    error: Floats


@dataclass(frozen=True)
class CutoffErrors:
    """Errors of a past cutoff.

    Attributes:
        error: [n, H] units that came less those that were forecast; NaN where unknown.
        moment: [n, H] units per unit of score; see `moment_with_score`.
        nodes: By level that may have a factor, [n] node of each series.
        of_nodes: By some of the levels, what was said of nodes themselves, which may be nearer than the sums of what
            was said of their series.
    """

    error: Floats
    moment: Floats
    nodes: Mapping[str, Codes | GroupCodes]
    of_nodes: Mapping[str, "NodeErrors"] = field(default_factory=dict)


def learn_dependence(cutoffs: Sequence[CutoffErrors]) -> Dependence:
    """Learn the shares of factors.

    A level whose nodes have but one series each, or errors of one, cannot be told from the series themselves. It gets
    no share: what its series have in common is what they have in common with others of a level above.

    Args:
        cutoffs: Past cutoffs, with the same levels; none for no dependence at all.
    """
    from scipy.optimize import nnls

    everything = list(cutoffs[0].nodes) if cutoffs else []
    levels = [level for level in everything if any(_has_pairs(each, level) for each in cutoffs)]
    systems = [_system(each, levels) for each in cutoffs]
    found = sum((system.found for system in systems), np.zeros(2 * len(levels) + 1))
    design = sum((system.design for system in systems), np.zeros((len(found), len(found))))
    scale = sum((system.scale for system in systems), np.zeros(len(found)))
    is_told = scale > 0
    if not is_told.any():
        return Dependence.none()
    shares, _ = nnls(design[is_told] / scale[is_told, None], found[is_told] / scale[is_told])
    names = [*levels, OWN, *levels]
    lasting, daily = (
        {name: float(share) for name, share in zip(names[part], shares[part], strict=True) if share > 0.0}
        for part in (slice(0, len(levels) + 1), slice(len(levels) + 1, None))
    )
    borrowed = {level: _above(level, levels, cutoffs[0].nodes) for level in everything if level not in levels}
    return _bounded(Dependence(lasting, daily, borrowed))


def _has_pairs(cutoff: CutoffErrors, level: str) -> bool:
    """Whether a node of a level has two series with errors."""
    node = np.asarray(cutoff.nodes[level])[~np.isnan(cutoff.error).all(axis=1)]
    return bool((np.bincount(node[node >= 0]) > 1).any())


def _above(level: str, others: Sequence[str], nodes: Mapping[str, Codes | GroupCodes]) -> str:
    """Return the finest of some levels each of whose nodes has all or none of every node of a level; else `own`."""
    node = np.asarray(nodes[level])
    count = len(np.unique(node))
    above = [name for name in others if _common(node, np.asarray(nodes[name])).max(initial=-1) + 1 == count]
    return max(above, key=lambda name: len(np.unique(nodes[name])), default=OWN)


@dataclass(frozen=True)
class _Equations:
    """Products of errors of pairs, as shares lead to expect them; one row for each share, in the same order.

    Attributes:
        found: [k] sums of products of errors: across days by level and of series by themselves, then of different
            series on the same day, by level.
        design: [k, k] the same sums of products of moments, of pairs that share each factor.
        scale: [k] squares of sums of errors over the root of how many sums there are: about how far off `found` is by
            chance.
    """

    found: Floats
    design: Floats
    scale: Floats


def _system(cutoff: CutoffErrors, levels: Sequence[str]) -> _Equations:
    is_known = ~np.isnan(cutoff.error)
    error, moment = (np.where(is_known, values, 0.0) for values in (cutoff.error, cutoff.moment))
    nodes = {**{level: np.asarray(cutoff.nodes[level]) for level in levels}, OWN: np.arange(len(error))}
    rows = {level: cutoff.of_nodes[level].node if level in cutoff.of_nodes else node for level, node in nodes.items()}
    said = {level: of_nodes.error for level, of_nodes in cutoff.of_nodes.items()}
    found = [_pairs(error, node, said.get(level)) for level, node in rows.items()]
    count = len(levels)
    design = np.zeros((2 * count + 1, 2 * count + 1))
    for i, one in enumerate(rows.values()):
        for j, other in enumerate(nodes.values()):
            both = _pairs(moment, _common(one, other))
            design[i, j] = both.across_days
            # What is of the day is not seen across days; what lasts is seen on the same day too.
            if max(i, j) < count:
                design[count + 1 + i, [j, count + 1 + j]] = both.same_day
    squares = np.array([each.whole for each in found] + [each.daily for each in found[:count]])
    sums = np.sqrt([node.max(initial=0) + 1.0 for node in rows.values()])
    return _Equations(
        np.array([each.across_days for each in found] + [each.same_day for each in found[:count]]),
        design,
        squares / np.concatenate([sums, sums[:count]]),
    )


@dataclass(frozen=True)
class _Pairs:
    """Sums of products of pairs within nodes.

    Attributes:
        across_days: Of different days, of any two series.
        same_day: Of the same day, of different series.
        whole: Squares of sums over days.
        daily: Squares of sums of days.
    """

    across_days: float
    same_day: float
    whole: float
    daily: float


def _pairs(values: Floats, node: Codes | GroupCodes, sums: Floats | None = None) -> _Pairs:
    """Add up products of pairs of [n, H] values within nodes, by squares of sums less sums of squares.

    Args:
        values: Of series.
        node: [n] node of each; -1 for none.
        sums: [m, H] what stands for the sums of each node's values; these if left out.
    """
    counted = np.flatnonzero(node >= 0)
    few = values[counted]
    if sums is None:
        sums = np.asarray(summing_of(node[counted]) @ few) if len(counted) else np.zeros((0, values.shape[1]))
    daily, whole = float((sums**2).sum()), float((sums.sum(axis=1) ** 2).sum())
    return _Pairs(whole - daily, daily - float((few**2).sum()), whole, daily)


def _common(one: Codes | GroupCodes, other: Codes | GroupCodes) -> GroupCodes:
    """[n] Number of what a series shares in both of two levels; -1 where the first is not looked at."""
    found = np.full(len(one), -1, dtype=np.intp)
    both = np.flatnonzero(one >= 0)
    found[both] = number_pairs(one[both], other[both])
    return found


def _bounded(found: Dependence) -> Dependence:
    """Shrink all shares alike where they leave nothing to a series' own day."""
    whole = 1.0 - found.rest
    if whole <= 1.0 - _LEAST_REST:
        return found
    by = (1.0 - _LEAST_REST) / whole
    lasting, daily = ({name: share * by for name, share in part.items()} for part in (found.lasting, found.daily))
    return replace(found, lasting=lasting, daily=daily)

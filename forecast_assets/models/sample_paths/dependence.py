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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Codes, Floats, GroupCodes
from forecast_assets.core.errors import InputError
from forecast_assets.hierarchy import summing_of

# A series by itself.
OWN: Final = "own"
# What is left to a series' own day, at least: a sum of shares above that says more than errors can.
_LEAST_REST: Final = 0.02


@dataclass(frozen=True)
class Dependence:
    """Shares of variance that factors have.

    Attributes:
        lasting: By level, what is the same on all days of the horizon: names of crossed levels as `product x store`,
            and `own` for the series itself.
        daily: By level, what is of the day.
    """

    lasting: Mapping[str, float]
    daily: Mapping[str, float]

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
        found = cls(dict(data["lasting"]), dict(data["daily"]))
        shares = [*found.lasting.values(), *found.daily.values()]
        if not all(share >= 0.0 for share in shares) or sum(shares) > 1.0 or OWN in found.daily:
            raise InputError(f"The shares of factors are wrong: {data}.", remedy="Train the version again.")
        return found

    @property
    def rest(self) -> float:
        """Share of variance that is a series' own on a day."""
        return 1.0 - sum(self.lasting.values()) - sum(self.daily.values())


@dataclass(frozen=True)
class CutoffErrors:
    """Errors of a past cutoff.

    Attributes:
        error: [n, H] units that came less those that were forecast; NaN where unknown.
        moment: [n, H] units per unit of score; see `moment_with_score`.
        nodes: By level that may have a factor, [n] node of each series.
    """

    error: Floats
    moment: Floats
    nodes: Mapping[str, Codes | GroupCodes]


def learn_dependence(cutoffs: Sequence[CutoffErrors]) -> Dependence:
    """Learn the shares of factors.

    Args:
        cutoffs: Past cutoffs, with the same levels; none for no dependence at all.
    """
    from scipy.optimize import nnls

    levels = list(cutoffs[0].nodes) if cutoffs else []
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
    return _bounded(Dependence(lasting, daily))


@dataclass(frozen=True)
class _System:
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


def _system(cutoff: CutoffErrors, levels: Sequence[str]) -> _System:
    is_known = ~np.isnan(cutoff.error)
    error, moment = (np.where(is_known, values, 0.0) for values in (cutoff.error, cutoff.moment))
    own = np.arange(len(error))
    nodes = [*(np.asarray(cutoff.nodes[level]) for level in levels), own]
    count = len(levels)
    across = [_pairs(error, node) for node in nodes]
    design = np.zeros((2 * count + 1, 2 * count + 1))
    for i, one in enumerate(nodes):
        for j, other in enumerate(nodes):
            both = _pairs(moment, _common(one, other))
            design[i, j] = both.across_days
            # What is of the day is not seen across days; what lasts is seen on the same day too.
            if max(i, j) < count:
                design[count + 1 + i, [j, count + 1 + j]] = both.same_day
    found = np.array([*(each.across_days for each in across), *(each.same_day for each in across[:count])])
    counts = np.sqrt([node.max(initial=0) + 1.0 for node in nodes])
    scale = np.array([*(each.whole for each in across), *(each.daily for each in across[:count])])
    return _System(found, design, scale / np.concatenate([counts, counts[:count]]))


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


def _pairs(values: Floats, node: Codes | GroupCodes) -> _Pairs:
    """Add up products of pairs of [n, H] values within nodes, by squares of sums less sums of squares."""
    sums = np.asarray(summing_of(node) @ values)
    daily, whole = float((sums**2).sum()), float((sums.sum(axis=1) ** 2).sum())
    return _Pairs(whole - daily, daily - float((values**2).sum()), whole, daily)


def _common(one: Codes | GroupCodes, other: Codes | GroupCodes) -> GroupCodes:
    """[n] Number of what a series shares in both of two levels."""
    pair = one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other
    return np.asarray(np.unique(pair, return_inverse=True)[1], dtype=np.intp)


def _bounded(found: Dependence) -> Dependence:
    """Shrink all shares alike where they leave nothing to a series' own day."""
    whole = 1.0 - found.rest
    if whole <= 1.0 - _LEAST_REST:
        return found
    by = (1.0 - _LEAST_REST) / whole
    lasting, daily = ({name: share * by for name, share in part.items()} for part in (found.lasting, found.daily))
    return Dependence(lasting, daily)

"""Slopes: what price and promotion do to sales, estimated from changes within weeks.

What belongs here: the conditional Poisson likelihood of blocks of days, and drawing groups towards all. What does not:
the calendar, which is given, or laying factors out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes
from forecast_assets.models.calendar.calendar import clipped
from forecast_assets.models.demand import ratio

# Price and promotion are read within blocks of this many days, in which a series' level counts as constant.
_BLOCK_DAYS: Final = 21
_NEWTON_STEPS: Final = 6
# Of groups on average: one of which little is seen may go to and fro for long.
_SMALLEST_STEP: Final = 1e-3
_LARGEST_STEP: Final = 2.0
# Elasticity and log uplift are believed within these.
ELASTICITY: Final = (-5.0, 0.5)
UPLIFT: Final = (-0.7, 1.6)
# How far groups are expected to lie from all, and all from none: standard deviations of elasticity and log uplift.
_GROUP_SPREAD: Final = np.array([0.5, 0.1])
_POOLED_SPREAD: Final = np.array([2.0, 0.5])
LEAST_DISPERSION: Final = 1e-3


@dataclass(frozen=True)
class Slopes:
    """Effects on the logarithm of sales: of the logarithm of the price ratio, and of a promotion.

    Attributes:
        groups: [G, 2] by product group.
        pooled: [2] of all.
    """

    groups: Floats
    pooled: Floats

    @classmethod
    def none(cls, groups: int) -> "Slopes":
        """Return no effect of either."""
        return cls(np.zeros((groups, 2)), np.zeros(2))


def fit_slopes(units: Floats, exposure: Floats, covariates: Floats, code: GroupCodes, before: Slopes) -> Slopes:
    """Estimate slopes by Newton's method.

    Each series has a level of its own in every three weeks, so that only changes within them inform the slopes
    (conditional Poisson likelihood: Hausman, Hall & Griliches 1984, doi:10.2307/1911191). Three weeks of a series
    without a change say nothing and are left out.

    Args:
        units: [n, T] units sold; 0 where unknown.
        exposure: [n, T] what they are measured against; 0 where unknown.
        covariates: [2, n, T] logarithm of the price ratio, and promotion as 0 or 1.
        code: [n] product group of each series.
        before: A first guess.
    """
    blocks = _Blocks.of(units, exposure, covariates, code)
    if not len(blocks.code):
        return Slopes.none(len(before.groups))
    noise = dispersion(blocks.units, blocks.fitted(np.zeros((len(blocks.code), 2))))
    everyone = np.zeros_like(blocks.code)

    def common(pooled: Floats) -> Floats:
        gradient, curvature = blocks.score(np.tile(pooled, (len(everyone), 1)), everyone, 1)
        return _newton_step(gradient, curvature, -pooled, noise / _POOLED_SPREAD**2)

    pooled = _newton(before.pooled[None], common)[0]

    def own(slopes: Floats) -> Floats:
        gradient, curvature = blocks.score(slopes[blocks.code], blocks.code, len(slopes))
        return _newton_step(gradient, curvature, pooled - slopes, noise / _GROUP_SPREAD**2)

    start = before.groups if before.groups.any() else np.tile(pooled, (len(before.groups), 1))
    return Slopes(_newton(start, own), pooled)


def dispersion(units: Floats, expected: Floats) -> float:
    """Variance over mean, all series together."""
    return max(float(((units - expected) ** 2).sum()) / max(float(expected.sum()), 1.0), LEAST_DISPERSION)


def sum_by(code: GroupCodes, values: Floats, count: int) -> Floats:
    """Sum [n, ...] values by group, in the order of the rows: [count, ...]."""
    out = np.zeros((count, *values.shape[1:]))
    np.add.at(out, code, values)
    return out


def apply_slopes(slopes: Floats, covariates: Floats) -> Floats:
    """[n, T] sum of slopes [n, 2] times covariates [2, n, T]."""
    return np.asarray(slopes[:, 0, None] * covariates[0] + slopes[:, 1, None] * covariates[1])


def _newton(start: Floats, step: Callable[[Floats], Floats]) -> Floats:
    """Go on by steps, within what is believed, until they are small."""
    found = start
    for _ in range(_NEWTON_STEPS):
        before = found
        found = np.clip(before + step(before), *np.array([ELASTICITY, UPLIFT]).T)
        if float(np.abs(found - before).mean()) < _SMALLEST_STEP:
            break
    return found


def _newton_step(gradient: Floats, curvature: Floats, towards: Floats, prior: Floats) -> Floats:
    """[G, 2] penalised steps; ``towards`` [G, 2] leads to the centre of the prior with precision ``prior`` [2]."""
    step = np.linalg.solve(curvature + np.diag(prior), (gradient + prior * towards)[:, :, None])[:, :, 0]
    return np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)


@dataclass(frozen=True)
class _Blocks:
    """B blocks of D days of one series each, in which price or promotion changes.

    Attributes:
        units: [B, D].
        exposure: [B, D].
        covariates: [2, B, D].
        code: [B] product group.
    """

    units: Floats
    exposure: Floats
    covariates: Floats
    code: GroupCodes

    @classmethod
    def of(cls, units: Floats, exposure: Floats, covariates: Floats, code: GroupCodes) -> "_Blocks":
        """Cut [n, T] days into blocks, the last of which may be shorter, and keep those that show a change."""
        days = units.shape[1]
        parts: list[tuple[Floats, Floats, Floats, GroupCodes]] = []
        for start in range(0, days, _BLOCK_DAYS):
            cut = slice(start, min(start + _BLOCK_DAYS, days))
            seen, here = exposure[:, cut] > 0, covariates[:, :, cut]
            high, low = (
                pick.reduce(here, axis=2, where=seen, initial=bound)
                for pick, bound in ((np.maximum, -np.inf), (np.minimum, np.inf))
            )
            rows = np.flatnonzero((high > low).any(axis=0))
            padding = ((0, 0), (0, _BLOCK_DAYS - (cut.stop - start)))
            parts.append(
                (
                    np.pad(units[rows, cut], padding),
                    np.pad(exposure[rows, cut], padding),
                    np.pad(here[:, rows], ((0, 0), *padding)),
                    code[rows],
                )
            )
        if not parts:
            return cls(units, exposure, covariates, code)
        own, sees, moves, groups = zip(*parts, strict=True)
        return cls(np.concatenate(own), np.concatenate(sees), np.concatenate(moves, axis=1), np.concatenate(groups))

    def fitted(self, slopes: Floats) -> Floats:
        """[B, D] expected units given slopes [B, 2] and each block's own level."""
        shape = self.exposure * clipped(np.exp(apply_slopes(slopes, self.covariates)))
        return np.asarray(shape * ratio(self.units.sum(axis=1), shape.sum(axis=1))[:, None])

    def score(self, slopes: Floats, code: GroupCodes, groups: int) -> tuple[Floats, Floats]:
        """[G, 2] gradient and [G, 2, 2] curvature of the conditional Poisson likelihood."""
        fitted = self.fitted(slopes)
        total = fitted.sum(axis=1)
        first = [(fitted * x).sum(axis=1) for x in self.covariates]
        gradient = np.stack([((self.units - fitted) * x).sum(axis=1) for x in self.covariates], axis=1)
        curvature = np.empty((len(fitted), 2, 2))
        for i, j in ((0, 0), (0, 1), (1, 1)):
            second = (fitted * self.covariates[i] * self.covariates[j]).sum(axis=1)
            curvature[:, i, j] = curvature[:, j, i] = second - ratio(first[i] * first[j], total)
        return sum_by(code, gradient, groups), sum_by(code, curvature, groups)

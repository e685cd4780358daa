"""Fitting the calendar to sums: effects over a smooth trend, by layers of product groups and stores.

What belongs here: the trend, the noise of sums, and the order in which everything is estimated. What does not: laying
panels out as sums, solving, or what becomes of the effects.

log E[sales] = log expected + trend + effects. The trend of a node is a moving average of its sales over what its
calendar leads to expect, taken again each time that the calendar is known better, so that a run of paydays does not
raise the level that paydays are judged by. The variance of a day's sum is a share of its mean, which many buyers cause,
and a share of its square, which does not average out: small nodes, zeros included, count by what they can tell
(quasi-likelihood, McCullagh & Nelder 1989, doi:10.1007/978-1-4899-3242-6, chapter 9).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Rows
from forecast_assets.models.calendar.columns import CalendarColumns, Design
from forecast_assets.models.calendar.mixed_model import NOISE, TOLERANCE, Estimate, Layer, MixedModel
from forecast_assets.models.demand import ratio

# Standard deviation of the trend's moving average, in days.
TREND_DAYS: Final = 14.0
# Rounds until effects settle: with variances to learn, and where those and what all have in common are known.
_ROUNDS: Final = 6
_ROUNDS_MORE: Final = 2
# Solving ends early in rounds after which there is another.
_ROUGH: Final = 1e-3
# Deviations from what is expected count up to this logarithm, or this many times what chance makes of small sums.
_CLIP: Final = 0.3
_CLIP_DEVIATIONS: Final = 3.0
_LARGEST_DEVIATION: Final = 1.0
_LARGEST_EFFECT: Final = 1.6
# Share of its usual day that a node's trend is drawn towards it by.
_TREND_PRIOR: Final = 1e-3
# Nodes, at most, that variances are learned from, all of some stores: tens of thousands would say the same.
_LEARNED_NODES: Final = 1500
# Deviations of the logarithm that are expected beforehand: over all and by group, and by store and in a node.
_COMMON: Final = {
    "weekday": 0.3, "month": 0.03, "payday": 0.2, "payday_position": 0.05, "payday_weekday": 0.05, "event": 0.2,
    "event_near": 0.1, "event_weekend": 0.2,
}  # fmt: skip
_OWN: Final = {
    "weekday": 0.15, "month": 0.03, "payday": 0.15, "payday_position": 0.045, "payday_weekday": 0.045, "event": 0.09,
    "event_near": 0.06, "event_weekend": 0.09,
}  # fmt: skip
# What differs between the groups of a store beyond what differs between groups and between stores; finer kinds do not.
_OF_NODES: Final = ("weekday", "payday", "event", "event_near", "event_weekend")
_SHARED_ON_A_DAY: Final = 0.03
# No sum is known better than to two percent: else the largest node would count beyond all others.
_LEAST_OWN_VARIANCE: Final = 0.02**2
ALL, GROUP, STORE, NODE = "all", "group", "store", "node"


@dataclass(frozen=True)
class NodeDays:
    """Sums of the series of J nodes, one node for each product group in a store, on T days.

    Attributes:
        group: [J] number of each node's product group.
        store: [J] number of its store; nodes are sorted by place.
        columns: Which columns there are.
        designs: [T, P] by place.
        nodes: Which nodes are at each place, in order.
        units: [T, J] units sold, of the days and shelves that were seen.
        expected: [T, J] what their series' usual levels, prices and promotions lead to expect of the same.
    """

    group: GroupCodes
    store: GroupCodes
    columns: CalendarColumns
    designs: Sequence[Design]
    nodes: Sequence[slice]
    units: Floats
    expected: Floats

    @cached_property
    def pair(self) -> GroupCodes:
        """[J] number of each node's group in its store, in order of the nodes where each is one node."""
        _, first, place = np.unique(
            self.store * (int(self.group.max(initial=0)) + 1) + self.group, return_index=True, return_inverse=True
        )
        order = np.empty(len(first), dtype=np.intp)
        order[np.argsort(first)] = np.arange(len(first))
        return order[place]

    def take(self, chosen: GroupCodes) -> "NodeDays":
        """Return the nodes at the given places, in order."""
        edges = [np.searchsorted(chosen, [nodes.start, nodes.stop]) for nodes in self.nodes]
        kept = [at for at, (start, stop) in enumerate(edges) if stop > start]
        return replace(
            self,
            group=np.unique(self.group[chosen], return_inverse=True)[1],
            store=np.unique(self.store[chosen], return_inverse=True)[1],
            designs=[self.designs[at] for at in kept],
            nodes=[slice(*edges[at].tolist()) for at in kept],
            units=self.units[:, chosen],
            expected=self.expected[:, chosen],
        )


@dataclass(frozen=True)
class CalendarEffects:
    """Effects that were found, as logarithms of factors.

    Attributes:
        by_layer: [p, U] by layer; layers that would say the same as another are left out.
        columns: [p] which columns these are, by layer.
        deviations: Standard deviation by layer and kind that the effects were drawn by.
    """

    by_layer: dict[str, Floats]
    columns: dict[str, Rows]
    deviations: dict[str, dict[str, float]]


def fit_calendar_effects(sums: NodeDays, before: "CalendarFit | None" = None) -> "CalendarFit":
    """Estimate all effects of the calendar together.

    Args:
        sums: Of J nodes.
        before: A fit of the same nodes with other prices or promotions, whose variances stay.
    """
    if before is None:
        few = _some_stores(sums)
        before = CalendarFit(sums.take(few))
        before.run(_ROUNDS)
        if len(few) == sums.units.shape[1]:
            return before
    fit = CalendarFit(sums, before)
    fit.run(_ROUNDS_MORE)
    return fit


def _some_stores(sums: NodeDays) -> GroupCodes:
    """Nodes of so many stores, evenly spread, as variances are learned from."""
    stores = int(sums.store.max(initial=0)) + 1
    step = -(-sums.units.shape[1] // _LEARNED_NODES)
    return np.flatnonzero(np.isin(sums.store, np.arange(0, stores, step)))


def _layers(sums: NodeDays) -> list[Layer]:
    """Return the layers that differ from one another, of effects and of noise."""
    units = {
        ALL: (np.zeros_like(sums.group), _COMMON),
        GROUP: (sums.group, _COMMON),
        STORE: (sums.store, _OWN),
        NODE: (sums.pair, _OWN),
    }
    has_groups, has_stores = sums.group.max(initial=0) > 0, sums.store.max(initial=0) > 0
    kept = {ALL: True, GROUP: has_groups, STORE: has_stores, NODE: has_groups and has_stores}
    kind = sums.columns.kind
    columns = {
        name: np.flatnonzero(np.isin(kind, _OF_NODES)) if name == NODE else np.arange(len(kind)) for name in units
    }
    effects = [
        Layer(name, unit, columns[name], kind[columns[name]], dict(deviation))
        for name, (unit, deviation) in units.items()
        if kept[name]
    ]
    nothing, day = np.arange(0), np.array([NOISE])
    noise = [
        Layer(name, units[name][0], nothing, day, {NOISE: _SHARED_ON_A_DAY})
        for name in (ALL, GROUP, STORE)
        # What all nodes of a layer share is only told from what is a node's own where there are several.
        if kept[name] and len(sums.group) > int(units[name][0].max(initial=0)) + 1
    ]
    return [*effects, *noise]


@dataclass(frozen=True)
class _Noise:
    """Variance of a node's sum over its mean: ``by_mean`` / mean + ``own``, relative to the square of the mean."""

    by_mean: float
    own: float

    def variance(self, mean: Floats) -> Floats:
        return np.asarray(np.divide(self.by_mean, mean, out=np.ones_like(mean), where=mean > 0) + self.own)

    @classmethod
    def of(cls, rest: Floats, mean: Floats, decided: float, before: "_Noise | None") -> "_Noise":
        """Read off squared relative deviations, weighted by how sure each is; effects that were fitted count off."""
        seen = mean > 0
        if not seen.any():
            return cls(1.0, _LEAST_OWN_VARIANCE)
        share = 1.0 / mean[seen]
        sure = 1.0 / (before.variance(mean[seen]) if before else share) ** 2
        squares = rest[seen] ** 2 / max(1.0 - decided / max(seen.sum(), 1), 0.1)
        moments = [float((sure * part).sum()) for part in (share**2, share, np.ones_like(share))]
        wanted = [float((sure * squares * part).sum()) for part in (share, np.ones_like(share))]
        return cls(*_two_shares(moments, wanted))


def _two_shares(moments: Sequence[float], wanted: Sequence[float]) -> tuple[float, float]:
    """Least squares of two shares, neither of them negative."""
    (first, both, second), (a, b) = moments, wanted
    scale = first * second - both**2
    by_mean, own = (a * second - b * both) / scale if scale > 1e-9 * first * second else -1.0, 0.0
    if by_mean >= 0.0:
        own = (b - both * by_mean) / second
    if by_mean < 0.0:
        by_mean, own = 0.0, b / second
    elif own < 0.0:
        by_mean, own = a / first, 0.0
    return by_mean, max(own, _LEAST_OWN_VARIANCE)


class CalendarFit:
    """Trend, effects, variances and noise in turn."""

    def __init__(self, sums: NodeDays, before: "CalendarFit | None" = None) -> None:
        """Begin at nothing, or where a fit of some or all of the nodes ended."""
        self.sums, self.layers, self.learns = sums, _layers(sums), before is None
        self.noise: _Noise | None = None if before is None else before.noise
        self.model = MixedModel(sums.designs, sums.nodes, self.layers)
        self.estimate = Estimate.start(self.model)
        if before is not None:
            self.estimate.go_on(self.model, before.estimate, before.model)
        self.effects_sum = self._effects_sum()

    def run(self, rounds: int) -> None:
        """Go on for so many rounds."""
        for number in range(rounds):
            is_first, is_last = number == 0 and self.learns, number == rounds - 1
            self._round(_LARGEST_DEVIATION if is_first else _CLIP, TOLERANCE if is_last else _ROUGH)

    def _round(self, clip: float, tolerance: float) -> None:
        mean = self._mean()
        rest = np.divide(self.sums.units - mean, mean, out=np.zeros_like(mean), where=mean > 0)
        if self.noise is None:
            self.noise = _Noise.of(np.clip(rest, -1.0, 1.0), mean, 0.0, None)
        limit = np.maximum(clip, _CLIP_DEVIATIONS * np.sqrt(self.noise.variance(mean)))
        target = self.effects_sum + np.clip(rest, -limit, limit)
        weight = np.where(mean > 0, 1.0 / self.noise.variance(mean), 0.0)
        self.estimate.solve(self.model, target, weight, tolerance)
        if self.learns:
            left = target - self.model.predicted(self.estimate.effects(self.model), noise=True)
            self.noise = _Noise.of(left, mean, self.estimate.learn(self.model, weight), self.noise)
        self.effects_sum = self._effects_sum()

    def _effects_sum(self) -> Floats:
        found = self.model.predicted(self.estimate.effects(self.model), noise=False)
        return np.clip(found, -_LARGEST_EFFECT, _LARGEST_EFFECT)

    def _mean(self) -> Floats:
        """[T, J] units that trend and effects lead to expect."""
        from scipy.ndimage import gaussian_filter1d

        known = self.sums.expected * np.exp(self.effects_sum)
        whole = ratio(self.sums.units.sum(axis=0), known.sum(axis=0))
        usual = _TREND_PRIOR * known.mean(axis=0)
        units, seen = (
            gaussian_filter1d(values, TREND_DAYS, axis=0, mode="constant") for values in (self.sums.units, known)
        )
        return np.asarray(known * ratio(units + usual * whole, seen + usual))

    def effects(self) -> CalendarEffects:
        """Return what was found so far."""
        found = self.estimate.effects(self.model)
        kept = [(at, layer) for at, layer in enumerate(self.layers) if not layer.is_noise]
        return CalendarEffects(
            {layer.name: found[at] for at, layer in kept},
            {layer.name: layer.columns for _, layer in kept},
            {
                f"{layer.name}{' by day' if layer.is_noise else ''}": {k: v**0.5 for k, v in variance.items()}
                for layer, variance in zip(self.layers, self.estimate.variances, strict=True)
            },
        )

"""The mixed model: effects of columns by layer of a crossed hierarchy, beside noise that nodes share on a day.

What belongs here: solving it for given variances, and learning those. What does not: what columns or layers mean,
trends, or weights.

A node's deviation on a day is the sum of the columns' effects over its layers (all, its group, its store, its own), of
what all, all in its store and all in its group had in common on that day, and of what is left. Every effect is drawn
towards 0 by the variance of its kind in its layer; so is every common deviation of a day. Because the latter are
estimated beside the effects, a day that was seen in many nodes is many observations of their differences, and one of
what they share (Gelman & Hill 2006, doi:10.1017/CBO9780511790942, chapters 12 and 13).

The normal equations are solved by conjugate gradients on effects in units of their deviations; no matrix of them is
ever laid out. Sums are in a fixed order and no product is left to a BLAS, so that the same data give the same bytes on
any number of threads. Variances follow by MacKay's rule (1992, doi:10.1162/neco.1992.4.3.415): the sum of squares over
the number of effects that the data decide, which a seeded probe tells (Hutchinson 1990, doi:10.1080/03610919008812866).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Floats, GroupCodes, Names, Rows
from forecast_assets.hierarchy import Sparse, summing_of
from forecast_assets.models.calendar.columns import Design

# What is left of the size of the right-hand side where solving ends, for effects and for a probe, which is chance
# anyway; and after how many steps it ends in any case.
TOLERANCE: Final = 1e-4
_PROBE_TOLERANCE: Final = 0.03
_MOST_STEPS: Final = 200
# Effects that the variance expected beforehand counts for: a layer with one unit says little of how units differ.
_PRIOR_EFFECTS: Final = 8.0
_LEAST_VARIANCE: Final = 1e-8
_LARGEST_VARIANCE: Final = 1.0
_TINY: Final = 1e-30
# The kind of what is shared on a day, which is no column.
NOISE: Final = "day"


@dataclass(frozen=True)
class Layer:
    """Units that effects differ between, or that share what happens to them on a day.

    Attributes:
        name: Of the layer.
        unit: [J] unit of each node.
        columns: [p] which columns have effects here, in the order of the design; empty for noise by day.
        kind: [p] kind of each of them; one, `NOISE`, for noise.
        deviation: Expected beforehand by kind: standard deviation of the effects.
    """

    name: str
    unit: GroupCodes
    columns: Rows
    kind: Names
    deviation: dict[str, float]

    @property
    def is_noise(self) -> bool:
        """Whether it is of what units share on a day."""
        return NOISE in self.deviation

    @property
    def key(self) -> tuple[str, bool]:
        """What tells it from other layers."""
        return self.name, self.is_noise

    @cached_property
    def units(self) -> int:
        """Number of units."""
        return int(self.unit.max(initial=-1)) + 1

    def starting(self) -> dict[str, float]:
        """Variance of each kind that is expected beforehand."""
        return {kind: self.deviation[kind] ** 2 for kind in dict.fromkeys(self.kind.tolist())}


Variances = list[dict[str, float]]


@dataclass(frozen=True)
class _Members:
    """Which of the u units that a place has each of its K nodes belongs to.

    Attributes:
        units: Which of all units these are.
        unit: [K] from 0 to u - 1.
    """

    units: Rows | slice
    unit: Rows

    @classmethod
    def of(cls, unit: GroupCodes) -> "_Members":
        units, place = np.unique(unit, return_inverse=True)
        is_range = len(units) == units[-1] - units[0] + 1
        return cls(slice(int(units[0]), int(units[-1]) + 1) if is_range else units, place)

    @cached_property
    def _is_each_its_own(self) -> bool:
        return np.array_equal(self.unit, np.arange(len(self.unit)))

    @cached_property
    def _starts(self) -> Rows | None:
        """First node of each unit, where the nodes of each follow one another."""
        steps = np.diff(self.unit)
        return np.flatnonzero(np.r_[1, steps]) if (steps >= 0).all() else None

    @cached_property
    def _summing(self) -> Sparse:
        return summing_of(self.unit)

    def summed(self, values: Floats) -> Floats:
        """Sum [T, K] values over the nodes of each unit: [T, u]."""
        if self._is_each_its_own:
            return values
        if self._starts is not None:
            return np.asarray(np.add.reduceat(values, self._starts, axis=1))
        return np.asarray((self._summing @ np.ascontiguousarray(values.T)).T)

    def add_spread(self, values: Floats, out: Floats) -> None:
        """Add to each of the [T, K] the [T, u] values of its unit."""
        out += values if self._is_each_its_own or values.shape[1] == 1 else np.take(values, self.unit, axis=1)


@dataclass(frozen=True)
class _LayerAtPlace:
    """What a layer does at a place: the design of its columns and its transpose; None of noise."""

    at: int
    design: Design | None
    transposed: Design | None

    def daily(self, effects: Floats) -> Floats:
        """[T, u] what [p, u] effects, or [T, u] noise, do by day."""
        return effects if self.design is None else np.asarray(self.design @ effects)

    def gathered(self, values: Floats) -> Floats:
        """Transpose of `daily`."""
        return values if self.transposed is None else np.asarray(self.transposed @ np.ascontiguousarray(values))


@dataclass(frozen=True)
class MixedModel:
    """What observations are to be explained by.

    Attributes:
        designs: [T, P] by place.
        nodes: Which nodes are at each place, one slice for each design, all J of them in order.
        layers: Of effects and of noise; those of one name have the same units.
    """

    designs: Sequence[Design]
    nodes: Sequence[slice]
    layers: Sequence[Layer]

    @cached_property
    def shape(self) -> tuple[int, int]:
        """T and J."""
        return self.designs[0].shape[0], self.nodes[-1].stop

    @cached_property
    def _shapes(self) -> list[tuple[int, int]]:
        return [(self.shape[0] if layer.is_noise else len(layer.columns), layer.units) for layer in self.layers]

    @cached_property
    def _places(self) -> list[tuple[slice, list[tuple[_Members, list[_LayerAtPlace]]]]]:
        """Nodes of each place, and what its units do there: units that several layers have are gone through once."""
        out = []
        for design, nodes in zip(self.designs, self.nodes, strict=True):
            by_name: dict[str, tuple[_Members, list[_LayerAtPlace]]] = {}
            for at, layer in enumerate(self.layers):
                own = None if layer.is_noise else design[:, layer.columns]
                here = _LayerAtPlace(at, own, None if own is None else own.T.tocsr())
                by_name.setdefault(layer.name, (_Members.of(layer.unit[nodes]), []))[1].append(here)
            out.append((nodes, list(by_name.values())))
        return out

    @cached_property
    def size(self) -> int:
        """Number of effects, noise included."""
        return sum(rows * units for rows, units in self._shapes)

    def parts(self, flat: Floats) -> list[Floats]:
        """Views of a flat vector: [p, U] by layer, [T, U] for noise."""
        out, start = [], 0
        for rows, units in self._shapes:
            out.append(flat[start : start + rows * units].reshape(rows, units))
            start += rows * units
        return out

    def predicted(self, effects: Sequence[Floats], *, noise: bool) -> Floats:
        """[T, J] Sum of the effects of each node on each day, with or without what is shared on a day.

        Args:
            effects: By layer, as `parts` returns them.
            noise: Whether that counts.
        """
        out = np.zeros(self.shape)
        for nodes, layers in self._places:
            for members, parts in layers:
                daily = [
                    part.daily(effects[part.at][:, members.units]) for part in parts if noise or part.design is not None
                ]
                if daily:
                    members.add_spread(sum(daily[1:], daily[0]), out[:, nodes])
        return out

    def gathered(self, values: Floats) -> list[Floats]:
        """Transpose of `predicted`: what [T, J] values say of each effect.

        As columns are 0 or 1, weights make the weight of the observations of each.
        """
        out = [np.zeros(shape) for shape in self._shapes]
        for nodes, layers in self._places:
            for members, parts in layers:
                sums = members.summed(values[:, nodes])
                for part in parts:
                    out[part.at][:, members.units] += part.gathered(sums)
        return out


@dataclass
class Estimate:
    """Where solving stands; each call goes on from there.

    Attributes:
        variances: By layer and kind.
        scaled: [size] effects in units of their deviations.
        signs: [size] probe, of 1 and -1; the same in every round, so that variances settle.
        probe: [size] what solving makes of it.
    """

    variances: Variances
    scaled: Floats
    signs: Floats = field(repr=False)
    probe: Floats = field(repr=False)

    @classmethod
    def start(cls, model: MixedModel, *, seed: int = 0) -> "Estimate":
        """Begin at nothing, with the variances that are expected beforehand."""
        found = [layer.starting() for layer in model.layers]
        signs = np.where(np.random.default_rng(seed).integers(0, 2, model.size) == 0, -1.0, 1.0)
        return cls(found, np.zeros(model.size), signs, np.zeros(model.size))

    def go_on(self, model: MixedModel, other: "Estimate", other_model: MixedModel) -> None:
        """Take over what was learned from some of the units: variances, and effects of layers with the same units."""
        learned = {layer.key: at for at, layer in enumerate(other_model.layers)}
        theirs = other_model.parts(other.scaled)
        for at, (layer, values) in enumerate(zip(model.layers, model.parts(self.scaled), strict=True)):
            found = learned.get(layer.key)
            if found is not None:
                self.variances[at] = dict(other.variances[found])
                if theirs[found].shape == values.shape:
                    values[:] = theirs[found]

    def effects(self, model: MixedModel) -> list[Floats]:
        """Effects by layer, [p, U] and [T, U] for noise."""
        return model.parts(self.scaled * self.deviations(model))

    def deviations(self, model: MixedModel) -> Floats:
        """[size] Standard deviation of each effect."""
        out = np.empty(model.size)
        for layer, variance, values in zip(model.layers, self.variances, model.parts(out), strict=True):
            if layer.is_noise:
                values[:] = variance[NOISE] ** 0.5
            else:
                values[:] = np.array([variance[str(kind)] ** 0.5 for kind in layer.kind])[:, None]
        return out

    def solve(self, model: MixedModel, target: Floats, weight: Floats, tolerance: float = TOLERANCE) -> None:
        """Find the effects that explain deviations best, given the variances.

        Args:
            model: What they are explained by.
            target: [T, J] deviations.
            weight: [T, J] precision of each; 0 where nothing was observed.
            tolerance: What may be left, as a share of what there was.
        """
        deviations = self.deviations(model)
        system = _System(model, weight, deviations)
        self.scaled = system.solve(system.scaled(weight * target), self.scaled, tolerance)
        effects = model.parts(self.scaled * deviations)
        _balance(model, effects, self.variances)
        self.scaled = np.concatenate([part.reshape(-1) for part in effects]) / deviations

    def learn(self, model: MixedModel, weight: Floats) -> float:
        """Learn the variances from the effects that were found last; returns how many effects the data decide."""
        before = self.deviations(model)
        self.probe = _System(model, weight, before).solve(self.signs, self.probe, _PROBE_TOLERANCE)
        decided = 0.0
        squares = (self.scaled**2, self.signs * self.probe)
        for at, (layer, *values) in enumerate(zip(model.layers, *map(model.parts, squares), strict=True)):
            start, found = layer.starting(), self.variances[at]
            for kind, rows in _rows_of(layer):
                size, unsure = (float(part[rows].sum()) for part in values)
                count = float(values[0][rows].size)
                known = min(max(count - unsure, 0.0), count)
                decided += known
                learned = (_PRIOR_EFFECTS * start[kind] + found[kind] * size) / (_PRIOR_EFFECTS + known)
                found[kind] = min(max(learned, _LEAST_VARIANCE), _LARGEST_VARIANCE)
        self.scaled = self.scaled * before / self.deviations(model)
        return decided


def _balance(model: MixedModel, effects: Sequence[Floats], variances: Variances) -> None:
    """Move what units of a layer have in common up to the layer that holds them, as far as variances make likely.

    Observations tell the sum of an effect over the layers and hardly how it is shared out, so that conjugate gradients
    are slow to find out; for a layer and the one above it the best share is known exactly.

    Args:
        model: Whose layers these are.
        effects: By layer; changed in place, with the same sums for every node.
        variances: By layer and kind.
    """
    kept = [at for at, layer in enumerate(model.layers) if not layer.is_noise]
    for lower, upper in ((lower, upper) for lower in reversed(kept) for upper in reversed(kept) if upper < lower):
        parent = _parents(model.layers[lower], model.layers[upper])
        if parent is None:
            continue
        rows = np.searchsorted(model.layers[upper].columns, model.layers[lower].columns)
        below, above = (
            np.array([variances[at][str(kind)] for kind in model.layers[lower].kind])[:, None] for at in (lower, upper)
        )
        whole = effects[upper][rows][:, parent] + effects[lower]
        count = np.bincount(parent, minlength=model.layers[upper].units)
        sums = np.stack([np.bincount(parent, weights=row, minlength=len(count)) for row in whole])
        effects[upper][rows] = sums / (below / above + count)
        effects[lower][:] = whole - effects[upper][rows][:, parent]


def _parents(lower: Layer, upper: Layer) -> Rows | None:
    """[U] unit of the upper layer that holds each of the lower one; None where any is in several."""
    parent = np.zeros(lower.units, dtype=np.intp)
    parent[lower.unit] = upper.unit
    return parent if np.array_equal(parent[lower.unit], upper.unit) else None


def _rows_of(layer: Layer) -> Iterator[tuple[str, Any]]:
    """Yield each kind of a layer with its rows."""
    for kind in layer.starting():
        yield kind, slice(None) if layer.is_noise else np.flatnonzero(layer.kind == kind)


@dataclass(frozen=True)
class _System:
    """Normal equations of effects in units of their [size] deviations: (I + D X' W X D) x = b."""

    model: MixedModel
    weight: Floats
    deviations: Floats

    def scaled(self, values: Floats) -> Floats:
        """[size] what [T, J] weighted deviations say of each scaled effect."""
        gathered = np.concatenate([part.reshape(-1) for part in self.model.gathered(values)])
        return np.asarray(self.deviations * gathered)

    def times(self, vector: Floats) -> Floats:
        """Left-hand side."""
        effects = self.model.parts(self.deviations * vector)
        explained = self.weight * self.model.predicted(effects, noise=True)
        return np.asarray(vector + self.scaled(explained))

    @cached_property
    def diagonal(self) -> Floats:
        """[size] of the left-hand side: columns are 0 or 1."""
        information = np.concatenate([part.reshape(-1) for part in self.model.gathered(self.weight)])
        return np.asarray(1.0 + self.deviations**2 * information)

    def solve(self, wanted: Floats, start: Floats, tolerance: float) -> Floats:
        """Conjugate gradients with the diagonal as preconditioner, from a first guess."""
        found = np.array(start)
        rest = wanted - self.times(found)
        goal = tolerance**2 * _dot(wanted, wanted / self.diagonal)
        direction = rest / self.diagonal
        height = _dot(rest, direction)
        for _ in range(_MOST_STEPS):
            if height <= goal:
                break
            ahead = self.times(direction)
            step = height / max(_dot(direction, ahead), _TINY)
            found += step * direction
            rest -= step * ahead
            steep = rest / self.diagonal
            before, height = height, _dot(rest, steep)
            direction = steep + height / before * direction
        return np.asarray(found)


def _dot(left: Floats, right: Floats) -> float:
    """Sum of products in a fixed order, which a threaded BLAS does not promise."""
    return float((left * right).sum())

"""Logistic regression on inputs: what trees start from.

What belongs here: fitting it beside known log odds, and what each input adds by it. What does not: trees, or inputs.

Most inputs move the odds little and evenly, which takes a tree many splits of few rows each, and a line one number.
Inputs count by how far they are from their mean, in standard deviations, at most four. Sums are made here along an
axis, and equations solved by elimination: the same bytes for any number of threads, which a BLAS does not promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Bools, Floats, InputMatrix

_FURTHEST: Final = 4.0
_SMALLEST_DEVIATION: Final = 1e-6
# Strength with which weights are drawn towards nothing: of so many rows whose outcome is even.
_RIDGE_ROWS: Final = 400.0
_EVEN: Final = 0.25
# Newton's method is at the sixth digit by then.
_STEPS: Final = 4
# Rows that a line is fitted to, evenly spread; it has few numbers to learn.
_MOST_ROWS: Final = 40_000


@dataclass(frozen=True)
class LinearOdds:
    """A line for the log odds.

    Attributes:
        mean: [f] of each input.
        deviation: [f] standard deviation of each, more than 0.
        weights: [f] log odds by standard deviation.
        start: Log odds where all inputs are at their means.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]
    start: float

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "LinearOdds":
        """Read the JSON form back."""
        lists = {name: tuple(data[name]) for name in ("mean", "deviation", "weights")}
        return cls(**lists, start=data["start"])

    def odds(self, inputs: InputMatrix, parts: Sequence[Bools]) -> Floats:
        """Return what some inputs add to the log odds, besides where they start.

        Args:
            inputs: [k, f].
            parts: p times [f], which inputs are asked for.

        Returns:
            [p, k].
        """
        standardised = _standardised(inputs, np.array(self.mean), np.array(self.deviation))
        weights = [np.where(chosen, np.array(self.weights), 0.0) for chosen in parts]
        return np.stack([np.einsum("kf,f->k", standardised, each) for each in weights])


def fit_linear(inputs: InputMatrix, shared: Floats, outcome: Floats) -> LinearOdds:
    """Fit a line by penalised logistic regression.

    Args:
        inputs: [k, f], without NaN.
        shared: [k] log odds that are known already.
        outcome: [k] 1 or 0.
    """
    every = max(-(-len(inputs) // _MOST_ROWS), 1)
    inputs, shared, outcome = inputs[::every], shared[::every], outcome[::every]
    mean = inputs.mean(axis=0, dtype=np.float64)
    deviation = np.maximum(inputs.std(axis=0, dtype=np.float64), _SMALLEST_DEVIATION)
    columns = np.concatenate([_standardised(inputs, mean, deviation), np.ones((len(inputs), 1))], axis=1)
    weights, ridge = np.zeros(columns.shape[1]), _RIDGE_ROWS * _EVEN
    for _ in range(_STEPS):
        # Without ``optimize`` these are plain loops, and no calls of a BLAS.
        said = 1.0 / (1.0 + np.exp(-(shared + np.einsum("kf,f->k", columns, weights))))
        slope = np.einsum("kf,k->f", columns, outcome - said) - ridge * weights
        steepness = columns * (said * (1.0 - said))[:, None]
        curve = np.einsum("ki,kj->ij", steepness, columns) + ridge * np.eye(len(weights))
        weights = weights + solved(curve, slope)
    return LinearOdds(tuple(mean.tolist()), tuple(deviation.tolist()), tuple(weights[:-1].tolist()), float(weights[-1]))


def solved(matrix: Floats, right: Floats) -> Floats:
    """Solve equations of a positive definite matrix by elimination.

    Args:
        matrix: [f, f].
        right: [f].

    Example:
        >>> solved(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([3.0, 4.0])).round(6).tolist()
        [1.0, 1.0]
    """
    left = np.concatenate([matrix, right[:, None]], axis=1)
    for at in range(len(matrix)):
        left[at] /= left[at, at]
        others = np.arange(len(matrix)) != at
        left[others] -= left[others, at][:, None] * left[at]
    return left[:, -1].copy()


def _standardised(inputs: InputMatrix, mean: Floats, deviation: Floats) -> Floats:
    centred = inputs - mean
    centred /= deviation
    return np.asarray(np.clip(centred, -_FURTHEST, _FURTHEST, out=centred))

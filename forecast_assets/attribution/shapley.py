"""Shapley values of whole numbers: what each cause adds, averaged over every order in which causes could come.

What belongs here: values of coalitions to shares that add up. What does not: how a coalition's value comes about.

With g causes there are 2 ** g coalitions: number c holds cause i where bit i of c is set. Cause i gets

    sum over S without i of |S|! (g - 1 - |S|)! / g! (v(S and i) - v(S)),

computed as whole numbers over g!, so that nothing is rounded before the last step (`rounding`).
(Shapley, A value for n-person games, 1953, doi:10.1515/9781400881970-018.)
"""

from collections.abc import Sequence
from math import factorial
from typing import Final

import numpy as np

from forecast_assets.attribution.rounding import rounded_shares
from forecast_assets.core.arrays import Ints

# Sixty-four coalitions.
MOST_CAUSES: Final = 6
_FITS: Final = 2**62


def shapley(names: Sequence[str], values: Ints) -> Ints:
    """Share v(all) - v(none) out among causes.

    Args:
        names: Of g causes, distinct; they decide who gets a last unit that several have the same claim to, so that the
            order of causes decides nothing.
        values: [2 ** g, ...] value of each coalition; bit i of its number stands for cause i.

    Returns:
        [g, ...] in the order of ``names``; adding up to the last value less the first, exactly, each within one of its
        exact share, and the negative of what the values of the complements give.

    Raises:
        ValueError: If there are more causes than `MOST_CAUSES`, two of one name, or not one value per coalition.

    Example:
        >>> shapley(["plans", "sales"], np.array([120, 102, 113, 95])).tolist()
        [-18, -7]
    """
    count = len(names)
    if count > MOST_CAUSES or len(set(names)) < count or len(values) != 2**count:
        raise ValueError(f"{len(values)} values are not those of all coalitions of {list(names)}.")
    if not count:
        return np.zeros((0, *values.shape[1:]), dtype=np.int64)
    gains = values - values[:1]
    whole = factorial(count)
    # Whole numbers of any size where 64 bits do not hold them.
    largest = int(max(gains.max(initial=0), -gains.min(initial=0)))
    kind = np.int64 if 2 * whole * largest < _FITS else object
    shares = np.stack([np.tensordot(weights.astype(kind), gains.astype(kind), axes=1) for weights in _weights(count)])
    return rounded_shares(shares, whole, names)


def _weights(count: int) -> Ints:
    """[g, 2 ** g] what each coalition's value counts for each cause, in parts of g!."""
    coalitions = np.arange(2**count)
    size = np.array([int(each).bit_count() for each in coalitions])
    of_size = [factorial(s) * factorial(count - 1 - s) for s in range(count)]
    joined = np.array([0, *of_size])[size]
    missing = np.array([*of_size, 0])[size]
    return np.array([np.where(coalitions >> cause & 1, joined, -missing) for cause in range(count)], dtype=np.int64)

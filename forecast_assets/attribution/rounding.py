"""Rounding shares of a whole so that they still add up to it.

What belongs here: the method of largest remainders on exact fractions. What does not: where the shares are from.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Ints


def rounded_shares(shares: npt.NDArray[Any], parts: int, names: Sequence[str]) -> Ints:
    """Round fractions to whole numbers that add up to the same.

    Each is rounded down, and those with the largest remainders get the units that are then missing; among equal
    remainders the first by name. A column whose sum is negative, or nothing and its first share by name negative, is
    rounded as its negative, so that the shares of the opposite difference are the opposite ones.

    Args:
        shares: [g, ...] numerators, whole numbers; each column adds up to a multiple of ``parts``.
        parts: Denominator.
        names: [g] names, distinct.

    Returns:
        [g, ...] each within one of its fraction; columns add up as the fractions do.

    Example:
        >>> rounded_shares(np.array([[1], [1], [1]]), 3, ["a", "b", "c"]).ravel().tolist()
        [1, 0, 0]
        >>> rounded_shares(np.array([[5], [-2]]), 3, ["a", "b"]).ravel().tolist()
        [2, -1]
    """
    by_name = np.argsort(np.array(names, dtype=np.str_), kind="stable")
    ordered = shares[by_name]
    sign = _sign(ordered)
    ordered = ordered * sign
    whole, remainder = ordered // parts, ordered % parts
    missing = remainder.sum(axis=0) // parts
    rank = np.argsort(np.argsort(-remainder, axis=0, kind="stable"), axis=0, kind="stable")
    out = np.empty(shares.shape, dtype=np.int64)
    out[by_name] = ((whole + (rank < missing)) * sign).astype(np.int64)
    return out


def _sign(ordered: npt.NDArray[Any]) -> Ints:
    """[...] the sign of each column's sum, else of its first share that is not zero; 1 where all are zero."""
    sign = _of(ordered.sum(axis=0))
    for share in ordered:
        sign = np.where(sign == 0, _of(share), sign)
    return np.where(sign == 0, 1, sign)


def _of(values: Any) -> Ints:
    return np.asarray(np.greater(values, 0), dtype=np.int64) - np.asarray(np.less(values, 0), dtype=np.int64)

"""Rows by their key columns: as whole numbers, and whether a key comes twice.

What belongs here: numbering and comparing keys of millions of rows in little time and memory, and pairs of numbers.
What does not: what the columns mean, or what follows when a key comes twice.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Codes, GroupCodes

_LARGEST_NUMBER: Final = 2**62
_FIRST_ROWS: Final = 1000


def number_keys(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """Return [rows] the number of each row's key, from 0 without holes; which key has which number means nothing.

    Args:
        frame: At least one row.
        names: Columns of strings, dates, times, integers or booleans; null is a value like others.

    Example:
        >>> number_keys(pl.DataFrame({"a": ["x", "y", "x"], "b": [1, 1, 1]}), ["a", "b"]).n_unique()
        2
    """
    return _without_holes(_packed(frame, names))


def number_pairs(one: Codes | GroupCodes, other: Codes | GroupCodes) -> GroupCodes:
    """Return [n] the number of each pair of numbers: those that occur, from 0, by the first and then the second.

    Args:
        one: [n] numbers from 0.
        other: [n] numbers from 0.

    Example:
        >>> number_pairs(np.array([1, 0, 1, 1]), np.array([2, 7, 0, 2])).tolist()
        [2, 0, 1, 2]
    """
    pair = one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other
    return np.asarray(np.unique(pair, return_inverse=True)[1], dtype=np.intp)


def has_repeated_keys(frame: pl.DataFrame, names: Sequence[str]) -> bool:
    """Return whether two rows share a key.

    Rows that are sorted by the key, or by its `event_date` first, cost one pass; others are numbered and counted.

    Args:
        frame: Any number of rows.
        names: Columns of strings, dates, times, integers or booleans; null is a value like others.

    Example:
        >>> has_repeated_keys(pl.DataFrame({"a": [2, 1, 2]}), ["a"])
        True
    """
    if frame.height <= 1:
        return False
    by_day = sorted(names, key=lambda name: name != "event_date")
    if any(_rises(frame, order) for order in {tuple(names), tuple(by_day)}):
        return False
    return _packed(frame, names).n_unique() < frame.height


def _rises(frame: pl.DataFrame, names: Sequence[str]) -> bool:
    """Return whether each row is above the one before it, the first column deciding first."""
    if frame.height > _FIRST_ROWS and not _rises(frame.head(_FIRST_ROWS), names):
        return False
    before, after = frame.select(names).head(frame.height - 1), frame.select(names).tail(frame.height - 1)
    rises = pl.repeat(value=False, n=after.height, dtype=pl.Boolean, eager=True)
    for name in reversed(names):
        # Most columns of a key are the same in neighbouring rows or rise with the one before: both are quick to see.
        rises = (after[name] > before[name]) | ((after[name] == before[name]) & rises)
    return bool(rises.fill_null(value=False).all())


def _packed(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """Return [rows] unsigned numbers, equal where the keys are equal and only there."""
    number, numbers = pl.zeros(frame.height, dtype=pl.UInt64, eager=True), 1
    for name in names:
        part = _as_number(frame[name])
        width = int(part.max()) + 1  # type: ignore[arg-type]
        if numbers * width > _LARGEST_NUMBER:
            number, numbers = _without_holes(number), frame.height
        if numbers * width > _LARGEST_NUMBER:
            part, width = _without_holes(part), frame.height
        number, numbers = number * width + part, numbers * width
    return number


def _as_number(column: pl.Series) -> pl.Series:
    physical = column.cast(pl.Categorical).to_physical() if column.dtype == pl.String else column.to_physical()
    signed = physical.cast(pl.Int64)
    above = (signed - signed.min()).fill_null(-1)
    if column.dtype.is_temporal():
        # Times in microseconds are mostly whole days or hours: counted in those, they take up far fewer numbers.
        step = max(int(np.gcd.reduce(above.replace(-1, 0).to_numpy())), 1)
        above = pl.select(pl.when(above < 0).then(above).otherwise(above // step)).to_series()
    return (above + 1).cast(pl.UInt64)


def _without_holes(number: pl.Series) -> pl.Series:
    return number.rank("dense").cast(pl.UInt64) - 1

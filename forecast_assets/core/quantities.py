"""Exact quantities: units as ``DECIMAL(18, 6)``, computed as whole millionths.

What belongs here: the one place where floats become published decimals, and back.
What does not: any forecasting.

Sums of whole numbers do not depend on the order of addition, so aggregates and explanations built from millionths add
up exactly, on every machine and with every thread count. Rounding happens once, here.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from forecast_assets.core.arrays import Bools, Ints

DECIMALS: Final = 6
SCALE: Final = 10**DECIMALS
UNITS: Final = pl.Decimal(18, DECIMALS)

Millionths = Ints

_LARGEST: Final = 10**18 - 1
_NARROW: Final = np.iinfo(np.int32)


def to_millionths(values: npt.ArrayLike) -> Millionths:
    """Round floats, half to even, to whole millionths of a unit.

    Args:
        values: Units, any shape; must be finite and below 10**12 in magnitude.

    Returns:
        The same shape, int64, in millionths of a unit.

    Raises:
        ValueError: If a value is not finite or does not fit ``DECIMAL(18, 6)``; clip or drop it before publishing.

    Example:
        >>> to_millionths([1.5, 0.1234567]).tolist()
        [1500000, 123457]
    """
    scaled = np.rint(np.asarray(values, dtype=np.float64) * SCALE)
    if not np.all(np.abs(scaled) <= _LARGEST):
        raise ValueError("Quantities must be finite and below 1e12 units to be published as DECIMAL(18, 6).")
    return scaled.astype(np.int64)


def narrowed(millionths: Millionths) -> Millionths:
    """Return the same numbers in half of the room, if 32 bits hold them; whoever adds them up widens them first."""
    fits = not millionths.size or (_NARROW.min <= millionths.min() and millionths.max() <= _NARROW.max)
    return millionths.astype(np.int32) if fits else millionths


def to_units(millionths: Millionths, name: str = "", known: Bools | None = None) -> pl.Series:
    """Read whole millionths as a ``DECIMAL(18, 6)`` series of the same length, without any rounding.

    Args:
        millionths: Any shape.
        name: Of the series.
        known: Which of them are known, others are null; all if left out.

    Example:
        >>> to_units(np.array([1_500_000, -1]), "demand_units").to_list()
        [Decimal('1.500000'), Decimal('-0.000001')]
    """
    low = np.ascontiguousarray(millionths, dtype=np.int64).ravel()
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0] = low
    words[:, 1] = low >> 63
    valid = None if known is None else pa.py_buffer(np.packbits(known.ravel(), bitorder="little"))
    decimals = pa.Array.from_buffers(pa.decimal128(18, DECIMALS), len(low), [valid, pa.py_buffer(words)])
    return pl.Series(name, decimals, dtype=UNITS)


def publish(values: npt.ArrayLike, name: str = "") -> pl.Series:
    """Round floats once and return the published decimals: ``to_units(to_millionths(values))``."""
    return to_units(to_millionths(values).ravel(), name)


def known_or_zero(units: pl.Series) -> pl.Series:
    """Return a ``DECIMAL(18, 6)`` series with 0 for nulls; the same where there are none."""
    return units.fill_null(0).cast(UNITS) if units.null_count() else units


def from_units(series: pl.Series) -> Millionths:
    """Return a non-null ``DECIMAL(18, 6)`` series as whole millionths.

    Raises:
        ValueError: If the series holds nulls or another type.
    """
    if series.dtype != UNITS or series.null_count():
        raise ValueError(f"Expected DECIMAL(18, 6) without nulls, found {series.dtype} with {series.null_count()}.")
    decimals = series.rechunk().to_arrow()
    if not len(decimals):
        return np.zeros(0, dtype=np.int64)
    # 16 bytes each, of which the lower 8 hold all that fits 18 digits.
    words = np.frombuffer(decimals.buffers()[1], dtype=np.int64)
    return words[2 * decimals.offset : 2 * (decimals.offset + len(decimals)) : 2].copy()

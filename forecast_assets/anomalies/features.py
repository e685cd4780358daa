"""From rows of a table to what a detector reads: columns by name, and values that are no numbers.

What belongs here: aligning columns, the matrix of values, and what is done where one is missing or infinite. What does
not: texts (``column_types``), or scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.anomalies.detectors import LARGEST
from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.core.errors import FIRST, InputError, first_ten

IMPUTE: Final = "impute"
SKIP: Final = "skip"
ERROR: Final = "error"
ON_INVALID: Final = (IMPUTE, SKIP, ERROR)


def require_features(path: object, features: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse a table that lacks features.

    Raises:
        InputError: With what is expected, what is there, and names that differ in case or blanks alone.
    """
    missing = [name for name in features if name not in columns]
    if not missing:
        return
    plain = {_bare(name): name for name in columns}
    alike = [f"`{plain[_bare(name)]}` for `{name}`" for name in missing if _bare(name) in plain]
    remedy = f"Rename {first_ten(alike)}." if alike else "Add them to the file, or use a model without them."
    raise InputError(
        f"{path} lacks {first_ten(missing)}. Expected: {first_ten(features)}. "
        f"Found: {first_ten(columns) or 'nothing'}.",
        remedy=remedy,
        missing=missing,
        expected=features,
        found=columns,
    )


def _bare(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


@dataclass(frozen=True)
class FeatureMatrix:
    """Values as a detector reads them.

    Attributes:
        values: [n, features]; NaN where a value is missing or infinite.
        is_invalid: [n, features] where that is.
    """

    values: Floats
    is_invalid: Bools

    @property
    def is_row_invalid(self) -> Bools:
        """[n] whether a row has such a value."""
        found: Bools = np.any(self.is_invalid, axis=1)
        return found


def feature_matrix(typed: pl.DataFrame, features: Sequence[str]) -> FeatureMatrix:
    """Return the values of some columns.

    Args:
        typed: Rows with numeric columns of these names.
        features: In the order of the model.

    Example:
        >>> found = feature_matrix(pl.DataFrame({"a": [1, None], "b": [float("inf"), 2.0]}), ["b", "a"])
        >>> found.values.tolist()
        [[nan, 1.0], [2.0, nan]]
    """
    numbers = typed.select(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in features)
    values = np.ascontiguousarray(numbers.to_numpy())
    is_invalid = ~(np.abs(values) <= LARGEST)
    if is_invalid.any():
        values = np.where(is_invalid, np.nan, values)
    return FeatureMatrix(values, is_invalid)


def require_valid(path: object, matrix: FeatureMatrix, features: Sequence[str], first_row: int) -> None:
    """Refuse rows without a number where one is needed.

    Raises:
        InputError: With rows and columns.
    """
    found = np.argwhere(matrix.is_invalid)
    if len(found):
        shown = ", ".join(f"row {first_row + row:,} of `{features[column]}`" for row, column in found[:FIRST])
        raise InputError(
            f"{path} has values that are missing or infinite, {len(found):,} of those read so far: {shown}.",
            remedy="Correct them, or go on without them: --on-invalid impute takes the mean of training, "
            "--on-invalid skip leaves their rows out.",
        )

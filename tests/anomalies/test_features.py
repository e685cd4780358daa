"""Columns by name, and values that are no numbers."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.anomalies.features import feature_matrix, require_features, require_valid
from forecast_assets.core.errors import InputError


def test_missing_features_are_told_with_what_is_expected_and_found() -> None:
    with pytest.raises(InputError) as error:
        require_features("a.csv", ["rms", "crest"], ["rms", "peak"])
    assert str(error.value) == (
        "a.csv lacks crest. Expected: rms, crest. Found: rms, peak. Add them to the file, or use a model without them."
    )
    assert error.value.facts["missing"] == ["crest"]


def test_a_name_that_differs_in_case_or_blanks_is_told() -> None:
    with pytest.raises(InputError, match=r"Rename `Crest Factor` for `crest_factor`."):
        require_features("a.csv", ["crest_factor"], ["Crest Factor"])


def test_columns_are_taken_by_name_whatever_their_order_and_number() -> None:
    frame = pl.DataFrame({"x": ["a"], "b": [True], "a": [2]})
    assert feature_matrix(frame, ["a", "b"]).values.tolist() == [[2.0, 1.0]]


def test_missing_infinite_and_absurd_values_are_invalid() -> None:
    frame = pl.DataFrame({"a": [1.0, None, float("nan"), float("inf"), float("-inf"), 1e31, -1e30]})
    found = feature_matrix(frame, ["a"])
    assert found.is_row_invalid.tolist() == [False, True, True, True, True, True, False]
    assert np.isnan(found.values[found.is_invalid]).all()


def test_invalid_values_are_told_by_row_and_column() -> None:
    frame = pl.DataFrame({"a": [1.0, None], "b": [float("inf"), 2.0]})
    with pytest.raises(InputError) as error:
        require_valid("a.csv", feature_matrix(frame, ["a", "b"]), ["a", "b"], 2)
    assert "2 of those read so far: row 2 of `b`, row 3 of `a`." in str(error.value)
    assert "--on-invalid impute takes the mean of training, --on-invalid skip leaves their rows out" in str(error.value)

"""What differs between a product and its rebuilt self is found where it began, and named."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from forecast_assets.operations.differences import RebuiltProduct, difference_of_rows, difference_of_values, paired
from resources.ledger.records import ProductFile
from resources.store.manifests import ProductVersion

FILE = ProductFile("predictions/a/1.parquet", "1" * 64, 3, 100)


def made(version: str, *, inputs: Mapping[str, Any] | None = None, **other: Any) -> ProductVersion:
    first = ProductVersion(version, "a", "k", "s", (FILE,), inputs or {}, {"paths": 100}, "1.0+x", {"polars": "1"})
    return replace(first, **other)


def fields_of(rebuilt: RebuiltProduct) -> list[tuple[str, str, str]]:
    return [(each.column, each.published, each.rebuilt) for each in rebuilt.manifest]


def test_equal_manifests_of_equal_files_are_equal() -> None:
    (found,) = paired([(made("v"), made("v"))])
    assert found.is_equal


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"facts": {"paths": 50}}, ("facts.paths", "100", "50")),
        ({"facts": {"paths": 100.0}}, ("facts.paths", "100", "100.0")),
        ({"facts": {}}, ("facts.paths", "100", "-")),
        ({"facts": {"paths": 100, "more": []}}, ("facts.more", "-", "[]")),
        ({"schema": "t"}, ("schema", "s", "t")),
        ({"key": "l"}, ("key", "k", "l")),
        ({"inputs": {"b": "w"}}, ("inputs.b", "-", "w")),
        ({"files": (replace(FILE, rows=4),)}, ("files[0].rows", "3", "4")),
    ],
)
def test_a_field_of_the_manifest_that_the_same_code_wrote_otherwise_is_a_difference(
    other: dict[str, Any], field: tuple[str, str, str]
) -> None:
    (found,) = paired([(made("v"), made("w", **other))])
    assert not found.is_equal
    assert found.has_same_bytes
    assert field in fields_of(found)


def test_manifests_of_other_code_or_libraries_are_not_compared() -> None:
    for other in ({"code_version": "2.0+y"}, {"libraries": {"polars": "2"}}):
        (found,) = paired([(made("v"), made("w", facts={}, **other))])
        assert found.is_equal


def test_an_input_that_is_the_rebuilt_self_of_the_recorded_one_is_no_difference() -> None:
    # A snapshot of older code, read by a run of today's.
    upstream = (made("old", code_version="0.9+z"), made("new"))
    (_, found) = paired([upstream, (made("v", inputs={"a": "old"}), made("w", inputs={"a": "new"}))])
    assert found.is_equal
    (_, found) = paired([upstream, (made("v", inputs={"a": "old"}), made("w", inputs={"a": "third"}))])
    assert fields_of(found) == [("inputs.a", "old", "third")]


def test_other_bytes_are_no_difference_of_the_manifest() -> None:
    (found,) = paired([(made("v"), made("w", files=(replace(FILE, sha256="2" * 64),)))])
    assert not found.is_equal
    assert not found.has_same_bytes
    assert found.manifest == ()


def test_what_was_not_made_is_not_equal() -> None:
    (found,) = paired([(made("v"), None)])
    assert not found.is_equal


def test_values_of_an_artifact_are_named_by_their_path_with_the_largest_difference_first() -> None:
    found = difference_of_values("p", {"a": [1, 2], "b": {"c": "x", "d": 1}}, {"a": [1, 5], "b": {"c": "y", "e": 1}})
    assert (found.only_published, found.only_rebuilt, found.rows) == (1, 1, 2)
    assert [(each.column, each.largest) for each in found.columns] == [("a[1]", 3.0), ("b.c", None)]


def test_rows_of_one_side_only_columns_and_nulls_are_told_apart() -> None:
    published = pl.DataFrame({"k": [1, 2, 3, 4], "x": [1.0, None, 5.0, float("nan")], "t": ["a", "b", "c", "d"]})
    rebuilt = pl.DataFrame({"k": [2, 3, 4, 5], "x": [2.0, 2.5, float("nan"), 0.0], "t": ["b", "c", "D", "e"]})
    found = difference_of_rows("p", published, rebuilt, key=["k"])
    assert (found.only_published, found.only_rebuilt, found.rows) == (1, 1, 3)
    by_column = {each.column: each for each in found.columns}
    assert (by_column["x"].rows, by_column["x"].largest, by_column["x"].row) == (2, 2.5, "3")
    assert (by_column["t"].rows, by_column["t"].largest) == (1, None)
    assert (by_column["t"].published, by_column["t"].rebuilt) == ("d", "D")


def test_files_that_differ_in_no_row_are_said_to() -> None:
    frame = pl.DataFrame({"k": [1], "x": [1.0]})
    found = difference_of_rows("p", frame, frame, key=["k"])
    assert (found.rows, found.columns) == (0, ())

"""Types of a text file's columns: found, widened, and errors that name rows."""

import itertools
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from forecast_assets.anomalies.column_types import ColumnTypes
from forecast_assets.core.errors import InputError, SourceError


def cast(*texts: str | None, numbers: bool = False, is_comma: bool = False) -> pl.Series:
    types = ColumnTypes("a.csv", ("a",) if numbers else (), is_comma)
    frame = pl.DataFrame({"a": texts}, schema={"a": pl.String})
    types.learn(frame)
    return types.cast(frame, 2)["a"]


@pytest.mark.parametrize(
    ("texts", "dtype", "first"),
    [
        (("1", None, "-2"), pl.Int64, 1),
        (("1", "2.5"), pl.Float64, 1.0),
        (("1e3", "inf"), pl.Float64, 1000.0),
        (("99999999999999999999", "1"), pl.String, "99999999999999999999"),
        (("9007199254740993", "1"), pl.Int64, 9007199254740993),
        (("9007199254740993", "1.5"), pl.String, "9007199254740993"),
        (("9007199254740992", "1.5"), pl.Float64, 9007199254740992.0),
        (("none", "NA"), pl.String, "none"),
        (("true", "false"), pl.Boolean, True),
        (("2025-06-30", None), pl.Date, date(2025, 6, 30)),
        (("2025-06-30 06:00:00", None), pl.Datetime("us"), datetime(2025, 6, 30, 6)),  # noqa: DTZ001
        (("2025-06-30T06:00Z", None), pl.Datetime("us", "UTC"), datetime(2025, 6, 30, 6, tzinfo=UTC)),
        (("007", "12"), pl.String, "007"),
        (("a", "1"), pl.String, "a"),
        ((None, None), pl.String, None),
        (("", ""), pl.String, ""),
        (("2025-06-30", "2025-06-30 06:00:00"), pl.String, "2025-06-30"),
        (("1", "NA", " 3"), pl.Int64, 1),
        (("1,234.5", "2"), pl.Float64, 1234.5),
    ],
)
def test_a_column_has_the_narrowest_type_that_fits_all_texts(texts: tuple[str, ...], dtype: Any, first: Any) -> None:
    found = cast(*texts)
    assert found.dtype == dtype
    assert found[0] == first


def test_a_decimal_comma_is_read_where_it_is_said() -> None:
    assert cast("1.234,5", "2", is_comma=True).to_list() == [1234.5, 2.0]


VALUES = (
    "", None, "1", "2.5", "007", "NA", "none", "true", "2025-06-30", "2025-06-30 06:00:00", "2025-06-30T06:00Z", "x",
    "9007199254740993", "12345678901234567890",
)  # fmt: skip


def test_types_do_not_depend_on_how_much_is_learned_from_at_a_time() -> None:
    for texts in itertools.product(VALUES, repeat=3):
        frame = pl.DataFrame({"a": texts}, schema={"a": pl.String})
        whole, parted = ColumnTypes("a.csv"), ColumnTypes("a.csv")
        whole.learn(frame)
        for row in range(3):
            parted.learn(frame.slice(row, 1))
        assert parted.type_of("a") == whole.type_of("a"), texts
        assert [parted.cast(frame.slice(row, 1), 2)["a"][0] for row in range(3)] == whole.cast(frame, 2)["a"].to_list()


def test_what_no_row_can_change_is_settled() -> None:
    types = ColumnTypes("a.csv", ("number", "whole"))
    types.learn(
        pl.DataFrame({"number": ["1.5"], "whole": ["1"], "text": ["x"], "share": ["1.5"], "day": ["2025-06-30"]})
    )
    assert types.unsettled(["number", "whole", "text", "share", "day", "new"]) == ["whole", "share", "day", "new"]


def test_rows_that_were_not_learned_from_are_refused() -> None:
    types = ColumnTypes("a.csv")
    types.learn(pl.DataFrame({"a": ["1"]}))
    with pytest.raises(SourceError, match=r"a.csv was changed while it was read. Read it again when nobody writes"):
        types.cast(pl.DataFrame({"a": ["x"]}), 2)


def test_what_is_no_number_is_told_by_row_and_column_and_what_to_do() -> None:
    types = ColumnTypes("a.csv", ("a", "b"))
    texts = pl.DataFrame({"a": ["1", "x", None], "b": ["NA", "1", "1.5.2"]})
    types.learn(texts)
    with pytest.raises(InputError) as error:
        types.cast(texts, 101)
    assert "row 102 of `a` 'x', row 103 of `b` '1.5.2'" in str(error.value)
    assert "Correct these rows, or leave the column out" in str(error.value)


def test_of_many_wrong_rows_the_first_ten_are_told() -> None:
    types, texts = ColumnTypes("a.csv", ("a",)), pl.DataFrame({"a": ["x"] * 30})
    types.learn(texts)
    with pytest.raises(InputError) as error:
        types.cast(texts, 2)
    assert "row 11 of `a` 'x' and 20 more" in str(error.value)
    assert len(error.value.facts["rows"]) == 10

"""Numbers as texts: every way of writing one gives the number, and what can be two numbers is none."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.sources.text_numbers import DecimalMark, found_decimal_mark, is_doubtful, plain_numbers


def numbers(texts: list[str | None], *, is_comma: bool) -> list[float | None]:
    return plain_numbers(pl.Series(texts), is_comma=is_comma).cast(pl.Float64, strict=False).to_list()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3,5", 3.5), ("1.234,5", 1234.5), ("1.234", 1234.0), ("-1.234.567,8", -1234567.8), ("1\u00a0234,5", 1234.5),
        ("1\u202f234,5", 1234.5), ("1 234 567", 1234567.0), ("1'234,5", 1234.5), ("1\u2019234,5", 1234.5),
        ("5-", -5.0), ("1.234,50-", -1234.5), ("(2,5)", -2.5), ("\u22125", -5.0), (" 7 ", 7.0), (",5", 0.5),
        ("+3", 3.0),
        ("3.5", None), ("1,234.5", None), ("1.23", None), ("1.234,5.6", None), ("(5", None), ("5--", None),
        ("-5-", None), ("(-5)", None), ("1,2,3", None), ("12.34.567", None), ("x", None), ("", None),
    ],
)  # fmt: skip
def test_numbers_with_a_decimal_comma(text: str, number: float | None) -> None:
    assert numbers([text], is_comma=True) == [number]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.5", 3.5), ("1,234.5", 1234.5), ("1,234", 1234.0), ("1'234.5", 1234.5), ("1 234.5", 1234.5), ("1e3", 1000.0),
        ("5-", -5.0), ("(1,234.50)", -1234.5), (".5", 0.5), ("3,5", None), ("1.234,5", None), ("12,34", None),
        ("1,2345", None), ("1,234'567", None),
    ],
)  # fmt: skip
def test_numbers_with_a_decimal_point(text: str, number: float | None) -> None:
    assert numbers([text], is_comma=False) == [number]


def test_nothing_stays_nothing() -> None:
    assert numbers([None, "1"], is_comma=True) == [None, 1.0]


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=3),
    st.booleans(),
    st.sampled_from(["", "same", "\u00a0", "\u202f", "'", " "]),
    st.sampled_from(["-{}", "{}-", "({})"]),
)
def test_a_number_comes_back_from_every_way_of_writing_it(
    number: object, is_comma: bool, group: str, negative: str
) -> None:
    value = float(str(number))
    mark = {"same": "." if is_comma else ","}.get(group, group)
    whole, _, decimals = f"{abs(value):,.3f}".partition(".")
    text = whole.replace(",", mark) + ("," if is_comma else ".") + decimals
    written = negative.format(text) if value < 0 else text
    assert numbers([written], is_comma=is_comma) == [value]
    assert found_decimal_mark([pl.Series([written, "0,5" if is_comma else "0.5"])]).is_comma == is_comma


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1,5"], DecimalMark(is_comma=True)),
        (["1.234,5"], DecimalMark(is_comma=True)),
        (["1.234.567"], DecimalMark(is_comma=True)),
        (["0,125"], DecimalMark(is_comma=True)),
        (["1.234", "2,50-"], DecimalMark(is_comma=True)),
        (["1.5"], DecimalMark()),
        (["1,234", "0.5"], DecimalMark()),
        (["1,234,567"], DecimalMark()),
        (["12", "7"], DecimalMark()),
        (["1,234", "7"], DecimalMark(comma_doubt=True)),
        (["1.234"], DecimalMark(point_doubt=True)),
        (["1 234", "2'345"], DecimalMark()),
        (["1,5", "2,5", "1.5"], DecimalMark(is_comma=True)),
        (["n/a", "x,y"], DecimalMark()),
        ([], DecimalMark()),
    ],
)
def test_the_numbers_of_a_file_say_which_mark_parts_decimals(texts: list[str], mark: DecimalMark) -> None:
    assert found_decimal_mark([pl.Series(texts, dtype=pl.String)]) == mark
    assert found_decimal_mark([pl.Series([text]) for text in texts]) == mark


def test_only_what_can_be_two_numbers_is_doubtful() -> None:
    texts = pl.Series(["1,234", "1,234.5", "12", None, "-9,999"])
    assert is_doubtful(texts, DecimalMark(comma_doubt=True)).to_list() == [True, False, False, False, True]
    assert is_doubtful(texts, DecimalMark()).to_list() == [False] * 5

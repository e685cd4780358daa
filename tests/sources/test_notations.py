"""How a file writes its values: columns of one file tell of each other, what is said counts, doubts are named."""

import polars as pl
import pytest

from forecast_assets.contracts import PURCHASE_ORDERS, SALES
from forecast_assets.sources.casting import Notation, RowSource
from forecast_assets.sources.notations import FoundNotation, find_notation, notation_finding, notation_words, toml_value
from forecast_assets.sources.text_files import TextForm, TextTable

CONTRACTS = {column.name: column for contract in (SALES, PURCHASE_ORDERS) for column in contract.columns}
SEMICOLONS = TextTable(pl.DataFrame(), "cp1252", ";", 2)


def found(
    asked: Notation | None = None, text: TextTable | None = None, form: TextForm | None = None, **columns: list[str]
) -> FoundNotation:
    series = {name: (CONTRACTS[name], pl.Series(values)) for name, values in columns.items()}
    row_source = RowSource("a.csv", 2)
    return find_notation(asked or Notation(), series, feed="sales", row_source=row_source, text=text, form=form)


def test_one_column_says_how_the_numbers_of_another_are_written() -> None:
    both = found(sales_units=["1.234"], ordered_units=["0,5"])
    assert both.keys == {"decimal_comma": True}
    assert both.notation.decimal_comma is True
    assert both.notation.doubts == {}


@pytest.mark.parametrize("written", ["1,234", "12,345-"])
def test_numbers_that_nothing_tells_are_a_doubt_that_names_the_key(written: str) -> None:
    doubt = found(sales_units=["7", written]).notation.doubts["sales_units"]
    assert (doubt.kind, doubt.is_error, doubt.column) == ("doubtful", True, "sales_units")
    assert f"thousands or decimals, and none that tells which, in 1 rows: row 3 '{written}'" in doubt.message
    assert "decimal_comma = true" in doubt.remedy
    assert "decimal_comma = false" in doubt.remedy


def test_a_point_before_three_digits_is_a_doubt_only_in_a_dialect_that_nobody_has_said() -> None:
    units = ["1.234"]
    assert found(sales_units=units).notation.doubts == {}
    assert set(found(text=SEMICOLONS, sales_units=units).notation.doubts) == {"sales_units"}
    assert found(text=SEMICOLONS, form=TextForm(separator=";"), sales_units=units).notation.doubts == {}


@pytest.mark.parametrize("is_comma", [True, False])
def test_what_is_said_of_decimals_counts(is_comma: bool) -> None:
    asked = found(Notation(decimal_comma=is_comma), SEMICOLONS, sales_units=["1.234", "1,234", "1,5", "1.5"])
    assert asked.notation.decimal_comma is is_comma
    assert asked.notation.doubts == {}
    assert "decimal_comma" not in asked.keys


def test_days_that_can_be_read_in_two_ways_are_a_doubt_unless_another_column_tells() -> None:
    doubt = found(event_date=["03/04/2025", "05/04/2025"]).notation.doubts["event_date"]
    assert "can be read as 30/06/2025 and as 06/30/2025, and no value tells which, in 2 rows: row 2" in doubt.message
    assert 'date_format = "%d/%m/%Y" (the day first) or date_format = "%m/%d/%Y" (the month first)' in doubt.remedy
    told = found(event_date=["03/04/2025"], received_date=["04/13/2025"])
    assert told.notation.doubts == {}
    assert told.notation.day_forms == {"event_date": "%m/%d/%Y", "received_date": "%m/%d/%Y"}
    split = found(event_date=["13/04/2025"], received_date=["04/13/2025"], known_at=["x"])
    assert split.notation.day_forms == {"event_date": "%d/%m/%Y", "received_date": "%m/%d/%Y"}


def test_what_is_said_of_days_counts() -> None:
    asked = found(Notation(date_format="%d/%m/%Y"), event_date=["03/04/2025"])
    assert (asked.notation.day_forms, asked.notation.doubts, asked.keys) == ({}, {}, {})


def test_only_what_is_not_usual_and_was_not_said_is_told() -> None:
    columns = {"event_date": ["30.06.2025"], "sales_units": ["1,5"]}
    assert found(text=SEMICOLONS, **columns).keys == {
        "encoding": "cp1252", "separator": ";", "decimal_comma": True, "date_format": "%d.%m.%Y",
    }  # fmt: skip
    asked, form = Notation(date_format="%d.%m.%Y", decimal_comma=True), TextForm("cp1252", ";")
    assert found(asked, SEMICOLONS, form, **columns).keys == {}
    assert found(text=TextTable(pl.DataFrame(), "utf-8-sig", ",", 2), event_date=["2025-06-30"]).keys == {}


def test_what_was_found_is_told_in_words_and_in_keys_to_copy() -> None:
    finding = notation_finding("sales", "a.csv", 7, found(text=SEMICOLONS, sales_units=["1,5"]).keys)
    assert (finding.kind, finding.is_error, finding.rows) == ("notation", False, 7)
    assert finding.message == (
        "a.csv is taken as text in Windows-1252 (it is not UTF-8), fields parted by `;`, numbers written as 1.234,5"
    )
    assert finding.remedy.endswith('encoding = "cp1252", separator = ";", decimal_comma = true.')


def test_words_and_values() -> None:
    assert notation_words({"decimal_comma": False, "date_format": "%d %b %Y"}) == (
        "numbers written as 1,234.5, days written as 30 Jun 2025"
    )
    assert toml_value('a"b\\') == '"a\\"b\\\\"'

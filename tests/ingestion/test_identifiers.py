"""Names that differ by what cannot be seen, or that a spreadsheet has damaged."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.contracts import SALES
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.identifiers import Identifiers, folded
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS, StoredRows
from tests.support.intake_cases import findings_of

DAY = date(2025, 1, 7)


def sold(*names: str, day: date = DAY, column: str = "sku_id") -> pl.DataFrame:
    known_at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    row = {"sku_id": "A", "store_id": "S", "event_date": day, "known_at": known_at, "sales_units": 1.0}
    return pl.DataFrame([{**row, column: name} for name in names], schema=SALES.schema)


def batch(frame: pl.DataFrame, delivery: str = "s.csv") -> Batch:
    return Batch("sales", "pos", 0.9, timedelta(0), frame, delivery=delivery)


def about_names(found: list[FeedFinding]) -> list[FeedFinding]:
    return [finding for finding in found if finding.kind in {"names alike", "damaged names"}]


@pytest.mark.parametrize(
    ("one", "other", "way"),
    [
        ("00123", "123", "leading zeros"),
        ("000", "0", "leading zeros"),
        ("tea-20", "TEA-20", "capitals"),
        ("Straße", "STRASSE", "capitals"),
        ("TEA 20", "TEA  20", "spaces"),
        (" TEA", "TEA", "spaces"),
        ("TEA\N{NO-BREAK SPACE}20", "TEA 20", "characters that cannot be seen"),
        ("TEA\N{ZERO WIDTH SPACE}20", "TEA20", "characters that cannot be seen"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}A", "A", "characters that cannot be seen"),
        ("Ka\N{COMBINING DIAERESIS}se", "K\N{LATIN SMALL LETTER A WITH DIAERESIS}se", "characters that cannot be seen"),
    ],
)
def test_two_forms_of_a_name_are_a_warning_within_a_delivery_and_beside_what_is_held(
    one: str, other: str, way: str
) -> None:
    (together,) = about_names(findings_of(batch(sold(one, other))))
    assert (together.is_error, together.rows, together.column) == (False, 2, "sku_id")
    assert way in together.message
    held = StoredRows.of({"sales": sold(other, day=DAY - timedelta(days=1))})
    (beside,) = about_names(findings_of(batch(sold(one)), held))
    assert beside.rows == 1
    assert "(1 rows of s.csv)" in beside.message
    assert "(held already)" in beside.message


def test_what_cannot_be_seen_is_written_out() -> None:
    (found,) = about_names(findings_of(batch(sold("TEA", "TEA\N{ZERO WIDTH SPACE}"))))
    assert r"TEA (1 rows of s.csv) and 'TEA\u200b' (1 rows of s.csv)" in found.message


def test_stores_are_looked_at_too_and_each_way_is_told_once() -> None:
    names = Identifiers()
    names.take(batch(sold("s1", "S1", "a b", "A  B", "007", "7", column="store_id")))
    found = names.findings(NO_STORED_ROWS)
    assert {finding.column for finding in found} == {"store_id"}
    assert [finding.message.partition(" differ only by ")[2].partition(":")[0] for finding in found] == [
        "leading zeros", "capitals",
    ]  # fmt: skip
    assert found[1].message.startswith("2 names in `store_id`")


def test_forms_in_two_feeds_of_one_ingest_are_told() -> None:
    prices = Batch("prices", "pos", 0.9, timedelta(0), sold("00123").drop("sales_units"), delivery="p.csv")
    names = Identifiers()
    names.take(batch(sold("123")))
    names.take(prices)
    (found,) = names.findings(NO_STORED_ROWS)
    assert "00123 (1 rows of p.csv) and 123 (1 rows of s.csv)" in found.message


@pytest.mark.parametrize("name", ["4.01E+12", "4,01E+12", "4E+12", "1.5e+3"])
def test_a_number_that_a_spreadsheet_has_rounded_is_a_warning(name: str) -> None:
    (found,) = about_names(findings_of(batch(sold(name, "400000000001"))))
    assert (found.kind, found.is_error, found.rows) == ("damaged names", False, 1)
    assert f"`{name}` (1 rows of s.csv)" in found.message


@pytest.mark.parametrize("names", [("E-12", "E12"), ("4E12", "4E13"), ("A0123", "A123"), ("10", "1"), ("total", "all")])
def test_names_that_differ_by_more_are_nobodys_business(names: tuple[str, str]) -> None:
    assert about_names(findings_of(batch(sold(*names)))) == []


def test_two_forms_that_are_both_held_are_not_told_again() -> None:
    held = StoredRows.of({"sales": sold("a", "A", day=DAY - timedelta(days=1))})
    assert about_names(findings_of(batch(sold("B")), held)) == []


def test_names_of_years_ago_are_not_read() -> None:
    held = StoredRows.of({"sales": sold("a", day=DAY - timedelta(days=366))})
    assert about_names(findings_of(batch(sold("A")), held)) == []


@given(st.text(min_size=1))
def test_what_is_added_behind_a_name_and_cannot_be_seen_makes_no_other_name(name: str) -> None:
    assert folded(f"{name}\N{ZERO WIDTH SPACE} ") == folded(name)

"""Values far outside their series' own record, and those that only look so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import FEEDS
from forecast_assets.core.errors import SourceError
from forecast_assets.ingestion.batch import Batch, Tolerance
from forecast_assets.ingestion.far_values import RULES, FarValues
from forecast_assets.ingestion.intake import Intake
from forecast_assets.ingestion.quarantine import sift
from forecast_assets.ingestion.stored_rows import StoredRows
from forecast_assets.sources.table_mapping import read_mapping
from tests.support.intake_cases import findings_of

FIRST = date(2025, 1, 1)
OTHERS = {
    "prices": {"price_ratio": 1.0, "is_promotion": False},
    "sales": {},
    "inventory_positions": {
        "lead_time_days": 1.0, "lead_time_deviation_days": 0.0, "review_period_days": 1, "reorder_point_units": 1.0,
        "order_up_to_units": 2.0,
    },
}  # fmt: skip


def rows(values: Sequence[float], feed: str = "prices", *, start: date = FIRST, sku_id: str = "A") -> pl.DataFrame:
    days = [start + timedelta(days=at) for at in range(len(values))]
    known = [datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) for day in days]
    own = {"sku_id": sku_id, "store_id": "S", "event_date": days, "known_at": known, RULES[feed].column: values}
    contract = FEEDS[feed]
    frame = pl.DataFrame(
        {**own, **OTHERS[feed]},
        schema_overrides={name: kind for name, kind in contract.schema.items() if name in {**own, **OTHERS[feed]}},
    )
    lacking = [pl.lit(None, contract.schema[name]).alias(name) for name in contract.names if name not in frame.columns]
    return frame.with_columns(lacking).select(contract.names)


def batch(frame: pl.DataFrame, feed: str = "prices") -> Batch:
    return Batch(feed, "till", 0.8, timedelta(0), frame, delivery="p.csv")


def far(values: Sequence[float], feed: str = "prices", held: Sequence[float] = ()) -> list[int]:
    """Places of the values that are far out."""
    before = StoredRows.of(
        {feed: rows(held, feed, start=FIRST - timedelta(days=len(held)))} if held else {}, source="till"
    )
    return FarValues(before).far_rows(batch(rows(values, feed), feed)).arg_true().to_list()


USUAL = [2.0, 2.0, 1.5, 2.0, 2.0] * 6


@pytest.mark.parametrize("slip", [200.0, 20.0, 2000.0, 0.2, 0.02, 0.0])
@pytest.mark.parametrize("held", [(), USUAL])
def test_a_price_of_another_factor_is_far(slip: float, held: Sequence[float]) -> None:
    assert far([*USUAL[:20], slip, *USUAL[20:]], held=held) == [20]


@pytest.mark.parametrize("price", [1.0, 0.4, 2.6, 9.9])
def test_promotions_and_dear_days_are_not(price: float) -> None:
    assert far([*USUAL, price]) == []


@pytest.mark.parametrize(
    ("usual", "day", "is_far"),
    [
        ([0.0, 1.0, 0.0, 0.0, 1.0], 10.0, False),  # a slow mover at Christmas
        ([0.0, 2.0, 1.0, 0.0, 4.0], 40.0, False),
        ([0.0, 1.0, 0.0, 0.0, 1.0], 100.0, True),
        ([12.0, 15.0, 9.0, 20.0, 11.0], 0.0, False),  # nothing is too little
        ([12.0, 15.0, 9.0, 20.0, 11.0], 100.0, False),
        ([12.0, 15.0, 9.0, 20.0, 11.0], 12_000.0, True),  # grams for kilograms
        ([0.012, 0.015, 0.009], 12.0, True),  # kilograms for tonnes
        ([0.0] * 5, 30.0, False),  # no record of what is much
    ],
)
@pytest.mark.parametrize("feed", ["sales", "inventory_positions"])
def test_quantities_are_far_only_where_no_peak_goes(feed: str, usual: list[float], day: float, *, is_far: bool) -> None:
    assert far([day], feed, held=usual * 10) == ([0] if is_far else [])
    assert far([*(usual * 10), day], feed) == ([len(usual) * 10] if is_far else [])


def test_a_delivery_in_another_unit_is_far_from_what_is_held_as_a_whole() -> None:
    grams = [12_000.0, 9_000.0, 15_000.0, 11_000.0]
    assert far(grams, "sales", held=[12.0, 9.0, 15.0, 11.0] * 8) == [0, 1, 2, 3]


@pytest.mark.parametrize("feed", RULES)
def test_a_short_record_is_none(feed: str) -> None:
    least = RULES[feed].least_rows
    assert far([2000.0], feed, held=[2.0] * (least - 2)) == []
    assert far([2000.0], feed, held=[2.0] * least) == [0]


def test_batches_are_judged_by_those_before_them_and_other_series_do_not_matter() -> None:
    judge = FarValues()
    assert judge.judge(batch(rows([2.0] * 14))) == []
    later = pl.concat([rows([200.0], start=date(2025, 2, 1)), rows([200.0], start=date(2025, 2, 1), sku_id="B")])
    assert judge.far_rows(batch(later)).to_list() == [True, False]


def test_what_was_accepted_three_times_is_usual() -> None:
    judge = FarValues()
    judge.judge(batch(rows([2.0] * 14)))
    raised = [judge.judge(batch(rows([12.0], start=FIRST + timedelta(days=14 + at)))) for at in range(5)]
    assert [len(found) for found in raised] == [1, 1, 1, 0, 0]


def test_the_finding_names_the_rows_and_what_is_usual() -> None:
    frame = rows([*USUAL, 200.0])
    given = replace(batch(frame), row_numbers=pl.int_range(2, frame.height + 2, eager=True))
    (found,) = findings_of(given)
    assert (found.kind, found.is_error, found.rows, found.column) == ("far value", False, 1, "unit_price")
    assert "`unit_price` of 1 rows of p.csv is far outside" in found.message
    assert "row 32, SKU A at store S on 2025-01-31: 200, usually 1.5 to 2" in found.message
    (refused,) = findings_of(replace(given, far_values="refuse"))
    assert refused.is_error


def test_a_source_that_sets_bad_rows_aside_may_have_these_set_aside_too() -> None:
    frame = rows([*USUAL, 200.0, 2.0])
    given = replace(batch(frame), quarantine=Tolerance(), far_values="quarantine")
    intake = Intake(StoredRows.of({}))
    sifted = sift(given, date(2025, 12, 31), intake.reasons(given))
    assert sifted.batch.frame["unit_price"].to_list() == [*USUAL, 2.0]
    assert sifted.aside is not None
    assert sifted.aside["reasons"].to_list() == ["its value is far outside its series' own record"]
    assert intake.take(sifted.batch).new.height == len(USUAL) + 1
    assert [*intake.reasons(batch(frame))] == []


def test_a_value_that_is_no_number_is_no_record() -> None:
    odd = batch(rows([*USUAL, float("nan"), 200.0]))
    assert FarValues().far_rows(odd).arg_true().to_list() == [len(USUAL) + 1]


def test_what_is_held_already_is_not_told_again() -> None:
    given = batch(rows([*USUAL, 200.0]))
    held = StoredRows.of({"prices": given.frame}, source="till", trust=0.8)
    assert findings_of(given, held) == []


def test_a_mapping_chooses_for_feeds_that_are_judged(tmp_path: Path) -> None:
    path = tmp_path / "mapping.toml"
    text = 'source = "till"\ndeclared_lag_hours = 6\n[[feed]]\nfeed = "{}"\nfile = "p.csv"\nfar_values = "refuse"\n'
    path.write_text(text.format("sales"))
    assert read_mapping(path).feed[0].far_values == "refuse"
    path.write_text(text.format("sales").replace('"refuse"', '"quarantine"'))
    with pytest.raises(SourceError, match='`far_values = "quarantine"` needs `on_invalid = "quarantine"`'):
        read_mapping(path)
    path.write_text(text.format("events"))
    with pytest.raises(SourceError, match="`far_values` is for inventory_positions, prices, sales"):
        read_mapping(path)


@settings(deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.0, 7.0]), min_size=28, max_size=60), st.data())
def test_the_cut_into_batches_hides_no_slip(units: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(units) - 1))
    judge = FarValues()
    assert judge.judge(batch(rows(units[:at], "sales"), "sales")) == []
    rest = rows([*units[at:], 9_000.0], "sales", start=FIRST + timedelta(days=at))
    assert judge.far_rows(batch(rest, "sales")).arg_true().to_list() == [rest.height - 1]

"""Days that cannot be: in the future, or years away from all others."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.contracts import FEEDS, SALES
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.days import is_far_from_all_others, is_in_the_future, latest_day
from tests.support.intake_cases import findings_of

TODAY = date(2025, 6, 30)


def batch(days: list[date], feed: str = "sales") -> Batch:
    frame = pl.DataFrame({"event_date": days}, schema={"event_date": pl.Date})
    given = {"sku_id": "A", "store_id": "S", "sales_units": 1.0, "known_at": datetime(2025, 1, 1, tzinfo=UTC)}
    full = frame.with_columns(pl.lit(value).alias(name) for name, value in given.items())
    return Batch(feed, "till", 0.8, timedelta(0), full.cast(SALES.schema).select(SALES.names), delivery="s.csv")


def run(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


@pytest.mark.parametrize(
    ("hour", "last"), [(0, TODAY), (9, TODAY), (10, TODAY + timedelta(days=1)), (23, TODAY + timedelta(days=1))]
)
def test_a_day_has_begun_when_it_has_in_the_east(hour: int, last: date) -> None:
    assert latest_day(datetime(2025, 6, 30, hour, tzinfo=UTC)) == last


def test_a_day_to_come_is_in_the_future_for_what_happens_and_not_for_a_plan() -> None:
    days = [TODAY, TODAY + timedelta(days=1)]
    assert is_in_the_future(batch(days), TODAY).to_list() == [False, True]
    assert not is_in_the_future(batch(days, "prices"), TODAY).any()
    assert {"prices", "events", "store_closures"} < set(FEEDS)


def test_a_few_rows_years_away_from_all_others_are_slips() -> None:
    days = [*run(TODAY, 50), date(1952, 6, 30), date(2052, 6, 30)]
    assert is_far_from_all_others(batch(days)).arg_true().to_list() == [50, 51]


def test_two_stretches_of_days_are_none() -> None:
    assert not is_far_from_all_others(batch([*run(date(2020, 1, 1), 50), *run(TODAY, 50)])).any()
    assert not is_far_from_all_others(batch([TODAY])).any()
    assert not is_far_from_all_others(batch([date(2020, 1, 1), TODAY])).any()


def test_such_days_are_errors_with_their_rows() -> None:
    future = latest_day() + timedelta(days=400)
    found = findings_of(batch([*run(TODAY, 50), future]))
    assert {(each.kind, each.is_error, each.rows) for each in found} >= {
        ("day in the future", True, 1), ("far day", True, 1),
    }  # fmt: skip
    assert all(
        "s.csv: 1 rows" in each.message and f"row 51: {future}" in each.message
        for each in found
        if each.kind in {"day in the future", "far day"}
    )

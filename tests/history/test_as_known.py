"""Histories: which days need deciding, and that reading the others as they are changes nothing."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import SALES
from forecast_assets.features.compiler import compute_features
from forecast_assets.features.specs import DEFAULT_SPECS, FeatureSpec, days_needed
from forecast_assets.history.as_known import History
from forecast_assets.history.fusion import resolve
from resources.ledger.entries.ingest import BatchRecord
from resources.stores.home import Stores
from resources.stores.observations import contested_days

DAY = date(2025, 1, 10)
UNTIL = datetime(2025, 2, 1, tzinfo=UTC)
KEY = ["store_id", "sku_id", "event_date"]


def rows(
    first: date, days: int, *, units: float = 3.0, known_days: int = 1, skus: Iterable[str] = "AB"
) -> pl.DataFrame:
    day = pl.col("event_date")
    return (
        pl.DataFrame({"event_date": pl.date_range(first, first + timedelta(days=days - 1), eager=True)})
        .join(pl.DataFrame({"sku_id": list(skus)}), how="cross")
        .with_columns(
            store_id=pl.lit("S"),
            sales_units=pl.lit(units),
            known_at=day.cast(pl.Datetime("us", "UTC")) + timedelta(days=known_days),
        )
        .select(SALES.names)
    )


def put(stores: Stores, frame: pl.DataFrame, source: str = "pos", trust: float = 0.9) -> BatchRecord:
    record = stores.observations.write(frame, feed="sales", source=source, trust=trust, declared_lag=timedelta(0))
    stores.observations.record([record])
    return record


def history(stores: Stores, cutoff: date = DAY) -> History:
    return History(stores.observations, tuple(stores.observations.batches()), cutoff, UNTIL)


def record(first: int, days: int, *, is_single_word: bool = True) -> BatchRecord:
    since = DAY + timedelta(days=first)
    until = since + timedelta(days=days - 1)
    return BatchRecord(
        "x", "sales", "pos", 1.0, 0.0, "x", 1, since, until, UNTIL, is_single_word=is_single_word
    )  # fmt: skip


spans = st.lists(st.builds(record, st.integers(0, 20), st.integers(1, 8), is_single_word=st.booleans()), max_size=6)


@settings(max_examples=100, deadline=None)
@given(batches=spans)
def test_contested_are_the_days_of_several_batches_or_of_one_that_says_several_things(
    batches: list[BatchRecord],
) -> None:
    days = [DAY + timedelta(days=number) for number in range(40)]

    def words(day: date) -> int:
        return sum(
            2 - batch.is_single_word for batch in batches if batch.first_event_date <= day <= batch.last_event_date
        )

    found = contested_days(batches)
    inside = {day for day in days for since, until in found if since <= day <= until}
    assert inside == {day for day in days if words(day) > 1}
    assert all(before[1] + timedelta(days=1) < after[0] for before, after in pairwise(found))


def test_a_batch_that_restates_itself_is_known_to(stores: Stores) -> None:
    plain = put(stores, rows(DAY, 2))
    twice = put(stores, pl.concat([rows(DAY, 1), rows(DAY, 1, units=5.0, known_days=3)]))
    assert (plain.is_single_word, twice.is_single_word) == (True, False)
    read = [batch.is_single_word for batch in stores.observations.batches()]
    assert read == [True, False]
    without = {name: value for name, value in plain.body().items() if name != "is_single_word"}
    assert not BatchRecord.read(without, 1).is_single_word
    assert BatchRecord.read(without, 1).batch_id == plain.batch_id


def test_a_feed_is_what_resolving_all_of_it_gives(stores: Stores) -> None:
    put(stores, rows(date(2025, 1, 1), 3))
    put(stores, rows(date(2025, 1, 4), 3))
    put(stores, rows(date(2025, 1, 5), 1, units=9.0, known_days=4))
    put(stores, rows(date(2025, 1, 6), 2, units=4.0), source="backoffice", trust=0.5)
    put(stores, pl.concat([rows(date(2025, 1, 9), 2), rows(date(2025, 1, 9), 1, units=7.0, known_days=5)]))
    put(stores, rows(date(2025, 1, 12), 9))
    made = history(stores)
    everything = stores.observations.scan(made.batches, "sales", until=DAY)
    assert everything is not None
    expected = resolve("sales", everything, known_until=UNTIL).collect()
    found = made.feed("sales")
    assert found is not None
    assert found.collect_schema() == expected.schema
    assert found.collect().sort(KEY).equals(expected.sort(KEY))
    assert set(expected["resolution"]) == {"only_source", "more_trusted"}
    assert expected["is_restated"].sum() == 4


def test_days_without_a_second_word_are_not_even_read_before_they_are_used(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_assets.history.as_known.resolve", lambda *_, **__: pytest.fail("resolved"))
    put(stores, rows(date(2025, 1, 1), 5))
    late = put(stores, rows(date(2025, 1, 6), 5))
    found = history(stores).feed("sales", since=DAY)
    assert found is not None
    assert found.collect().height == 2
    (tmp_path / "store" / late.path).unlink()
    assert history(stores).feed("sales", since=DAY) is not None


def test_what_became_known_too_late_is_left_out_of_single_words_too(stores: Stores) -> None:
    put(stores, rows(date(2025, 1, 1), 10))
    made = replace(history(stores), known_until=datetime(2025, 1, 6, tzinfo=UTC))
    found = made.feed("sales")
    assert found is not None
    assert found.select(pl.col("event_date").max()).collect().item() == date(2025, 1, 5)


def test_a_snapshot_reads_no_file_before_its_longest_window(stores: Stores, tmp_path: Path) -> None:
    old = put(stores, rows(date(2022, 1, 1), 30, skus="Z"))
    put(stores, rows(DAY - timedelta(days=799), 800))
    (tmp_path / "store" / old.path).unlink()
    made = history(stores)
    frame = compute_features(DEFAULT_SPECS, made.feeds_for(DEFAULT_SPECS), cutoff=DAY)
    assert frame["sku_id"].to_list() == ["A", "B"]
    assert frame["age_days"].to_list() == [728.0, 728.0]
    assert frame["demand_interval_364d_days"].to_list() == [1.0, 1.0]


def test_specs_of_the_first_release_still_read_the_whole_history(stores: Stores) -> None:
    put(stores, rows(date(2020, 1, 1), 30, skus="Z"))
    put(stores, rows(DAY - timedelta(days=799), 800))
    before = (
        FeatureSpec("age_days", "sales", "sales_units", "days_since_first"),
        FeatureSpec("sales_28d_units", "sales", "sales_units", "sum", 28),
    )
    frame = compute_features(before, history(stores).feeds_for(before), cutoff=DAY)
    assert frame["sku_id"].to_list() == ["A", "B", "Z"]
    assert frame["age_days"].to_list() == [800.0, 800.0, float((DAY - date(2020, 1, 1)).days + 1)]
    assert frame["sales_28d_units"].to_list() == [84.0, 84.0, 0.0]


def test_each_feed_is_read_as_far_back_as_its_longest_window() -> None:
    assert days_needed(DEFAULT_SPECS) == {"sales": 728, "stock_status": 28, "inventory_positions": 91, "prices": 91}
    prices = [FeatureSpec("price_ratio", "prices", "price_ratio", "latest", 5)]
    assert days_needed(prices) == {"sales": 1, "prices": 5}
    assert days_needed([*prices, replace(prices[0], window_days=None)]) == {"sales": None, "prices": None}


def test_many_contested_days_are_decided_a_quarter_at_a_time(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    put(stores, rows(DAY - timedelta(days=299), 300))
    put(stores, rows(DAY - timedelta(days=279), 270, units=5.0, known_days=2))
    put(stores, rows(DAY - timedelta(days=1), 1, units=6.0, known_days=2))
    decided: list[int] = []

    def counted(feed: str, said: pl.LazyFrame, **how: Any) -> pl.LazyFrame:
        decided.append(said.select(pl.col("event_date").n_unique()).collect().item())
        return resolve(feed, said, **how)

    monkeypatch.setattr("forecast_assets.history.as_known.resolve", counted)
    made = history(stores)
    found = made.feed("sales", since=DAY - timedelta(days=199))
    everything = stores.observations.scan(made.batches, "sales", since=DAY - timedelta(days=199))
    assert found is not None
    assert everything is not None
    assert found.collect().sort(KEY).equals(resolve("sales", everything, known_until=UNTIL).collect().sort(KEY))
    assert decided == [91, 91, 9]


def test_orders_are_decided_as_a_whole_since_their_key_has_no_day(stores: Stores) -> None:
    orders = pl.DataFrame(
        {
            "order_id": "PO-1",
            "sku_id": "A",
            "store_id": "S",
            "event_date": [date(2024, 1, 1), DAY],
            "known_at": [datetime(2024, 1, 2, tzinfo=UTC), datetime(2025, 1, 11, tzinfo=UTC)],
            "ordered_units": 10.0,
            "received_date": [None, DAY],
        },
        schema_overrides={"known_at": SALES.schema["known_at"]},
    )
    for row in (orders[:1], orders[1:]):
        made = stores.observations.write(
            row, feed="purchase_orders", source="erp", trust=0.9, declared_lag=timedelta(0)
        )
        stores.observations.record([made])
    found = history(stores).feed("purchase_orders")
    assert found is not None
    assert found.collect()["received_date"].to_list() == [DAY]

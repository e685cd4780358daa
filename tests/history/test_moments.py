"""What counts of each feed: what was known by its own moment, in snapshots, corrections and what replays them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.corrections.restatements import changed_rows
from forecast_assets.history.as_known import History
from forecast_assets.snapshots.rebuilding import rebuild_snapshot
from forecast_assets.snapshots.stage import SnapshotContext, date_moments, known_history, make_snapshot
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores
from resources.stores.moments import Moments

DAY = date(2025, 1, 10)
DAY_END = datetime(2025, 1, 11, tzinfo=UTC)
QUICK, SLOW = 6.0, 30.0
VALUES: Mapping[str, dict[str, Any]] = {
    "sales": {"sales_units": 3.0},
    "inventory_positions": {
        "on_hand_units": 5.0,
        "lead_time_days": 2.0,
        "lead_time_deviation_days": 1.0,
        "review_period_days": None,
        "reorder_point_units": None,
        "order_up_to_units": None,
    },
    "prices": {"unit_price": None, "price_ratio": 1.0, "is_promotion": False},
}


def rows(feed: str, days: int, *, hours: float, end: date = DAY, **values: object) -> pl.DataFrame:
    """Rows of one series up to a day, each known some hours after the end of its day."""
    each = [end - timedelta(days=back) for back in range(days)][::-1]
    known = [datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=hours) for day in each]
    told = {"sku_id": "A", "store_id": "S", "event_date": each, "known_at": known, **VALUES[feed], **values}
    return pl.DataFrame(told).cast(dict(FEEDS[feed].schema)).select(FEEDS[feed].names)


def put(stores: Stores, feed: str, frame: pl.DataFrame, lag: float, source: str = "pos", trust: float = 0.9) -> None:
    lag_time = timedelta(hours=lag)
    made = stores.observations.write(frame, feed=feed, source=source, trust=trust, declared_lag=lag_time)
    stores.observations.record([made])


@pytest.fixture
def shop(stores: Stores) -> Stores:
    """Sales after 6 hours, stock after 30, and a plan that was made long ago."""
    put(stores, "sales", rows("sales", 60, hours=QUICK), QUICK)
    put(stores, "inventory_positions", rows("inventory_positions", 60, hours=SLOW), SLOW)
    put(stores, "prices", rows("prices", 60, hours=-700), 0.0)
    return stores


def value(history: History, feed: str, column: str) -> Any:
    found = history.feed(feed, since=DAY)
    assert found is not None
    (row,) = found.collect().to_dicts()
    return row[column]


def corrected(stores: Stores, hours: float) -> None:
    """Another word on the day of every feed, known some hours after its end."""
    put(stores, "sales", rows("sales", 1, hours=hours, sales_units=9.0), QUICK)
    put(stores, "inventory_positions", rows("inventory_positions", 1, hours=hours, on_hand_units=9.0), SLOW)
    put(stores, "prices", rows("prices", 1, hours=hours, price_ratio=0.5), 0.0)


def test_what_a_feed_says_between_its_own_moment_and_that_of_a_slower_one_is_not_there(shop: Stores) -> None:
    corrected(shop, 20)
    history = known_history(shop, DAY)
    assert history.known_until == DAY_END + timedelta(hours=SLOW)
    assert history.moment("sales") == DAY_END + timedelta(hours=QUICK)
    assert value(history, "sales", "sales_units") == 3.0
    assert value(history, "prices", "price_ratio") == 0.5
    late = replace(history, known_by_feed={}, batches=tuple(shop.observations.batches()))
    assert value(late, "sales", "sales_units") == 9.0


def test_a_batch_of_which_nothing_was_known_by_its_feeds_moment_is_not_named(shop: Stores) -> None:
    before = known_history(shop, DAY)
    put(shop, "sales", rows("sales", 1, hours=20, sales_units=9.0), QUICK)
    assert known_history(shop, DAY).batches == before.batches


def snapshot_of(stores: Stores, **changed: object) -> ProductVersion:
    asked = SnapshotContext(stores, DAY, 0.5)
    made = make_snapshot(asked)
    facts = {name: fact for name, fact in {**made.facts, **changed}.items() if fact is not None}
    return asked.write(replace(made, facts=facts))


def test_a_snapshot_says_by_when_each_feed_was_known_and_is_made_again_from_it(shop: Stores) -> None:
    made = snapshot_of(shop)
    assert made.facts["known_until_by_feed"] == {"sales": (DAY_END + timedelta(hours=QUICK)).isoformat()}
    history = History.of(made, shop.observations)
    assert history == known_history(shop, DAY)
    corrected(shop, 20)
    assert rebuild_snapshot(made, shop.observations).equals(shop.predictions.read(made))
    assert value(History.of(made, shop.observations), "sales", "sales_units") == 3.0


def test_a_snapshot_from_before_feeds_had_moments_is_read_as_of_its_one_moment_and_not_enriched(shop: Stores) -> None:
    terms = {"reorder_point_units": 4.0, "order_up_to_units": 8.0}
    other = rows("inventory_positions", 60, hours=SLOW, **terms)
    put(shop, "inventory_positions", other, SLOW, source="erp", trust=0.1)
    put(shop, "sales", rows("sales", 1, hours=20, sales_units=9.0), QUICK)
    batches = [batch.batch_id for batch in shop.observations.batches()]
    made = snapshot_of(shop, known_until_by_feed=None, is_enriched=None)
    history = History.of(replace(made, inputs={"batches": batches}), shop.observations)
    assert value(history, "sales", "sales_units") == 9.0
    assert value(history, "inventory_positions", "reorder_point_units") is None
    assert value(replace(history, is_enriched=True), "inventory_positions", "reorder_point_units") == 4.0
    assert date_moments(shop, DAY) == Moments(DAY_END + timedelta(hours=SLOW))
    later = History.later(made, shop.observations, DAY_END + timedelta(days=9))
    assert not later.is_enriched


def test_the_first_snapshot_of_a_date_fixes_the_moment_of_every_feed(shop: Stores) -> None:
    snapshot_of(shop)
    before = date_moments(shop, DAY)
    put(shop, "stock_status", _status(), 48.0)
    assert date_moments(shop, DAY) == before
    assert date_moments(shop, DAY + timedelta(days=1)).known_until == DAY_END + timedelta(days=1, hours=48)


def _status() -> pl.DataFrame:
    told = {"out_of_stock_hours": 0.0, "trading_hours": 12.0, "out_of_stock_demand_share": None}
    frame = rows("sales", 1, hours=48).drop("sales_units").with_columns(**{n: pl.lit(v) for n, v in told.items()})
    return frame.cast(dict(FEEDS["stock_status"].schema))


def test_a_correction_reads_every_feed_as_of_its_later_moment(shop: Stores) -> None:
    made = snapshot_of(shop)
    corrected(shop, 20)
    before = History.of(made, shop.observations)
    after = History.later(made, shop.observations, before.known_until)
    assert value(after, "sales", "sales_units") == 9.0
    told = changed_rows(before, after, 28, 7).select("feed", "is_late", "before", "after").rows()
    assert ("sales", False, "sales_units 3", "sales_units 9") in told

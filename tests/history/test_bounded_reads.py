"""What a daily run reads does not grow with the years: files of long ago need not even be there."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from forecast_assets.contracts import FEEDS, OPEN_ORDER_DAYS
from forecast_assets.explanations.stage import _last_days
from forecast_assets.features.specs import LONGEST_DAYS
from forecast_assets.history.as_known import History
from forecast_assets.stockout_risk.stage import _orders
from resources.stores.home import Stores

DAY = date(2025, 1, 10)
KNOWN = datetime(2025, 1, 11, tzinfo=UTC)
PLACE = {"sku_id": "A", "store_id": "S"}


def put(stores: Stores, feed: str, *rows: dict[str, Any]) -> Path:
    """Record one batch; return where its file is."""
    contract = FEEDS[feed]
    frame = pl.DataFrame([{name: row.get(name) for name in contract.names} for row in rows], schema=contract.schema)
    batch = stores.observations.write(frame, feed=feed, source="pos", trust=0.9, declared_lag=timedelta(0))
    stores.observations.record([batch])
    return stores.observations._blobs.local(batch.path)


def history(stores: Stores) -> History:
    return History(stores.observations, tuple(stores.observations.batches()), DAY, KNOWN)


def sold(days_ago: int, known_at: datetime = KNOWN) -> dict[str, Any]:
    return {**PLACE, "event_date": DAY - timedelta(days=days_ago), "known_at": known_at, "sales_units": 1.0}


def ordered(name: str, days_ago: int) -> dict[str, Any]:
    placed = DAY - timedelta(days=days_ago)
    return {**PLACE, "order_id": name, "event_date": placed, "known_at": KNOWN, "ordered_units": 5.0}


def test_the_last_day_of_an_ended_series_is_looked_for_as_far_back_as_a_snapshot_looks(stores: Stores) -> None:
    gone = put(stores, "sales", sold(LONGEST_DAYS), sold(LONGEST_DAYS + 1))
    put(stores, "sales", sold(LONGEST_DAYS - 1), sold(200), sold(100, KNOWN + timedelta(days=1)))
    gone.unlink()
    found = _last_days(history(stores), pl.DataFrame([PLACE]).select("store_id", "sku_id"))
    assert found.rows() == [("S", "A", DAY - timedelta(days=200))]


def test_orders_of_more_than_a_year_ago_are_not_read(stores: Stores) -> None:
    gone = put(stores, "purchase_orders", ordered("lost", OPEN_ORDER_DAYS))
    put(stores, "purchase_orders", ordered("late", OPEN_ORDER_DAYS - 1), ordered("usual", 3))
    gone.unlink()
    assert _orders(history(stores))["order_id"].sort().to_list() == ["late", "usual"]

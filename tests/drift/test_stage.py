"""Judging day after day: what is broken stays open until a day is like those before it."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from forecast_assets.contracts import SALES
from forecast_assets.drift.stage import DriftContext, judge_day, record_judgement
from resources.ledger.entries.drift import DriftRecord
from resources.stores.home import Stores, open_stores
from tests.drift.test_profiles import LAST, sales, swapped

SWAPPED = "feed/sales/store_names/broken/stores"
FIRST = LAST - timedelta(days=8)


def stores_with_sales(folder: Path) -> Stores:
    """Sales of 60 days; for the eight days before the last, two stores go by each other's names."""
    stores = open_stores(folder / "store")
    rows = swapped(sales(), {"S1": "S3", "S3": "S1"}, FIRST, LAST - timedelta(days=1))
    known = rows.with_columns(known_at=pl.col("event_date").cast(pl.Datetime("us", "UTC")) + pl.duration(hours=22))
    batch = stores.observations.write(
        SALES.conform(known), feed="sales", source="till", trust=1.0, declared_lag=timedelta(0)
    )
    stores.observations.record([batch])
    return stores


def judged(stores: Stores, day: date) -> DriftRecord:
    batches = [batch.batch_id for batch in stores.observations.batches()]
    stores.predictions.write_bytes(
        "feature_snapshots", b"", key=day, path=f"predictions/feature_snapshots/{day}", rows=0, schema="",
        inputs={"batches": batches},
        facts={"prediction_date": day.isoformat(), "known_until": f"{day}T23:59:59+00:00"},
    )  # fmt: skip
    asked = DriftContext(stores, day)
    since = asked.newest_entry()
    result = judge_day(asked)
    return record_judgement(asked, asked.write(result), result, since=since)[0]


def test_swapped_stores_stay_one_open_signal_until_the_day_on_which_they_are_right(tmp_path: Path) -> None:
    stores = stores_with_sales(tmp_path)
    records = [judged(stores, FIRST + timedelta(days=back)) for back in range(9)]
    opened = [[each.signal for each in record.opened if "store_names" in each.signal] for record in records]
    assert opened == [[SWAPPED], *[[]] * 8]
    assert [SWAPPED in record.closed for record in records] == [False] * 8 + [True]

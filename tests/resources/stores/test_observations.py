"""Observation batches: append-only, content-addressed, known at a time."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import SALES, STOCK_STATUS
from forecast_assets.core.errors import IncompleteInputsError, NotReadyError
from forecast_assets.history.as_known import History
from forecast_assets.snapshots.readiness import STORE_DAYS
from forecast_assets.snapshots.stage import known_history, readiness, require_ready
from resources.ledger.entries.ingest import BatchRecord
from resources.store.parquet import to_parquet
from resources.stores.home import Stores

DAY = date(2025, 1, 10)


def sales_rows(
    days: int = 10, *, stores: int = 2, end: date = DAY, units: float = 3.0, lag_hours: int = 6
) -> pl.DataFrame:
    first = end - timedelta(days=days - 1)
    day = pl.col("event_date")
    return (
        pl.DataFrame({"event_date": pl.date_range(first, end, eager=True)})
        .join(pl.DataFrame({"store_id": [f"S{n}" for n in range(stores)]}), how="cross")
        .with_columns(
            sku_id=pl.lit("A"),
            sales_units=pl.lit(units),
            known_at=(day.cast(pl.Datetime("us", "UTC")) + timedelta(days=1, hours=lag_hours)),
        )
        .select(SALES.names)
    )


def put(stores: Stores, frame: pl.DataFrame, *, source: str = "pos", lag_hours: int = 6) -> BatchRecord:
    record = stores.observations.write(
        frame, feed="sales", source=source, trust=0.9, declared_lag=timedelta(hours=lag_hours)
    )
    stores.observations.record([record])
    return record


def test_the_first_ingest_fixes_the_start_date_for_good(stores: Stores) -> None:
    put(stores, sales_rows())
    assert stores.ledger.state().start_date == date(2025, 1, 1)
    put(stores, sales_rows(3, end=date(2024, 1, 3)))
    assert stores.ledger.state().start_date == date(2025, 1, 1)


def test_the_same_batch_again_changes_nothing(stores: Stores) -> None:
    record = put(stores, sales_rows())
    report = stores.observations.record([record])
    assert (report.sequence, report.added, report.known) == (None, (), (record,))
    assert stores.ledger.state().sequence == 1


def test_a_written_batch_is_invisible_until_it_is_recorded(stores: Stores) -> None:
    stores.observations.write(sales_rows(), feed="sales", source="pos", trust=1.0, declared_lag=timedelta(0))
    assert stores.observations.batches() == []
    with pytest.raises(NotReadyError, match="Nothing of the feed `sales`"):
        stores.observations.newest_day("sales")


def test_the_newest_day_until_another_is_looked_up_in_batches_that_reach_beyond(stores: Stores) -> None:
    put(stores, sales_rows(3, end=date(2025, 1, 3)))
    rows = sales_rows(2, end=date(2025, 1, 20))
    gap = rows.filter(pl.col("event_date") == date(2025, 1, 20))
    put(stores, pl.concat([sales_rows(2, end=date(2025, 1, 8)), gap]))
    asked = [date(2025, 1, day) for day in (1, 5, 7, 19, 20, 31)]
    found = [stores.observations.newest_day("sales", until=day).day for day in asked]
    assert found == [1, 3, 7, 8, 20, 20]
    with pytest.raises(NotReadyError, match="of days up to 2024-12-31"):
        stores.observations.newest_day("sales", until=date(2024, 12, 31))


def test_knowledge_time_is_the_end_of_the_day_plus_the_quickest_source_of_each_feed(stores: Stores) -> None:
    put(stores, sales_rows(), lag_hours=6)
    put(stores, sales_rows(units=4.0, lag_hours=30), source="backoffice", lag_hours=30)
    assert stores.observations.known_until(DAY) == datetime(2025, 1, 11, 6, tzinfo=UTC)


def test_restatements_that_came_later_do_not_reach_an_earlier_moment(stores: Stores) -> None:
    put(stores, sales_rows())
    before = known_history(stores, DAY)
    correction = sales_rows(1, units=9.0).with_columns(
        known_at=pl.lit(datetime(2025, 1, 15, tzinfo=UTC)).cast(SALES.schema["known_at"])
    )
    put(stores, correction)
    after = known_history(stores, DAY)
    assert after.batches == before.batches
    later = History(stores.observations, tuple(stores.observations.batches()), DAY, datetime(2025, 2, 1, tzinfo=UTC))
    assert units_on(after) == [3.0, 3.0]
    assert units_on(later) == [9.0, 9.0]


def units_on(history: History) -> list[float]:
    rows = history.feed("sales")
    assert rows is not None
    return rows.filter(pl.col("event_date") == DAY).collect()["sales_units"].to_list()


def test_a_run_waits_for_what_is_missing_and_names_it(stores: Stores) -> None:
    with pytest.raises(IncompleteInputsError, match="no feed `sales` has been ingested"):
        require_ready(known_history(stores, DAY), 0.2)
    put(stores, sales_rows(60))
    require_ready(known_history(stores, DAY), 0.2)
    with pytest.raises(IncompleteInputsError, match="`sales` has not reached 2025-01-11: its newest day is 2025-01-10"):
        require_ready(known_history(stores, DAY + timedelta(days=1)), 0.2)


def test_a_store_that_stays_silent_is_named(stores: Stores) -> None:
    put(stores, sales_rows(60, stores=3))
    put(stores, sales_rows(1, stores=2, end=DAY + timedelta(days=1)))
    with pytest.raises(IncompleteInputsError, match=r"`sales` lacks 1 stores: S2; `sales` has 2 rows .* usually 3"):
        require_ready(known_history(stores, DAY + timedelta(days=1)), 0.2)


def silent_from(stores: Stores, days: int) -> None:
    """Take in the days after `DAY` one by one, without the third of three stores."""
    put(stores, sales_rows(60, stores=3))
    for ahead in range(1, days + 1):
        put(stores, sales_rows(1, stores=2, end=DAY + timedelta(days=ahead)))


@pytest.mark.parametrize("ahead", [1, 2, STORE_DAYS])
def test_a_store_that_stays_silent_is_waited_for_on_three_days(stores: Stores, ahead: int) -> None:
    silent_from(stores, STORE_DAYS)
    with pytest.raises(IncompleteInputsError, match="`sales` lacks 1 stores: S2"):
        require_ready(known_history(stores, DAY + timedelta(days=ahead)), 0.5)


def test_a_store_that_closed_is_not_waited_for_any_longer(stores: Stores) -> None:
    silent_from(stores, STORE_DAYS + 1)
    state = readiness(known_history(stores, DAY + timedelta(days=STORE_DAYS + 1)), 0.5)
    assert (state.missing, state.rows) == ((), {"sales": 2})


def test_a_week_without_any_rows_does_not_make_stores_closed(stores: Stores) -> None:
    put(stores, sales_rows(20, stores=3))
    again = DAY + timedelta(days=STORE_DAYS + 3)
    put(stores, sales_rows(1, stores=2, end=again))
    assert readiness(known_history(stores, again), 0.5).missing == ("`sales` lacks 1 stores: S2",)


def test_late_rows_within_the_tolerance_do_not_hold_a_run_up(stores: Stores) -> None:
    put(stores, sales_rows(60, stores=10))
    put(stores, sales_rows(1, stores=10, end=DAY + timedelta(days=1)))
    short = sales_rows(1, stores=10, end=DAY + timedelta(days=2)).with_columns(sku_id=pl.lit("B"))
    put(stores, short)
    put(stores, sales_rows(60, stores=10).with_columns(sku_id=pl.lit("C")))
    day = DAY + timedelta(days=2)
    assert readiness(known_history(stores, day), 0.5).missing == ()
    assert readiness(known_history(stores, day), 0.4).missing == ("`sales` has 10 rows on 2025-01-12, usually 20",)


def test_batches_are_read_only_where_they_overlap_the_window(stores: Stores, tmp_path: Path) -> None:
    old = put(stores, sales_rows(5, end=date(2024, 6, 1)))
    put(stores, sales_rows())
    (tmp_path / "store" / old.path).unlink()
    assert known_history(stores, DAY).recent_feeds()["sales"].collect().height == 20


def test_the_same_bytes_from_two_sources_are_two_batches(stores: Stores) -> None:
    first = put(stores, sales_rows(), source="pos")
    second = put(stores, sales_rows(), source="backoffice")
    assert first.sha256 == second.sha256
    assert [batch.source for batch in stores.observations.batches()] == ["pos", "backoffice"]


def test_a_feed_that_fell_silent_is_waited_for(stores: Stores) -> None:
    put(stores, sales_rows(60))
    with pytest.raises(IncompleteInputsError, match="`sales` has no rows in the 28 days up to 2025-05-10"):
        require_ready(known_history(stores, date(2025, 5, 10)), 0.2)


def status_rows(share: list[float | None], end: date = DAY) -> pl.DataFrame:
    days = [end - timedelta(days=back) for back in range(len(share))][::-1]
    told = {"out_of_stock_hours": 4.0, "trading_hours": 16.0, "out_of_stock_demand_share": share}
    rows = pl.DataFrame({"sku_id": "A", "store_id": "S0", "event_date": days, **told})
    known = pl.col("event_date").cast(pl.Datetime("us", "UTC")) + timedelta(days=1)
    return rows.with_columns(known_at=known).cast({"out_of_stock_demand_share": pl.Float64}).select(STOCK_STATUS.names)


def put_status(stores: Stores, frame: pl.DataFrame) -> BatchRecord:
    record = stores.observations.write(
        frame, feed="stock_status", source="pos", trust=0.9, declared_lag=timedelta(hours=6)
    )
    stores.observations.record([record])
    return record


def test_a_later_column_that_holds_nothing_leaves_a_batch_as_it_was(stores: Stores) -> None:
    """The bytes of a file written before the column was there are those of the same rows today."""
    frame = status_rows([None, None])
    record, data = stores.observations.describe(
        frame, feed="stock_status", source="pos", trust=0.9, declared_lag=timedelta(hours=6)
    )
    before = frame.drop("out_of_stock_demand_share")
    assert data == to_parquet(before)
    said = stores.observations.write(
        status_rows([None, 0.3]), feed="stock_status", source="pos", trust=0.9, declared_lag=timedelta(hours=6)
    )
    assert "out_of_stock_demand_share" in pl.read_parquet_schema(stores.observations.path(said))
    assert said.batch_id != record.batch_id


def test_batches_from_before_a_column_was_there_are_read_beside_those_that_have_it(stores: Stores) -> None:
    put(stores, sales_rows())
    old = put_status(stores, status_rows([None, None], DAY - timedelta(days=1)))
    assert "out_of_stock_demand_share" not in pl.read_parquet_schema(stores.observations.path(old))
    put_status(stores, status_rows([0.1]))
    batches = tuple(stores.observations.batches())
    rows = stores.observations.scan(batches, "stock_status")
    assert rows is not None
    assert STOCK_STATUS.validate(rows.sort("event_date").select(STOCK_STATUS.names).collect()).height == 3
    history = History(stores.observations, batches, DAY, datetime(2025, 2, 1, tzinfo=UTC))
    made = history.panel(pl.DataFrame({"store_id": ["S0"], "sku_id": ["A"]}), history_days=4, horizon_days=1)
    assert made.missed_share[0, 1:].tolist() == [0.25, 0.25, 0.1]
    assert made.out_of_stock_share[0, 1:].tolist() == [0.25] * 3
    assert History(stores.observations, (old,), DAY, history.known_until).feed("stock_status") is not None

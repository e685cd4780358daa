"""Which input rows differ since a run: restated, late, planned and received ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from forecast_assets.cli import cli
from forecast_assets.contracts import FEEDS, OPEN_ORDER_DAYS
from forecast_assets.core.errors import InputError, NotReadyError
from forecast_assets.corrections.restatements import changed_rows
from forecast_assets.history.as_known import History
from resources.ledger.entries.ingest import BatchRecord
from resources.store.manifests import ProductVersion
from resources.stores.home import Stores

DAY = date(2025, 1, 10)
THEN = datetime(2025, 1, 11, 6, tzinfo=UTC)
NOW = datetime(2025, 1, 20, tzinfo=UTC)


def put(stores: Stores, feed: str, rows: Sequence[dict[str, Any]], source: str = "pos", trust: float = 0.9) -> None:
    contract = FEEDS[feed]
    frame = pl.DataFrame([{name: row.get(name) for name in contract.names} for row in rows], schema=contract.schema)
    record = stores.observations.write(
        frame.sort("event_date"), feed=feed, source=source, trust=trust, declared_lag=timedelta(hours=6)
    )
    stores.observations.record([record])


def sold(day: date, units: float, known_at: datetime = THEN, sku: str = "A") -> dict[str, Any]:
    return {"sku_id": sku, "store_id": "S", "event_date": day, "known_at": known_at, "sales_units": units}


def snapshot(stores: Stores) -> ProductVersion:
    """What a snapshot of DAY records of its inputs, made now."""
    batches = [batch.batch_id for batch in stores.observations.as_known(DAY, THEN)]
    facts = {"prediction_date": DAY.isoformat(), "known_until": THEN.isoformat()}
    return ProductVersion("v", "feature_snapshots", str(DAY), "", (), {"batches": batches}, facts, "")


def changed(stores: Stores, made: ProductVersion, *, until: datetime = NOW, days: int = 7) -> pl.DataFrame:
    before, after = (
        History.of(made, stores.observations),
        History.later(made, stores.observations, until),
    )
    return changed_rows(before, after, days, 14)


def test_a_restated_day_is_named_with_what_it_was_who_says_so_and_why(stores: Stores) -> None:
    put(stores, "sales", [sold(DAY - timedelta(days=1), 3.0), sold(DAY, 4.0)])
    made = snapshot(stores)
    put(stores, "sales", [sold(DAY, 5.5, NOW)])
    (row,) = changed(stores, made).rows(named=True)
    assert (row["feed"], row["event_date"], row["row"], row["is_late"]) == ("sales", DAY, "A S", False)
    assert (row["before"], row["after"]) == ("sales_units 4", "sales_units 5.5")
    assert (float(row["amount_before"]), float(row["amount_after"])) == (4.0, 5.5)
    assert (row["source"], row["known_at"], row["resolution"]) == ("pos", NOW, "only_source")


def test_a_late_row_is_told_from_a_restated_one(stores: Stores) -> None:
    put(stores, "sales", [sold(DAY, 4.0)])
    made = snapshot(stores)
    put(stores, "sales", [sold(DAY, 2.0, NOW, sku="B")])
    (row,) = changed(stores, made).rows(named=True)
    assert (row["row"], row["is_late"], row["before"], row["after"]) == ("B S", True, None, "sales_units 2")


def test_a_batch_that_came_late_but_was_known_in_time_counts_too(stores: Stores) -> None:
    put(stores, "sales", [sold(DAY, 4.0)])
    made = snapshot(stores)
    put(stores, "sales", [sold(DAY, 2.0, THEN, sku="B")])
    assert changed(stores, made, until=THEN)["row"].to_list() == ["B S"]


def test_rows_that_agree_that_came_too_late_or_that_no_run_reads_are_not_listed(stores: Stores) -> None:
    put(stores, "sales", [sold(DAY - timedelta(days=7), 1.0), sold(DAY, 4.0)])
    made = snapshot(stores)
    put(stores, "sales", [sold(DAY, 4.0, NOW)])
    put(stores, "sales", [sold(DAY, 9.0, NOW + timedelta(hours=1))])
    put(stores, "sales", [sold(DAY + timedelta(days=1), 9.0, NOW), sold(DAY - timedelta(days=7), 9.0, NOW)])
    assert changed(stores, made).is_empty()


def test_a_less_trusted_word_changes_nothing_and_a_more_trusted_one_says_why(stores: Stores) -> None:
    soon = THEN + timedelta(hours=20)
    put(stores, "sales", [sold(DAY, 4.0)])
    made = snapshot(stores)
    put(stores, "sales", [sold(DAY, 7.0, soon)], source="rumour", trust=0.1)
    assert changed(stores, made).is_empty()
    put(stores, "sales", [sold(DAY, 6.0, soon)], source="audit", trust=1.0)
    (row,) = changed(stores, made).rows(named=True)
    assert (row["after"], row["source"], row["resolution"]) == ("sales_units 6", "audit", "more_trusted")


def test_a_correction_knows_no_plan_that_was_made_after_the_run(stores: Stores) -> None:
    def price(day: date, ratio: float, known_at: datetime) -> dict[str, Any]:
        return {
            "sku_id": "A", "store_id": "S", "event_date": day, "known_at": known_at, "price_ratio": ratio,
            "is_promotion": False,
        }  # fmt: skip

    planned, past = DAY + timedelta(days=3), DAY - timedelta(days=1)
    put(stores, "sales", [sold(DAY, 4.0)])
    put(stores, "prices", [price(past, 1.0, THEN), price(planned, 1.0, THEN)])
    made = snapshot(stores)
    put(stores, "prices", [price(planned, 0.5, NOW), price(past, 0.75, NOW)])
    (row,) = changed(stores, made).rows(named=True)
    assert (row["event_date"], row["before"], row["after"]) == (past, "price_ratio 1", "price_ratio 0.75")
    later = History.later(made, stores.observations, NOW).feed("prices", ahead_days=14)
    assert later is not None
    assert later.filter(event_date=planned).collect()["price_ratio"].to_list() == [1.0]


def test_receipts_after_the_prediction_date_are_of_the_future(stores: Stores) -> None:
    def order(known_at: datetime, units: float = 10.0, received: date | None = None) -> dict[str, Any]:
        return {
            "order_id": "O-1", "sku_id": "A", "store_id": "S", "event_date": date(2024, 12, 1), "known_at": known_at,
            "ordered_units": units, "received_date": received,
        }  # fmt: skip

    put(stores, "sales", [sold(DAY, 4.0)])
    put(stores, "purchase_orders", [order(THEN)])
    made = snapshot(stores)
    put(stores, "purchase_orders", [order(NOW, received=DAY + timedelta(days=2))])
    assert changed(stores, made).is_empty()
    put(stores, "purchase_orders", [order(NOW, 12.0, DAY - timedelta(days=1))])
    (row,) = changed(stores, made).rows(named=True)
    assert row["before"] == "ordered_units 10, received_date nothing"
    assert row["after"] == "ordered_units 12, received_date 2025-01-09"


def test_memberships_and_events_are_compared_without_amounts(stores: Stores) -> None:
    member = {"store_id": "S", "event_date": date(2020, 1, 1), "known_at": THEN, "depth": 1, "level_name": "region"}
    event = {"event_name": "fair", "store_node": "all", "event_date": DAY}
    put(stores, "sales", [sold(DAY, 4.0)])
    put(stores, "store_hierarchy", [{**member, "node_id": "north"}])
    made = snapshot(stores)
    put(stores, "store_hierarchy", [{**member, "node_id": "south", "known_at": NOW}])
    put(stores, "events", [{**event, "known_at": NOW}])
    fair, region = changed(stores, made).rows(named=True)
    assert (fair["row"], fair["is_late"], fair["amount_after"]) == ("fair all", True, None)
    assert (region["before"], region["after"]) == ("node_id north", "node_id south")


def test_a_moment_before_the_runs_own_is_refused(stores: Stores) -> None:
    put(stores, "sales", [sold(DAY, 4.0)])
    with pytest.raises(InputError, match=r"2025-01-11 05:00:00 UTC is earlier than .* Name a later moment"):
        History.later(snapshot(stores), stores.observations, THEN - timedelta(hours=1))


def test_the_newest_knowledge_is_found_also_where_the_ledger_does_not_say_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReadyError, match="Nothing of the days up to 2025-01-10 has been ingested"):
        stores.observations.newest_knowledge(DAY)
    put(stores, "sales", [sold(DAY, 4.0), sold(DAY, 5.0, NOW)])
    assert stores.observations.newest_knowledge(DAY) == NOW
    years_ahead = NOW + timedelta(days=900)
    events = [(DAY, NOW + timedelta(days=1)), (DAY + timedelta(days=999), years_ahead)]
    put(
        stores,
        "events",
        [{"event_name": "fair", "store_node": "all", "event_date": day, "known_at": known} for day, known in events],
    )
    assert stores.observations.newest_knowledge(DAY) == NOW + timedelta(days=1)
    old = [replace(batch, last_known_at=None) for batch in stores.observations.batches()]
    monkeypatch.setattr(type(stores.observations), "batches", lambda _: old)
    assert stores.observations.newest_knowledge(DAY) == NOW + timedelta(days=1)
    assert stores.observations.newest_knowledge(DAY + timedelta(days=999)) == years_ahead
    assert BatchRecord.read(old[0].body(), 1) == replace(old[0], sequence=1)


def test_the_commands_explain_themselves_and_need_nothing_to_be_there(tmp_path: Path) -> None:
    for name in ("restatements", "correct", "compare"):
        told = CliRunner().invoke(cli, [name, "--help"])
        assert told.exit_code == 0
        assert f"forecast-assets {name}" in told.output
    home = tmp_path / "home"
    listed = CliRunner().invoke(cli, ["restatements"], env={"FORECAST_ASSETS_HOME": str(home)})
    assert "Nothing has been restated: 0 published runs" in listed.output
    assert not home.exists()
    unknown = CliRunner().invoke(cli, ["compare", "daily", "weekly"], env={"FORECAST_ASSETS_HOME": str(home)})
    assert isinstance(unknown.exception, InputError)
    assert "`daily` is not a run key" in str(unknown.exception)


def test_a_name_that_ends_like_a_number_is_told_whole(stores: Stores) -> None:
    put(stores, "sales", [sold(DAY, 4.0, sku="V2.0")])
    made = snapshot(stores)
    put(stores, "sales", [sold(DAY, 5.0, NOW, sku="V2.0")])
    (row,) = changed(stores, made).rows(named=True)
    assert (row["row"], row["before"], row["after"]) == ("V2.0 S", "sales_units 4", "sales_units 5")


def test_an_order_of_more_than_a_year_ago_restates_nothing(stores: Stores) -> None:
    order = {"sku_id": "A", "store_id": "S", "ordered_units": 9.0, "known_at": THEN}
    days = {"old": DAY - timedelta(days=OPEN_ORDER_DAYS), "open": DAY - timedelta(days=OPEN_ORDER_DAYS - 1)}
    put(stores, "purchase_orders", [{**order, "order_id": name, "event_date": day} for name, day in days.items()])
    made = snapshot(stores)
    received = {"received_date": DAY, "known_at": NOW}
    rows = [{**order, "order_id": name, "event_date": day, **received} for name, day in days.items()]
    put(stores, "purchase_orders", rows)
    assert changed(stores, made)["row"].to_list() == ["open"]


def test_what_silence_means_otherwise_by_now_is_told(stores: Stores) -> None:
    """A store is silent for two days, then reports again: the run did not know them, and they were closed."""
    before_cutoff = DAY - timedelta(days=2)

    def said(sku: str, day: date) -> dict[str, Any]:
        complete = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
        return {"sku_id": sku, "store_id": "S", "event_date": day, "known_at": complete, "sales_units": 3.0}

    def deliver(*rows: dict[str, Any]) -> None:
        record = stores.observations.write(
            pl.DataFrame(rows, schema=FEEDS["sales"].schema), feed="sales", source="till", trust=1.0,
            declared_lag=timedelta(0), listed_days=364,
        )  # fmt: skip
        stores.observations.record([record])

    deliver(*(said(sku, before_cutoff - timedelta(days=back)) for sku in "AB" for back in range(5)))
    moment = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC)
    before = History(stores.observations, tuple(stores.observations.as_known(DAY, moment)), DAY, moment)
    for ahead in range(1, 5):
        deliver(said("A", DAY + timedelta(days=ahead)))
    later = moment + timedelta(days=9)
    after = History(stores.observations, tuple(stores.observations.as_known(DAY, later)), DAY, later)
    found = changed_rows(before, after, 28, 7)
    assert found.select("event_date", "row", "after").rows() == [
        (DAY - timedelta(days=back), f"{sku} S", "sales_units 0") for back in (1, 0) for sku in "AB"
    ]
    assert changed_rows(after, after, 28, 7).is_empty()

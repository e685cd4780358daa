"""Batches that are taken back, closures that are said, and silent days that are told."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import SALES
from forecast_assets.core.errors import InputError
from forecast_assets.history import History
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.closures import closures_batch
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches
from forecast_assets.ingestion.stored_rows import StoredRows
from forecast_assets.ingestion.taking_back import require_no_other_word
from forecast_assets.operations.batches import find_batch, listed_batches
from resources.stores.home import Stores, open_stores

MONDAY = date(2025, 6, 2)
LAG = timedelta(hours=6)
NOW = datetime(2025, 7, 15, 12, tzinfo=UTC)


def sales(days: range, skus: str = "A", store: str = "S") -> Batch:
    rows = [
        (sku, store, MONDAY + timedelta(days=n), datetime(2025, 6, 3, 6, tzinfo=UTC) + timedelta(days=n), 2.0)
        for n in days
        for sku in skus
    ]
    frame = pl.DataFrame(rows, schema=SALES.schema, orient="row")
    return Batch("sales", "till", 0.8, LAG, frame, delivery=f"{days.start}.csv", listed_days=364)


def taken(stores: Stores, *batches: Batch, by: str = "", reason: str = "") -> IngestOutcome:
    return ingest_batches(
        iter(batches), stores.observations, expect=lambda _: [], progress=lambda *_: None, by=by, reason=reason
    )


def stored(stores: Stores) -> StoredRows:
    return StoredRows.by(stores.observations, stores.observations.batches)


def read(stores: Stores, cutoff: int, moment: datetime = NOW) -> list[tuple[int, str]]:
    history = History(
        stores.observations, tuple(stores.observations.batches()), MONDAY + timedelta(days=cutoff), moment
    )
    rows = history.feed("sales")
    assert rows is not None
    found = rows.collect().sort("event_date").select("event_date", "resolution").iter_rows()
    return [((day - MONDAY).days, why) for day, why in found]


# --- retractions ---


def test_new_snapshots_leave_out_what_was_taken_back_and_old_ones_name_it_still(stores: Stores) -> None:
    taken(stores, sales(range(3)))
    wrong = taken(stores, sales(range(3, 5))).added[0]
    before = tuple(stores.observations.batches())
    stores.observations.retract(wrong.batch_id, by="ana", reason="another shop")
    assert [day for day, _ in read(stores, 4)] == [0, 1, 2]
    assert stores.observations.named([batch.batch_id for batch in before]) == list(before)
    assert [each.taken_back.by for each in listed_batches(stores) if each.taken_back] == ["ana"]


def test_a_delivery_that_was_taken_back_does_not_come_again_by_itself(stores: Stores) -> None:
    wrong = taken(stores, sales(range(3))).added[0]
    stores.observations.retract(wrong.batch_id, by="ana", reason="another shop")
    again = taken(stores, sales(range(3)))
    assert again.sequence is None
    assert [each.kind for each in again.findings] == ["taken back"]
    assert "0.csv was taken back by ana (another shop) and is left out" in again.findings[0].message


def test_its_rows_may_be_right_in_another_delivery(stores: Stores) -> None:
    wrong = taken(stores, sales(range(3))).added[0]
    stores.observations.retract(wrong.batch_id, by="ana", reason="a day short")
    assert [each.rows for each in taken(stores, sales(range(4))).added] == [4]


def test_a_retraction_can_be_undone_and_each_is_said_once(stores: Stores) -> None:
    wrong = taken(stores, sales(range(3))).added[0].batch_id
    with pytest.raises(InputError, match="counts already"):
        stores.observations.retract(wrong, by="ana", reason="x", counts_again=True)
    stores.observations.retract(wrong, by="ana", reason="x")
    with pytest.raises(InputError, match="was taken back already"):
        stores.observations.retract(wrong, by="ana", reason="x")
    stores.observations.retract(wrong, by="ana", reason="it was right", counts_again=True)
    assert [batch.batch_id for batch in stores.observations.batches()] == [wrong]


@pytest.mark.parametrize(("by", "reason"), [("", "x"), ("ana", " ")])
def test_a_retraction_needs_who_and_why(stores: Stores, by: str, reason: str) -> None:
    wrong = taken(stores, sales(range(3))).added[0].batch_id
    with pytest.raises(InputError, match="needs who and why"):
        stores.observations.retract(wrong, by=by, reason=reason)


def test_the_first_day_of_a_store_that_was_a_slip_is_one_no_more(stores: Stores) -> None:
    wrong = taken(stores, sales(range(-9000, -8998))).added[0].batch_id
    taken(stores, sales(range(3)))
    stores.observations.retract(wrong, by="ana", reason="a typing slip")
    assert stores.ledger.state().start_date == MONDAY


def test_a_store_from_which_all_was_taken_back_begins_anew(stores: Stores) -> None:
    wrong = taken(stores, sales(range(-9000, -8998))).added[0].batch_id
    stores.observations.retract(wrong, by="ana", reason="a typing slip")
    assert stores.ledger.state().start_date is None
    taken(stores, sales(range(3)))
    assert stores.ledger.state().start_date == MONDAY


def test_a_start_that_moved_goes_back_with_the_batch(stores: Stores) -> None:
    first = taken(stores, sales(range(3))).added[0].batch_id
    taken(stores, sales(range(3, 6)))
    stores.observations.retract(first, by="ana", reason="x")
    assert stores.ledger.state().start_date == MONDAY + timedelta(days=3)
    stores.observations.retract(first, by="ana", reason="it was right", counts_again=True)
    assert stores.ledger.state().start_date == MONDAY


def test_a_batch_does_not_count_again_beside_what_came_in_its_place(stores: Stores) -> None:
    wrong = taken(stores, sales(range(3))).added[0]
    stores.observations.retract(wrong.batch_id, by="ana", reason="wrong units")
    right = sales(range(3))
    taken(stores, replace(right, frame=right.frame.with_columns(sales_units=pl.lit(9.0))))
    with pytest.raises(InputError, match="cannot count again: 3 of its rows say otherwise"):
        require_no_other_word(stores.observations, wrong)


def test_a_batch_is_found_by_its_number_or_the_first_digits_of_its_id(stores: Stores) -> None:
    first = taken(stores, sales(range(3))).added[0]
    taken(stores, sales(range(3, 5)))
    assert find_batch(stores, "1") == find_batch(stores, first.batch_id[:8]) == first
    for text in ("3", first.batch_id[:3], "nothing"):
        with pytest.raises(InputError, match=f"There is no batch {text}"):
            find_batch(stores, text)


# --- closures ---


def closed(stores: Stores, first: int, last: int, *, is_closed: bool = True, now: datetime = NOW) -> Batch:
    days = (MONDAY + timedelta(days=number) for number in (first, last))
    return closures_batch(["S"], *days, stored(stores), is_closed=is_closed, now=now)


def test_a_closure_that_is_over_was_known_at_the_end_of_its_day_and_one_ahead_is_now(stores: Stores) -> None:
    taken(stores, sales(range(3)))
    now = datetime(2025, 6, 6, 12, 30, 15, 7, tzinfo=UTC)
    said = closed(stores, 3, 5, now=now).frame
    assert said["known_at"].to_list() == [
        datetime(2025, 6, 6, tzinfo=UTC), now.replace(microsecond=0), now.replace(microsecond=0),
    ]  # fmt: skip


def test_a_closed_day_is_a_zero_for_the_run_of_that_day(stores: Stores) -> None:
    taken(stores, sales(range(3)))
    moment = datetime(2025, 6, 6, 6, tzinfo=UTC)
    assert read(stores, 3, moment)[-1][0] == 2
    taken(stores, closed(stores, 3, 3), by="ana", reason="stock-taking")
    assert read(stores, 3, moment)[-1] == (3, "assumed_closed")


def test_a_closure_is_taken_back_from_the_moment_on_at_which_that_is_said(stores: Stores) -> None:
    taken(stores, sales(range(3)))
    taken(stores, closed(stores, 3, 3), by="ana", reason="stock-taking")
    taken(stores, closed(stores, 3, 3, is_closed=False), by="ana", reason="it was open")
    assert read(stores, 3, NOW - timedelta(hours=1))[-1] == (3, "assumed_closed")
    assert read(stores, 3)[-1][0] == 2


def test_who_said_it_and_why_stands_in_the_ledger(stores: Stores) -> None:
    taken(stores, sales(range(3)))
    taken(stores, closed(stores, 3, 3), by="ana", reason="stock-taking")
    entry = stores.ledger.entries()[-1]
    assert (entry.body["by"], entry.body["reason"]) == ("ana", "stock-taking")
    assert "by" not in stores.ledger.entries()[0].body


def test_only_known_stores_can_be_closed_and_only_some_days(stores: Stores) -> None:
    with pytest.raises(InputError, match="Sales know no store S"):
        closed(stores, 0, 0)
    taken(stores, sales(range(3)))
    for first, last in ((1, 0), (0, 2000)):
        with pytest.raises(InputError, match="are no days, or more than"):
            closed(stores, first, last)


# --- silent days ---


def silent(outcome: IngestOutcome) -> list[str]:
    return [each.message for each in outcome.findings if each.kind == "silent days"]


def test_a_day_on_which_a_whole_store_is_silent_between_others_is_told(stores: Stores) -> None:
    told = silent(taken(stores, sales(range(3)), sales(range(4, 8))))
    assert told == ["whole stores are silent on 1 days between others: S on 2025-06-05"]


def test_of_many_silent_days_ten_are_named_and_the_others_counted_once(stores: Stores) -> None:
    (told,) = silent(taken(stores, *(sales(range(n, n + 1)) for n in range(0, 33, 2))))
    assert told.startswith("whole stores are silent on 15 days between others: S on 2025-06-03, ")
    assert told.endswith("S on 2025-06-21 and 5 more")


def test_it_is_told_when_the_days_after_it_arrive_later(stores: Stores) -> None:
    assert not silent(taken(stores, sales(range(3))))
    assert not silent(taken(stores, sales(range(4, 5))))
    assert not silent(taken(stores, sales(range(5, 6))))
    assert silent(taken(stores, sales(range(6, 7)))) == [
        "whole stores are silent on 1 days between others: S on 2025-06-05"
    ]
    assert not silent(taken(stores, sales(range(7, 8))))


def test_usual_closing_days_and_said_ones_are_not_told(stores: Stores) -> None:
    every = [n for n in range(70) if n % 7 != 6]
    weeks = [sales(range(n, n + 6)) for n in every if n % 7 == 0]
    told = silent(taken(stores, *weeks))
    # Of the first weeks nobody knows yet that it is usual.
    sundays = "S on 2025-06-08, S on 2025-06-15, S on 2025-06-22, S on 2025-06-29"
    assert told == [f"whole stores are silent on 4 days between others: {sundays}"]


def test_a_source_whose_silence_means_nothing_tells_of_missing_days_instead(stores: Stores) -> None:
    outcome = taken(stores, replace(sales(range(3)), listed_days=None), replace(sales(range(4, 8)), listed_days=None))
    assert [each.kind for each in outcome.findings] == ["late days"]


def test_an_empty_file_of_a_source_that_lists_only_what_was_sold_is_no_error(stores: Stores) -> None:
    nothing = replace(sales(range(0)), delivery="s_1225.csv")
    outcome = taken(stores, sales(range(3)), nothing)
    assert [each.message for each in outcome.findings] == ["s_1225.csv has no rows: nothing was sold"]
    assert [each.rows for each in outcome.added] == [3]


def test_zeros_that_earlier_releases_made_up_give_way_to_the_sources_own_word(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    made_up = sales(range(2), "AB")
    zero = (pl.col("sku_id") == "B") & (pl.col("event_date") == MONDAY + timedelta(days=1))
    frame = made_up.frame.with_columns(sales_units=pl.when(zero).then(0.0).otherwise("sales_units"))
    taken(stores, replace(made_up, frame=frame, listed_days=None))
    outcome = taken(stores, made_up)
    assert [each.rows for each in outcome.added] == [1]
    history = History(stores.observations, tuple(stores.observations.batches()), MONDAY + timedelta(days=1), NOW)
    rows = history.feed("sales")
    assert rows is not None
    assert rows.filter(zero).collect()["sales_units"].to_list() == [2.0]

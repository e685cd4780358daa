"""Words that a source only says again, on hand-written tables: what is stored, what counts, and what it costs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.contracts import FEEDS, PRICES
from forecast_assets.contracts.confirmations import (
    ALL,
    EXCEPT,
    LISTED,
    confirmations_contract,
    confirmations_feed,
    group_key,
    is_confirmable,
    spoken_feed,
    word_key,
)
from forecast_assets.core.errors import ContractError, LostRaceError
from forecast_assets.corrections.restatements import changed_rows
from forecast_assets.history.as_known import History
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches
from forecast_assets.ingestion.taking_back import keep_what_was_said_again
from resources.stores.home import Stores
from resources.stores.observations import contested_days

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = date(2025, 3, 1)
SCOPES = confirmations_contract("prices").names


def sent(on: float, prices: dict[str, float], *, source: str = "erp", trust: float = 0.9, days: int = 1) -> Batch:
    """What a source sent on some day after the start: the price of each SKU of one store, for some days."""
    rows = [
        (sku, "S", DAY + timedelta(days=ahead), START + timedelta(days=on), price, 1.0, False)
        for ahead in range(days)
        for sku, price in prices.items()
    ]
    frame = pl.DataFrame(rows, schema=PRICES.schema, orient="row")
    return Batch("prices", source, trust, timedelta(0), frame)


def taken(stores: Stores, *batches: Batch) -> IngestOutcome:
    return ingest_batches(batches, stores.observations, expect=lambda _: [], progress=lambda *_: None)


def stored(stores: Stores, feed: str = "prices") -> list[tuple[float, float, str]]:
    """What is stored, as days after the start, price and SKU, in the order in which it was said."""
    rows = stores.observations.scan(stores.observations.batches(), feed)
    assert rows is not None
    found = rows.sort("known_at", "sku_id").select("known_at", "unit_price", "sku_id").collect()
    return [((moment - START) / timedelta(days=1), price, sku) for moment, price, sku in found.rows()]


def confirmed(stores: Stores) -> list[tuple[float, str, str | None]]:
    rows = stores.observations.scan(stores.observations.batches(), confirmations_feed("prices"))
    found = rows.collect() if rows is not None else pl.DataFrame(schema=dict.fromkeys(SCOPES))
    told = found.sort("known_at", "scope", "sku_id").select("known_at", "scope", "sku_id")
    return [((moment - START) / timedelta(days=1), scope, sku) for moment, scope, sku in told.rows()]


def history(stores: Stores, on: float) -> History:
    moment = START + timedelta(days=on)
    return History(stores.observations, tuple(stores.observations.as_known(DAY, moment)), DAY, moment)


def counts(stores: Stores, on: float, sku: str = "A") -> tuple[float, str, str]:
    """Price, source and reason of a SKU as known on some day."""
    rows = history(stores, on).feed("prices")
    assert rows is not None
    (found,) = rows.filter(pl.col("sku_id") == sku).select("unit_price", "source", "resolution").collect().rows()
    return found


def test_what_is_said_again_is_stored_once_and_noted(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0, "B": 7.0}))
    outcome = taken(stores, sent(1, {"A": 5.0, "B": 7.0}))
    assert stored(stores) == [(0, 5.0, "A"), (0, 7.0, "B")]
    assert confirmed(stores) == [(1, ALL, None)]
    assert (outcome.added, [batch.feed for batch in outcome.known]) == ((), ["prices"])
    assert outcome.sequence == 2
    assert outcome.notes == (
        "2 rows of `prices` from erp say again what it said before: kept as such, and not stored again.",
    )


def test_another_value_and_then_the_first_one_again_are_three_words(stores: Stores) -> None:
    for on, price in enumerate((5.0, 6.0, 5.0, 5.0)):
        taken(stores, sent(on, {"A": price}))
    assert stored(stores) == [(0, 5.0, "A"), (1, 6.0, "A"), (2, 5.0, "A")]
    assert confirmed(stores) == [(3, ALL, None)]
    assert [counts(stores, on)[0] for on in (0, 1, 2, 3)] == [5.0, 6.0, 5.0, 5.0]


def test_rows_of_one_batch_are_judged_against_each_other_too(stores: Stores) -> None:
    frames = [sent(on, {"A": price}).frame for on, price in enumerate((5.0, 5.0, 6.0, 5.0))]
    taken(stores, Batch("prices", "erp", 0.9, timedelta(0), pl.concat(frames)))
    assert stored(stores) == [(0, 5.0, "A"), (2, 6.0, "A"), (3, 5.0, "A")]
    assert confirmed(stores) == [(1, ALL, None)]


def test_a_row_that_comes_late_is_judged_against_the_word_of_its_moment(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0}))
    taken(stores, sent(4, {"A": 6.0}))
    taken(stores, sent(2, {"A": 5.0}))
    taken(stores, sent(3, {"A": 6.0}))
    assert stored(stores) == [(0, 5.0, "A"), (3, 6.0, "A"), (4, 6.0, "A")]
    assert [counts(stores, on)[0] for on in (2, 3, 4)] == [5.0, 6.0, 6.0]


def test_a_late_word_does_not_hide_what_was_said_again_after_it(stores: Stores) -> None:
    for on in (0, 2, 6):
        taken(stores, sent(on, {"A": 5.0}))
    taken(stores, sent(1, {"A": 6.0}))
    assert stored(stores) == [(0, 5.0, "A"), (1, 6.0, "A"), (2, 5.0, "A")]
    assert confirmed(stores)[-1] == (6, LISTED, "A")
    assert [counts(stores, on)[0] for on in (0, 1, 2, 6)] == [5.0, 6.0, 5.0, 5.0]
    taken(stores, sent(5.0, {"A": 7.0}, source="web", trust=0.1))
    assert counts(stores, 6)[:2] == (5.0, "erp")


def test_a_source_that_only_repeats_itself_is_not_out_of_date(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0, "B": 5.0}))
    taken(stores, sent(4, {"A": 6.0, "B": 6.0}, source="web", trust=0.5))
    assert counts(stores, 4) == (6.0, "web", "fresher")
    taken(stores, sent(3, {"A": 5.0}))
    assert counts(stores, 4) == (5.0, "erp", "more_trusted")
    assert counts(stores, 4, "B") == (6.0, "web", "fresher")


def test_what_is_said_again_later_counts_later(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0}), sent(4, {"A": 6.0}, source="web", trust=0.5))
    before = history(stores, 4)
    taken(stores, sent(5, {"A": 5.0}))
    assert counts(stores, 4) == (6.0, "web", "fresher")
    assert counts(stores, 5) == (5.0, "erp", "more_trusted")
    assert history(stores, 4).batches == before.batches
    assert [spoken_feed(batch.feed) for batch in history(stores, 5).batches] == ["prices"] * 3


def test_what_is_not_said_again_is_named_or_else_what_is(stores: Stores) -> None:
    every = {"A": 1.0, "B": 2.0, "C": 3.0}
    taken(stores, sent(0, every))
    taken(stores, sent(1, {"A": 1.0, "B": 2.0}))
    taken(stores, sent(2, {"C": 3.0}))
    assert confirmed(stores) == [(1, ALL, None), (1, EXCEPT, "C"), (2, LISTED, "C")]


def test_two_files_of_one_moment_confirm_each_its_own(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 1.0, "B": 2.0}), sent(4, {"A": 9.0, "B": 9.0}, source="web", trust=0.5))
    taken(stores, sent(3, {"A": 1.0}), sent(3, {"B": 2.0}))
    assert (counts(stores, 4)[1], counts(stores, 4, "B")[1]) == ("erp", "erp")


def test_the_same_delivery_again_changes_nothing_and_is_not_compared(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries = [sent(on, {"A": 5.0, "B": 5.0 + (on > 1)}) for on in range(4)]
    for delivery in deliveries:
        taken(stores, delivery)
    files = [batch.batch_id for batch in stores.observations.batches()]
    monkeypatch.setattr("forecast_assets.ingestion.intake.without_repeats", lambda *_: pytest.fail("compared"))
    again = taken(stores, *deliveries)
    assert (again.sequence, again.added, len(again.known)) == (None, (), 4)
    assert [batch.batch_id for batch in stores.observations.batches()] == files


def test_another_word_at_the_moment_of_a_repetition_is_a_contradiction(stores: Stores) -> None:
    for on in (0, 1):
        taken(stores, sent(on, {"A": 5.0}))
    with pytest.raises(ContractError, match="1 rows say something else than before, as known at the same moment"):
        taken(stores, sent(1, {"A": 6.0}))


def test_another_trust_is_another_word(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0}, trust=0.4))
    taken(stores, sent(1, {"A": 5.0}, trust=0.8))
    assert stored(stores) == [(0, 5.0, "A"), (1, 5.0, "A")]
    assert confirmed(stores) == []


def test_days_of_which_nothing_new_was_said_are_not_contested(stores: Stores) -> None:
    for on in range(4):
        taken(stores, sent(on, {"A": 5.0, "B": 6.0}, days=28))
    batches = stores.observations.batches()
    assert contested_days(batch for batch in batches if batch.feed == "prices") == []
    taken(stores, sent(4, {"A": 5.0, "B": 7.0}))
    batches = stores.observations.batches()
    assert contested_days(batch for batch in batches if batch.feed == "prices") == [(DAY, DAY)]
    rows = history(stores, 4).feed("prices")
    assert rows is not None
    assert rows.sort("sku_id").select("unit_price", "is_restated").collect().rows() == [(5.0, False), (7.0, True)]


def test_repetitions_and_news_of_the_same_days_at_once_are_not_both_recorded(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0}))

    def batches() -> Iterator[Batch]:
        yield sent(3, {"A": 5.0})
        taken(stores, sent(1, {"A": 6.0}))

    with pytest.raises(LostRaceError, match="Another ingest recorded the same days meanwhile"):
        ingest_batches(batches(), stores.observations, expect=lambda _: [], progress=lambda *_: None)


def take_back(stores: Stores, number: int) -> None:
    batch = stores.observations.batches()[number]
    keep_what_was_said_again(stores.observations, batch, by="ana", reason="wrong file")
    stores.observations.retract(batch.batch_id, by="ana", reason="wrong file")


def test_what_other_deliveries_said_too_stays_said_when_the_first_one_is_taken_back(stores: Stores) -> None:
    for on, price in enumerate((5.0, 6.0, 6.0, 6.0)):
        taken(stores, sent(on, {"A": price}))
    before = history(stores, 3)
    take_back(stores, 1)
    assert stored(stores) == [(0, 5.0, "A"), (2, 6.0, "A")]
    assert [counts(stores, on)[0] for on in (1, 2, 3)] == [5.0, 6.0, 6.0]
    taken(stores, sent(4.5, {"A": 9.0}, source="web", trust=0.1))
    assert counts(stores, 4.5)[:2] == (6.0, "erp")
    rows = before.feed("prices")
    assert rows is not None
    assert rows.collect()["unit_price"].to_list() == [6.0]


def test_what_nobody_said_again_goes_with_its_delivery(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0}))
    taken(stores, sent(1, {"A": 6.0}))
    taken(stores, sent(2, {"A": 5.0}))
    take_back(stores, 1)
    assert stored(stores) == [(0, 5.0, "A"), (2, 5.0, "A")]
    assert len(stores.observations.batches()) == 2


def test_a_run_is_to_be_corrected_where_a_repetition_changes_which_source_counts(stores: Stores) -> None:
    taken(stores, sent(0, {"A": 5.0}), sent(4, {"A": 6.0}, source="web", trust=0.5))
    before = history(stores, 4)
    taken(stores, sent(5, {"A": 5.0}))
    told = changed_rows(before, history(stores, 5), 28, 7).select("before", "after", "source", "resolution")
    assert told.rows() == [("unit_price 6", "unit_price 5", "erp", "more_trusted")]


def test_a_feed_whose_later_word_may_move_its_day_is_stored_row_by_row() -> None:
    assert [name for name, contract in FEEDS.items() if not is_confirmable(contract)] == ["purchase_orders"]


def test_forms_of_confirmations_are_those_of_their_feed() -> None:
    assert SCOPES == ["sku_id", "store_id", "event_date", "known_at", "scope"]
    for feed in ("prices", "events", "store_closures", "product_hierarchy"):
        contract = confirmations_contract(feed)
        key = [name for name in FEEDS[feed].names if name in word_key(FEEDS[feed])]
        assert contract.names == [*key, "known_at", "scope"]
        assert {column.name for column in contract.columns if not column.nullable} == {
            *group_key(FEEDS[feed]), "known_at", "scope",
        }  # fmt: skip
        assert spoken_feed(contract.name) == feed

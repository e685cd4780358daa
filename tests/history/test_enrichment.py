"""Enrichment on hand-written tables: which missing values are filled, whose they are, and which stay missing."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import FEEDS
from forecast_assets.history.fusion import resolve

DAY_END = datetime(2025, 1, 2, tzinfo=UTC)
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
TRUST = {"till": 0.9, "erp": 0.7, "web": 0.5, "audit": 0.7}
FEED_VALUES: dict[str, dict[str, Any]] = {
    "prices": {"unit_price": None, "price_ratio": 1.0, "is_promotion": False},
    "stock_status": {"out_of_stock_hours": 4.0, "trading_hours": 16.0, "out_of_stock_demand_share": None},
    "inventory_positions": {
        "on_hand_units": 5.0,
        "lead_time_days": 2.0,
        "lead_time_deviation_days": 1.0,
        "review_period_days": None,
        "reorder_point_units": None,
        "order_up_to_units": None,
    },
}
Word = tuple[str, float, dict[str, Any]]


def words(feed: str, *said: Word) -> pl.LazyFrame:
    """Words on one key: source, days after the day's end, and the values that are not as in ``FEED_VALUES``."""
    contract = FEEDS[feed]
    rows = [
        {
            "sku_id": "A",
            "store_id": "S",
            "event_date": date(2025, 1, 1),
            "known_at": DAY_END + timedelta(days=days),
            **FEED_VALUES[feed],
            **values,
            "source": source,
            "trust": TRUST[source],
        }
        for source, days, values in said
    ]
    return pl.LazyFrame(rows, schema={**contract.schema, "source": pl.String, "trust": pl.Float64})


def resolved(feed: str, *said: Word, enriches: bool = True) -> dict[str, Any]:
    rows = words(feed, *said)
    (row,) = resolve(feed, rows, known_until=FOREVER, enriches=enriches).collect().to_dicts()
    again = resolve(feed, words(feed, *said[::-1]), known_until=FOREVER, enriches=enriches).collect().to_dicts()
    assert again == [row]
    return row


def priced(source: str, days: float, price: float | None) -> Word:
    return source, days, {"unit_price": price}


@pytest.mark.parametrize(
    ("said", "price", "enriched"),
    [
        ([("till", 0, None)], None, None),
        ([("till", 0, None), ("erp", 0, None)], None, None),
        ([("till", 0, 3.0), ("erp", 0, 5.0)], 3.0, None),
        ([("till", 0, None), ("erp", 0, 5.0)], 5.0, "unit_price: erp (only_source)"),
        ([("till", 0, None), ("erp", 0, None), ("web", 0, 4.0)], 4.0, "unit_price: web (only_source)"),
        ([("till", 0, None), ("erp", 0, 5.0), ("web", 1, 4.0)], 5.0, "unit_price: erp (more_trusted)"),
        ([("till", 0, None), ("erp", 0, 5.0), ("web", 1, 5.0)], 5.0, "unit_price: erp (sources_agree)"),
        ([("till", 0, None), ("erp", 0, 5.0), ("audit", 0, 4.0)], 4.0, "unit_price: audit (tie_by_name)"),
        ([("till", 0, None), ("erp", 1, 5.0), ("audit", 0, 4.0)], 5.0, "unit_price: erp (fresher)"),
        # What is out of date comes last, and counts where nothing else does.
        ([("till", 3, None), ("erp", 0, 5.0), ("web", 1, 4.0)], 4.0, "unit_price: web (fresher)"),
        ([("till", 9, None), ("erp", 0, 5.0), ("web", 1, 4.0)], 5.0, "unit_price: erp (more_trusted)"),
        # The newest word of a source is that it does not say.
        ([("till", 0, None), ("erp", 0, 5.0), ("erp", 1, None)], None, None),
    ],
)
def test_a_price_that_the_winner_lacks_is_that_of_the_next_source(
    said: list[tuple[str, float, float | None]], price: float | None, enriched: str | None
) -> None:
    row = resolved("prices", *(priced(*word) for word in said))
    assert (row["source"], row["unit_price"], row["enriched"]) == ("till", price, enriched)


def test_the_rest_of_the_row_stays_the_winners() -> None:
    row = resolved("prices", priced("till", 1, None), ("erp", 0, {"unit_price": 5.0, "price_ratio": 0.5}))
    expected = {"price_ratio": 1.0, "known_at": DAY_END + timedelta(days=1), "resolution": "more_trusted"}
    assert {name: row[name] for name in expected} == expected


def test_without_enrichment_nothing_is_filled() -> None:
    row = resolved("prices", priced("till", 0, None), priced("erp", 0, 5.0), enriches=False)
    assert (row["unit_price"], row["enriched"]) == (None, None)


def test_what_is_known_later_fills_nothing() -> None:
    rows = words("prices", priced("till", 0, None), priced("erp", 1, 5.0))
    before = resolve("prices", rows, known_until=DAY_END).collect()
    assert before["unit_price"].to_list() == [None]


def test_the_parts_of_a_policy_are_taken_from_one_source() -> None:
    till = ("till", 0, {})
    erp = ("erp", 0, {"order_up_to_units": 9.0})
    web = ("web", 0, {"reorder_point_units": 4.0, "order_up_to_units": 8.0})
    row = resolved("inventory_positions", till, erp, web)
    assert (row["reorder_point_units"], row["order_up_to_units"]) == (None, 9.0)
    assert row["enriched"] == "order_up_to_units: erp (more_trusted)"
    own = resolved("inventory_positions", ("till", 0, {"review_period_days": 7}), erp)
    assert (own["order_up_to_units"], own["enriched"]) == (None, None)


def test_a_share_of_demand_is_only_taken_where_the_hours_are_the_same() -> None:
    till = ("till", 0, {"out_of_stock_hours": 0.0})
    erp = ("erp", 0, {"out_of_stock_demand_share": 0.4})
    web = ("web", 0, {"out_of_stock_hours": 0.0, "out_of_stock_demand_share": 0.0})
    assert resolved("stock_status", till, erp)["out_of_stock_demand_share"] is None
    both = resolved("stock_status", till, erp, web)
    assert both["out_of_stock_demand_share"] == 0.0
    assert both["enriched"] == "out_of_stock_demand_share: web (only_source)"


def test_an_open_order_is_not_received_because_another_source_says_so() -> None:
    """Null is the word here: the order has not come."""
    order = {"order_id": "PO-1", "sku_id": "A", "store_id": "S", "event_date": date(2025, 1, 1), "ordered_units": 9.0}
    rows = pl.LazyFrame(
        [
            {**order, "known_at": DAY_END, "received_date": None, "source": "till", "trust": 0.9},
            {**order, "known_at": DAY_END, "received_date": date(2025, 1, 3), "source": "erp", "trust": 0.7},
        ],
        schema={**FEEDS["purchase_orders"].schema, "source": pl.String, "trust": pl.Float64},
    )
    assert resolve("purchase_orders", rows, known_until=FOREVER).collect()["received_date"].to_list() == [None]


def test_every_column_that_may_be_missing_can_be_filled_unless_its_absence_says_something() -> None:
    says_something = {
        ("purchase_orders", "received_date"), ("quarantined_rows", "sku_id"), ("quarantined_rows", "store_id"),
    }  # fmt: skip
    for name, contract in FEEDS.items():
        filled = [column for enrichment in contract.enrichments for column in enrichment.columns]
        missing = {column.name for column in contract.columns if column.nullable}
        assert missing == set(filled) | {column for feed, column in says_something if feed == name}
        assert len(filled) == len(set(filled))
        assert all(set(enrichment.given) <= set(contract.names) for enrichment in contract.enrichments)


prices_said = st.lists(
    st.tuples(
        st.sampled_from(sorted(TRUST)),
        st.integers(0, 8).map(lambda half: half / 2),
        st.sampled_from([None, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda word: word[:2],
)


@settings(max_examples=60, deadline=None)
@given(said=prices_said)
def test_enriching_changes_only_what_was_missing_and_fills_it_with_a_newest_word(
    said: list[tuple[str, float, float | None]],
) -> None:
    rows = [priced(*word) for word in said]
    plain, filled = resolved("prices", *rows, enriches=False), resolved("prices", *rows)
    newest = {source: price for source, _, price in sorted(said, key=lambda word: word[1])}
    assert {**filled, "unit_price": plain["unit_price"], "enriched": None} == plain
    if plain["unit_price"] is not None or set(newest.values()) == {None}:
        assert (filled["unit_price"], filled["enriched"]) == (plain["unit_price"], None)
        return
    assert filled["enriched"] is not None
    giver = filled["enriched"].removeprefix("unit_price: ").split(" ")[0]
    assert filled["unit_price"] == newest[giver] is not None

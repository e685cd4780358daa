"""Fusion on hand-written tables: who wins, and why."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.history.fusion import FRESHNESS_TOLERANCE, resolve

DAY_END = datetime(2025, 1, 2, tzinfo=UTC)
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
TRUST = {"pos": 0.9, "backoffice": 0.7, "audit": 0.9}
Said = tuple[str, float, float]


def said(*rows: Said) -> pl.LazyFrame:
    """Rows of source, days after the day's end, units; all on one key."""
    return pl.LazyFrame(
        {
            "sku_id": "A",
            "store_id": "S",
            "event_date": date(2025, 1, 1),
            "known_at": [DAY_END + timedelta(days=days) for _, days, _ in rows],
            "sales_units": [units for _, _, units in rows],
            "source": [source for source, _, _ in rows],
            "trust": [TRUST[source] for source, _, _ in rows],
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize(
    ("rows", "units", "source", "resolution", "candidates", "is_restated"),
    [
        ([("pos", 0, 5.0)], 5.0, "pos", "only_source", 1, False),
        ([("pos", 0, 5.0), ("pos", 3, 6.0)], 6.0, "pos", "only_source", 1, True),
        ([("pos", 0, 5.0), ("backoffice", 1, 5.0)], 5.0, "pos", "sources_agree", 2, False),
        ([("pos", 0, 5.0), ("backoffice", 1, 4.0)], 5.0, "pos", "more_trusted", 2, False),
        ([("pos", 0, 5.0), ("backoffice", 2, 4.0)], 5.0, "pos", "more_trusted", 2, False),
        ([("pos", 0, 5.0), ("backoffice", 2.001, 4.0)], 4.0, "backoffice", "fresher", 2, False),
        ([("pos", 0, 5.0), ("backoffice", 1, 4.0), ("pos", 4, 3.0)], 3.0, "pos", "fresher", 2, True),
        ([("pos", 0, 5.0), ("audit", 1, 4.0)], 4.0, "audit", "fresher", 2, False),
        ([("pos", 0, 5.0), ("audit", 0, 4.0)], 4.0, "audit", "tie_by_name", 2, False),
        ([("pos", 0, 5.0), ("audit", 0, 4.0), ("backoffice", 1, 7.0)], 4.0, "audit", "tie_by_name", 3, False),
        ([("backoffice", 0, 4.0), ("backoffice", 1, 3.0), ("pos", 1, 5.0)], 5.0, "pos", "more_trusted", 2, False),
        ([("pos", 0, 5.0), ("pos", 0, 5.0)], 5.0, "pos", "only_source", 1, False),
        ([("pos", 0, 6.0), ("pos", 0, 5.0), ("pos", 0, 4.0)], 6.0, "pos", "only_source", 1, False),
    ],
)
def test_who_wins_and_why(
    rows: list[Said], units: float, source: str, resolution: str, candidates: int, is_restated: bool
) -> None:
    expected = {
        "sales_units": units,
        "source": source,
        "resolution": resolution,
        "candidates": candidates,
        "is_restated": is_restated,
    }
    for order in (rows, rows[::-1]):
        found = resolve("sales", said(*order), known_until=FOREVER).collect()
        assert found.select(list(expected)).to_dicts() == [expected]


def test_later_words_are_not_heard_before_they_are_said() -> None:
    rows = said(("pos", 0, 5.0), ("backoffice", 1, 4.0), ("pos", 9, 3.0))
    at = [resolve("sales", rows, known_until=DAY_END + timedelta(days=days)).collect() for days in (-1, 0, 8, 9)]
    assert [frame["sales_units"].to_list() for frame in at] == [[], [5.0], [5.0], [3.0]]
    assert [frame["resolution"].to_list() for frame in at] == [[], ["only_source"], ["more_trusted"], ["fresher"]]
    assert len({tuple(frame.schema.items()) for frame in at}) == 1


def test_columns_and_types_are_the_contracts_and_the_five_of_fusion() -> None:
    found = resolve("sales", said(("pos", 0, 5.0)), known_until=FOREVER).collect_schema()
    assert dict(found) == {
        **FEEDS["sales"].schema,
        "source": pl.String,
        "resolution": pl.String,
        "candidates": pl.UInt32,
        "is_restated": pl.Boolean,
        "enriched": pl.String,
    }


def test_unknown_values_agree_with_each_other() -> None:
    def price(source: str, trust: float) -> pl.LazyFrame:
        return pl.LazyFrame(
            {
                "sku_id": "A",
                "store_id": "S",
                "event_date": date(2025, 1, 1),
                "known_at": DAY_END,
                "unit_price": None,
                "price_ratio": 1.0,
                "is_promotion": False,
                "source": source,
                "trust": trust,
            },
            schema_overrides={"unit_price": pl.Float64, "known_at": pl.Datetime("us", "UTC")},
        )

    both = pl.concat([price("pricing", 0.9), price("website", 0.5)])
    assert resolve("prices", both, known_until=FOREVER).collect()["resolution"].to_list() == ["sources_agree"]


def test_a_receipt_replaces_the_open_order() -> None:
    orders = pl.LazyFrame(
        {
            "order_id": ["PO-1", "PO-1", "PO-2"],
            "sku_id": "A",
            "store_id": "S",
            "event_date": date(2025, 1, 1),
            "known_at": [DAY_END, DAY_END + timedelta(days=3), DAY_END],
            "ordered_units": 10.0,
            "received_date": [None, date(2025, 1, 4), None],
            "source": "erp",
            "trust": 0.9,
        },
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    early = resolve("purchase_orders", orders, known_until=DAY_END).collect()
    late = resolve("purchase_orders", orders, known_until=FOREVER).collect()
    assert early["received_date"].to_list() == [None, None]
    assert dict(late.select("order_id", "received_date").iter_rows()) == {"PO-1": date(2025, 1, 4), "PO-2": None}


def test_keys_beyond_any_machine_word_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_assets.core.numbering._LARGEST_NUMBER", 1)
    rows = pl.concat([said(("pos", 0, float(n))).with_columns(sku_id=pl.lit(f"SKU-{n}")) for n in range(20)])
    assert resolve("sales", rows, known_until=FOREVER).collect()["sales_units"].to_list() == [
        float(n) for n in range(20)
    ]


def test_the_tolerance_is_two_days() -> None:
    assert timedelta(days=2) == FRESHNESS_TOLERANCE

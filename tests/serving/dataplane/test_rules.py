"""Answers by rule: plain arithmetic on what was observed, and nothing made up where nothing was."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.core.errors import StorageError
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane.rules import DAYS_AHEAD, RULES, SAFETY, RuleAnswer, by_rules
from resources.stores.home import Stores

# A Sunday; four weeks before it are known.
LAST = date(2025, 6, 29)
FIRST = LAST - timedelta(days=27)
KNOWN_AT = datetime(2025, 6, 30, 5, tzinfo=UTC)


def told(stores: Stores, feed: str, rows: list[dict[str, object]]) -> None:
    frame = pl.DataFrame(rows, schema=FEEDS[feed].schema)
    batch = stores.observations.write(frame, feed=feed, source="till", trust=1.0, declared_lag=timedelta(hours=6))
    stores.observations.record([batch])


def day_rows(feed: str, sku: str, **values: list[float]) -> list[dict[str, object]]:
    """Rows of four weeks, by day."""
    days = [FIRST + timedelta(days=at) for at in range(28)]
    empty = dict.fromkeys(FEEDS[feed].schema)
    return [
        {**empty, "store_id": "S", "sku_id": sku, "event_date": day, "known_at": KNOWN_AT}
        | {name: numbers[at] for name, numbers in values.items()}
        for at, day in enumerate(days)
    ]


@pytest.fixture
def observed(stores: Stores) -> Stores:
    """A sells its weekday's number (Monday 1 ... Sunday 7); of B a feed says that the shelf was empty on Mondays."""
    weekdays = [float(day % 7 + 1) for day in range(28)]
    told(
        stores, "sales", [*day_rows("sales", "A", sales_units=weekdays), *day_rows("sales", "B", sales_units=weekdays)]
    )
    stock = [0.0 if day % 7 == 0 else 9.0 for day in range(28)]
    told(stores, "inventory_positions", day_rows("inventory_positions", "B", on_hand_units=stock))
    return stores


def ask(stores: Stores, *changes: SeriesChange) -> RuleAnswer:
    return by_rules(stores, changes, LAST)


def units(found: RuleAnswer, sku: str) -> list[float]:
    return found.forecasts.filter(sku_id=sku)["forecast_units"].cast(pl.Float64).to_list()


def bands(found: RuleAnswer, sku: str) -> list[str]:
    return found.risks.filter(sku_id=sku)["risk_band"].to_list()


def test_a_day_sells_what_its_weekday_sold(observed: Stores) -> None:
    found = ask(observed, SeriesChange("S", "A"))
    assert found.served_from == RULES
    assert units(found, "A") == [1, 2, 3, 4, 5, 6, 7]
    assert found.forecasts["target_date"].to_list() == [LAST + timedelta(days=step) for step in range(1, 8)]
    assert bands(found, "A") == ["unknown"] * DAYS_AHEAD


def test_days_with_an_empty_shelf_say_nothing_of_demand(observed: Stores) -> None:
    # Mondays are left out, so that a Monday sells what any other day does.
    assert units(ask(observed, SeriesChange("S", "B")), "B") == [4.5, 2, 3, 4, 5, 6, 7]


def test_stock_covers_as_long_as_its_sum_lasts(observed: Stores) -> None:
    found = ask(observed, SeriesChange("S", "A", on_hand_units=6.0))
    assert bands(found, "A") == ["low", "low", "low", "high", "high", "high", "high"]
    assert found.risks["days_of_cover"].to_list() == pytest.approx([1.5] * DAYS_AHEAD)


def test_known_stock_counts_where_the_caller_names_none(observed: Stores) -> None:
    # Nine on hand: 4.5, 6.5, 9.5 are sold.
    assert bands(ask(observed, SeriesChange("S", "B")), "B")[:3] == ["low", "low", "high"]


def test_below_the_safety_figure_a_series_is_at_risk_whatever_it_sells(observed: Stores) -> None:
    assert set(bands(ask(observed, SeriesChange("S", "A", on_hand_units=1.0)), "A")) == {"high"}


def test_of_a_series_that_nobody_knows_only_named_stock_says_something(observed: Stores) -> None:
    found = ask(observed, SeriesChange("S", "new", on_hand_units=1.0), SeriesChange("S", "newer"))
    assert found.served_from == SAFETY
    assert found.forecasts["forecast_units"].null_count() == found.forecasts.height == 2 * DAYS_AHEAD
    assert set(bands(found, "new")) == {"high"}
    assert set(bands(found, "newer")) == {"unknown"}


def test_known_and_unknown_series_stand_side_by_side(observed: Stores) -> None:
    found = ask(observed, SeriesChange("S", "A"), SeriesChange("S", "new"))
    assert found.served_from == RULES
    assert found.risks.height == 2 * DAYS_AHEAD
    assert any("1 of 2 series" in text for text in found.warnings)


def test_where_nothing_can_be_read_the_safety_figure_answers(observed: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise StorageError("no answer")

    monkeypatch.setattr(type(observed.observations), "batches", broken)
    found = ask(observed, SeriesChange("S", "A", on_hand_units=0.0))
    assert (found.served_from, set(bands(found, "A"))) == (SAFETY, {"high"})
    assert "StorageError" in found.warnings[0]


def test_an_empty_store_answers_by_the_safety_figure(stores: Stores) -> None:
    found = ask(stores, SeriesChange("S", "A", on_hand_units=50.0))
    assert (found.served_from, set(bands(found, "A"))) == (SAFETY, {"unknown"})


def test_the_same_question_has_the_same_answer(observed: Stores) -> None:
    question = [SeriesChange("S", "B", on_hand_units=5.0), SeriesChange("S", "A")]
    first, second = ask(observed, *question), ask(observed, *reversed(question))
    assert first.forecasts.equals(second.forecasts)
    assert first.risks.equals(second.risks)

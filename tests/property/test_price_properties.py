"""One price that was mistyped is a reference for no other row."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.ingestion.stored_rows import StoredRows
from forecast_assets.sources.price_ratios import LEAST_DAYS, held_prices

FIRST = date(2025, 1, 1)
TRUE_PRICES = st.lists(st.sampled_from([1.5, 2.0, 2.2]), min_size=8, max_size=60)


def held(prices: list[float], cut: int = 0) -> list[float]:
    """The references of the days from `cut` on, where those before are held already."""
    days = [FIRST + timedelta(days=at) for at in range(len(prices))]
    words = {"event_date": days, "known_at": datetime(2024, 12, 1, tzinfo=UTC), "unit_price": prices}
    frame = pl.DataFrame({"sku_id": "A", "store_id": "S", **words})
    before = StoredRows.of({"prices": frame[:cut]} if cut else {}, source="erp")
    return held_prices(frame[cut:], before, "erp").to_list()


@settings(deadline=None)
@given(TRUE_PRICES, st.data(), st.sampled_from([0.01, 0.1, 10.0, 100.0, 1000.0]))
def test_a_reference_is_a_price_that_the_series_truly_had(prices: list[float], data: st.DataObject, by: float) -> None:
    at = data.draw(st.integers(0, len(prices) - 1))
    slipped = [price * by if day == at else price for day, price in enumerate(prices)]
    # On its first days nothing tells a slip from a price.
    references = held(slipped)[LEAST_DAYS - 1 :]
    assert min(prices) <= min(references)
    assert max(references) <= max(prices)


@settings(deadline=None)
@given(TRUE_PRICES, st.data())
def test_the_cut_into_deliveries_does_not_matter(prices: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(prices) - 1))
    assert held(prices, cut) == held(prices)[cut:]


def test_a_price_that_is_raised_is_the_reference_from_its_third_day_on() -> None:
    assert held([2.0] * 10 + [2.5] * 4)[9:] == [2.0, 2.0, 2.0, 2.5, 2.5]


def test_a_reduction_of_a_year_less_a_week_does_not_become_the_reference() -> None:
    assert set(held([2.0] * 10 + [1.0] * 350)) == {2.0}
    assert held([2.0] * 10 + [1.0] * 375)[-1] == 1.0

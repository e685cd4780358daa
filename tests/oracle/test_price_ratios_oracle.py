"""Prices that held in the trailing year against a search through all words, row by row."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import PRICES
from forecast_assets.ingestion.stored_rows import StoredRows
from forecast_assets.sources.price_ratios import held_prices

# The edges of a year and of a week, and a week in full.
DAYS = (
    date(2023, 12, 27), date(2023, 12, 30), date(2023, 12, 31), date(2024, 1, 1), date(2024, 1, 2),
    *(date(2024, 12, day) for day in range(24, 32)), date(2025, 1, 1),
)  # fmt: skip

YEAR, WEEK = timedelta(days=365), timedelta(days=7)

Word = tuple[str, date, int, float]
KEYS = st.tuples(st.sampled_from("AB"), st.sampled_from(DAYS), st.integers(0, 4))
WORDS = st.dictionaries(KEYS, st.sampled_from([1.0, 2.0, 5.0, 9.0]), min_size=1, max_size=24)


def frame(words: list[Word]) -> pl.DataFrame:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [(sku, "S", day, start + timedelta(hours=hour), price, 1.0, False) for sku, day, hour, price in words]
    return pl.DataFrame(rows, schema=PRICES.schema, orient="row")


def searched(row: Word, words: list[Word]) -> float:
    sku, day, hour, _ = row
    seen = [word for word in words if word[0] == sku and word[2] <= hour and word[1] <= day]
    newest = {word[1]: word[3] for word in sorted(seen, key=lambda word: word[2])}
    weeks = [held_in_week(end, newest) for end in newest if day - end < YEAR]
    full = [price for known, price in weeks if known >= 4]
    return max(full or [price for _, price in weeks])


def held_in_week(end: date, prices: dict[date, float]) -> tuple[int, float]:
    week = sorted((price for day, price in prices.items() if timedelta(0) <= end - day < WEEK), reverse=True)
    on_days = 3 if len(week) == 7 else 2 if len(week) >= 4 else 1
    return len(week), week[on_days - 1]


@settings(deadline=None, max_examples=200)
@given(WORDS, st.integers(0, 23))
def test_held_prices_are_those_of_the_newest_words_known_by_then(
    said: dict[tuple[str, date, int], float], held_rows: int
) -> None:
    # A day of which only later words are there is read ahead all the same: here each has a word from the start.
    first = {(sku, day): min(hour for *key, hour in said if key == [sku, day]) for sku, day, _ in said}
    words = [(sku, day, hour - first[sku, day], price) for (sku, day, hour), price in said.items()]
    cut = min(held_rows, len(words) - 1)
    held = StoredRows.of({"prices": frame(words[:cut])}, source="erp")
    found = held_prices(frame(words[cut:]), held, "erp").to_list()
    assert found == [searched(row, words) for row in words[cut:]]

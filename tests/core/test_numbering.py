"""Numbering of keys: against Polars' own counting, sorted or not, however wide the columns."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.core import numbering
from forecast_assets.core.numbering import has_repeated_keys, number_keys, number_pairs

KEY = ["sku_id", "event_date", "known_at"]
START = datetime(2025, 1, 1, tzinfo=UTC)
SCHEMA = {"sku_id": pl.String, "event_date": pl.Date, "known_at": pl.Datetime("us", "UTC")}


@st.composite
def keyed(draw: st.DrawFn) -> pl.DataFrame:
    row = st.tuples(
        st.sampled_from(["A", "B", None]),
        st.one_of(st.none(), st.integers(0, 3).map(lambda day: date(2025, 1, 1) + timedelta(days=day))),
        st.one_of(st.none(), st.integers(0, 10**14).map(lambda at: START + timedelta(microseconds=at))),
    )
    rows = draw(st.lists(row, min_size=1, max_size=12))
    return pl.DataFrame(rows + draw(st.lists(st.sampled_from(rows), max_size=2)), schema=SCHEMA, orient="row")


@settings(max_examples=80, deadline=None)
@given(frame=keyed(), largest=st.sampled_from([1, 2**62]))
def test_keys_repeat_where_polars_says_so_and_nowhere_else(frame: pl.DataFrame, largest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "_LARGEST_NUMBER", largest)
        distinct = frame.select(pl.struct(KEY).n_unique()).item()
        assert has_repeated_keys(frame, KEY) == (distinct < frame.height)
        ordered = frame.sort("event_date", "sku_id", "known_at")
        assert has_repeated_keys(ordered, KEY) == (distinct < frame.height)
        numbers = number_keys(frame, KEY)
        assert sorted(numbers.unique()) == list(range(distinct))
        assert frame.with_columns(number=numbers).select(pl.struct(*KEY, "number").n_unique()).item() == distinct


def test_sorted_rows_are_not_numbered_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "_packed", lambda *_: pytest.fail("counted"))
    days = pl.date_range(date(2020, 1, 1), date(2025, 1, 1), eager=True)
    by_day = pl.DataFrame({"event_date": days}).join(pl.DataFrame({"sku_id": ["A", "B"]}), how="cross")
    assert not has_repeated_keys(by_day, ["sku_id", "event_date"])
    assert not has_repeated_keys(by_day.sort("sku_id", "event_date"), ["sku_id", "event_date"])


def test_a_repeated_key_after_a_thousand_rows_is_found() -> None:
    numbers = pl.DataFrame({"number": [*range(3000), 2999]})
    assert has_repeated_keys(numbers, ["number"])
    assert not has_repeated_keys(numbers.head(3000), ["number"])
    assert not has_repeated_keys(numbers.clear(), ["number"])


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10**6)), max_size=30))
def test_pairs_are_numbered_in_their_order_without_holes(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    ordered = sorted(set(pairs))
    assert number_pairs(one, other).tolist() == [ordered.index(pair) for pair in pairs]

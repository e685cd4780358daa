"""Records of messages: read all at once, and those that are none told one by one."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.contracts import FEEDS
from forecast_assets.core.errors import SourceError
from forecast_assets.sources.stream_records import StreamedRows, StreamSource, read_messages

POS = StreamSource("pos", declared_lag=timedelta(hours=6))
TODAY = date(2025, 2, 1)


def record(**said: Any) -> dict[str, Any]:
    return {"sku_id": "a", "store_id": "s", "event_date": "2025-01-01", "sales_units": 3} | said


def lines(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in records)


def read(*values: bytes, feed: str = "sales") -> StreamedRows:
    return read_messages(feed, POS, values, TODAY)


def rows(found: StreamedRows) -> list[tuple[Any, ...]]:
    assert found.batch is not None
    return found.batch.frame.rows()


def told(found: StreamedRows) -> dict[tuple[int, int], str]:
    return {(bad.message, number): why for bad in found.bad for number, _, why in bad.records}


def test_one_record_lines_and_arrays_are_read_alike() -> None:
    three = [record(sku_id=name) for name in "abc"]
    ways = (
        [lines(each) for each in three],
        [lines(*three)],
        [json.dumps(three).encode()],
        [json.dumps(three, indent=2).encode()],
        [lines(*three[:2]) + b"\r\n\r\n", json.dumps(three[2], indent=1).encode()],
    )
    known = datetime(2025, 1, 2, 6, tzinfo=UTC)
    for way in ways:
        found = read(*way)
        assert rows(found) == [(name, "s", date(2025, 1, 1), known, 3.0) for name in "abc"]
        assert (found.bad, found.records) == ([], 3)


def test_of_one_key_and_moment_the_last_counts_and_a_later_moment_is_a_row_of_its_own() -> None:
    later = record(sales_units=7, known_at="2025-01-05T09:00:00+02:00")
    found = read(lines(record(), record(sales_units=4)), lines(later), lines(record(sales_units=5)))
    assert [(row[3].isoformat(), row[4]) for row in rows(found)] == [
        ("2025-01-02T06:00:00+00:00", 5.0), ("2025-01-05T07:00:00+00:00", 7.0),
    ]  # fmt: skip


def test_a_bad_record_hides_no_good_one_of_its_key() -> None:
    found = read(lines(record(), record(sales_units=-1)))
    assert [row[4] for row in rows(found)] == [3.0]
    assert told(found) == {(0, 2): "`sales_units` is below 0"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"nonsense", "it is no JSON in UTF-8"),
        (b"\xff\xfe", "it is no JSON in UTF-8"),
        (b"", "it has no record"),
        (b"[]", "it has no record"),
        (b"5", "it is no JSON object but int"),
        (b"[" * 100_000, "it is no JSON in UTF-8"),
        (lines(record(sales_units="3")), "`sales_units` cannot be '3'"),
        (lines(record(sales_units=True)), "`sales_units` cannot be 'True'"),
        (lines(record(sales_units=None)), "`sales_units` is missing"),
        (b'{"sku_id": "a", "sales_units": NaN}', "`sales_units` cannot be 'nan'"),
        (b'{"sku_id": "a", "sales_units": 1e999}', "`sales_units` cannot be 'inf'"),
        (lines({"sku": "a", "store_id": "s", "event_date": "2025-01-01", "sales_units": 3}), "`sku_id` is missing"),
        (lines(record(sku_id="")), "`sku_id` is empty text"),
        (lines(record(sku_id="a\nb")), "`sku_id` has line breaks"),
        (lines(record(event_date="01/02/2025")), "`event_date` cannot be read; write it as 2025-07-05"),
        (lines(record(event_date=45_000)), "`event_date` cannot be read; write it as 2025-07-05"),
        (lines(record(known_at="2025-01-02")), "`known_at` cannot be read; write it as 2025-07-05T09:00:00Z"),
        (lines(record(event_date="2025-03-01")), "its day has not been yet"),
        (lines(record(known_at="2024-12-31T00:00:00Z")), "known before its day began"),
    ],
)
def test_what_is_no_record_is_told_with_the_reason_and_the_others_are_read(value: bytes, why: str) -> None:
    good = lines(record(sku_id="good"))
    found = read(good, value, lines(record(sku_id="too")) + b"\n" + value if value.startswith(b"{") else b"")
    assert {row[0] for row in rows(found)} <= {"good", "too"}
    assert rows(found)[0][0] == "good"
    assert told(found)[1, 1].startswith(why)
    if value.startswith(b"{"):
        assert told(found)[2, 2].startswith(why)
        assert len(rows(found)) == 2


def test_a_bad_record_is_told_as_it_was_sent() -> None:
    sent = lines(record(), record(sales_units=-1, extra="é"), record(sku_id="c"))
    (bad,) = read(lines(record()), sent).bad
    ((number, value, _),) = bad.records
    assert (bad.message, number, json.loads(value)) == (1, 2, record(sales_units=-1, extra="é"))


def test_of_plans_it_has_to_be_said_when_they_were_known() -> None:
    plan = {"sku_id": "a", "store_id": "s", "event_date": "2025-06-01", "price_ratio": 0.8, "is_promotion": True}
    found = read(lines(plan, {**plan, "known_at": "2025-01-10T00:00:00Z"}), feed="prices")
    assert told(found) == {(0, 1): "`known_at` is missing"}
    assert [row[2] for row in rows(found)] == [date(2025, 6, 1)]


def test_every_feed_is_read_as_its_contract_has_it() -> None:
    for name, contract in FEEDS.items():
        said = {
            column.name: {pl.String: "a", pl.Date: "2025-01-01", pl.Float64: 1.0, pl.Int32: 1, pl.Boolean: True}.get(
                column.dtype, "2025-01-02T00:00:00Z"  # type: ignore[call-overload]
            )
            for column in contract.columns
        }  # fmt: skip
        if name == "quarantined_rows":
            continue
        said |= {column.name: column.one_of[0] for column in contract.columns if column.one_of}
        found = read(lines(said), feed=name)
        assert found.bad == []
        assert found.batch is not None
        assert dict(found.batch.frame.schema) == contract.schema


@given(st.lists(st.lists(st.sampled_from(["good", "bad", "worse"]), max_size=4), max_size=6))
def test_every_record_is_a_row_or_told_wherever_it_stands(messages: list[list[str]]) -> None:
    kinds = {"good": {}, "bad": {"sales_units": -1}, "worse": {"sales_units": "x"}}
    values, expected, wrong = [], set(), set()
    for at, each in enumerate(messages):
        values.append(lines(*(record(sku_id=f"{at}-{n}", **kinds[kind]) for n, kind in enumerate(each, 1))))
        expected |= {f"{at}-{n}" for n, kind in enumerate(each, 1) if kind == "good"}
        wrong |= {(at, n) for n, kind in enumerate(each, 1) if kind != "good"} or ({(at, 1)} if not each else set())
    found = read(*values)
    assert {row[0] for row in rows(found)} == expected if expected else found.batch is None
    assert set(told(found)) == wrong


def test_a_source_that_cannot_be_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot name a source"):
        read_messages("sales", StreamSource("POS 1"), [], TODAY)

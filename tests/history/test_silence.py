"""What silence means: zeros of open stores, closed days, days that have not come; and that no word is beaten."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_assets.contracts import SALES, STORE_CLOSURES
from forecast_assets.history.as_known import History
from forecast_assets.history.silence import ASSUMED_CLOSED, ASSUMED_ZERO, Silence, assumed_sales, silences, store_days
from resources.stores.home import Stores, open_stores

MONDAY = date(2025, 6, 2)
LAG = timedelta(hours=6)
SILENCE = Silence("till", 364, LAG)
NO_CLOSURES = pl.DataFrame(
    schema={name: STORE_CLOSURES.schema[name] for name in ("store_id", "event_date", "is_closed")}
)
Said = tuple[str, str, int, float]


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def known(number: int) -> datetime:
    return datetime.combine(day(number + 1), datetime.min.time(), UTC) + LAG


def sales(rows: Iterable[Said]) -> pl.DataFrame:
    """Rows of (sku, store, day, units), known when their day is complete."""
    return pl.DataFrame(
        [(sku, store, day(number), known(number), units) for sku, store, number, units in rows],
        schema=SALES.schema,
        orient="row",
    )


def meanings(rows: Iterable[Said], until: int, closures: pl.DataFrame = NO_CLOSURES) -> dict[int, str]:
    """What each day of store S means, by number of the day."""
    found = store_days(sales(rows).lazy(), closures, SILENCE, since=day(0), until=day(until))
    of_s = found.filter(pl.col("store_id") == "S")
    return {(when - MONDAY).days: why for when, why in of_s.select("event_date", "resolution").iter_rows()}


def zeros(rows: Iterable[Said], until: int, silence: Silence = SILENCE) -> list[tuple[str, int, str]]:
    found = assumed_sales(sales(rows).lazy(), NO_CLOSURES, silence, since=day(0), until=day(until)).collect()
    return sorted(
        (sku, (when - MONDAY).days, why) for sku, when, why in found.select("sku_id", "event_date", "resolution").rows()
    )


def weeks(count: int, weekdays: Sequence[int] = range(6), sku: str = "A") -> list[Said]:
    return [(sku, "S", 7 * week + weekday, 2.0) for week in range(count) for weekday in weekdays]


def test_an_article_that_did_not_sell_in_an_open_store_sold_nothing() -> None:
    rows = [("A", "S", 0, 1.0), ("A", "S", 1, 1.0), ("B", "S", 0, 5.0), ("B", "T", 1, 5.0)]
    assert zeros(rows, 1) == [("B", 1, ASSUMED_ZERO)]


def test_an_article_is_not_listed_before_its_first_sale() -> None:
    assert zeros([("A", "S", 0, 1.0), ("A", "S", 1, 1.0), ("B", "S", 1, 5.0)], 1) == []


def test_an_article_is_listed_so_many_days_after_its_last_sale() -> None:
    rows = [("B", "S", 0, 1.0), *(("A", "S", number, 1.0) for number in range(10))]
    found = zeros(rows, 9, Silence("till", 4, LAG))
    assert found == [("B", number, ASSUMED_ZERO) for number in (1, 2, 3, 4)]


def test_a_longer_pause_than_that_is_not_listed_and_a_shorter_one_is() -> None:
    rows = [*(("B", "S", number, 1.0) for number in (0, 3, 9)), *(("A", "S", number, 1.0) for number in range(12))]
    found = zeros(rows, 11, Silence("till", 4, LAG))
    assert [number for _, number, _ in found] == [1, 2, 4, 5, 6, 7, 10, 11]


def test_a_store_that_is_silent_at_the_end_has_not_delivered_yet() -> None:
    assert meanings([("A", "S", 0, 1.0), ("A", "S", 1, 1.0), ("A", "T", 5, 1.0)], 5) == {
        0: ASSUMED_ZERO,
        1: ASSUMED_ZERO,
    }


def test_a_silent_day_is_closed_once_the_store_has_reported_three_days_later() -> None:
    rows = [("A", "S", number, 1.0) for number in (0, 1, 3, 4)]
    assert 2 not in meanings(rows, 4)
    assert meanings([*rows, ("A", "S", 5, 1.0)], 5)[2] == ASSUMED_CLOSED


def test_a_weekday_without_a_sale_for_four_weeks_is_closed_at_once() -> None:
    sundays = meanings(weeks(5), 5 * 7 - 1)
    assert [sundays.get(7 * week + 6) for week in range(5)] == [ASSUMED_CLOSED] * 5
    assert 4 * 7 + 6 in sundays
    # After three weeks it could still be chance.
    assert 3 * 7 + 6 not in meanings(weeks(4), 4 * 7 - 1)


def test_a_weekday_that_sold_once_in_four_weeks_is_not_closed() -> None:
    assert 34 not in meanings([*weeks(5), ("A", "S", 13, 1.0)], 34)


def test_a_store_that_fell_silent_altogether_is_not_closed_by_its_sundays() -> None:
    assert 41 not in meanings(weeks(5), 41)


def test_a_made_up_zero_of_an_earlier_release_shows_that_the_store_was_heard_and_not_that_it_was_open() -> None:
    zero_sundays = [("A", "S", 7 * week + 6, 0.0) for week in range(4)]
    assert meanings([*weeks(5), *zero_sundays], 34)[34] == ASSUMED_CLOSED


def closures(number: int, *, is_closed: bool) -> pl.DataFrame:
    return pl.DataFrame([("S", day(number), is_closed)], schema=NO_CLOSURES.schema, orient="row")


def test_a_closure_that_was_said_needs_no_later_day() -> None:
    rows = [("A", "S", 0, 1.0), ("A", "S", 1, 1.0)]
    assert meanings(rows, 2, closures(2, is_closed=True))[2] == ASSUMED_CLOSED


def test_a_day_that_was_said_to_be_open_is_never_taken_to_be_closed() -> None:
    assert 34 not in meanings(weeks(5), 34, closures(34, is_closed=False))
    rows = [("A", "S", number, 1.0) for number in (0, 5)]
    assert 1 not in meanings(rows, 5, closures(1, is_closed=False))


def test_a_sale_on_a_day_that_was_said_to_be_closed_stands() -> None:
    rows = [("A", "S", 0, 1.0), ("A", "S", 1, 4.0)]
    assert meanings(rows, 1, closures(1, is_closed=True))[1] == ASSUMED_ZERO
    assert zeros(rows, 1) == []


def test_a_zero_is_known_when_its_day_is_complete_or_when_the_store_spoke_of_it() -> None:
    late = sales([("A", "S", 0, 1.0), ("B", "S", 0, 1.0), ("A", "S", 1, 1.0)]).with_columns(
        known_at=pl.when(pl.col("event_date") == day(1)).then(pl.lit(known(5))).otherwise("known_at")
    )
    found = assumed_sales(late.lazy(), NO_CLOSURES, SILENCE, since=day(0), until=day(1)).collect()
    assert found.select("sku_id", "known_at").rows() == [("B", known(5))]


# --- as histories read it ---


def test_of_batches_of_one_entry_the_one_that_declares_it_counts(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    records = [
        stores.observations.write(
            sales([(sku, "S", 0, 1.0)]), feed="sales", source="till", trust=0.8, declared_lag=LAG, listed_days=listed
        )
        for sku, listed in (("A", 364), ("B", None))
    ]
    for order in (records, records[::-1]):
        assert [each.listed_days for each in silences(order)] == [364]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return open_stores(str(tmp_path / "store"), tmp_path / "mirror")


def put(stores: Stores, frame: pl.DataFrame, source: str = "till", listed_days: int | None = 364) -> None:
    record = stores.observations.write(
        frame, feed="sales", source=source, trust=0.8, declared_lag=LAG, listed_days=listed_days
    )
    stores.observations.record([record])


def put_closure(stores: Stores, number: int, *, is_closed: bool = True) -> None:
    rows = [{"store_id": "S", "event_date": day(number), "known_at": known(number), "is_closed": is_closed}]
    frame = pl.DataFrame(rows, schema=STORE_CLOSURES.schema)
    record = stores.observations.write(frame, feed="store_closures", source="ana", trust=1.0, declared_lag=LAG)
    stores.observations.record([record])


def read(stores: Stores, cutoff: int, moment: datetime | None = None, **asked: object) -> pl.DataFrame:
    history = History(stores.observations, tuple(stores.observations.batches()), day(cutoff), moment or known(cutoff))
    rows = history.feed("sales", **asked)  # type: ignore[arg-type]
    assert rows is not None
    return rows.collect().sort("store_id", "sku_id", "event_date")


def numbers(frame: pl.DataFrame) -> list[tuple[str, int, float, str]]:
    return [
        (sku, (when - MONDAY).days, units, why)
        for sku, when, units, why in frame.select("sku_id", "event_date", "sales_units", "resolution").iter_rows()
    ]


def test_a_history_reads_zeros_only_of_sources_that_list_only_what_was_sold(stores: Stores) -> None:
    rows = sales([("A", "S", 0, 1.0), ("B", "S", 0, 2.0), ("A", "S", 1, 1.0)])
    put(stores, rows, "backoffice", None)
    assert read(stores, 1).height == 3
    put(stores, rows)
    assert numbers(read(stores, 1))[-1] == ("B", 1, 0.0, ASSUMED_ZERO)


def test_silence_never_beats_another_sources_word(stores: Stores) -> None:
    put(stores, sales([("A", "S", 0, 1.0), ("B", "S", 0, 2.0), ("A", "S", 1, 1.0)]))
    put(stores, sales([("B", "S", 1, 7.0)]), "backoffice", None)
    assert ("B", 1, 7.0, "only_source") in numbers(read(stores, 1))


def test_a_late_word_takes_the_place_of_a_zero_from_its_moment_on(stores: Stores) -> None:
    put(stores, sales([("A", "S", 0, 1.0), ("B", "S", 0, 2.0), ("A", "S", 1, 1.0)]))
    late = sales([("B", "S", 1, 4.0)]).with_columns(known_at=pl.lit(known(3)))
    put(stores, late)
    assert numbers(read(stores, 1))[-1] == ("B", 1, 0.0, ASSUMED_ZERO)
    assert numbers(read(stores, 1, known(3)))[-1] == ("B", 1, 4.0, "only_source")


def test_a_closure_counts_for_a_source_whose_silence_means_nothing_too(stores: Stores) -> None:
    put(stores, sales([("A", "S", 0, 1.0), ("B", "S", 0, 1.0)]), listed_days=None)
    put_closure(stores, 1)
    assert numbers(read(stores, 1))[1::2] == [("A", 1, 0.0, ASSUMED_CLOSED), ("B", 1, 0.0, ASSUMED_CLOSED)]


def test_days_after_the_date_tell_of_it_whatever_file_they_come_in(stores: Stores) -> None:
    put(stores, sales([("A", "S", number, 1.0) for number in (0, 1)]))
    for number in (3, 4, 5, 6):
        put(stores, sales([("A", "S", number, 1.0)]))
    batches = tuple(stores.observations.as_known(day(2), known(9)))
    rows = History(stores.observations, batches, day(2), known(9)).feed("sales")
    assert rows is not None
    assert numbers(rows.collect())[-1] == ("A", 2, 0.0, ASSUMED_CLOSED)
    assert len(stores.observations.as_known(day(2), known(2))) == 1


def test_only_the_asked_days_are_read(stores: Stores) -> None:
    put(stores, sales([*weeks(5), ("B", "S", 0, 1.0)]))
    some = read(stores, 34, days=[day(27), day(34)])
    assert [number for _, number, _, _ in numbers(some)] == [27, 34, 27, 34]
    every = read(stores, 34)
    assert some.equals(every.filter(pl.col("event_date").is_in([day(27), day(34)])))


def test_a_window_reads_the_same_zeros_as_the_whole(stores: Stores) -> None:
    put(stores, sales([*weeks(9), ("B", "S", 0, 1.0), ("B", "S", 40, 1.0)]))
    every = read(stores, 62)
    for since in (1, 20, 41, 62):
        assert read(stores, 62, since=day(since)).equals(every.filter(pl.col("event_date") >= day(since)))


words = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from("ST"), st.integers(0, 45), st.sampled_from([1.0, 3.0])),
    min_size=1, max_size=60, unique_by=lambda row: row[:3],
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(rows=words, cuts=st.lists(st.integers(0, 5), min_size=60, max_size=60), cutoff=st.integers(10, 45))
def test_the_cut_into_files_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Said], cuts: list[int], cutoff: int
) -> None:
    folder = tmp_path_factory.mktemp("cuts")
    whole, cut = (open_stores(str(folder / name), folder / f"{name}-mirror") for name in ("whole", "cut"))
    put(whole, sales(rows))
    for part in sorted(set(cuts)):
        some = [row for row, at in zip(rows, cuts, strict=False) if at == part]
        if some:
            put(cut, sales(some))
    if min(row[2] for row in rows) > cutoff:
        return
    assert read(whole, cutoff).equals(read(cut, cutoff))


@settings(max_examples=60, deadline=None)
@given(rows=words, cutoff=st.integers(0, 45))
def test_silence_never_beats_a_word(rows: list[Said], cutoff: int) -> None:
    found = assumed_sales(sales(rows).lazy(), NO_CLOSURES, SILENCE, since=day(0), until=day(cutoff)).collect()
    said = {(sku, store, day(number)) for sku, store, number, _ in rows}
    assert not said & set(found.select("sku_id", "store_id", "event_date").rows())
    assert found.select("sku_id", "store_id", "event_date").is_duplicated().sum() == 0


@settings(max_examples=40, deadline=None)
@given(rows=words, cutoff=st.integers(10, 45))
def test_rows_that_come_later_change_no_moment_before(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Said], cutoff: int
) -> None:
    folder = tmp_path_factory.mktemp("later")
    before, after = (open_stores(str(folder / name), folder / f"{name}-mirror") for name in ("before", "after"))
    early = [row for row in rows if row[2] <= cutoff]
    if not early:
        return
    put(before, sales(early))
    put(after, sales(rows))
    assert read(before, cutoff).equals(read(after, cutoff))

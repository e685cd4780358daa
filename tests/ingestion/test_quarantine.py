"""Rows that are set aside: which, what is kept of them, that runs wait for them, and how they are settled."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from forecast_assets.contracts import QUARANTINED_ROWS, SALES
from forecast_assets.core.errors import ContractError, InputError
from forecast_assets.history import History
from forecast_assets.history.quarantined import is_touched, quarantined_rows
from forecast_assets.ingestion.batch import Batch, Tolerance
from forecast_assets.ingestion.days import latest_day
from forecast_assets.ingestion.ingest import IngestOutcome, ingest_batches, inspect_batches
from forecast_assets.ingestion.quarantine import held_rows, released_batch, sift
from forecast_assets.ingestion.stored_rows import NO_STORED_ROWS
from forecast_assets.snapshots.stage import readiness
from forecast_assets.sources.tables import read_tables
from resources.stores.home import Stores

DAY = date(2025, 6, 30)
LAG = timedelta(hours=6)
KNOWN = datetime(2025, 7, 1, 6, tzinfo=UTC)
MAPPING = """
source = "till"
declared_lag_hours = 6
[[feed]]
feed = "sales"
file = "*.csv"
on_invalid = "quarantine"
"""
NOTHING = Tolerance()
NAMES = "event_date,sku_id,store_id,sales_units\n"


def sales(*rows: tuple[str, float | None], day: date = DAY) -> pl.DataFrame:
    said = [
        (sku, "S", day, datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=30), units)
        for sku, units in rows
    ]
    return pl.DataFrame(said, schema=SALES.schema, orient="row")


def batch(frame: pl.DataFrame, tolerance: Tolerance | None = NOTHING) -> Batch:
    return Batch("sales", "till", 0.8, LAG, frame, delivery="s.csv", quarantine=tolerance)


def taken(stores: Stores, *batches: Batch) -> IngestOutcome:
    return ingest_batches(iter(batches), stores.observations, expect=lambda _: [], progress=lambda *_: None)


def history(stores: Stores, cutoff: date = DAY) -> History:
    return History(stores.observations, tuple(stores.observations.batches()), cutoff, KNOWN + (cutoff - DAY))


def test_a_batch_whose_source_does_not_want_it_is_not_sifted() -> None:
    bad = batch(sales(("A", 1.0), ("B", -1.0)), None)
    assert sift(bad, latest_day()).batch is bad
    found = inspect_batches([bad], NO_STORED_ROWS, expect=lambda _: [], progress=lambda *_: None)
    assert [(each.kind, each.is_error) for each in found] == [("too small", True)]


def test_each_row_is_set_aside_for_all_that_is_wrong_with_it() -> None:
    future = latest_day() + timedelta(days=1)
    rows = pl.concat(
        [sales(("A", 1.0), ("B", -1.0), ("", None), ("D", 2.0), ("D", 2.0)), sales(("E", 1.0), day=future)]
    )
    sifted = sift(batch(rows), latest_day())
    assert sifted.batch.frame["sku_id"].to_list() == ["A"]
    assert sifted.aside is not None
    assert QUARANTINED_ROWS.conform(sifted.aside).equals(sifted.aside)
    said = dict(sifted.aside.select("row_number", "reasons").iter_rows())
    assert said == {
        2: "`sales_units` is below 0",
        3: "`sku_id` is empty text; `sales_units` is missing",
        4: "its key comes more than once",
        5: "its key comes more than once",
        6: "its day has not been yet",
    }
    (told,) = sifted.batch.findings
    assert (told.kind, told.is_error, told.rows) == ("quarantined", False, 5)


def test_what_a_table_could_not_read_is_set_aside_with_its_row_and_text(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MAPPING)
    rows = "2025-06-30,A,S,1\n2025-06-30,B,S,many\n30.06.2025,C,S,2\n2025-06-30,,S,2\n"
    (tmp_path / "s.csv").write_text(NAMES + rows)
    (read,) = read_tables(tmp_path / "m.toml")
    sifted = sift(read, latest_day())
    assert sifted.aside is not None
    told = {row["row_number"]: (row["reasons"], row["has_day"]) for row in sifted.aside.iter_rows(named=True)}
    assert told == {
        3: ("`sales_units` cannot be read: 'many'", True),
        4: ("`event_date` cannot be read: '30.06.2025'", False),
        5: ("`sku_id` is missing", True),
    }
    assert sifted.aside["event_date"].unique().to_list() == [DAY]


def test_the_rest_of_a_delivery_counts_and_the_same_again_changes_nothing(stores: Stores) -> None:
    bad = batch(sales(("A", 1.0), ("B", -1.0)))
    first = taken(stores, bad)
    assert [(each.feed, each.rows) for each in first.added] == [("quarantined_rows", 1), ("sales", 1)]
    assert taken(stores, bad).sequence is None


def test_without_the_key_one_bad_row_refuses_all(stores: Stores) -> None:
    with pytest.raises(ContractError):
        taken(stores, batch(sales(("A", 1.0), ("B", -1.0)), None))
    assert not stores.observations.batches()


def test_a_delivery_that_is_bad_as_a_whole_is_set_aside_as_a_whole(stores: Stores) -> None:
    outcome = taken(stores, batch(sales(("A", -1.0), ("B", -1.0))))
    assert [(each.feed, each.rows) for each in outcome.added] == [("quarantined_rows", 2)]


def missing(stores: Stores) -> str:
    return "; ".join(readiness(history(stores), 0.9).missing)


def test_a_run_waits_for_a_row_in_quarantine_and_names_it(stores: Stores) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0))))
    assert missing(stores) == (
        "1 rows of `sales` of 2025-06-30 are in quarantine: s.csv row 2 (`sales_units` is below 0)"
    )


@pytest.mark.parametrize("tolerance", [Tolerance(rows=1), Tolerance(percent=100.0)])
def test_a_run_goes_on_with_as_many_as_are_tolerated(stores: Stores, tolerance: Tolerance) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0)), tolerance))
    assert not missing(stores)


def test_one_more_than_is_tolerated_is_waited_for(stores: Stores) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0), ("C", -1.0)), Tolerance(rows=1)))
    assert "2 rows of `sales`" in missing(stores)


def test_a_run_of_a_later_day_goes_on(stores: Stores) -> None:
    later = DAY + timedelta(days=1)
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0))), batch(sales(("A", 1.0), day=later)))
    assert not readiness(history(stores, later), 0.9).missing


def test_the_sources_own_later_word_settles_a_row(stores: Stores) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0))))
    taken(stores, batch(sales(("B", 4.0))))
    assert held_rows(stores.observations, stores.observations.batches())["is_open"].to_list() == [False]
    assert not missing(stores)


def test_a_released_row_counts_as_it_was_read(stores: Stores) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0), ("B", 3.0))))
    # A key that came twice: one of the two rows is the right one.
    aside = held_rows(stores.observations, stores.observations.batches()).filter(pl.col("row_number") == 3)
    (record,) = [each for each in stores.observations.batches() if each.feed == "quarantined_rows"]
    outcome = taken(stores, released_batch(record, aside))
    assert [(each.feed, each.source, each.trust) for each in outcome.added] == [("sales", "till", 0.8)]
    rows = history(stores).feed("sales")
    assert rows is not None
    assert rows.filter(pl.col("sku_id") == "B").collect()["sales_units"].to_list() == [3.0]
    assert not missing(stores)


def test_a_row_without_a_value_cannot_be_released(stores: Stores) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", None))))
    aside = held_rows(stores.observations, stores.observations.batches())
    (record,) = [each for each in stores.observations.batches() if each.feed == "quarantined_rows"]
    with pytest.raises(InputError, match=r"Rows 2 of s\.csv cannot be released: `sales_units` is missing"):
        released_batch(record, aside)


def test_silence_means_nothing_where_a_row_was_set_aside(stores: Stores) -> None:
    before = DAY - timedelta(days=1)
    for each in (sales(("A", 1.0), ("B", 1.0), ("C", 1.0), day=before), sales(("A", 1.0), ("B", -1.0))):
        taken(stores, replace(batch(each), listed_days=364))
    rows = history(stores).feed("sales", days=[DAY])
    assert rows is not None
    assert sorted(rows.select("sku_id", "sales_units").collect().rows()) == [("A", 1.0), ("C", 0.0)]


def test_a_row_set_aside_in_the_middle_of_a_delivery_is_no_hole(stores: Stores) -> None:
    days = [DAY - timedelta(days=back) for back in (2, 1, 0)]
    rows = pl.concat([sales(("B", -1.0 if day == days[1] else 2.0), day=day) for day in days])
    outcome = taken(stores, batch(rows))
    assert [each.kind for each in outcome.findings] == ["quarantined"]
    assert [each.rows for each in outcome.added if each.feed == "sales"] == [2]


def test_a_row_without_an_article_may_be_of_any(stores: Stores) -> None:
    before = DAY - timedelta(days=1)
    taken(stores, replace(batch(sales(("A", 1.0), ("C", 1.0), day=before)), listed_days=364))
    nameless = sales(("A", 1.0), ("", 5.0)).with_columns(sku_id=pl.when(pl.col("sku_id") != "").then("sku_id"))
    taken(stores, replace(batch(nameless), listed_days=364))
    rows = history(stores).feed("sales", days=[DAY])
    assert rows is not None
    assert rows.collect()["sku_id"].to_list() == ["A"]


def test_a_store_of_which_every_row_was_set_aside_was_not_closed(stores: Stores) -> None:
    def day(back: int) -> date:
        return DAY - timedelta(days=back)

    for back in (9, 5, 4, 3, 2, 1, 0):
        taken(stores, replace(batch(sales(("A", 1.0), day=day(back))), listed_days=364))
    taken(stores, replace(batch(sales(("A", -1.0), day=day(7))), listed_days=364))
    rows = history(stores).feed("sales")
    assert rows is not None
    closed = rows.filter(pl.col("resolution") == "assumed_closed").collect()["event_date"].to_list()
    assert sorted(closed) == [day(8), day(6)]


def test_many_files_with_bad_rows_read_what_is_held_once(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [batch(sales(("A", 1.0), ("B", -1.0), day=DAY - timedelta(days=back))) for back in range(5)]
    taken(stores, *files)
    scans: list[str] = []
    real = type(stores.observations).scan

    def counted(self: object, batches: object, feed: str, **asked: object) -> object:
        scans.append(feed)
        return real(self, batches, feed, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(type(stores.observations), "scan", counted)
    assert taken(stores, *files).sequence is None
    assert scans.count("quarantined_rows") == 1


def test_what_was_known_later_does_not_settle_a_row_before(stores: Stores) -> None:
    taken(stores, batch(sales(("A", 1.0), ("B", -1.0))))
    late = sales(("B", 4.0)).with_columns(known_at=pl.lit(KNOWN + timedelta(days=3)))
    taken(stores, batch(late))
    assert quarantined_rows(history(stores))["is_open"].to_list() == [True]


def test_series_that_a_row_may_be_of_are_touched() -> None:
    series = pl.DataFrame({"store_id": ["S", "S", "T"], "sku_id": ["A", "B", "A"]})

    def touched(*rows: tuple[str | None, str | None]) -> list[bool]:
        frame = pl.DataFrame(rows, schema={"sku_id": pl.String, "store_id": pl.String}, orient="row")
        return is_touched(series, frame.with_columns(is_open=pl.lit(value=True))).to_list()

    assert touched(("A", "S")) == [True, False, False]
    assert touched((None, "S")) == [True, True, False]
    assert touched((None, None)) == [True, True, True]
    assert touched() == [False, False, False]

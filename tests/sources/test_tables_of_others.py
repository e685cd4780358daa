"""Tables as tills, ERPs, spreadsheets and warehouses write them, from the file to rows of the contract."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecast_assets.core.errors import SourceError
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.findings import FeedFinding
from forecast_assets.ingestion.stored_rows import StoredRows
from forecast_assets.sources.tables import read_tables
from tests.sources.test_tables import HEAD, PLAIN, SALES, mapped, moment, one
from tests.support.intake_cases import findings_of

COLUMNS = '[feed.columns]\nevent_date = "Datum"\nsku_id = "Artikel"\nstore_id = "Filiale"\nsales_units = "Menge"\n'
GERMAN = "Datum;Artikel;Filiale;Menge\r\n28.06.2025;Käse;S1;1.234,5\r\n29.06.2025;Käse;S1;7,25\r\n"
SUMS = f'{SALES}aggregate = "sum"\n'


def kinds(batch: Batch, stored: StoredRows | None = None) -> list[str]:
    found: list[FeedFinding] = findings_of(batch) if stored is None else findings_of(batch, stored)
    return [each.kind for each in found]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("before", ["", "sep=;\r\n"])
def test_a_german_till_is_read_without_a_word_and_says_what_it_was_taken_for(
    tmp_path: Path, encoding: str, before: str
) -> None:
    (tmp_path / "s.csv").write_bytes((before + GERMAN).encode(encoding))
    batch = one(tmp_path, SALES + COLUMNS)
    assert batch.frame.select("sku_id", "event_date", "sales_units").rows() == [
        ("Käse", date(2025, 6, 28), 1234.5), ("Käse", date(2025, 6, 29), 7.25),
    ]  # fmt: skip
    (found,) = findings_of(batch)
    assert (found.kind, found.is_error) == ("notation", False)
    assert "fields parted by `;`, numbers written as 1.234,5, days written as 30.06.2025" in found.message
    keys = found.remedy.split("files to come: ")[1].rstrip(".").replace(", ", "\n").replace("1\n234", "1,234")
    (tmp_path / "mapping.toml").write_text(f"{HEAD}{SALES}{keys}\n{COLUMNS}")
    (said,) = read_tables(tmp_path / "mapping.toml")
    assert said.frame.equals(batch.frame)
    assert findings_of(said) == []


def test_rows_are_numbered_as_the_lines_of_the_file(tmp_path: Path) -> None:
    text = "sep=;\nDatum;Artikel;Filiale;Menge\n28.06.2025;A;S;1,5\n29.06.2025;A;S;viel\n"
    found = findings_of(one(tmp_path, SALES + COLUMNS, s=text))
    assert "row 4 'viel'" in next(each.message for each in found if each.kind == "unreadable")


def test_files_that_are_written_alike_are_told_of_once(tmp_path: Path) -> None:
    files = {f"d{day}": f"Datum;Artikel;Filiale;Menge\n{day}.06.2025;A;S1;1,5\n" for day in (27, 28, 29)}
    files["d30"] = "Datum,Artikel,Filiale,Menge\n20250630,A,S1,1.5\n"
    batches = mapped(tmp_path, SALES.replace("s.csv", "d*.csv") + COLUMNS, **files)
    assert [kinds(batch) for batch in batches] == [["notation"], [], [], ["notation"]]
    assert [batch.frame["event_date"].item() for batch in batches] == [date(2025, 6, day) for day in (27, 28, 29, 30)]


@pytest.mark.parametrize(
    ("day", "read"),
    [
        ("2025-06-30 00:00:00", date(2025, 6, 30)), ("2025-06-30T23:59:59", date(2025, 6, 30)),
        ("45838", date(2025, 6, 30)), ("06/30/2025", date(2025, 6, 30)), ("20250630", date(2025, 6, 30)),
    ],
)  # fmt: skip
def test_days_of_several_forms(tmp_path: Path, day: str, read: date) -> None:
    assert one(tmp_path, SALES, s=f"{PLAIN}A,S,{day},1\n").frame["event_date"].to_list() == [read]


def test_numbers_of_days_in_a_typed_column_are_days(tmp_path: Path) -> None:
    frame = pl.DataFrame({"sku_id": "A", "store_id": "S", "event_date": [20250630, 20250701], "sales_units": 1.0})
    frame.write_parquet(tmp_path / "s.parquet")
    batch = one(tmp_path, SALES.replace("s.csv", "s.parquet"))
    assert batch.frame["event_date"].to_list() == [date(2025, 6, 30), date(2025, 7, 1)]


@pytest.mark.parametrize(
    ("row", "key"),
    [("A,S,03/04/2025,1", 'date_format = "%d/%m/%Y"'), ('A,S,2025-06-30,"1,234"', "decimal_comma = true")],
)
def test_what_can_be_read_in_two_ways_is_an_error_that_names_the_key(tmp_path: Path, row: str, key: str) -> None:
    (found,) = findings_of(one(tmp_path, SALES, s=f"{PLAIN}{row}\n"))
    assert (found.kind, found.is_error) == ("doubtful", True)
    assert key in found.remedy
    assert findings_of(one(tmp_path, f"{SALES}{key}\n", s=f"{PLAIN}{row}\n")) == []


def test_years_of_two_digits_are_refused_with_a_word(tmp_path: Path) -> None:
    (found,) = findings_of(one(tmp_path, SALES, s=f"{PLAIN}A,S,30.06.25,1\n"))
    assert found.kind == "unreadable"
    assert 'Years with two digits are not guessed at: write all four, or say date_format = "%d.%m.%y"' in found.remedy
    batch = one(tmp_path, f'{SALES}date_format = "%d.%m.%y"\n', s=f"{PLAIN}A,S,30.06.25,1\n")
    assert batch.frame["event_date"].to_list() == [date(2025, 6, 30)]


def test_a_file_with_another_number_of_fields_says_which_separator_it_was_read_with(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="fields parted by `;`, the line of names has 2 and line 3 has 4"):
        one(tmp_path, SALES, s="sku_id;store_id\na;b\na;b;c;d\n")


def warehouse(folder: Path, values: str) -> None:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        columns = "event_date TIMESTAMPTZ, sku_id TEXT, store_id TEXT, sales_units FLOAT"
        connection.execute(f"CREATE OR REPLACE TABLE till ({columns})")
        connection.execute(f"INSERT INTO till VALUES {values}")  # noqa: S608 - of this file


BERLIN = "(TIMESTAMPTZ '2025-06-29 00:00:00+02', 'A', 'S', 5.0), (TIMESTAMPTZ '2025-06-30 00:00:00+02', 'A', 'S', 3.0)"
DATABASE = '[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\ntable = "till"\n'
QUERY = DATABASE.replace('table = "till"', 'query = "SELECT * REPLACE (event_date::DATE AS event_date) FROM till"')


@pytest.fixture(params=["UTC", "Europe/Berlin", "Pacific/Auckland"])
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    # DuckDB takes the zone of the machine from ICU, which reads it when a connection is opened.
    monkeypatch.setenv("TZ", request.param)
    return str(request.param)


@pytest.mark.usefixtures("machine_zone")
def test_days_of_moments_in_a_database_are_those_of_utc_on_every_machine_and_that_is_told(tmp_path: Path) -> None:
    warehouse(tmp_path, BERLIN)
    batch = one(tmp_path, DATABASE)
    assert batch.frame["event_date"].to_list() == [date(2025, 6, 28), date(2025, 6, 29)]
    (found,) = findings_of(batch)
    assert (found.kind, found.is_error, found.rows) == ("days of moments", False, 2)
    assert "taken as its day in UTC, where it is not midnight, in 2 rows: row 1 '2025-06-28 22:00:00" in found.message
    assert 'time_zone = "Europe/Berlin"' in found.remedy
    assert one(tmp_path, QUERY).frame["event_date"].to_list() == [date(2025, 6, 28), date(2025, 6, 29)]


@pytest.mark.usefixtures("machine_zone")
@pytest.mark.parametrize("kind", ["database", "parquet", "csv"])
def test_days_of_moments_are_those_of_the_zone_that_is_said(tmp_path: Path, kind: str) -> None:
    warehouse(tmp_path, BERLIN)
    moments = pl.Series([datetime(2025, 6, day, 22, tzinfo=UTC) for day in (28, 29)])
    frame = pl.DataFrame({"event_date": moments, "sku_id": "A", "store_id": "S", "sales_units": [5.0, 3.0]})
    frame.write_parquet(tmp_path / "s.parquet")
    frame.with_columns(pl.col("event_date").dt.to_string("iso:strict")).write_csv(tmp_path / "s.csv")
    feed = {"database": DATABASE, "parquet": SALES.replace("s.csv", "s.parquet"), "csv": SALES}[kind]
    assert kinds(one(tmp_path, feed)) == ["days of moments"]
    batch = one(tmp_path, f'{feed}time_zone = "Europe/Berlin"\n')
    assert batch.frame["event_date"].to_list() == [date(2025, 6, 29), date(2025, 6, 30)]
    assert findings_of(batch) == []
    told = one(tmp_path, f'{feed}time_zone = "UTC"\n')
    assert told.frame["event_date"].to_list() == [date(2025, 6, 28), date(2025, 6, 29)]
    assert findings_of(told) == []


RECEIPTS = "A,S,2025-06-29,5\nA,S,2025-06-29,2\nA,S,2025-06-29,-1\nA,S,2025-06-30,3\n"


def test_lines_of_receipts_name_the_key_that_sums_them(tmp_path: Path) -> None:
    found = {each.kind: each for each in findings_of(one(tmp_path, SALES, s=PLAIN + RECEIPTS))}
    assert set(found) == {"too small", "duplicate keys"}
    assert all('aggregate = "sum"' in each.remedy for each in found.values())


def test_lines_of_receipts_are_summed_and_the_counts_shown(tmp_path: Path) -> None:
    batch = one(tmp_path, SUMS, s=PLAIN + RECEIPTS)
    assert batch.frame.select("event_date", "sales_units").rows() == [
        (date(2025, 6, 29), 6.0),
        (date(2025, 6, 30), 3.0),
    ]
    (found,) = findings_of(batch)
    assert found.message == "4 lines summed to 2 rows of SKU, store and day; 1 lines were returns"


def test_a_day_on_which_more_came_back_than_was_sold_counts_as_zero_and_is_named(tmp_path: Path) -> None:
    batch = one(tmp_path, SUMS, s=f"{PLAIN}{RECEIPTS}B,S,2025-06-30,-2\n")
    assert batch.frame.filter(sku_id="B")["sales_units"].to_list() == [0.0]
    assert kinds(batch) == ["line sums", "below zero"]
    assert "B in S on 2025-06-30 (-2)" in findings_of(batch)[1].message


LINES = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(1, 3), st.integers(-3, 9).map(lambda units: units / 10)),
    min_size=1, max_size=12,
)  # fmt: skip


@given(LINES, st.integers(0, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_the_cut_of_lines_into_files_does_not_matter(
    tmp_path: Path, lines: list[tuple[str, int, float]], at: int
) -> None:
    def text(part: list[tuple[str, int, float]]) -> str:
        return PLAIN + "".join(f"{sku},S,2025-06-{day:02d},{units}\n" for sku, day, units in part)

    for path in tmp_path.glob("d*.csv"):
        path.unlink()
    feed = SUMS.replace("s.csv", "d*.csv")
    whole = one(tmp_path, feed, d0=text(lines)).frame
    parts = {f"d{n}": text(part) for n, part in enumerate((lines[at:], lines[:at])) if part}
    (tmp_path / "d0.csv").unlink()
    assert one(tmp_path, feed, **parts).frame.equals(whole)


def test_a_day_that_has_grown_is_a_contradiction_and_with_the_moment_of_booking_a_restatement(tmp_path: Path) -> None:
    booked = PLAIN.replace("event_date", "event_date,known_at")
    morning = "A,S,2025-06-29,2025-06-29T12:00:00Z,5\n"
    evening = "A,S,2025-06-29,2025-06-29T20:00:00Z,2\n"
    for columns, strip in ((PLAIN, True), (booked, False)):
        rows = [row.replace(",2025-06-29T12:00:00Z", "").replace(",2025-06-29T20:00:00Z", "") if strip else row
                for row in (morning, evening)]  # fmt: skip
        first = one(tmp_path, SUMS, s=columns + rows[0])
        stored = StoredRows.of({"sales": first.frame}, source="erp", trust=0.8)
        grown = one(tmp_path, SUMS, s=columns + "".join(rows))
        assert grown.frame["sales_units"].to_list() == [7.0]
        assert kinds(grown, stored) == (["line sums", "contradiction"] if strip else ["line sums"])
    assert grown.frame["known_at"].to_list() == [datetime(2025, 6, 29, 20, tzinfo=UTC)]


POSITIONS = (
    '[[feed]]\nfeed = "inventory_positions"\nfile = "i.csv"\n[feed.constants]\nlead_time_days = 3.0\n'
    "lead_time_deviation_days = 1.0\n"
)
STOCK = "sku_id,store_id,event_date,on_hand_units\n"


def test_negative_stock_counts_as_nothing_on_hand_with_a_warning(tmp_path: Path) -> None:
    batch = one(tmp_path, POSITIONS, i=f"{STOCK}A,S,2025-06-01,4\nA,S,2025-06-02,-2\nA,S,2025-06-03,2-\n")
    assert batch.frame["on_hand_units"].to_list() == [4.0, 0.0, 0.0]
    (found,) = findings_of(batch)
    assert (found.kind, found.is_error, found.rows) == ("below zero", False, 2)
    assert "which count as nothing on hand: A in S on 2025-06-02 (-2), A in S on 2025-06-03 (-2)" in found.message


def test_a_missing_position_is_missing_beside_a_negative_one(tmp_path: Path) -> None:
    batch = one(tmp_path, POSITIONS, i=f"{STOCK}A,S,2025-06-01,-4\nA,S,2025-06-02,\n")
    assert set(kinds(batch)) == {"below zero", "missing values"}


def test_quantities_of_any_size_are_taken_in_a_larger_unit(tmp_path: Path) -> None:
    text = f"{PLAIN}A,S,2025-06-01,2500000000\nA,S,2025-06-02,1234567\n"
    (found,) = findings_of(one(tmp_path, SALES, s=text))
    assert found.kind == "too large"
    assert "unit_factor = 0.001" in found.remedy
    batch = one(tmp_path, f"{SALES}unit_factor = 0.001\n", s=text)
    assert findings_of(batch) == []
    assert batch.frame["sales_units"].to_list() == [2_500_000.0, 1234.567]


def test_a_factor_holds_for_all_quantities_and_turns_the_sign(tmp_path: Path) -> None:
    feed = POSITIONS.replace("[feed.constants]", "unit_factor = -0.001\n[feed.constants]\nreorder_point_units = -7000")
    batch = one(tmp_path, feed, i=f"{STOCK}A,S,2025-06-01,-4000\n")
    assert batch.frame.select("on_hand_units", "reorder_point_units", "lead_time_days").rows() == [(4.0, 7.0, 3.0)]


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (f'{SALES}encoding = "base64"\n', "`encoding` is one that Python knows"),
        (
            f'{SALES}time_zone = "Berlin"\n',
            "`time_zone` is one of the IANA's, such as Europe/Berlin or UTC, not 'Berlin'",
        ),
        (POSITIONS.replace("[feed.c", 'aggregate = "sum"\n[feed.c'), "`aggregate` is for sales"),
        (f"{SALES}unit_factor = 0.0\n", "`unit_factor` is a number other than 0"),
        (f"{SALES}unit_factor = inf\n", "`unit_factor` is a number other than 0"),
        (
            '[[feed]]\nfeed = "events"\nfile = "e.csv"\nunit_factor = 2.0\n',
            "`unit_factor` is for feeds with quantities in units",
        ),
    ],
)
def test_keys_that_cannot_be_meant_are_refused(tmp_path: Path, feed: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        mapped(tmp_path, feed, s=PLAIN)


def test_a_file_with_a_day_that_is_complete_is_known_as_before(tmp_path: Path) -> None:
    batch = one(tmp_path, SUMS, s=PLAIN + RECEIPTS)
    assert batch.frame["known_at"].to_list() == [moment("2025-06-29"), moment("2025-06-30")]
    assert batch.declared_lag == timedelta(hours=6)

"""General tables: what a mapping may say, what follows from it, and what is wrong, row by row."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.contracts import FEEDS
from forecast_assets.core.errors import SourceError
from forecast_assets.ingestion import far_values, identifiers
from forecast_assets.ingestion.batch import Batch
from forecast_assets.ingestion.intake import Intake
from forecast_assets.ingestion.stored_rows import StoredRows
from forecast_assets.presentation.actions import error_text, sentence_text
from forecast_assets.sources.table_mapping import EXAMPLE, read_mapping
from forecast_assets.sources.tables import read_tables
from tests.support.intake_cases import findings_of

HEAD = 'source = "erp"\ndeclared_lag_hours = 6\n'


def mapped(folder: Path, feed: str, **files: str) -> list[Batch]:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    path = folder / "mapping.toml"
    path.write_text(f"{HEAD}{feed}")
    return list(read_tables(path))


def one(folder: Path, feed: str, **files: str) -> Batch:
    (batch,) = mapped(folder, feed, **files)
    return batch


def moment(day: str, hour: int = 6) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1, hours=hour)


SALES = '[[feed]]\nfeed = "sales"\nfile = "s.csv"\n'
PRICES = '[[feed]]\nfeed = "prices"\nfile = "p.csv"\nknown_days_ahead = 7\n'
DATABASE = '[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\n'
LEVELS = '[[feed]]\nfeed = "product_hierarchy"\nfile = "a.csv"\n[feed.levels]\n'
EXAMPLE_FILE = sentence_text(EXAMPLE)
PLAIN = "sku_id,store_id,event_date,sales_units\n"


def test_the_example_works_on_the_file_that_it_shows(tmp_path: Path) -> None:
    shown = re.search(r"begins like this:\n#\n((?:#   .*\n)+)", EXAMPLE_FILE)
    assert shown
    (tmp_path / "sales.csv").write_text(re.sub(r"^#   ", "", shown[1], flags=re.MULTILINE))
    (tmp_path / "mapping.toml").write_text(EXAMPLE_FILE)
    (batch,) = read_tables(tmp_path / "mapping.toml")
    assert findings_of(batch) == []
    assert batch.frame.rows() == [
        ("MILK-1L", "S1", date(2025, 6, 28), moment("2025-06-28"), 12.0),
        ("MILK-1L", "S1", date(2025, 6, 29), moment("2025-06-29"), 9.5),
        ("MILK-1L", "S1", date(2025, 6, 30), moment("2025-06-30"), 0.0),
    ]
    assert (batch.source, batch.trust, batch.declared_lag) == ("erp", 0.8, timedelta(hours=6))


def test_every_line_of_the_example_that_is_commented_out_is_valid(tmp_path: Path) -> None:
    lines = EXAMPLE_FILE.splitlines()
    start = lines.index("# [[feed]]")
    (tmp_path / "mapping.toml").write_text("\n".join([*lines[:start], *(line[2:] for line in lines[start:])]))
    assert [table.feed for table in read_mapping(tmp_path / "mapping.toml").feed] == [
        "sales", "product_hierarchy", "prices",
    ]  # fmt: skip


def test_columns_of_the_same_name_need_no_mapping_and_days_may_lie_anywhere_in_the_past(tmp_path: Path) -> None:
    batch = one(tmp_path, SALES, s=f"{PLAIN}A,S,2016-02-29,1\nB,S,2024-01-01,2\n")
    assert batch.frame["event_date"].to_list() == [date(2016, 2, 29), date(2024, 1, 1)]
    assert findings_of(batch) == []


def test_what_cannot_be_read_is_named_by_row_and_value(tmp_path: Path) -> None:
    rows = "A,S,2025-01-01,1\nA,S,2025-01-02,many\nA,S,02.01.2025,3\nA,S,2025-01-04,\n"
    found = findings_of(one(tmp_path, SALES, s=PLAIN + rows))
    by_kind = {(each.kind, each.column): each for each in found}
    assert "s.csv: `sales_units` cannot be read as a number in 1 rows: row 3 'many'" in (
        by_kind["unreadable", "sales_units"].message
    )
    assert "decimal_comma" in by_kind["unreadable", "sales_units"].remedy
    assert "`event_date` cannot be read as a date in 1 rows: row 4 '02.01.2025'" in (
        by_kind["unreadable", "event_date"].message
    )
    assert "date_format" in by_kind["unreadable", "event_date"].remedy
    # One value is missing without having been there: that is another matter, and counts two with the unreadable one.
    assert by_kind["missing values", "sales_units"].rows == 2
    assert ("missing days", "") in by_kind


def test_only_the_first_ten_rows_are_shown(tmp_path: Path) -> None:
    rows = "".join(f"A,S,2025-01-{day:02d},x{day}\n" for day in range(1, 15))
    (found,) = one(tmp_path, SALES, s=PLAIN + rows).findings
    assert "in 14 rows: row 2 'x1'" in found.message
    assert found.message.endswith("row 11 'x10' and 4 more")


@pytest.mark.parametrize(
    ("written", "read"),
    [("1.5", 1.5), (" 7 ", 7.0), ("1e3", 1000.0), ("-2", -2.0)],
)
def test_numbers_with_a_point(tmp_path: Path, written: str, read: float) -> None:
    assert one(tmp_path, SALES, s=f"{PLAIN}A,S,2025-01-01,{written}\n").frame["sales_units"].to_list() == [read]


def test_numbers_with_a_comma_and_texts_for_nothing(tmp_path: Path) -> None:
    feed = f'{SALES}separator = ";"\ndecimal_comma = true\nmissing_values = ["NA"]\n'
    text = "sku_id;store_id;event_date;sales_units\nA;S;2025-01-01;1.234,5\nA;S;2025-01-02;NA\n"
    batch = one(tmp_path, feed, s=text)
    assert batch.frame["sales_units"].to_list() == [1234.5, None]
    assert batch.findings == ()
    assert [each.kind for each in findings_of(batch)] == ["missing values"]


@pytest.mark.parametrize(
    ("written", "read"),
    [("3,5", 3.5), ("1.234", 1234.0), ("-1.234.567,8", -1234567.8), ("12345,6", 12345.6), ("7", 7.0)],
)
def test_numbers_with_a_comma(tmp_path: Path, written: str, read: float) -> None:
    feed = f'{SALES}separator = ";"\ndecimal_comma = true\n'
    batch = one(tmp_path, feed, s=f"{PLAIN.replace(',', ';')}A;S;2025-01-01;{written}\n")
    assert batch.frame["sales_units"].to_list() == [read]


@pytest.mark.parametrize("written", ["3.5", "1.23", "1234.567", "1,234.5", "1.2345", "1.234,5.6"])
def test_a_point_that_parts_no_thousands_is_not_guessed_at(tmp_path: Path, written: str) -> None:
    feed = f'{SALES}separator = ";"\ndecimal_comma = true\n'
    batch = one(tmp_path, feed, s=f"{PLAIN.replace(',', ';')}A;S;2025-01-01;{written}\n")
    assert batch.frame["sales_units"].to_list() == [None]
    assert f"`sales_units` cannot be read as a number in 1 rows: row 2 '{written}'" in batch.findings[0].message
    assert "or as 1.234,5 and say decimal_comma = true" in batch.findings[0].remedy


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2025-07-02T06:00:00Z", datetime(2025, 7, 2, 6, tzinfo=UTC)),
        ("2025-07-02 06:30", datetime(2025, 7, 2, 6, 30, tzinfo=UTC)),
        ("2025-07-02T06:00:00+02:00", datetime(2025, 7, 2, 4, tzinfo=UTC)),
        ("2025-07-02", datetime(2025, 7, 2, tzinfo=UTC)),
        ("", moment("2025-07-01")),
    ],
)
def test_moments_of_knowledge(tmp_path: Path, written: str, read: datetime) -> None:
    text = f"sku_id,store_id,event_date,known_at,sales_units\nA,S,2025-07-01,{written},1\n"
    assert one(tmp_path, SALES, s=text).frame["known_at"].to_list() == [read]


def test_a_constant_stands_for_a_column(tmp_path: Path) -> None:
    feed = f'{SALES}[feed.constants]\nstore_id = "S9"\nknown_at = 2025-07-02T06:00:00Z\n'
    batch = one(tmp_path, feed, s="sku_id,event_date,sales_units\nA,2025-07-01,1\nB,2025-07-01,1\n")
    assert batch.frame["store_id"].to_list() == ["S9", "S9"]
    assert batch.frame["known_at"].unique().to_list() == [datetime(2025, 7, 2, 6, tzinfo=UTC)]


def test_columns_that_are_not_there_are_named_with_those_that_are(tmp_path: Path) -> None:
    feed = f'{SALES}[feed.columns]\nsales_units = "qty"\nsku_id = "article"\n'
    found = findings_of(one(tmp_path, feed, s="day,article,store_id\n2025-01-01,A,S\n"))
    assert [each.kind for each in found] == ["columns", "columns"]
    assert "s.csv lacks the columns ['qty'] that the mapping names; found ['article', 'store_id']" in found[0].message
    assert "lacks the columns ['event_date'" in found[1].message


def test_of_a_source_that_lists_only_what_was_sold_its_own_rows_are_stored(tmp_path: Path) -> None:
    rows = "A,S,2025-01-01,1\nA,S,2025-01-03,2\nB,S,2025-01-04,5\nA,T,2025-01-02,1\n"
    batch = one(tmp_path, f'{SALES}missing_days = "zero"\n', s=PLAIN + rows)
    assert findings_of(batch) == []
    assert (batch.frame.height, batch.listed_days) == (4, 364)
    assert one(tmp_path, f'{SALES}missing_days = "zero"\nlisted_days = 90\n').listed_days == 90
    assert one(tmp_path, SALES).listed_days is None


def test_levels_in_columns_become_memberships(tmp_path: Path) -> None:
    feed = (
        '[[feed]]\nfeed = "product_hierarchy"\nfile = "p.csv"\n[feed.columns]\nsku_id = "article"\n'
        '[feed.levels]\ndepartment = "dept"\ncategory = "cat"\n'
    )
    batch = one(tmp_path, feed, p="article,dept,cat\nA,food,milk\nB,food,tea\nB,food,tea\n")
    assert findings_of(batch) == []
    since = date(1970, 1, 1)
    assert batch.frame.drop("known_at").rows() == [
        ("A", since, 1, "department", "food"), ("A", since, 2, "category", "milk"),
        ("B", since, 1, "department", "food"), ("B", since, 2, "category", "tea"),
    ]  # fmt: skip
    assert batch.frame["known_at"].unique().to_list() == [datetime(1970, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("odd", ["*", "^.*$", "a b", "it's", "a{}b", "[x]"])
def test_columns_and_levels_of_a_table_may_be_called_anything(odd: str, tmp_path: Path) -> None:
    columns = f'[feed.columns]\nsku_id = "{odd} id"\n[feed.levels]\n"{odd}" = "{odd}"\nplain = "cat"\n'
    feed = f'[[feed]]\nfeed = "product_hierarchy"\nfile = "a.csv"\n{columns}'
    batch = one(tmp_path, feed, a=f"{odd} id,{odd},cat,other\nA,food,milk,1\n")
    assert findings_of(batch) == []
    assert batch.frame.select("sku_id", "level_name", "node_id").rows() == [("A", odd, "food"), ("A", "plain", "milk")]


@pytest.mark.parametrize("folder", ["it's", "a*", "[x]", "q?", "50%", "#1", "a b", "x=1"])
@pytest.mark.parametrize("file", ["s [1].csv", "s*.csv", "s?.csv", "s#%'.csv", "s_*.csv"])
def test_folders_and_files_may_be_called_anything_and_a_file_of_that_name_is_no_pattern(
    folder: str, file: str, tmp_path: Path
) -> None:
    for place in (tmp_path / folder, tmp_path / "ab"):
        place.mkdir()
        (place / "s_2.csv").write_text(f"{PLAIN}B,S,2025-01-02,2\n")
    is_pattern = file == "s_*.csv"
    (tmp_path / folder / ("s_1.csv" if is_pattern else file)).write_text(f"{PLAIN}A,S,2025-01-01,1\n")
    batches = mapped(tmp_path / folder, SALES.replace("s.csv", file))
    assert [batch.frame["sku_id"].to_list() for batch in batches] == ([["A"], ["B"]] if is_pattern else [["A"]])
    at_once = mapped(tmp_path / "ab", SALES.replace("s.csv", f"../{folder.replace('[', '[[]')}/s_*.csv"))
    assert at_once[-1].frame["sku_id"].to_list() == ["B"]


OFFER = "sku_id,store_id,event_date,unit_price{}\nA,S,2025-01-01,2.00{}\nA,S,2025-01-02,1.50{}\n"


def test_a_price_ratio_is_over_the_list_price(tmp_path: Path) -> None:
    batch = one(tmp_path, PRICES, p=OFFER.format(",list_price", ",2.5", ",2.5"))
    assert findings_of(batch) == []
    assert batch.frame["price_ratio"].to_list() == [0.8, 0.6]
    assert batch.frame["is_promotion"].to_list() == [False, False]
    assert batch.frame["known_at"].to_list() == [moment("2024-12-24", 0), moment("2024-12-25", 0)]


def test_without_a_list_price_it_is_over_the_highest_of_the_trailing_year(tmp_path: Path) -> None:
    old = one(tmp_path, PRICES, p="sku_id,store_id,event_date,unit_price\nA,S,2024-06-01,4\nA,S,2023-06-01,9\n")
    alone = one(tmp_path, PRICES, p=OFFER.format("", "", ""))
    assert alone.frame["price_ratio"].to_list() == [1.0, 0.75]
    held = StoredRows.of({"prices": old.frame}, source="erp")
    (looking_back,) = read_tables(tmp_path / "mapping.toml", held)
    assert looking_back.frame["price_ratio"].to_list() == [0.5, 0.375]
    feed = PRICES.replace("p.csv", "p*.csv")
    together = one(tmp_path, feed, p0="sku_id,store_id,event_date,unit_price\nA,S,2024-06-01,4\n")
    assert together.frame["price_ratio"].to_list() == [1.0, 0.5, 0.375]


WORDS = "sku_id,store_id,event_date,known_at,unit_price\n"


def test_a_mistaken_price_counts_only_until_it_is_corrected(tmp_path: Path) -> None:
    mistaken = "A,S,2025-01-01,2025-01-01,100\nA,S,2025-01-02,2025-01-02,10\n"
    corrected = "A,S,2025-01-01,2025-01-03,10\nA,S,2025-01-03,2025-01-03,9\n"
    batch = one(tmp_path, PRICES, p=WORDS + mistaken + corrected)
    assert findings_of(batch) == []
    assert batch.frame["price_ratio"].to_list() == [1.0, 1.0, 0.1, 0.9]
    before = one(tmp_path, PRICES, p=WORDS + mistaken)
    assert before.frame["price_ratio"].to_list() == [1.0, 0.1]
    held = StoredRows.of({"prices": before.frame}, source="erp", trust=0.8)
    (tmp_path / "p.csv").write_text(WORDS + corrected)
    (after,) = read_tables(tmp_path / "mapping.toml", held)
    assert after.frame["price_ratio"].to_list() == [1.0, 0.9]


def test_a_correction_upwards_leaves_earlier_words_as_they_were(tmp_path: Path) -> None:
    said = "A,S,2025-01-01,2025-01-01,1\nA,S,2025-01-02,2025-01-02,10\n"
    later = "A,S,2025-01-01,2025-01-03,20\nA,S,2025-01-03,2025-01-03,10\n"
    batch = one(tmp_path, PRICES, p=WORDS + said + later)
    assert batch.frame["price_ratio"].to_list() == [1.0, 1.0, 1.0, 0.5]


def test_a_price_that_was_held_twice_counts_as_it_last_stood(tmp_path: Path) -> None:
    words = [(1, 1, 100.0), (1, 3, 10.0), (1, 4, 10.0), (2, 2, 8.0)]
    held = pl.DataFrame(
        [("A", "S", date(2025, 1, day), datetime(2025, 1, said, tzinfo=UTC), price, 1.0, False)
         for day, said, price in words],
        schema=FEEDS["prices"].schema, orient="row",
    )  # fmt: skip
    one(tmp_path, PRICES, p=f"{WORDS}A,S,2025-01-05,2025-01-05,5\n")
    (batch,) = read_tables(tmp_path / "mapping.toml", StoredRows.of({"prices": held}, source="erp"))
    assert batch.frame["price_ratio"].to_list() == [0.5]


def test_a_price_held_with_another_derived_ratio_is_no_contradiction_and_keeps_it(tmp_path: Path) -> None:
    before = one(tmp_path, PRICES, p=OFFER.format("", "", ""))
    assert before.derived == ("price_ratio",)
    held = StoredRows.of({"prices": before.frame.with_columns(price_ratio=pl.lit(0.01))}, source="erp", trust=0.8)
    (tmp_path / "p.csv").write_text(OFFER.format("", "", "") + "A,S,2025-01-03,1.00\n")
    (grown,) = read_tables(tmp_path / "mapping.toml", held)
    judged = Intake(held).take(grown)
    assert judged.findings == []
    assert judged.new.select("event_date", "unit_price").rows() == [(date(2025, 1, 3), 1.0)]
    (tmp_path / "p.csv").write_text(OFFER.format("", "", "").replace("1.50", "1.40"))
    (other,) = read_tables(tmp_path / "mapping.toml", held)
    assert [finding.kind for finding in Intake(held).take(other).findings] == ["contradiction"]


def test_a_ratio_that_the_source_says_is_compared(tmp_path: Path) -> None:
    said = one(tmp_path, PRICES, p=OFFER.format(",price_ratio", ",0.5", ",0.5"))
    assert said.derived == ()
    held = StoredRows.of({"prices": said.frame.with_columns(price_ratio=pl.lit(0.4))}, source="erp", trust=0.8)
    assert [finding.kind for finding in Intake(held).take(said).findings] == ["contradiction"]


def test_a_mistyped_price_is_no_reference_for_the_days_after_it_and_its_own_ratio_stays_in_bounds(
    tmp_path: Path,
) -> None:
    days = "".join(f"A,S,2025-01-{day:02d},{200 if day == 9 else 2}\n" for day in range(1, 15))
    batch = one(tmp_path, PRICES, p=f"sku_id,store_id,event_date,unit_price\n{days}")
    assert [finding.kind for finding in findings_of(batch)] == ["far value"]
    assert batch.frame["price_ratio"].to_list() == [1.0] * 8 + [10.0] + [1.0] * 5


def test_covariates_are_observed_unless_somebody_says_that_they_are_planned(tmp_path: Path) -> None:
    feed = '[[feed]]\nfeed = "covariates"\nfile = "c.csv"\n'
    rows = "covariate,event_date,value\nrain,2025-05-01,1.5\n"
    seen = one(tmp_path, feed, c=rows)
    assert findings_of(seen) == []
    assert seen.frame.rows() == [("rain", "all", date(2025, 5, 1), moment("2025-05-01"), 1.5)]
    ahead = one(tmp_path, f"{feed}known_days_ahead = 3\n", c=rows)
    assert ahead.frame["known_at"].to_list() == [datetime(2025, 4, 28, tzinfo=UTC)]
    said = one(
        tmp_path, feed, c="covariate,store_node,event_date,value,known_at\nrain,S1,2025-05-01,2,2025-04-29 12:00:00\n"
    )
    assert said.frame.rows() == [("rain", "S1", date(2025, 5, 1), datetime(2025, 4, 29, 12, tzinfo=UTC), 2.0)]


def test_prices_and_events_say_when_they_were_known(tmp_path: Path) -> None:
    feed = '[[feed]]\nfeed = "events"\nfile = "e.csv"\n'
    (found,) = findings_of(one(tmp_path, feed, e="event_name,event_date\nfair,2025-05-01\n"))
    assert found.message == "nothing says when its rows became known"
    assert "known_days_ahead = 28" in found.remedy
    batch = one(tmp_path, f"{feed}known_days_ahead = 30\n", e="event_name,event_date\nfair,2025-05-01\n")
    assert batch.frame.rows() == [("fair", "all", date(2025, 5, 1), datetime(2025, 4, 1, tzinfo=UTC), None)]


def test_an_order_is_known_as_placed_before_it_is_known_as_received(tmp_path: Path) -> None:
    feed = '[[feed]]\nfeed = "purchase_orders"\nfile = "o.csv"\n'
    text = (
        "order_id,sku_id,store_id,event_date,ordered_units,received_date\n"
        "1,A,S,2025-01-01,5,2025-01-04\n2,A,S,2025-01-02,6,\n3,A,S,2025-01-03,7,2025-01-03\n"
    )
    batch = one(tmp_path, feed, o=text)
    assert findings_of(batch) == []
    assert batch.frame.select("order_id", "received_date", "known_at").rows() == [
        ("1", None, moment("2025-01-01")), ("1", date(2025, 1, 4), moment("2025-01-04")),
        ("2", None, moment("2025-01-02")), ("3", date(2025, 1, 3), moment("2025-01-03")),
    ]  # fmt: skip


def test_parquet_and_duckdb_say_the_same_as_csv(tmp_path: Path) -> None:
    expected = one(tmp_path, SALES, s=f"{PLAIN}7,1,2025-01-01,1.5\n7,1,2025-01-02,2\n")
    typed = pl.DataFrame(
        {"sku_id": [7, 7], "store_id": [1, 1], "event_date": [date(2025, 1, 1), date(2025, 1, 2)],
         "sales_units": ["1.5", "2"]}
    ).with_columns(pl.col("sales_units").cast(pl.Decimal(10, 2)))  # fmt: skip
    typed.write_parquet(tmp_path / "s.parquet")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.register("typed", typed.to_arrow())
        connection.execute("CREATE TABLE till AS SELECT * FROM typed ORDER BY event_date DESC")
    feeds = [
        SALES.replace("s.csv", "s.parquet"),
        '[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\ntable = "till"\n',
        '[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\nquery = "SELECT * FROM till WHERE sku_id = 7"\n',
    ]
    for feed in feeds:
        batch = one(tmp_path, feed)
        assert findings_of(batch) == []
        assert batch.frame.equals(expected.frame)


def test_identifiers_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"sku_id": [1.0, 2.5], "store_id": 1, "event_date": date(2025, 1, 1), "sales_units": 1})
    frame.write_parquet(tmp_path / "s.parquet")
    batch = one(tmp_path, SALES.replace("s.csv", "s.parquet"))
    assert batch.frame["sku_id"].to_list() == [None, "1"]
    assert "cannot be read as an identifier in 1 rows: row 2 2.5" in batch.findings[0].message


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ('[[feed]]\nfeed = "sales"\n', "give `file`, or `database` with `table` or `query`"),
        (f'{SALES}database = "x"\n', "give `file`, or `database`"),
        ('[[feed]]\nfeed = "weather"\nfile = "w.csv"\n', "feed 1 feed: Input should be 'sales', 'stock_status'"),
        (f'{SALES}colour = "red"\n', r"unknown key `colour` in feed 1 \(allowed: feed, file, database"),
        (f'{SALES}[feed.columns]\nqty = "q"\n', r"`sales` has no columns \['qty'\]; it has \['event_date'"),
        (f'{SALES}[feed.columns]\nsku_id = "q"\n[feed.constants]\nsku_id = "A"\n', r"columns \['sku_id'\] are both"),
        (f'{SALES}[feed.levels]\na = "b"\n', "`levels` is for hierarchies"),
        (f'{LEVELS}a = "x"\nb = "x"\n', 'each level has a column of its own: department = "dept"'),
        (f'{LEVELS}store_id = "x"\n', "rename \\['store_id'\\]"),
        (f'{LEVELS}a = "event_date"\n', "rename \\['event_date'\\]: department = \"dept\""),
        (f'{SALES}separator = "§"\n', "`separator` is one printable ASCII character or a tab.*not '§'"),
        (f"{SALES}[feed.constants]\nsales_units = {2**70}\n", "constants .'sales_units'. are not text.*64 bits"),
        (f"{SALES}[feed.constants]\nsales_units = [1]\n", "constants .'sales_units'. are not text"),
        (f"{SALES}known_days_ahead = 3\n", "`known_days_ahead` is for prices, events, covariates, store_closures"),
        (f'{PRICES}missing_days = "zero"\n', "`missing_days` is for sales"),
        (f"{SALES}listed_days = 90\n", '`listed_days` needs `missing_days = "zero"`'),
        (f'{SALES}aggregate = "sum"\non_invalid = "quarantine"\n', "exclude each other"),
        (f'{SALES}{SALES}missing_days = "zero"\n', "a source means one thing by silence"),
        (f"{SALES}declared_lag_hours = 9999\n", "declared_lag_hours: Input should be less than or equal to 720"),
        (f'{SALES}separator = "tab"\n', "separator: String should have at most 1 character"),
        (
            'colour = "red"\n[[feed]]\nfeed = "sales"\nfile = "s.csv"\n',
            r"unknown key `colour` \(allowed: source, trust",
        ),
        ("", "feed: Field required"),
        ("[[feed]\n", "is not TOML"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_why(tmp_path: Path, feed: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        mapped(tmp_path, feed, s=PLAIN)


def test_everything_that_is_wrong_with_a_mapping_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        mapped(tmp_path, f'{SALES}colour = "red"\ntrust = 2.0\n')
    assert "unknown key `colour`" in str(caught.value)
    assert "trust: Input should be less than or equal to 1" in str(caught.value)
    assert "ingest table --example" in error_text(caught.value)


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (SALES, r"There is no file .*s\.csv"),
        (SALES.replace("s.csv", "s*.csv"), r"There is no file .*s\*\.csv"),
        (SALES.replace("s.csv", "mapping.toml"), "is neither CSV nor Parquet"),
        (SALES.replace("s.csv", "torn.parquet"), "cannot be read as Parquet"),
        (SALES.replace("s.csv", "ragged.csv"), "cannot be read as CSV"),
        (SALES.replace("s.csv", "empty.csv"), "cannot be read as CSV"),
        ('[[feed]]\nfeed = "sales"\ndatabase = "none.duckdb"\ntable = "t"\n', "There is no database"),
        ('[[feed]]\nfeed = "sales"\ndatabase = "torn.parquet"\ntable = "t"\n', "cannot be opened"),
        ('[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\ntable = "none"\n', "Found: till"),
        ('[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\nquery = "SELEC 1"\n', "cannot be read: Parser Error"),
        (
            '[[feed]]\nfeed = "sales"\ndatabase = "shop.duckdb"\nquery = "DROP TABLE till"\n',
            "not one SELECT; it is: DROP",
        ),
        (f"{DATABASE}query = \"COPY till TO 'copy.csv'\"\n", "not one SELECT; it is: COPY"),
        (f'{DATABASE}query = "SELECT 1; SELECT 2"\n', "not one SELECT; it is: SELECT, SELECT"),
        (f'{DATABASE}query = "-- none"\n', "not one SELECT; it is: nothing"),
        (f'{DATABASE}query = "FROM till a, till b"\n', "returns columns twice"),
        (f"{DATABASE}query = \"FROM read_csv('s.csv')\"\n", "file system operations are disabled"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(tmp_path: Path, feed: str, message: str) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and so on, long enough to have a foot" * 9)
    (tmp_path / "ragged.csv").write_text("sku_id,store_id\na,b,c\n")
    (tmp_path / "empty.csv").touch()
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE till (sku_id VARCHAR)")
    with pytest.raises(SourceError, match=message):
        mapped(tmp_path, feed)


def test_there_is_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_tables(tmp_path / "none.toml")
    assert re.search(r"There is no mapping .*none\.toml.*ingest table --example", error_text(caught.value))


def test_a_feed_may_say_its_own_source_trust_and_lag(tmp_path: Path) -> None:
    feed = f'{SALES}source = "till"\ntrust = 0.3\ndeclared_lag_hours = 0\n'
    batch = one(tmp_path, feed, s=f"{PLAIN}A,S,2025-01-01,1\n")
    assert (batch.source, batch.trust, batch.declared_lag) == ("till", 0.3, timedelta(0))
    assert batch.frame["known_at"].to_list() == [moment("2025-01-01", 0)]


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path) -> None:
    rows = [f"{sku},S,2025-01-{day:02d},{day}\n" for sku in "BA" for day in (3, 1, 2)]
    frames = [one(tmp_path, SALES, s=PLAIN + "".join(order)).frame for order in (rows, rows[::-1])]
    assert frames[0].equals(frames[1])
    assert frames[0]["event_date"].is_sorted()


def test_the_mapping_in_the_documents_is_valid(tmp_path: Path) -> None:
    documents = Path(__file__).parents[2] / "docs"
    every = re.findall(r"```toml\n(.*?)```", (documents / "sources.md").read_text(), flags=re.DOTALL)
    (shown,) = (block for block in every if block.startswith("source = "))
    (tmp_path / "mapping.toml").write_text(shown)
    feeds = [table.feed for table in read_mapping(tmp_path / "mapping.toml").feed]
    assert feeds == ["sales", "product_hierarchy", "prices"]


def test_every_kind_of_finding_is_documented() -> None:
    repository = Path(__file__).parents[2]
    page = (repository / "docs/sources.md").read_text()
    named_by = (
        "ingestion/findings", "ingestion/gaps", "ingestion/intake", "sources/casting", "sources/line_sums",
        "sources/notations",
    )  # fmt: skip
    modules = [(repository / f"forecast_assets/{name}.py").read_text() for name in named_by]
    kinds = {"columns", "types", "empty", "unreadable"}
    for text in modules:
        kinds |= set(re.findall(r'yield "([a-z ]+)"', text))
        kinds |= set(re.findall(r'(?:_warning\(|Finding\()[\w.]+, "([a-z ]+)"', text))
    kinds |= {far_values.KIND, identifiers.ALIKE, identifiers.DAMAGED}
    assert len(kinds) > 15
    named = {
        name.strip()
        for row in re.findall(r"^\| ([a-zA-Z, ]+) \| (?:error|warning)", page, re.MULTILINE)
        for name in row.split(",")
    }
    assert kinds <= named | {"empty"}


@pytest.mark.parametrize("day", ["0001-01-01", "-0050-01-01", "1899-12-31", "2201-01-01", "9999-12-31"])
@pytest.mark.parametrize("missing", ["error", "zero"])
def test_a_day_outside_the_years_that_count_is_named_with_its_row(tmp_path: Path, day: str, missing: str) -> None:
    batch = one(tmp_path, f'{SALES}missing_days = "{missing}"\n', s=f"{PLAIN}A,S,2025-01-01,1\nA,S,{day},2\n")
    (found,) = findings_of(batch)
    assert f"`event_date` cannot be read as a date in 1 rows: row 3 '{day}'" in found.message
    assert "years are 1900 to 2200" in found.remedy


def test_a_day_of_a_parquet_file_beyond_all_calendars_is_named_too(tmp_path: Path) -> None:
    days = pl.Series("event_date", [-1_000_000, 20_000], pl.Int32).cast(pl.Date)
    frame = pl.DataFrame({"sku_id": "A", "store_id": "S", "sales_units": 1.0, "event_date": days})
    frame.write_parquet(tmp_path / "s.parquet")
    (found,) = findings_of(one(tmp_path, SALES.replace("s.csv", "s.parquet")))
    assert "row 1 '-0768-02-04'" in found.message


def test_a_moment_beyond_all_calendars_is_named(tmp_path: Path) -> None:
    text = "sku_id,store_id,event_date,known_at,sales_units\nA,S,2025-01-01,9999-12-31T23:00:00Z,1\n"
    (found,) = one(tmp_path, SALES, s=text).findings
    assert "`known_at` cannot be read as a moment in 1 rows: row 2 '9999-12-31T23:00:00Z'" in found.message


@pytest.mark.parametrize("name", ['"A,S,2025-01-01,1\nB"', '"A\tB"', "A" * 201])
def test_a_stray_quote_that_joins_rows_is_an_error(tmp_path: Path, name: str) -> None:
    batch = one(tmp_path, f'{SALES}missing_days = "zero"\n', s=f"{PLAIN}{name},S,2025-01-02,1\nC,S,2025-01-02,1\n")
    (found,) = findings_of(batch)
    assert (found.kind, found.is_error, found.rows) == ("broken text", True, 1)
    assert "column `sku_id` has line breaks, control characters or over 200 characters" in found.message
    assert "stray quote" in found.message


def test_a_name_of_200_characters_passes(tmp_path: Path) -> None:
    assert findings_of(one(tmp_path, SALES, s=f"{PLAIN}{'Ä' * 200},S,2025-01-02,1\n")) == []


def test_columns_of_the_same_name_are_refused_if_they_are_needed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"s.csv has columns of the same name: sales_units\. Keep one of each"):
        one(tmp_path, SALES, s="sku_id,store_id,event_date,sales_units,sales_units\nA,S,2025-01-01,1,2\n")
    batch = one(tmp_path, SALES, s="sku_id,store_id,event_date,sales_units,note,note\nA,S,2025-01-01,1,a,b\n")
    assert batch.frame["sales_units"].to_list() == [1.0]


def test_endings_in_capitals_are_read(tmp_path: Path) -> None:
    (tmp_path / "S.CSV").write_text(f"{PLAIN}A,S,2025-01-01,1\n")
    assert one(tmp_path, SALES.replace("s.csv", "S.CSV")).frame.height == 1


def test_a_query_writes_no_file_and_a_table_is_still_read(tmp_path: Path) -> None:
    target = tmp_path / "copy.csv"
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE till AS SELECT 'A' sku_id, 'S' store_id, DATE '2025-01-01' event_date, 1 sales_units"
        )
        connection.execute("CREATE VIEW seen AS SELECT * FROM till")
    with pytest.raises(SourceError, match="not one SELECT; it is: COPY"):
        one(tmp_path, f"{DATABASE}query = \"COPY till TO '{target}'\"\n")
    assert not target.exists()
    assert one(tmp_path, f'{DATABASE}table = "seen"\n').frame["sales_units"].to_list() == [1.0]
    query = "WITH a AS (FROM till) SELECT * FROM a;"
    assert one(tmp_path, f'{DATABASE}query = "{query}"\n').frame["sku_id"].to_list() == ["A"]


STATUS = '[[feed]]\nfeed = "stock_status"\nfile = "h.csv"\n[feed.constants]\ntrading_hours = 16\n'
HOURS = "sku_id,store_id,event_date,out_of_stock_hours"


def test_the_share_of_demand_without_stock_may_be_said_or_left_out(tmp_path: Path) -> None:
    silent = one(tmp_path, STATUS, h=f"{HOURS}\nA,S,2025-01-01,4\n")
    assert silent.frame["out_of_stock_demand_share"].to_list() == [None]
    said = one(tmp_path, STATUS, h=f"{HOURS},out_of_stock_demand_share\nA,S,2025-01-01,4,0.1\nA,S,2025-01-02,4,\n")
    assert said.frame["out_of_stock_demand_share"].to_list() == [0.1, None]
    assert findings_of(silent) == findings_of(said) == []

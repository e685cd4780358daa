"""A guessed mapping is one that its files keep, and says what is doubtful about it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from forecast_assets.core.errors import SourceError
from forecast_assets.ingestion.batch import Batch
from forecast_assets.presentation.actions import error_text, sentence_text
from forecast_assets.sources.guessing import guess_mapping
from forecast_assets.sources.tables import read_tables
from tests.support.intake_cases import findings_of

FIRST = date(2025, 6, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(30)]


def guessed(folder: Path, *names: str) -> tuple[str, list[Batch]]:
    """The text of the mapping, and what it makes of the files without a single error."""
    text = sentence_text(guess_mapping([folder / name for name in names]))
    (folder / "mapping.toml").write_text(text)
    batches = list(read_tables(folder / "mapping.toml"))
    errors = [each for batch in batches for each in findings_of(batch) if each.is_error]
    assert errors == []
    return text, batches


def line(text: str, key: str) -> str:
    (found,) = [each for each in text.splitlines() if each.startswith(f"{key} = ")]
    return found


def german_till(folder: Path) -> None:
    """A file per half month, closed on Sundays, only what was sold, Windows-1252."""
    for name, days in (("a", DAYS[:15]), ("b", DAYS[15:])):
        rows = [
            f"{day:%d.%m.%Y};{store};{article};Käse {article};1.{n:03d},5;12,30"
            for n, day in enumerate(days)
            for store in ("001", "002")
            for article in ("4711", "4712")
            if day.isoweekday() < 7 and (n + int(article)) % 3
        ]
        text = "\r\n".join(["Datum;Filiale;Artikelnummer;Artikelbezeichnung;Menge;Umsatz", *rows, ";;;;;"])
        (folder / f"kasse_{name}.csv").write_bytes(f"sep=;\r\n{text}\r\n".encode("cp1252"))


def test_a_german_till(tmp_path: Path) -> None:
    german_till(tmp_path)
    text, (first, second) = guessed(tmp_path, "kasse_a.csv", "kasse_b.csv")
    assert f'file = "{tmp_path}/kasse_*.csv"' in text
    for key, value in {
        "encoding": '"cp1252"', "separator": '";"', "decimal_comma": "true", "date_format": '"%d.%m.%Y"',
        "event_date": '"Datum"', "sku_id": '"Artikelnummer"', "store_id": '"Filiale"', "sales_units": '"Menge"',
    }.items():  # fmt: skip
        assert line(text, key).startswith(f"{key} = {value}")
    assert "doubt: " in line(text, "missing_days")
    assert "aggregate" not in text
    assert "no row at all on 2025-06-08, 2025-06-15, 2025-06-22, 2025-06-29: closed" in text
    assert "# not used: 'Artikelbezeichnung', 'Umsatz'" in text
    assert first.frame["store_id"].unique().sort().to_list() == ["001", "002"]
    assert second.frame["event_date"].max() == date(2025, 6, 30)
    assert "notation" not in [each.kind for each in first.findings]


def us_erp(folder: Path) -> None:
    rows = [
        f'{day.month}/{day.day}/{day.year}|{plant}|MAT-{n}|"{n + 1},{day.day:03d}.50"'
        for day in DAYS
        for plant in (10, 20)
        for n in range(2)
    ]
    (folder / "export.txt").write_bytes(("\n".join(["Posting Date|Plant|Material|Qty", *rows]) + "\n").encode("utf-16"))


def test_an_american_erp(tmp_path: Path) -> None:
    us_erp(tmp_path)
    text, (batch,) = guessed(tmp_path, "export.txt")
    assert line(text, "date_format").startswith('date_format = "%m/%d/%Y"')
    assert line(text, "encoding").startswith('encoding = "utf-16"')
    assert line(text, "separator").startswith('separator = "|"')
    assert "decimal_comma" not in text
    assert "missing_days" not in text
    assert batch.frame["sales_units"].max() == 2030.5


def receipts(folder: Path) -> None:
    rows = [
        f"R{n},{day} {9 + n % 10:02d}:15:00,{store},{article},{quantity}"
        for n, day in enumerate(DAYS)
        for store in ("north", "south")
        for article in ("tea", "rice")
        for quantity in (2, 1, -1)
    ]
    (folder / "receipts.csv").write_text("\n".join(["receipt,sold at date,shop,item,pieces", *rows]) + "\n")


def test_receipts(tmp_path: Path) -> None:
    receipts(tmp_path)
    text, (batch,) = guessed(tmp_path, "receipts.csv")
    assert 'aggregate = "sum"' in line(text, "aggregate")
    assert "doubt: 240 rows repeat an SKU, store and day" in line(text, "aggregate")
    assert batch.frame["sales_units"].unique().to_list() == [2.0]
    assert batch.frame.height == 120


def test_a_spreadsheet_with_a_column_per_week_is_refused_with_a_word(tmp_path: Path) -> None:
    weeks = [f"KW {week}" for week in range(20, 30)]
    (tmp_path / "wide.csv").write_text(";".join(["Artikel", *weeks]) + "\nTee;" + ";".join(["1"] * 10) + "\n")
    with pytest.raises(SourceError, match=r"wide.csv has a column per day or week: KW 20, KW 21.*UNPIVOT"):
        guess_mapping([tmp_path / "wide.csv"])
    days = ";".join(f"{day:%d.%m.%Y}" for day in DAYS)
    (tmp_path / "days.csv").write_text(f"Artikel;{days}\nTee;{';'.join(['1'] * 30)}\n")
    with pytest.raises(SourceError, match=r"days.csv has a column per day or week: 01.06.2025"):
        guess_mapping([tmp_path / "days.csv"])


def test_a_warehouse_with_moments_and_other_feeds(tmp_path: Path) -> None:
    midnight = pl.Series([datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=2) for day in DAYS])
    sales = pl.DataFrame({"ts_date": midnight, "item_id": 7, "store": "S", "qty": 1.0})
    stock = pl.DataFrame({"date": DAYS, "item_id": 7, "store": "S", "stock": [*[3.0] * 29, -1.0]})
    price = pl.DataFrame({"date": DAYS, "item_id": 7, "store": "S", "price": 2.5})
    items = pl.DataFrame({"item_id": [7], "department": ["food"], "category": ["tea"]})
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        for name, frame in {"a_sales": sales, "b_stock": stock, "c_price": price, "d_items": items}.items():
            connection.register("frame", frame.to_arrow())
            connection.execute(f"CREATE TABLE {name} AS FROM frame")
            connection.unregister("frame")
    text, batches = guessed(tmp_path, "shop.duckdb")
    assert [batch.feed for batch in batches] == ["sales", "inventory_positions", "prices", "product_hierarchy"]
    assert 'time_zone = "UTC"' in line(text, "time_zone")
    assert "doubt: " in line(text, "time_zone")
    assert "doubt: mean days from order to arrival" in line(text, "lead_time_days")
    assert 'department = "department"' in text


def test_what_can_be_read_in_two_ways_is_settled_with_a_loud_doubt(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("date;item;qty\n03/04/2025;A;1,234\n04/04/2025;A;2,345\n")
    text, (batch,) = guessed(tmp_path, "s.csv")
    assert "# doubt: the day first or the month first? no value tells" in line(text, "date_format")
    assert "# doubt: numbers can be read as 1234 and as 1.234" in line(text, "decimal_comma")
    assert "# doubt: no column names a store, so it is one" in line(text, "store_id")
    assert batch.frame.select("store_id", "event_date", "sales_units").row(0) == ("S1", date(2025, 4, 3), 1.234)


def test_signs_and_units_that_no_shop_has(tmp_path: Path) -> None:
    rows = "".join(f"{day},A,S,-{day.day}500000000\n" for day in DAYS)
    (tmp_path / "s.csv").write_text(f"date,sku,store,qty\n{rows}")
    text, (batch,) = guessed(tmp_path, "s.csv")
    assert line(text, "unit_factor").startswith("unit_factor = -0.001")
    assert batch.frame["sales_units"].max() == 30_500_000.0


def test_names_of_any_kind_stay_names(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text('date,"the ""sku"" \\ it is",store,"qty [#]"\n2025-06-01,A,S,1\n')
    text, (batch,) = guessed(tmp_path, "s.csv")
    assert batch.frame["sku_id"].to_list() == ["A"]
    assert "qty [#]" in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "s.csv",
            "colour,size\nred,big\n",
            "cannot be told what the rows of s.csv are: no column was taken for sku_id",
        ),
        ("s.csv", "date,sku,qty\n", "s.csv has no rows"),
        ("s.xlsx", "", "is neither CSV, Parquet nor a DuckDB database. Save a spreadsheet as CSV"),
        ("none.csv", None, "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_guessed_says_why(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SourceError) as caught:
        guess_mapping([tmp_path / name])
    assert words in error_text(caught.value)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["sales_2025-01.csv", "sales_2025-06.csv"], "sales_*.csv"),
        (["20250630_till.csv", "20250701_till.csv"], "*_till.csv"),
        (["till11.csv", "till21.csv"], "till*.csv"),
        (["north_till.csv", "south_till.csv"], "*th_till.csv"),
    ],
)
def test_many_files_have_a_pattern_that_takes_the_next_one_too(tmp_path: Path, names: list[str], pattern: str) -> None:
    for day, name in enumerate(names, start=1):
        (tmp_path / name).write_text(f"date,sku,store,qty\n2025-06-{day:02d},A,S,1\n")
    text, _ = guessed(tmp_path, *names)
    assert line(text, "file") == f'file = "{tmp_path}/{pattern}"'
    (tmp_path / pattern.replace("*", "othe")).write_text("date,sku,store,qty\n2025-06-09,A,S,1\n")
    text, _ = guessed(tmp_path, *names)
    assert f"doubt: that takes {pattern.replace('*', 'othe')} too" in line(text, "file")

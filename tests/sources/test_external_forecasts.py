"""Files of external forecasts: what is read, and every mistake by its message, all of them at once."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from forecast_assets.core.errors import HorizonError, InputError, SourceError
from forecast_assets.core.keys import DAILY, WEEKLY
from forecast_assets.sources.casting import Notation
from forecast_assets.sources.external_forecasts import (
    ForecastsFile,
    choose_horizon,
    file_problems,
    parse_columns,
    problem_list,
    read_forecasts_file,
)
from forecast_assets.sources.text_files import TextForm

DAY = date(2025, 6, 30)


def rows(days: int = 7, **changes: Any) -> pl.DataFrame:
    """Two series, every step, with two quantiles; ``changes`` replace columns."""
    frame = pl.DataFrame(
        [
            {"prediction_date": DAY, "store_id": "S", "sku_id": sku, "target_date": DAY + timedelta(days=step),
             "forecast_units": 2.0, "q100_units": 1.0, "q900_units": 4.0}
            for sku in ("0007", "0008")
            for step in range(1, days + 1)
        ]
    )  # fmt: skip
    return frame.with_columns(pl.Series(name, values) for name, values in changes.items())


def written(frame: pl.DataFrame, folder: Path, suffix: str = ".parquet") -> Path:
    path = folder / f"file{suffix}"
    frame.write_parquet(path) if suffix == ".parquet" else frame.write_csv(path)
    return path


def problems(frame: pl.DataFrame, folder: Path, suffix: str = ".parquet") -> list[str]:
    file = read_forecasts_file(written(frame, folder, suffix))
    horizon, found = choose_horizon(file, DAILY, None)
    return [*found, *file_problems(file, horizon)]


def changed(at: int, name: str, value: object) -> pl.DataFrame:
    """The rows with one value replaced, as CSV writes them."""
    frame = rows().with_columns(pl.col(name).cast(pl.String))
    values = frame[name].to_list()
    values[at] = value
    return frame.with_columns(pl.Series(name, values, pl.String))


def test_csv_and_parquet_say_the_same_and_ids_keep_their_zeros(tmp_path: Path) -> None:
    files = [read_forecasts_file(written(rows(), tmp_path, suffix)) for suffix in (".csv", ".parquet")]
    assert files[0].rows.equals(files[1].rows)
    assert files[0].rows["sku_id"].unique().sort().to_list() == ["0007", "0008"]
    assert files[0].dates == [DAY]
    assert files[0].levels == [0.1, 0.9]
    assert files[0].sha256 != files[1].sha256
    assert file_problems(files[0], 7) == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_steps_do_instead_of_target_dates_and_the_date_may_be_given(tmp_path: Path, suffix: str) -> None:
    steps = pl.Series("step", [1, 2, 3, 4, 5, 6, 7] * 2)
    frame = rows().drop("prediction_date", "target_date").with_columns(steps)
    file = read_forecasts_file(written(frame, tmp_path, suffix), day=DAY)
    days = ["target_date", "step"]
    assert file.rows.select(days).equals(read_forecasts_file(written(rows(), tmp_path)).rows.select(days))
    assert file_problems(file, 7) == []


def test_types_of_other_tools_are_read(tmp_path: Path) -> None:
    frame = rows().with_columns(
        pl.col("target_date").cast(pl.Datetime("ns")),
        pl.col("forecast_units").cast(pl.Decimal(18, 6)),
        pl.col("q100_units").cast(pl.Int64),
        pl.col("store_id").cast(pl.Categorical),
        pl.Series("sku_id", [7] * 7 + [8] * 7),
    )
    file = read_forecasts_file(written(frame, tmp_path))
    assert file_problems(file, 7) == []
    assert file.rows["sku_id"].unique().sort().to_list() == ["7", "8"]
    assert file.rows["target_date"][0] == date(2025, 7, 1)


def test_columns_are_renamed(tmp_path: Path) -> None:
    path = written(rows().rename({"forecast_units": "qty", "target_date": "day"}), tmp_path)
    file = read_forecasts_file(path, columns=parse_columns("qty=forecast_units,day=target_date"))
    assert file_problems(file, 7) == []
    assert file.columns == {"qty": "forecast_units", "day": "target_date"}


@pytest.mark.parametrize("text", ["qty", "qty=", "a=b=c", "a=forecast_units,b=forecast_units", "a=step,a=target_date"])
def test_a_renaming_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="does not say which column is which"):
        parse_columns(text)


def test_a_renaming_of_columns_that_are_not_there_or_taken_is_refused(tmp_path: Path) -> None:
    path = written(rows(), tmp_path)
    with pytest.raises(SourceError, match=r"it has no column \['qty'\]; it has \['forecast_units'\] already. Found: "):
        read_forecasts_file(path, columns={"qty": "step", "q100_units": "forecast_units"})


def test_everything_wrong_with_the_columns_is_said_at_once(tmp_path: Path) -> None:
    frame = rows().rename(
        {"store_id": "shop", "prediction_date": "made_on", "target_date": "day", "q900_units": "q880_units"}
    )
    with pytest.raises(SourceError) as caught:
        read_forecasts_file(written(frame, tmp_path))
    said = str(caught.value)
    for part in (
        "lacks `store_id`", "neither `target_date` nor `step`", "lacks `prediction_date`, and no --date was given",
        "['q880_units'] are not among the quantiles here, q005_units", "Found: ['made_on', 'shop'", "--columns",
    ):  # fmt: skip
        assert part in said
    with pytest.raises(SourceError, match="it has its own `prediction_date`: leave out --date"):
        read_forecasts_file(written(rows(), tmp_path), day=DAY)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"x", "has no known format.*ends in .parquet or .csv"),
        ("a.parquet", b"PAR1 cut", "cannot be read as Parquet.*cut short"),
        ("a.csv", b"", "cannot be read as CSV"),
        ("a.csv", b"\xff\xfe\x00a,b\n1,2\n", "is not UTF-16: byte 11 says nothing in it. Say its `encoding`"),
        ("a.csv", b"store_id,sku_id\n", "has no rows"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read_forecasts_file(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing.csv cannot be read: No such file"):
        read_forecasts_file(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("at", "name", "value", "words"),
    [
        (2, "forecast_units", "-1", "a negative `forecast_units` in 1 of 14 rows (row 3)"),
        (2, "forecast_units", "NaN", "a `forecast_units` that is not a finite number in 1 rows (row 3: NaN)"),
        (2, "forecast_units", "inf", "a `forecast_units` that is not a finite number in 1 rows (row 3: inf)"),
        (2, "forecast_units", "1,5", "a `forecast_units` that is not a finite number in 1 rows (row 3: 1,5)"),
        (2, "forecast_units", None, "no `forecast_units` in 1 of 14 rows (row 3)"),
        (2, "forecast_units", "2e9", "a mean of 1,000,000,000 units or more in 1 of 14 rows (row 3)"),
        (2, "q900_units", "1e300", "a `q900_units` of 1,000,000,000 units or more in 1 of 14 rows (row 3)"),
        (2, "forecast_units", "9.1", "a mean far above `q900_units` in 1 of 14 rows (row 3)"),
        (2, "forecast_units", "0.89", "a mean below `q100_units` in 1 of 14 rows (row 3)"),
        (4, "sku_id", "0007,x\n0008", "a `sku_id` with line breaks, control characters or over 200 characters"),
        (4, "store_id", "S" * 201, "(perhaps a stray quote) in 1 of 14 rows (row 5)"),
        (6, "target_date", "9999-12-31", "1 rows (row 7: 9999-12-31; years are 1900 to 2200)"),
        (6, "prediction_date", "0001-01-01", "1 rows (row 7: 0001-01-01; years are 1900 to 2200)"),
        (0, "q100_units", "5", "a `q900_units` below `q100_units` in 1 of 14 rows (row 1)"),
        (0, "q900_units", None, "no `q900_units` in 1 of 14 rows (row 1)"),
        (4, "sku_id", "", "no `sku_id` in 1 of 14 rows (row 5)"),
        (4, "store_id", None, "no `store_id` in 1 of 14 rows (row 5)"),
        (6, "target_date", "07.07.2025", "`target_date` that is not a date such as 2024-06-11 in 1 rows (row 7: 07"),
        (6, "target_date", "2025-07-07x", "`target_date` that is not a date such as 2024-06-11 in 1 rows (row 7: 20"),
        (6, "prediction_date", "soon", "`prediction_date` that is not a date such as 2024-06-11 in 1 rows (row 7: so"),
        (0, "target_date", "2025-06-30", "a day on or before the prediction date in 1 of 14 rows (row 1)"),
        (0, "target_date", "2025-07-02", "same prediction date, store, SKU and step as another row in 2 of 14 rows"),
        (0, "target_date", "2025-07-02", "1 series lack steps of the 7 days ahead (S/0007 on 2025-06-30 lacks 1)"),
        (6, "target_date", "2025-08-30", "it looks 61 days ahead, where a daily run has a horizon of 7 to 30 days"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_row(tmp_path: Path, at: int, name: str, value: object, words: str) -> None:
    assert any(words in said for said in problems(changed(at, name, value), tmp_path, ".csv"))


def test_step_and_target_date_have_to_agree(tmp_path: Path) -> None:
    found = problems(rows(step=[2, 1, 3, 4, 5, 6, 7] * 2), tmp_path)
    assert found == ["a `target_date` that is not `prediction_date` plus `step` in 4 of 14 rows (row 1, 2, 8, 9)"]
    assert any("a `step` that is not a whole number" in said for said in problems(rows(step=[1.5] * 14), tmp_path))


def test_all_mistakes_come_in_one_message_that_says_what_to_do(tmp_path: Path) -> None:
    frame = pl.concat([rows()[:5], rows()[7:]]).with_columns(
        forecast_units=pl.when(pl.col("sku_id") == "0008").then(-1.0).otherwise(2.0)
    )
    said = str(problem_list("file.csv", problems(frame, tmp_path)))
    assert said.startswith("file.csv cannot be published: (1) a negative `forecast_units` in 7 of 12 rows (row 6, 7, 8")
    assert "(2) 1 series lack steps of the 7 days ahead (S/0007 on 2025-06-30 lacks 6, 7)" in said
    assert said.endswith("Correct all of this at its source and ingest the file again; nothing of it was published.")


def test_a_shorter_horizon_leaves_the_later_steps_out(tmp_path: Path) -> None:
    file = read_forecasts_file(written(rows(45), tmp_path))
    assert choose_horizon(file, DAILY, 28) == (28, [])
    assert choose_horizon(file, WEEKLY, None) == (45, [])
    assert file_problems(file, 28) == []
    assert file.within(28).rows["step"].max() == 28
    assert file_problems(file, 60)[0].startswith(
        "2 series lack steps of the 60 days ahead (S/0007 on 2025-06-30 lacks 46"
    )
    with pytest.raises(HorizonError):
        choose_horizon(file, DAILY, 45)


def test_rows_of_upper_nodes_are_kept_apart(tmp_path: Path) -> None:
    upper = pl.DataFrame(
        {"prediction_date": [DAY], "target_date": [DAY + timedelta(days=1)], "forecast_units": [4.0],
         "product_level": ["total"], "product_node": ["total"], "store_level": ["store"], "store_node": ["S"]}
    )  # fmt: skip
    file = read_forecasts_file(written(pl.concat([rows(), upper], how="diagonal"), tmp_path))
    assert file_problems(file, 7) == []
    assert file.upper.select("row", "store_node", "step", "forecast_units").rows() == [(15, "S", 1, 4.0)]
    assert file.rows.height == 14


def test_several_dates_are_told_apart(tmp_path: Path) -> None:
    later = rows().with_columns(pl.col("prediction_date", "target_date") + timedelta(days=1))
    file: ForecastsFile = read_forecasts_file(written(pl.concat([later, rows()]), tmp_path))
    assert file.dates == [DAY, DAY + timedelta(days=1)]
    assert file.of(DAY).rows["row"].to_list() == list(range(15, 29))


def test_decimals_are_read_to_the_last(tmp_path: Path) -> None:
    exact = [Decimal("0.000001") * (at * 7_777_777 + 1) for at in range(14)]
    frame = rows(forecast_units=exact)
    for suffix in (".csv", ".parquet"):
        read = read_forecasts_file(written(frame, tmp_path, suffix)).rows["forecast_units"]
        assert [Decimal(f"{value:.6f}") for value in read] == exact


def test_dates_as_moments_and_times_in_text_are_dates(tmp_path: Path) -> None:
    moments = [str(datetime.combine(day, datetime.min.time())) for day in rows()["target_date"]]
    assert problems(rows(target_date=moments), tmp_path, ".csv") == []


def test_a_mean_may_lie_above_a_high_quantile_where_demand_is_rare(tmp_path: Path) -> None:
    rare = rows(forecast_units=[0.05] * 14, q100_units=[0.0] * 14, q900_units=[0.0] * 14)
    assert problems(rare, tmp_path) == []
    outer = rare.rename({"q900_units": "q995_units"})
    assert problems(outer, tmp_path) == []
    found = problems(outer.with_columns(forecast_units=pl.lit(0.06)), tmp_path)
    assert found == ["a mean far above `q995_units` in 14 of 14 rows (row 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 4 more)"]


def test_a_median_alone_is_not_held_against_the_mean(tmp_path: Path) -> None:
    assert problems(rows().drop("q100_units", "q900_units").with_columns(q500_units=pl.lit(0.0)), tmp_path) == []


def test_a_day_beyond_all_calendars_is_named(tmp_path: Path) -> None:
    far = rows().with_columns(target_date=pl.lit(-1_000_000, pl.Int32).cast(pl.Date))
    assert any("(row 1: -0768-02-04, " in said for said in problems(far, tmp_path))


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.CSV"
    path.write_text("store_id,sku_id,step,forecast_units,forecast_units\nS,A,1,2,3\n")
    with pytest.raises(SourceError, match="columns of the same name: forecast_units"):
        read_forecasts_file(path, day=DAY)


EXCEL = "﻿store_id;sku_id;target_date;forecast_units;q900_units\r\n" + "".join(
    f"S;{sku};{DAY + timedelta(days=step):%d.%m.%Y};2,5;1.004,5\r\n" for sku in ("0007", "0008") for step in range(1, 8)
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_planners_file_from_excel_is_read_and_what_it_was_taken_for_is_kept(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(EXCEL.encode(encoding) if encoding == "utf-8" else EXCEL[1:].encode(encoding))
    file = read_forecasts_file(path, day=DAY)
    assert file_problems(file, 7) == []
    assert file.rows.select("sku_id", "step", "forecast_units", "q900_units").row(8) == ("0008", 2, 2.5, 1004.5)
    usual = {"encoding": "utf-16"} if encoding == "utf-16" else {}
    assert file.found == {**usual, "separator": ";", "decimal_comma": True, "date_format": "%d.%m.%Y"}
    said = read_forecasts_file(
        path,
        day=DAY,
        form=TextForm(encoding.replace("utf-8", "utf-8-sig"), ";"),
        notation=Notation(date_format="%d.%m.%Y", decimal_comma=True),
    )
    assert said.rows.equals(file.rows)
    assert said.found == {}


def test_a_date_or_number_with_two_readings_names_the_option(tmp_path: Path) -> None:
    frame = (
        rows()
        .drop("q100_units", "q900_units")
        .with_columns(pl.Series("target_date", ["03/04/2025"] * 14), forecast_units=pl.lit("1,234"))
    )
    said = problems(frame, tmp_path, ".csv")
    assert any("`target_date` can be read as 30/06/2025 and as 06/30/2025" in each for each in said)
    assert any("say which with --date-format" in each for each in said)
    assert any("say which with --decimal-comma or --no-decimal-comma" in each for each in said)
    assert not any(each.startswith("no `forecast_units`") for each in said)


def test_the_day_of_a_moment_is_the_one_that_is_written(tmp_path: Path) -> None:
    frame = changed(0, "target_date", "2025-07-01T00:00:00+02:00")
    assert problems(frame, tmp_path, ".csv") == []


def test_lines_with_another_number_of_fields_are_named_with_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("store_id;sku_id\nS;A\nS;A;1\n")
    with pytest.raises(SourceError, match="fields parted by `;`, the line of names has 2 and line 3 has 3"):
        read_forecasts_file(path)

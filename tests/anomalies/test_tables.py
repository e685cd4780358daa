"""Tables in files: any usual dialect, in parts that do not matter, and errors that say what is wrong."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forecast_assets.anomalies import tables
from forecast_assets.anomalies.tables import CHUNK, TextDialect, open_table
from forecast_assets.core.errors import InputError, SourceError
from forecast_assets.sources.text_files import TextForm
from tests.support.anomaly_cases import FEATURES, usual_table


def typed(path: Path, numbers: tuple[str, ...] = (), dialect: TextDialect | None = None) -> pl.DataFrame:
    return pl.concat(part.typed for part in open_table(path, dialect).parts(None, numbers))


@pytest.mark.parametrize(
    ("separator", "encoding", "is_comma", "line_end"),
    [
        (",", "utf-8", False, "\n"),
        (";", "cp1252", True, "\r\n"),
        ("\t", "utf-16", False, "\n"),
        ("|", "utf-8-sig", False, "\n"),
    ],
)
def test_every_usual_dialect_gives_the_same_values(
    tmp_path: Path, separator: str, encoding: str, is_comma: bool, line_end: str
) -> None:
    rows = [("ä1", "0.5", "3"), ("ß2", "-1.25", "4"), ("3", "", "5")]
    text = line_end.join(
        [separator.join(("name", "rms", "count"))]
        + [separator.join(each.replace(".", ",") if is_comma else each for each in row) for row in rows]
    )
    path = tmp_path / "a.csv"
    path.write_bytes((text + line_end).encode(encoding))
    found = typed(path, ("rms", "count"))
    assert found.rows() == [("ä1", 0.5, 3), ("ß2", -1.25, 4), ("3", None, 5)]


def test_a_dialect_may_be_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a:b\n1.234:1\n")
    dialect = TextDialect(TextForm.asked(None, ":"), decimal_comma=True)
    assert typed(path, ("a", "b"), dialect).rows() == [(1234, 1)]


@pytest.mark.parametrize("text", ["a;b\n1,234;5\n", "a;b\n1.234;5\n", 'a,b\n"1,234",5\n'])
def test_numbers_that_may_be_thousands_or_decimals_are_not_guessed_at(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="may be thousands or decimals, and none that tells which") as error:
        typed(path, ("a", "b"))
    assert "Say --decimal-comma if 1.234,5 is how numbers are written" in str(error.value)


def test_parts_are_whole_chunks_and_all_rows_once_however_much_is_read(tmp_path: Path) -> None:
    table = usual_table(2 * CHUNK + 100)
    csv, parquet = tmp_path / "a.csv", tmp_path / "a.parquet"
    table.write_csv(csv)
    # Groups of rows of a Parquet file do not decide where parts end.
    table.write_parquet(parquet, row_group_size=1000)
    for path, first in ((csv, 2), (parquet, 1)):
        for rows in (None, 1, CHUNK + 1):
            parts = list(open_table(path).parts(rows, FEATURES))
            assert all(part.typed.height % CHUNK == 0 for part in parts[:-1])
            assert [part.first_row for part in parts] == [
                first + sum(before.typed.height for before in parts[:at]) for at in range(len(parts))
            ]
            assert (
                pl.concat(part.typed for part in parts).equals(
                    table.with_columns(pl.col("remark").replace("", None) if path == csv else pl.col("remark")).select(
                        table.columns
                    )
                )
                or path == csv
            )
            values = pl.concat(part.typed for part in parts).select(FEATURES).to_numpy()
            assert np.array_equal(values, table.select(FEATURES).to_numpy())
        assert abs(open_table(path).expected_rows() - table.height) < table.height * 0.1


def test_empty_lines_at_the_end_are_no_rows_and_others_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n,\n3,4\n\n,\n\n")
    assert typed(path, ("a", "b")).rows() == [(1, 2), (None, None), (3, 4)]


def test_a_file_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match=r"There is no file .*a.csv`. Its folder has: b.csv. Name a CSV or Parquet"):
        open_table(tmp_path / "a.csv")
    with pytest.raises(SourceError, match="Its folder has: nothing"):
        open_table(tmp_path / "none" / "a.csv")


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 cut")
    with pytest.raises(
        SourceError, match=r"cannot be read as Parquet: .* Copy or write it again; it may be cut short."
    ):
        open_table(path)


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(SourceError, match=r"has columns of the same name: a. Keep one of each, or rename one."):
        open_table(path)
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    with pytest.raises(SourceError, match=r"has columns of the same name: a."):
        open_table(tmp_path / "a.csv")


def test_a_parquet_column_that_is_no_number_is_told_with_its_first_value(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame(
        {"a": [None, "x"], "b": [None, None], "c": [1, 2]}, schema={"a": pl.String, "b": pl.Date, "c": pl.Int8}
    ).write_parquet(path)
    with pytest.raises(InputError, match=r"`a` is String, row 2 'x', `b` is Date. Write these columns as numbers"):
        typed(path, ("a", "b", "c"))


def test_lines_of_uneven_width_are_told_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + "1,2\n" * 9000 + "1,2,3\n")
    with pytest.raises(SourceError, match="the line of names has 2 and line 9002 has 3"):
        typed(path, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "columns", "row"),
    [
        (",a,b\n0,1,2\n1,3,4\n", ["", "a", "b"], (0, 1, 2)),
        ("a,b,\n1,2,x\n3,4,\n", ["a", "b", ""], (1, 2, "x")),
        ("a,b,\n1,2,\n3,4,\n", ["a", "b"], (1, 2)),
    ],
)
def test_a_column_without_a_name_is_kept_if_it_has_a_value_and_is_no_feature(
    tmp_path: Path, text: str, columns: list[str], row: tuple[object, ...]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    found = typed(path, ("a", "b"))
    assert (found.columns, found.row(0)) == (columns, row)
    pq.write_table(found.to_arrow(), tmp_path / "a.parquet")
    assert typed(tmp_path / "a.parquet", ("a", "b")).equals(found)
    for each in (path, tmp_path / "a.parquet"):
        table = open_table(each)
        assert (list(table.columns), list(table.schema())) == (["a", "b"], ["a", "b"])


@pytest.mark.parametrize("name", ["A.PARQUET", "a.csv", "a"])
def test_parquet_is_known_by_its_first_bytes_and_by_its_ending_in_any_case(tmp_path: Path, name: str) -> None:
    usual_table(5).write_parquet(tmp_path / name)
    assert typed(tmp_path / name, FEATURES).equals(usual_table(5))


def test_as_many_rows_at_a_time_as_can_be_typed_are_all_rows(tmp_path: Path) -> None:
    table = usual_table(30)
    table.write_csv(tmp_path / "a.csv")
    table.write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        (part,) = open_table(tmp_path / name).parts(10**20, FEATURES)
        assert part.typed.height == 30


@pytest.mark.parametrize(
    "values", [pa.array([None], pa.decimal256(60, 2)), pa.array([1], pa.timestamp("us", "Nowhere/Land"))]
)
def test_parquet_types_that_cannot_be_read_are_told(tmp_path: Path, values: pa.Array) -> None:
    pq.write_table(pa.table({"x": values, "a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"has columns of types that cannot be read: x \(.*\). Write them in other"):
        open_table(tmp_path / "a.parquet")


def test_the_first_value_that_is_no_number_is_told_whatever_it_is(tmp_path: Path) -> None:
    table = pa.table(
        {"day": pa.array([4_000_000], pa.date32()), "list": [[1]], "span": pa.array([90], pa.duration("s"))}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError) as error:
        typed(tmp_path / "a.parquet", ("day", "list", "span"))
    for said in ("row 1 '+12921-08-18'", "row 1 '[1]'", "row 1 '0:01:30'"):
        assert said in str(error.value)


def test_pieces_of_any_size_are_put_together_again() -> None:
    frame = pl.DataFrame({"a": range(10)})
    for whole in (frame, frame.to_arrow()):
        parts = [*tables._regrouped(iter([whole[:1], whole[1:3], whole[3:9], whole[9:]]), 4)]
        assert [list(map(int, part["a"].to_numpy())) for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

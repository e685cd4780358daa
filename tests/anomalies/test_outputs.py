"""Scored rows in two formats: all columns, texts as they were, types as they are."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from forecast_assets.anomalies.column_types import ColumnTypes
from forecast_assets.anomalies.outputs import ADDED, ScoreWriter, plain_columns
from forecast_assets.anomalies.scoring import ScoredPart, ScoringCounts
from forecast_assets.anomalies.tables import Part, open_table

AT = "2026-01-02T03:04:05.000006Z"


def write(folder: Path, *scored: ScoredPart) -> tuple[str, pl.DataFrame]:
    csv, parquet = folder / "o.csv", folder / "o.parquet"
    with ScoreWriter(csv, parquet, threshold=1.5, scored_at=AT, model_name="m") as writer:
        for each in scored:
            writer.write(each)
    return csv.read_text(), pl.read_parquet(parquet)


def text_parts(*texts: list[str | None]) -> list[Part]:
    frames = [pl.DataFrame({"a": values}, schema={"a": pl.String}) for values in texts]
    types = ColumnTypes("a.csv")
    for frame in frames:
        types.learn(frame)
    return [Part(2, frame, types.cast(frame, 2)) for frame in frames]


def test_a_row_is_an_anomaly_strictly_above_the_threshold(tmp_path: Path) -> None:
    (part,) = text_parts(["x", "y", "z"])
    text, frame = write(tmp_path, ScoredPart(part, np.array([1.0, 1.5, 1.5000001])))
    assert frame["is_anomaly"].to_list() == [0, 0, 1]
    assert frame["threshold_used"].unique().to_list() == [1.5]
    assert frame["scored_at"].unique().to_list() == [datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)]
    assert text.splitlines()[0] == f"a,{','.join(ADDED)}"
    assert text.splitlines()[3] == f"z,1.5000001,1,1.5,{AT},m"


def test_texts_stay_as_they_are_and_types_are_those_of_all_rows(tmp_path: Path) -> None:
    first, second, third = text_parts(["1", " 2 ", None], ["3.50", '"q", é', ""], ["4", "5", "6"])
    scores = np.array([0.1, 0.2, 1 / 3])
    text, frame = write(tmp_path, *(ScoredPart(each, scores) for each in (first, second, third)))
    assert frame["a"].to_list() == ["1", " 2 ", None, "3.50", '"q", é', "", "4", "5", "6"]
    assert frame["anomaly_score"].to_list() == [0.1, 0.2, 1 / 3] * 3
    assert [line.split(",0.")[0] for line in text.splitlines()[1:]] == [
        "1", " 2 ", "", "3.50", '"""q"", é"', '""', "4", "5", "6",
    ]  # fmt: skip


def test_whole_numbers_become_numbers_when_a_fraction_comes_later(tmp_path: Path) -> None:
    parts = text_parts(["1", "2"], ["3.5", "4"])
    _, frame = write(tmp_path, *(ScoredPart(each, np.zeros(2)) for each in parts))
    assert frame["a"].to_list() == [1.0, 2.0, 3.5, 4.0]


def test_rows_that_are_not_kept_are_in_neither_file(tmp_path: Path) -> None:
    (part,) = text_parts(["x", "y", "z"])
    text, frame = write(tmp_path, ScoredPart(part, np.array([1.0, 2.0, 3.0]), np.array([True, False, True])))
    assert frame["a"].to_list() == ["x", "z"]
    assert text.count("\n") == 3


def test_the_types_of_a_parquet_file_stay_even_those_that_polars_lacks(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.int16()),
            "at": pa.array([0, 1], pa.timestamp("ms", "Europe/Berlin")),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "size": pa.array([1, 2], pa.decimal128(9, 2)),
            "list": pa.array([[1.5], None]),
            "bytes": pa.array([b"x", b"\xff"]),
            "day": pa.array([1, 2], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    (part,) = open_table(tmp_path / "in.parquet").parts(None, ())
    text, _ = write(tmp_path, ScoredPart(part, np.array([1.0, 2.0])))
    schema = pq.read_schema(tmp_path / "o.parquet")
    assert [schema.field(each.name).type for each in table.schema] == [each.type for each in table.schema]
    assert schema.names == [*table.column_names, *ADDED]
    assert text.splitlines()[1].startswith("1,1970-01-01T01:00:00")
    assert ",a,1.00,[1.5]," in text


def test_what_csv_cannot_hold_is_written_as_json() -> None:
    frame = pl.DataFrame({"s": [{"a": 1}, None], "n": [1, 2]})
    assert plain_columns(frame).rows() == [('{"a": 1}', 1), (None, 2)]


def test_spans_of_time_are_written_as_text_in_csv() -> None:
    frame = pl.DataFrame({"run": [timedelta(hours=1, minutes=30), None]})
    assert plain_columns(frame).write_csv() == "run\nPT1H30M\n\n"


def test_the_most_anomalous_rows_are_told_by_their_number() -> None:
    counts = ScoringCounts()
    first, second = text_parts(["x"] * 12, ["y"] * 2)
    counts.add(ScoredPart(first, np.arange(12.0)), 20.0)
    counts.add(ScoredPart(second, np.array([99.0, 5.0]), np.array([True, False])), 20.0)
    assert counts.most_anomalous[:2] == [(2, 99.0), (13, 11.0)]
    assert (len(counts.most_anomalous), counts.scored, counts.anomalies) == (10, 13, 1)


def test_lists_of_one_length_are_written_as_json() -> None:
    frame = pl.DataFrame({"a": [[1, 2], None]}, schema={"a": pl.Array(pl.Int64, 2)})
    assert plain_columns(frame)["a"].to_list() == ["[1, 2]", None]


def test_arrow_is_imported_before_another_thread_writes() -> None:
    # While one thread imports it, Polars in another one takes it for whole.
    code = "import sys; from pathlib import Path; from forecast_assets.anomalies.outputs import ScoreWriter;"
    code += "ScoreWriter(Path('/dev/null'), Path('p'), threshold=1, scored_at='', model_name='');"
    code += "print('pyarrow.parquet' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"

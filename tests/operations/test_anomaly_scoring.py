"""Scoring from files to files: all of three files or none, the same numbers however they are read."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from forecast_assets.anomalies import scoring
from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.anomalies.model_file import AnomalyModel
from forecast_assets.anomalies.outputs import ADDED, ScoreWriter
from forecast_assets.anomalies.tables import CHUNK
from forecast_assets.core.errors import InputError, OutOfMemoryError, SourceError, StorageError
from forecast_assets.operations import anomaly_scoring
from forecast_assets.operations.anomaly_scoring import ScoringOutcome, ScoringRequest, git_commit, score_table
from forecast_assets.presentation.actions import error_text
from tests.support.anomaly_cases import FEATURES, plain_model, usual_table, usual_values

Score = Callable[..., ScoringOutcome]


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Scores a table by a small model; keyword arguments are those of the request."""
    (tmp_path / "m.skops").write_bytes(plain_model().to_bytes(".skops"))

    def run(table: pl.DataFrame | Path, name: str = "out", **asked: Any) -> ScoringOutcome:
        data = table if isinstance(table, Path) else tmp_path / "in.csv"
        if not isinstance(table, Path):
            table.write_csv(data)
        given = {"model": tmp_path / "m.skops", "data": data, "output": tmp_path / name, **asked}
        return score_table(tmp_path / "home/operational.sqlite", ScoringRequest(**given))

    return run


def without_moment(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path).drop("scored_at")


def test_three_files_hold_all_columns_in_their_order_and_the_scores(tmp_path: Path, score: Score) -> None:
    table = usual_table(100)
    outcome = score(table)
    csv, parquet, metadata = outcome.outputs
    assert [path.name for path in outcome.outputs] == ["out.csv", "out.parquet", "out_metadata.json"]
    found = pl.read_parquet(parquet)
    assert found.columns == [*table.columns, *ADDED]
    model = plain_model()
    scores = model.method.scores(model.pipeline, table.select(FEATURES).to_numpy())
    np.testing.assert_allclose(found["anomaly_score"], scores, rtol=1e-12)
    assert found["is_anomaly"].to_list() == [int(each > 0.6) for each in found["anomaly_score"]]
    assert found["machine"].to_list() == table["machine"].to_list()
    assert found.schema["at"] == pl.Datetime("us")
    # Every line begins with the line that was read.
    lines = zip((tmp_path / "in.csv").read_text().splitlines(), csv.read_text().splitlines(), strict=True)
    assert all(after.startswith(before + ",") for before, after in lines)
    assert json.loads(metadata.read_text()) == outcome.metadata


def test_the_metadata_says_run_model_input_and_results(score: Score, tmp_path: Path) -> None:
    found = score(usual_table(100)).metadata
    assert {name: list(part) for name, part in found.items()} == {
        "run_info": ["timestamp", "script_version", "git_commit"],
        "model_info": ["model_path", "model_type", "model_name", "model_sha256", "trained_on", "features_used"],
        "input_info": ["input_path", "total_samples", "date_range"],
        "scoring_results": [
            "threshold_used", "anomalies_detected", "anomaly_rate", "processing_time_seconds", "rows_imputed",
            "rows_skipped",
        ],
    }  # fmt: skip
    assert found["input_info"] == {
        "input_path": str(tmp_path / "in.csv"),
        "total_samples": 100,
        "date_range": {"column": "at", "start": "2025-06-30T00:00:00", "end": "2025-06-30T01:39:00"},
    }
    assert found["model_info"]["features_used"] == list(FEATURES)
    results, written = found["scoring_results"], pl.read_parquet(tmp_path / "out.parquet")
    assert results["anomalies_detected"] == written["is_anomaly"].sum() > 0
    assert results["anomaly_rate"] == written["is_anomaly"].mean()
    assert (datetime.now(UTC) - datetime.fromisoformat(found["run_info"]["timestamp"])).total_seconds() < 300


@pytest.mark.parametrize("detector", DETECTORS)
def test_scores_depend_neither_on_batches_nor_threads_nor_format_nor_the_run(
    detector: str, tmp_path: Path, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.skops").write_bytes(plain_model(detector).to_bytes(".skops"))
    table = usual_table(2 * CHUNK + 300)
    table.write_parquet(tmp_path / "in.parquet", row_group_size=777)
    whole = score(table).outputs
    outcomes = [score(table, "b", batch_size=1), score(table, "c", batch_size=CHUNK + 1)]
    outcomes.append(score(tmp_path / "in.parquet", "d", batch_size=5000))
    original = scoring.in_threads
    monkeypatch.setattr(scoring, "in_threads", lambda function, parts, _: original(function, parts, 1))
    outcomes.append(score(table, "e"))
    scores = without_moment(whole[1])["anomaly_score"].to_numpy()
    for outcome in outcomes:
        assert np.array_equal(without_moment(outcome.outputs[1])["anomaly_score"].to_numpy(), scores)
        told = pl.read_csv(outcome.outputs[0], infer_schema_length=None)["anomaly_score"]
        assert np.array_equal(told.to_numpy(), scores)
    assert without_moment(whole[1]).equals(without_moment(outcomes[1].outputs[1]))


def spoilt() -> pl.DataFrame:
    rms = [float("nan"), None, float("inf"), -1e31, *range(16)]
    return usual_table(20).with_columns(rms=pl.Series(rms, dtype=pl.Float64))


def test_missing_and_infinite_values_are_imputed_and_counted(score: Score) -> None:
    outcome = score(spoilt())
    assert (outcome.counts.rows_imputed, outcome.counts.rows_skipped, outcome.counts.scored) == (4, 0, 20)
    assert outcome.counts.invalid_values == {"rms": 4}
    assert (
        "4 rows with missing or infinite values were scored with the mean of training there: rms 4." in outcome.warnings
    )


def test_or_their_rows_are_left_out_and_the_others_score_the_same(score: Score) -> None:
    imputed, skipped = score(spoilt()), score(spoilt(), "skipped", on_invalid="skip")
    assert (skipped.counts.rows_imputed, skipped.counts.rows_skipped, skipped.counts.scored) == (0, 4, 16)
    assert skipped.metadata["input_info"]["total_samples"] == 20
    assert "4 rows with missing or infinite values were left out: rms 4." in skipped.warnings
    rows = [pl.read_parquet(each.outputs[1]).drop("scored_at") for each in (imputed, skipped)]
    assert rows[0].slice(4).equals(rows[1])


def test_or_stop(score: Score, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 2 of `rms`, row 3 of `rms`, row 4 of `rms`, row 5 of `rms`"):
        score(spoilt(), on_invalid="error")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "m.skops"]


def test_a_file_without_a_usable_row_is_refused(score: Score) -> None:
    with pytest.raises(InputError, match=r"in.csv has no rows. Give a file with rows below its column names."):
        score(usual_table(3).clear())
    table = usual_table(3).with_columns(crest=pl.lit(None, pl.Float64))
    with pytest.raises(
        InputError, match=r"All 3 rows of .* lack a number somewhere, so that skipping leaves none. Correct"
    ):
        score(table, on_invalid="skip")


def test_an_empty_file_is_refused(score: Score, tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be read as CSV"):
        score(tmp_path / "none.csv")


def test_a_model_without_a_threshold_takes_a_tenth_and_warns(score: Score, tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(plain_model(threshold=None).to_bytes(".skops"))
    outcome = score(usual_table(200))
    assert outcome.counts.anomalies == 20
    assert outcome.warnings[0].startswith("The model has no threshold: ")
    assert outcome.warnings[0].endswith("is what 10% of these rows exceed. Give one with --threshold.")
    assert score(usual_table(200), "b", threshold=0.5).warnings == ()
    with pytest.raises(InputError, match="has no rows"):
        score(usual_table(200).clear(), "c")


def test_no_row_is_scored_twice_for_want_of_a_threshold(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.skops").write_bytes(plain_model(threshold=None).to_bytes(".skops"))
    scored, original = [], scoring.chunked_scores
    monkeypatch.setattr(scoring, "chunked_scores", lambda *given: scored.append(len(given[1])) or original(*given))
    table = usual_table(CHUNK + 100).with_columns(rms=pl.when(pl.int_range(CHUNK + 100) > 7).then("rms"))
    found = score(table, batch_size=1, on_invalid="skip")
    assert scored == [CHUNK, 100]
    assert found.counts.scored == CHUNK + 92
    threshold = found.metadata["scoring_results"]["threshold_used"]
    again = score(table, "b", batch_size=1, on_invalid="skip", threshold=threshold)
    assert without_moment(again.outputs[1]).equals(without_moment(found.outputs[1]))


def test_a_threshold_that_is_given_counts_strictly(score: Score) -> None:
    highest = max(pl.read_parquet(score(usual_table(50)).outputs[1])["anomaly_score"])
    assert score(usual_table(50), "b", threshold=highest).counts.anomalies == 0
    assert score(usual_table(50), "c", threshold=np.nextafter(highest, 0)).counts.anomalies == 1
    with pytest.raises(InputError, match=r"A threshold of nan tells nothing apart. Give a finite number."):
        score(usual_table(50), "d", threshold=float("nan"))


def test_columns_that_the_model_does_not_read_are_kept_and_told(score: Score, tmp_path: Path) -> None:
    outcome = score(usual_table(50).with_columns(peak=1.5, run=7))
    assert outcome.warnings == ("Not among the model's features, so that no score depends on them: peak, run.",)
    assert {"peak", "run"} <= set(pl.read_parquet(outcome.outputs[1]).columns)
    model = replace(plain_model(), other_columns=("peak", "run"))
    (tmp_path / "m.skops").write_bytes(model.to_bytes(".skops"))
    assert score(usual_table(50).with_columns(peak=1.5, run=7), "b").warnings == ()


def test_libraries_that_changed_are_warned_of(score: Score, tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(replace(plain_model(), libraries={"numpy": "1.0"}).to_bytes(".skops"))
    (warning,) = score(usual_table(50)).warnings
    assert warning.startswith("The model was trained with other libraries, so that scores may differ: numpy 1.0, now ")


def test_missing_features_stop_before_anything_is_written(score: Score, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"lacks rms, crest. Expected: rms, kurtosis, crest. Found: machine, at, kurtosis"
    ):
        score(usual_table(5).drop("rms", "crest"))
    assert not list(tmp_path.glob("*out*"))


def test_scores_are_not_scored_again(score: Score, tmp_path: Path) -> None:
    score(usual_table(50))
    with pytest.raises(InputError, match="has columns that scoring adds: anomaly_score, is_anomaly") as error:
        score(tmp_path / "out.csv", "b")
    assert "Score the file that it was made from, or rename these columns." in str(error.value)


def test_files_that_exist_are_not_replaced_unasked(score: Score, tmp_path: Path) -> None:
    score(usual_table(50))
    before = (tmp_path / "out.csv").read_text()
    (tmp_path / "out.parquet").unlink()
    with pytest.raises(
        InputError, match=r"out.csv, .*out_metadata.json exist. Choose another name, or give --overwrite"
    ):
        score(usual_table(60))
    assert (tmp_path / "out.csv").read_text() == before
    assert score(usual_table(60), overwrite=True).counts.rows == 60
    assert pl.read_parquet(tmp_path / "out.parquet").height == 60


def test_a_file_is_never_replaced_by_its_own_scores(score: Score, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"would be replaced by its own scores. Choose another --output."):
        score(usual_table(50), "in", overwrite=True)
    assert pl.read_csv(tmp_path / "in.csv").height == 50


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_by_where_it_is_is_no_base_of_names(score: Score, name: str) -> None:
    with pytest.raises(InputError, match="is no name of a file"):
        score(usual_table(30), output=Path(name))


def test_spans_of_time_of_a_parquet_file_are_in_both_files(score: Score, tmp_path: Path) -> None:
    usual_table(30).with_columns(run=pl.duration(minutes=90)).write_parquet(tmp_path / "in.parquet")
    csv, parquet, _ = score(tmp_path / "in.parquet").outputs
    assert pl.read_parquet(parquet).schema["run"] == pl.Duration("us")
    assert set(pl.read_csv(csv)["run"]) == {"PT1H30M"}


def test_a_base_may_be_given_with_an_ending(score: Score) -> None:
    assert [path.name for path in score(usual_table(50), "a.csv").outputs] == ["a.csv", "a.parquet", "a_metadata.json"]
    assert score(usual_table(50), "b.v1").outputs[0].name == "b.v1.csv"


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"The folder .*none` does not exist. Create it first."):
        score(usual_table(5), "none/out")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match=r"Not permitted to write into .* Make it writable for this user, or choose"):
        score(usual_table(5))


def test_a_disk_that_is_full_leaves_nothing(score: Score, tmp_path: Path) -> None:
    table = usual_table(3 * CHUNK)
    table.write_csv(tmp_path / "large.csv")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="Free some disk space and run the same command again"):
            score(tmp_path / "large.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.csv", "m.skops"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_what_is_interrupted_leaves_nothing_and_what_was_there_stays(
    error: BaseException, score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in score(usual_table(50)).outputs}

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ScoreWriter, "write", fail)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        score(usual_table(50), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*out*")} == before
    assert not list(tmp_path.glob(".*"))


def test_a_process_that_is_killed_leaves_no_file_under_a_final_name(score: Score, tmp_path: Path) -> None:
    usual_table(40 * CHUNK).write_parquet(tmp_path / "large.parquet")
    call = "from pathlib import Path; from forecast_assets.operations.anomaly_scoring import *;"
    call += (
        "score_table(Path('home'), ScoringRequest(Path('m.skops'), Path('large.parquet'), Path('out'), batch_size=1))"
    )
    process = subprocess.Popen([sys.executable, "-c", call], cwd=tmp_path)
    while not (scratches := list(tmp_path.glob(".out.parquet*"))) or not scratches[0].stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("out*"))
    # What it left is in nobody's way.
    assert score(tmp_path / "large.parquet").counts.rows == 40 * CHUNK


def test_too_little_memory_is_told_with_fewer_rows_at_a_time(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(anomaly_scoring, "scored_parts", fail)
    with pytest.raises(OutOfMemoryError) as error:
        score(usual_table(5), batch_size=100_000)
    said = error_text(error.value)
    assert "in.csv with 6 columns does not fit into memory, 102,400 rows at a time. Nothing was written." in said
    assert f"--output {tmp_path / 'out'} --batch-size 25600" in said


def test_rows_that_do_not_fit_are_refused_before_the_system_ends_the_process(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = usual_table(3 * CHUNK)
    monkeypatch.setattr(anomaly_scoring, "free_memory", lambda: 2 * CHUNK * 6 * 64)
    with pytest.raises(OutOfMemoryError, match="does not fit into memory, 12,288 rows at a time"):
        score(table, batch_size=3 * CHUNK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "m.skops"]
    # A file with fewer rows is read whole.
    assert score(usual_table(CHUNK), batch_size=10**9).counts.rows == CHUNK
    assert score(table, "b", batch_size=CHUNK).counts.rows == 3 * CHUNK


def test_progress_counts_all_rows(tmp_path: Path, score: Score) -> None:
    score(usual_table(5))
    told: list[tuple[str, int, int]] = []
    usual_table(2 * CHUNK).write_csv(tmp_path / "in.csv")
    request = ScoringRequest(tmp_path / "m.skops", tmp_path / "in.csv", tmp_path / "b", batch_size=CHUNK)
    score_table(tmp_path / "home", request, progress=lambda *step: told.append(step))
    assert [done for _, done, _ in told] == [CHUNK, 2 * CHUNK, 2 * CHUNK]
    assert all(total >= done for _, done, total in told)


def test_the_commit_is_that_of_the_working_copy_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = Path(anomaly_scoring.forecast_assets.__file__).parent.parent
    expected = None
    if (repository / ".git").exists():
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True)
        expected = done.stdout.strip()
    assert git_commit() == expected
    monkeypatch.setattr(anomaly_scoring.forecast_assets, "__file__", str(tmp_path / "forecast_assets/__init__.py"))
    assert git_commit() is None
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None


def test_days_may_be_missing_and_a_column_without_moments_says_nothing(score: Score) -> None:
    table = usual_table(5).with_columns(at=pl.Series(["", "2025-06-30", "", "2025-07-01", ""]))
    assert score(table).metadata["input_info"]["date_range"] == {
        "column": "at", "start": "2025-06-30", "end": "2025-07-01",
    }  # fmt: skip
    assert score(table.drop("at"), "b").metadata["input_info"]["date_range"] is None


@pytest.mark.parametrize(
    ("early", "late", "dtype", "days"),
    [
        ("2025-06-30", "2025-07-01 06:00:00", pl.String, None),
        ("2025-07-01 06:00:00", "2025-06-30", pl.String, None),
        ("2025-06-30", "unknown", pl.String, None),
        ("", "2025-06-30", pl.Date, {"column": "day", "start": "2025-06-30", "end": "2025-06-30"}),
        ("7", "007", pl.String, None),
        ("7", "7.5", pl.Float64, None),
    ],
)
def test_types_and_days_are_those_of_the_whole_file_however_much_is_read_at_a_time(
    early: str, late: str, dtype: Any, days: Any, score: Score
) -> None:
    values = [early] * CHUNK + [late]
    table = usual_table(len(values)).drop("at").with_columns(day=pl.Series(values))
    for asked in ({}, {"batch_size": 1}):
        outcome = score(table, overwrite=True, **asked)
        found = pl.read_parquet(outcome.outputs[1])["day"]
        assert found.dtype == dtype
        if dtype == pl.String:
            assert found.to_list() == values
        assert outcome.metadata["input_info"]["date_range"] == days


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (pl.Series([-719_528, 4_000_000], dtype=pl.Int32).cast(pl.Date), ("0000-01-01", "+12921-08-18")),
        (
            pl.Series([-(10**17), 0], dtype=pl.Int64).cast(pl.Datetime("us")),
            ("-1199-02-15T14:13:20.000000", "1970-01-01T00:00:00"),
        ),
    ],
)
def test_days_may_be_of_years_that_python_does_not_know(
    values: pl.Series, days: tuple[str, str], score: Score, tmp_path: Path
) -> None:
    usual_table(2).with_columns(at=values).write_parquet(tmp_path / "in.parquet")
    outcome = score(tmp_path / "in.parquet")
    assert outcome.metadata["input_info"]["date_range"] == {"column": "at", "start": days[0], "end": days[1]}
    assert pl.read_parquet(outcome.outputs[1])["at"].equals(values)


def test_an_index_without_a_name_is_kept_and_not_warned_of(score: Score, tmp_path: Path) -> None:
    table = usual_table(30).with_row_index("")
    table.write_csv(tmp_path / "index.csv")
    outcome = score(tmp_path / "index.csv")
    assert outcome.warnings == ()
    assert pl.read_csv(outcome.outputs[0]).columns == pl.read_parquet(outcome.outputs[1]).columns
    assert pl.read_parquet(outcome.outputs[1]).columns == [*table.columns, *ADDED]


@pytest.mark.parametrize("steps", [[], [("scaler", StandardScaler())]])
def test_a_model_without_an_imputer_does_not_score_what_is_missing(steps: Any, score: Score, tmp_path: Path) -> None:
    pipeline = Pipeline([*steps, ("svm", OneClassSVM())]).fit(usual_values(100))
    model = AnomalyModel("theirs", "one-class-svm", FEATURES, pipeline, threshold=0.0)
    (tmp_path / "m.skops").write_bytes(model.to_bytes(".skops"))
    with pytest.raises(InputError, match=r"and the model `theirs` has nothing to put there. Leave their rows out"):
        score(spoilt())
    assert score(spoilt(), on_invalid="skip").counts.scored == 16


def test_who_ends_second_is_refused_and_leaves_what_the_first_wrote(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ScoreWriter.write

    def write(self: ScoreWriter, scored: Any) -> None:
        original(self, scored)
        (tmp_path / "out.csv").write_text("of the first")

    monkeypatch.setattr(ScoreWriter, "write", write)
    with pytest.raises(InputError, match=r"out.csv exists. Choose another name, or give --overwrite"):
        score(usual_table(30))
    assert (tmp_path / "out.csv").read_text() == "of the first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "m.skops", "out.csv"]


def test_links_and_folders_are_no_free_names(score: Score, tmp_path: Path) -> None:
    (tmp_path / "out.csv").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"out.csv exists. Choose another name, or give --overwrite"):
        score(usual_table(30))
    assert score(usual_table(30), overwrite=True).outputs[0].is_file()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder.csv exists and is no file. Choose another name.$"):
        score(usual_table(30), "folder", overwrite=True)


def test_names_that_no_disk_or_library_takes_are_refused_before_the_work(score: Score, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is too long for this disk. Choose a shorter one."):
        score(usual_table(30), "n" * 245)
    for given in (
        {"output": tmp_path / "\udcff"},
        {"data": tmp_path / "\udcff.csv"},
        {"model": tmp_path / "\udcff.skops"},
    ):
        with pytest.raises(InputError, match=r"The name '.*udcff.*' is not UTF-8. Rename it."):
            score(usual_table(30), **given)

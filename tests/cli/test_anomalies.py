"""`anomalies` and `score` as an operator types them."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.support.anomaly_cases import usual_table, with_faults
from tests.support.command import Call, caller


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path / "home"))
    with_faults(usual_table(800)).write_csv("a.csv")
    return caller(monkeypatch, capsys)


TRAIN = ("anomalies", "train", "--detector", "isolation-forest", "--input", "a.csv")


def test_from_training_to_scores(call: Call) -> None:
    code, said = call(
        *TRAIN, "--all-numeric", "--label", "fault", "--unit", "machine", "--time", "at", "--output", "m.joblib"
    )
    assert code == 0, said
    assert "Trained `m`, isolation forest, on 608 rows of 800: 3 features (rms, kurtosis, crest)." in said
    assert "at most 1.000% of rows like the 152 held back exceed it." in said
    assert "On 152 usual rows and 40 with a fault, none of which it learned from: AUC 0.9" in said
    assert "lead time (hours)" in said
    code, said = call("anomalies", "list")
    assert (code, "isolation" in said, "there" in said) == (0, True, True), said
    code, said = call("score", "--model", "m.joblib", "--input", "a.csv", "--output", "out", "--verbose")
    assert code == 0, said
    assert "800 rows scored by `m` (isolation forest)" in said
    assert "From 2025-06-30T00:00:00 to 2025-06-30T13:19:00 (`at`)." in said
    assert "Most anomalous rows" in said
    assert "Written to out.csv, out.parquet, out_metadata.json." in said
    written = pl.read_parquet("out.parquet")
    assert f"{written['is_anomaly'].sum()} anomalies" in said


def test_warnings_come_before_the_summary(call: Call) -> None:
    assert call(*TRAIN, "--features", "rms, crest", "--output", "m")[0] == 0
    usual_table(30).with_columns(peak=1.0).write_csv("b.csv")
    code, said = call("score", "--model", "m.skops", "--input", "b.csv", "--output", "out", "--threshold", "0.7")
    assert code == 0
    assert "warning: Not among the model's features, so that no score depends on them: peak." in said


def test_an_empty_list_says_so(call: Call) -> None:
    assert call("anomalies", "list") == (0, "No anomaly model has been trained on this home.\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--output", "m"), "Give either --features or --all-numeric."),
        (("--output", "m", "--features", "rms", "--all-numeric"), "Give either --features or --all-numeric."),
        (("--output", "m", "--features", "rms", "--exclude", "crest"), "--exclude is of use with --all-numeric only."),
        (("--output", "m.pkl", "--all-numeric"), "error: `m.pkl` has no ending of a model."),
        (("--output", "m", "--all-numeric", "--encoding", "none"), "error: `none` is no encoding of texts."),
        (("--output", "m", "--all-numeric", "--false-alarm-rate", "1"), "1.0 is not in the range 0<x<1."),
        (("--output", "m", "--all-numeric", "--false-alarm-rate", "nan"), "A false alarm rate of nan cannot be kept."),
        (("--output", "m", "--all-numeric", "--seed", str(2**32)), "is not in the range 0<=x<=4294967295."),
    ],
)
def test_what_cannot_be_meant_is_refused(call: Call, options: tuple[str, ...], said: str) -> None:
    code, told = call(*TRAIN, *options)
    assert (code, said in told) == (2, True), told


def test_each_refusal_ends_in_its_code(call: Call) -> None:
    assert call("score", "--model", "m.skops", "--input", "a.csv", "--output", "o")[0] == 2
    assert call(*TRAIN, "--all-numeric", "--output", "m.joblib")[0] == 0
    Path("m.joblib").write_bytes(Path("m.joblib").read_bytes() + b"\0")
    code, said = call("score", "--model", "m.joblib", "--input", "a.csv", "--output", "o")
    assert (code, "was changed since it was trained here" in said) == (4, True)
    assert call("score", "--model", "m.joblib", "--input", "a.csv", "--output", "o", "--trust")[0] == 0


def test_a_name_with_a_comma_stands_between_quotes_and_counts_once(call: Call) -> None:
    usual_table(30).rename({"rms": "rms, g"}).write_csv("a.csv")
    code, said = call(*TRAIN, "--features", '"rms, g", crest', "--output", "m")
    assert (code, "2 features (rms, g, crest)" in said) == (0, True), said
    assert "  isolation-forest         2  " in call("anomalies", "list")[1]


def test_help_loads_no_heavy_library() -> None:
    code = "import sys; from forecast_assets.cli import cli; cli(['score', '--help'], standalone_mode=False); "
    code += "print({'sklearn', 'polars', 'numpy', 'skops', 'dagster'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")

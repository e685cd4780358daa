"""Training: which rows are learned from, which are held back, and what people are told."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from forecast_assets.anomalies import training
from forecast_assets.anomalies.detectors import DETECTORS, Detector
from forecast_assets.anomalies.features import feature_matrix
from forecast_assets.anomalies.tables import open_table
from forecast_assets.anomalies.training import DetectorRequest, TrainedDetector, train_detector
from forecast_assets.core.errors import InputError
from tests.support.anomaly_cases import FEATURES, usual_table, usual_values, with_faults

REQUEST = DetectorRequest("isolation-forest", "m", FEATURES)


def train(path: Path, table: pl.DataFrame, request: DetectorRequest = REQUEST) -> TrainedDetector:
    table.write_parquet(path / "a.parquet")
    return train_detector(
        open_table(path / "a.parquet"), request, data_sha256="0" * 64, trained_at="2026-01-01T00:00:00+00:00"
    )


def test_a_fifth_is_held_back_and_gives_the_threshold(tmp_path: Path) -> None:
    trained = train(tmp_path, usual_table(1000))
    model = trained.model
    assert (model.training_rows, model.held_back_rows, trained.rows, trained.notes) == (800, 200, 1000, ())
    assert model.other_columns == ("machine", "at", "remark")
    fresh = model.method.scores(model.pipeline, usual_values(20_000, seed=99))
    assert 0.001 < (fresh > model.threshold).mean() < 0.03


def test_the_same_file_and_seed_give_the_same_model_and_another_seed_another(tmp_path: Path) -> None:
    table = usual_table(400)
    one, same, other = (train(tmp_path, table, replace(REQUEST, seed=seed)) for seed in (1, 1, 2))
    assert one.model.threshold == same.model.threshold != other.model.threshold
    assert np.array_equal(one.learned, same.learned)
    assert not np.array_equal(one.learned, other.learned)


def test_the_sample_does_not_depend_on_how_rows_are_read() -> None:
    matrix = feature_matrix(usual_table(500), FEATURES)
    is_usual = np.arange(500) % 3 > 0
    drawn = []
    for cuts in ([500], [100, 400], [1, 2, 497]):
        rows = training._DrawnRows(50, seed=4)
        for start, stop in zip(np.cumsum([0, *cuts[:-1]]), np.cumsum(cuts), strict=True):
            part = training.FeatureMatrix(matrix.values[start:stop], matrix.is_invalid[start:stop])
            rows.add(part, is_usual[start:stop])
        drawn.append(rows)
    for rows in drawn:
        assert np.array_equal(rows.numbers, drawn[0].numbers)
        assert np.array_equal(rows.values, matrix.values[rows.numbers])
        assert is_usual[rows.numbers].all()
        assert (len(rows.numbers), rows.rows, rows.usual) == (50, 500, int(is_usual.sum()))


def test_a_method_that_does_not_scale_learns_from_a_sample_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small: Detector = replace(DETECTORS["lof"], most_rows=100)
    monkeypatch.setitem(DETECTORS, "lof", small)
    trained = train(tmp_path, usual_table(500), replace(REQUEST, detector="lof"))
    assert trained.model.training_rows == 100
    assert trained.notes == (
        "The local outlier factor is fitted on a sample of 100 of 500 rows, which is as many as it takes here.",
    )


def test_labelled_anomalies_are_never_learned_from(tmp_path: Path) -> None:
    table = with_faults(usual_table(500))
    trained = train(tmp_path, table, replace(REQUEST, label="fault"))
    assert trained.usual_rows == 460
    assert not table["fault"].to_numpy()[trained.learned].any()


def test_all_numeric_columns_are_features_but_those_with_another_part(tmp_path: Path) -> None:
    table = with_faults(usual_table(100)).with_columns(run=1, hour=pl.lit(2.0))
    request = DetectorRequest("isolation-forest", "m", excluded=("run",), label="fault", unit="machine", time="hour")
    assert train(tmp_path, table, request).model.features == FEATURES


def test_what_people_should_know_of_the_rows_is_told(tmp_path: Path) -> None:
    table = usual_table(60).with_columns(crest=1.5, kurtosis=pl.when(pl.int_range(60) > 5).then("kurtosis"))
    notes = train(tmp_path, table, REQUEST).notes
    assert notes[0] == "6 rows of the sample lack a number somewhere; the mean of the others stands there."
    assert notes[1] == "Features with one value only: crest."
    assert notes[2].startswith(
        "No threshold could be calibrated: 12 rows were held back, and a false alarm rate of 0.01 needs 99."
    )


@pytest.mark.parametrize(
    ("table", "request_", "said"),
    [
        (usual_table(19), REQUEST, "has 19 rows to learn from, of 19 in all; a detector needs 20. Give"),
        (usual_table(50).clear(), REQUEST, "has 0 rows to learn from"),
        (
            usual_table(50).with_columns(crest=pl.lit(None, pl.Float64)), REQUEST,
            "has features without a single number: crest. Leave them out of the features.",
        ),
        (
            usual_table(50), replace(REQUEST, features=("rms",), detector="autoencoder"),
            "gives the autoencoder 1 of the 2 features that it needs: rms. Name more features, or choose another",
        ),
        (usual_table(50), replace(REQUEST, features=("rms", "rms")), "rms cannot be a feature here: it is named twice"),
        (usual_table(50), replace(REQUEST, label="rms"), "rms cannot be a feature here"),
        (usual_table(50), replace(REQUEST, label="none"), "lacks none. Expected: none."),
        (usual_table(50), replace(REQUEST, features=("peak",)), "lacks peak. Expected: peak."),
        (
            usual_table(50).with_columns(anomaly_score=0.5, is_anomaly=0), replace(REQUEST, features=None),
            "has features that scoring adds: anomaly_score, is_anomaly. Train on the file that was scored",
        ),
        (usual_table(50), replace(REQUEST, features=None, excluded=("x",)), "lacks x."),
        (
            usual_table(50).select("machine"), replace(REQUEST, features=None),
            "has no numeric columns to learn from. Found: machine (String). Give a file with rows and numeric columns.",
        ),
        (usual_table(50).clear(), replace(REQUEST, features=None), "has 0 rows to learn from, of 0 in all"),
        (usual_table(50).select(), replace(REQUEST, features=None), "to learn from. Found: nothing."),
        (
            usual_table(50), replace(REQUEST, time="machine"),
            "a.parquet is String, and no time. Name a column of days, moments such as 2025-06-30 06:00:00, or numbers.",
        ),
        (
            usual_table(50), replace(REQUEST, false_alarm_rate=float("nan")),
            "A false alarm rate of nan cannot be kept. Give one from 1e-09 to below 1.",
        ),
        (usual_table(50), replace(REQUEST, false_alarm_rate=1e-320), "cannot be kept"),
        (
            usual_table(50).with_columns(fault=pl.lit("maybe")), replace(REQUEST, label="fault"),
            "The label `fault` says 'maybe'. Write 1, true or yes where a row is an anomaly",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path, table: pl.DataFrame, request_: DetectorRequest, said: str
) -> None:
    with pytest.raises(InputError) as error:
        train(tmp_path, table, request_)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, None],
        [True, False, None],
        ["Yes", "no ", ""],
        [1.0, 0.0, None],
        [1.0, 0.0, float("nan")],
        [Decimal("1.00"), Decimal("0.00"), None],
    ],
)
def test_a_label_may_be_written_in_any_usual_way(values: list[object]) -> None:
    assert list(training.labelled_rows(pl.DataFrame({"a": values}), "a")) == [True, False, None]
    assert training.usual_rows(pl.DataFrame({"a": values}), "a").tolist() == [False, True, False]

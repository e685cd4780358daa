"""A model's file: both formats hold all of it, and what is none is refused with what is wrong."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from forecast_assets.anomalies.detectors import DETECTORS
from forecast_assets.anomalies.model_file import (
    FORMATS,
    AnomalyModel,
    _canonical,
    changed_libraries,
    library_versions,
    loaded_model,
    model_ending,
)
from forecast_assets.core.errors import InputError
from tests.support.anomaly_cases import plain_model, usual_values


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_model_is_the_same_after_it_was_written_and_read(detector: str, ending: str) -> None:
    model = replace(plain_model(detector), libraries=library_versions(), other_columns=("machine",), seed=3)
    again = loaded_model(Path(f"a{ending}"), model.to_bytes(ending))
    assert replace(again, pipeline=None) == replace(model, pipeline=None)
    values = usual_values(50, seed=8)
    assert np.array_equal(model.method.scores(again.pipeline, values), model.method.scores(model.pipeline, values))


def test_a_model_of_somebody_else_needs_a_detector_features_and_a_pipeline() -> None:
    theirs = {"detector": "lof", "features": ["rms", "kurtosis", "crest"], "pipeline": plain_model("lof").pipeline}
    found = loaded_model(Path("theirs.skops"), skops.io.dumps(theirs))
    assert (found.name, found.threshold, found.libraries) == ("theirs", None, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"detector": "lof"}, "it has to hold a dictionary with detector, features, pipeline"),
        (["lof"], "it has to hold a dictionary"),
        (
            {"detector": "magic", "features": [], "pipeline": None},
            "there is no detector `magic`, only isolation-forest",
        ),
        ({"detector": "lof", "features": ["a"], "pipeline": None}, "reads None columns, and it names 1 features"),
    ],
)
@pytest.mark.parametrize("ending", FORMATS)
def test_what_lacks_something_is_refused_with_what_it_lacks(content: object, said: str, ending: str) -> None:
    buffer = io.BytesIO()
    joblib.dump(content, buffer)
    data = buffer.getvalue() if ending == ".joblib" else skops.io.dumps(content)
    with pytest.raises(InputError, match="is no model that can be used") as error:
        loaded_model(Path(f"a{ending}"), data)
    assert said in str(error.value)
    assert "Copy it again, or train it anew." in str(error.value)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("data", [b"", b"nothing", b"PK\x03\x04 cut", b"\x80\x04\x95"])
def test_bytes_that_are_no_model_are_refused(data: bytes, ending: str) -> None:
    with pytest.raises(InputError, match="is no model that can be used"):
        loaded_model(Path(f"a{ending}"), data)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_model_that_is_cut_short_is_refused(ending: str) -> None:
    data = plain_model().to_bytes(ending)
    with pytest.raises(InputError, match="is no model that can be used"):
        loaded_model(Path(f"a{ending}"), data[: len(data) // 2])


def test_types_that_no_detector_is_made_of_are_named_and_not_made() -> None:
    content = {"detector": "lof", "features": ["a"], "pipeline": Path("/etc")}
    with pytest.raises(InputError, match=r"holds types that no detector is made of: .*Path") as error:
        loaded_model(Path("a.skops"), skops.io.dumps(content))
    assert "Nothing of it was loaded." in str(error.value)


def test_a_name_without_an_ending_of_a_model_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"`a.pkl` has no ending of a model. A model's file ends in .skops or .joblib."
    ):
        model_ending(Path("a.pkl"))


def test_libraries_that_changed_are_told() -> None:
    model = replace(plain_model(), libraries={**library_versions(), "numpy": "1.0", "torch": "9"})
    assert changed_libraries(model) == [f"numpy 1.0, now {np.__version__}"]
    assert changed_libraries(plain_model()) == []


def test_a_pipeline_of_other_estimators_can_be_kept_if_it_scores() -> None:
    # skops makes all plain classes of scikit-learn; a detector's name says how its estimator is asked.
    pipeline = make_pipeline(RobustScaler(), LinearRegression()).fit([[1.0], [2.0]], [1.0, 2.0])
    model = AnomalyModel("a", "autoencoder", ("a",), pipeline)
    assert loaded_model(Path("a.skops"), model.to_bytes(".skops")).pipeline.n_features_in_ == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"threshold": float("nan")}, "its threshold nan tells nothing apart"),
        ({"threshold": "high"}, "could not convert string to float"),
        ({"features": "abc"}, "`features` has to be a list"),
        ({"pipeline": LinearRegression().fit([[1.0, 2.0, 3.0]], [1.0])}, "`pipeline` a Pipeline of scikit-learn"),
        ({"detector": ["lof"]}, "there is no detector"),
        ({"features": ["rms", "rms", "crest"]}, "it names a feature twice"),
        (
            {"detector": "isolation-forest"},
            "the last step of its pipeline is no isolation forest that can judge other rows",
        ),
        ({"libraries": 7}, "not iterable"),
    ],
)
def test_what_could_not_score_is_refused_before_any_row_is_read(changed: dict[str, object], said: str) -> None:
    content = {**vars(plain_model("one-class-svm")), **changed}
    buffer = io.BytesIO()
    joblib.dump(content, buffer)
    with pytest.raises(InputError, match="no model that can be used") as error:
        loaded_model(Path("a.joblib"), buffer.getvalue())
    assert said in str(error.value)


def test_a_file_of_which_something_would_be_lost_is_not_written() -> None:
    content = io.BytesIO(skops.io.dumps({"values": np.arange(3)}))
    assert _canonical(content.getvalue())
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("weights.bin", b"1")
    with pytest.raises(ValueError, match=r"names no array of weights\.bin"):
        _canonical(content.getvalue())

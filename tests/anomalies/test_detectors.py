"""The four detectors: one convention, repeatable, and equal however rows are cut."""

import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler
from sklearn.svm import OneClassSVM

from forecast_assets.anomalies.detectors import DETECTORS, fills_gaps
from forecast_assets.anomalies.features import ON_INVALID
from forecast_assets.anomalies.scoring import chunked_scores
from forecast_assets.anomalies.tables import CHUNK
from forecast_assets.cli.anomalies import _DETECTORS, _ON_INVALID
from tests.support.anomaly_cases import plain_model, usual_values


def test_the_command_offers_what_there_is() -> None:
    assert tuple(DETECTORS) == _DETECTORS
    assert ON_INVALID == _ON_INVALID


@pytest.mark.parametrize("name", DETECTORS)
def test_higher_is_more_anomalous(name: str) -> None:
    method = DETECTORS[name]
    pipeline = method.fit(usual_values(500), seed=0)
    usual = method.scores(pipeline, usual_values(200, seed=1))
    odd = method.scores(pipeline, usual_values(200, seed=2) + np.array([6.0, -6.0, 6.0]))
    assert np.median(odd) > np.quantile(usual, 0.99)


def test_scores_are_the_librarys_own_but_for_their_sign() -> None:
    values = usual_values(300)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    for name, call in (
        ("isolation-forest", "score_samples"),
        ("lof", "score_samples"),
        ("one-class-svm", "decision_function"),
    ):
        pipeline = DETECTORS[name].fit(values, seed=0)
        ours = DETECTORS[name].scores(pipeline, values)
        np.testing.assert_allclose(ours, -getattr(pipeline[-1], call)(scaled), rtol=1e-9)
    pipeline = DETECTORS["autoencoder"].fit(values, seed=0)
    error = ((scaled - pipeline[-1].predict(scaled)) ** 2).mean(axis=1)
    np.testing.assert_allclose(DETECTORS["autoencoder"].scores(pipeline, values), error, rtol=1e-9)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_same_rows_and_seed_give_the_same_bits_on_any_number_of_threads(name: str) -> None:
    one, other = plain_model(name), plain_model(name)
    values = usual_values(2 * CHUNK + 77, seed=5)
    alone = chunked_scores(one, values, workers=1)
    assert np.array_equal(alone, chunked_scores(other, values, workers=3))
    assert np.array_equal(alone[CHUNK:], chunked_scores(one, values[CHUNK:], workers=2))


def test_an_isolation_forest_scores_bit_by_bit_as_the_library_does() -> None:
    for settings in ({}, {"max_features": 2}, {"max_samples": 1}, {"n_estimators": 3}):
        forest = IsolationForest(random_state=1, **settings).fit(usual_values(300))
        values = usual_values(1000, seed=4)
        assert np.array_equal(DETECTORS["isolation-forest"].raw(forest, values), -forest.score_samples(values))


@pytest.mark.parametrize("name", DETECTORS)
def test_threads_that_score_leave_the_warnings_of_the_process_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, touched = plain_model(name), []
    monkeypatch.setattr(warnings, "resetwarnings", lambda: touched.append(name))
    chunked_scores(model, usual_values(2 * CHUNK), workers=2)
    assert touched == []


@pytest.mark.parametrize("name", DETECTORS)
def test_missing_values_count_as_the_mean_of_training_and_absurd_ones_stay_finite(name: str) -> None:
    method = DETECTORS[name]
    training = usual_values(400)
    pipeline = method.fit(training, seed=0)
    rows = usual_values(2, seed=9)
    rows[0, 1] = np.nan
    filled = rows.copy()
    filled[0, 1] = training[:, 1].mean()
    assert np.array_equal(method.scores(pipeline, rows), method.scores(pipeline, filled))
    rows[0, 1] = 1e30
    assert np.isfinite(method.scores(pipeline, rows)).all()


def test_nothing_to_score_is_no_scores() -> None:
    assert chunked_scores(plain_model(), np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS)
def test_missing_values_are_the_means_of_training_to_the_last_bit_of_the_librarys_own_imputer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=(600, 3))
    values[random.random(values.shape) < 0.1] = np.nan
    method = DETECTORS[name]
    pipeline = method.fit(values, 0)
    theirs = method.raw(pipeline[-1], np.clip(pipeline[:-1].transform(values), -1e6, 1e6))
    # It would import pandas.
    monkeypatch.setattr(SimpleImputer, "transform", lambda *_: pytest.fail("the library's imputer was asked"))
    assert (method.scores(pipeline, values) == theirs).all()


def test_an_imputer_that_does_more_than_means_does_it_itself() -> None:
    values = np.random.default_rng(3).normal(size=(80, 3))
    values[:5, 0] = np.nan
    steps = [("imputer", SimpleImputer(add_indicator=True)), ("scaler", StandardScaler()), ("svm", OneClassSVM())]
    pipeline = Pipeline(steps).fit(values)
    assert pipeline[-1].n_features_in_ == 4
    assert (DETECTORS["one-class-svm"].scores(pipeline, values) == -pipeline.decision_function(values)).all()


@pytest.mark.parametrize("rows", [16, 255, 300])
def test_an_autoencoder_learns_from_few_rows_without_a_word(rows: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DETECTORS["autoencoder"].fit(usual_values(rows), seed=0)


def test_only_an_imputer_fills_gaps() -> None:
    assert fills_gaps(plain_model("one-class-svm").pipeline)
    values = usual_values(50)
    for steps in ([], [("scaler", StandardScaler())]):
        assert not fills_gaps(Pipeline([*steps, ("svm", OneClassSVM())]).fit(values))
    assert not fills_gaps(Pipeline([("roots", PowerTransformer()), ("pca", PCA()), ("svm", OneClassSVM())]).fit(values))

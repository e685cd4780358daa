"""The four detectors: what each is fitted on, and its score, of which higher is always more anomalous.

What belongs here: estimators of scikit-learn, their settings, and turning what they say one way. What does not:
thresholds, files, or which rows are read.

A detector is one `Pipeline` of scikit-learn: imputer (means of training), scaler, estimator. It learns and scores with
one thread of the numerical libraries, so that no number depends on how many there are.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from forecast_assets.core.arrays import Floats, Ints

# Beyond that many standard deviations from the mean nothing is more anomalous, and squares stay finite.
_FARTHEST: Final = 1e6
# What is larger counts as infinite: trees hold numbers with four bytes, and squares have to stay finite.
LARGEST: Final = 1e30


@dataclass(frozen=True)
class Detector:
    """A method, and how it is used here.

    Attributes:
        name: As in `--detector`; it stays in every model.
        title: What people call it.
        most_rows: It is fitted on so many rows at most; where there are more, on a seeded sample of them.
        least_features: It says nothing of fewer.
        estimator: From number of features, number of rows and seed to an estimator that is not fitted.
        asks_for: What an estimator has to have, so that `raw` can ask it.
        raw: From a fitted estimator and [n, features] scaled values to [n] scores, higher is more anomalous.
        gives_back: Whether it is fitted to give back what it is given.
    """

    name: str
    title: str
    most_rows: int
    least_features: int
    estimator: Callable[[int, int, int], Any]
    asks_for: str
    raw: Callable[[Any, Floats], Floats]
    gives_back: bool = False

    def fit(self, values: Floats, seed: int) -> Any:
        """Return a fitted pipeline.

        Args:
            values: [n, features]; NaN where a value is missing, n at most `most_rows`.
            seed: Of what is random in the method.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        estimator = self.estimator(values.shape[1], values.shape[0], seed)
        pipeline = Pipeline([("imputer", SimpleImputer()), ("scaler", StandardScaler()), ("estimator", estimator)])
        with one_thread(), warnings.catch_warnings():
            # An autoencoder that still improves after its last round is used as it is then; its threshold fits it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            scaled = pipeline[:-1].fit_transform(values)
            estimator.fit(scaled, scaled if self.gives_back else None)
        return pipeline

    def scores(self, pipeline: Any, values: Floats) -> Floats:
        """Return [n] scores of [n, features] values; NaN is imputed with the mean of training."""
        scaled = np.clip(_transformed(pipeline, values), -_FARTHEST, _FARTHEST)
        return np.asarray(self.raw(pipeline[-1], scaled), dtype=np.float64)


def _transformed(pipeline: Any, values: Floats) -> Floats:
    """[n, features] as the estimator reads them.

    The means of training are put in here, which is what the library does with the imputer that `fit` makes; before that
    it asks pandas whether a missing value is one of its own, which imports pandas. Any other step does its own work.
    """
    imputer, rest = pipeline[0], pipeline[1:-1]
    if rest.steps and _puts_means(imputer):
        return np.asarray(rest.transform(np.where(np.isnan(values), imputer.statistics_, values)))
    before = pipeline[:-1]
    return np.asarray(before.transform(values)) if before.steps else values


def _puts_means(step: Any) -> bool:
    """Return whether a step is an imputer that puts a mean in each place without a number, and nothing else."""
    from sklearn.impute import SimpleImputer

    is_plain = type(step) is SimpleImputer and repr(step) == repr(SimpleImputer())
    return bool(is_plain and np.isfinite(step.statistics_).all())


def fills_gaps(pipeline: Any) -> bool:
    """Return whether a fitted pipeline puts numbers where a value is missing before its estimator sees them."""
    try:
        made = _transformed(pipeline, np.full((1, pipeline.n_features_in_), np.nan))
    except ValueError:
        return False
    return bool(np.isfinite(made).all())


def import_estimators() -> None:
    """Import what fitted detectors are made of, which their files name and loading one imports."""
    from sklearn import ensemble, impute, neighbors, neural_network, pipeline, preprocessing, svm

    del ensemble, impute, neighbors, neural_network, pipeline, preprocessing, svm


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numerical libraries use one thread inside the block; OpenMP asks each of our threads anew."""
    with _controller().limit(limits=1):
        yield


@contextmanager
def one_openmp_thread() -> Iterator[None]:
    """Within `one_thread`, and in another thread of ours: let OpenMP use one thread there too."""
    with _controller().limit(limits=1, user_api="openmp"):
        yield


def _isolation_forest(features: int, rows: int, seed: int) -> Any:
    """Source: Liu, Ting and Zhou 2008, doi:10.1109/ICDM.2008.17."""
    from sklearn.ensemble import IsolationForest

    del features
    return IsolationForest(n_estimators=100, max_samples=min(256, rows), random_state=seed)


def _local_outlier_factor(features: int, rows: int, seed: int) -> Any:
    """Source: Breunig et al. 2000, doi:10.1145/335191.335388."""
    from sklearn.neighbors import LocalOutlierFactor

    del features, seed
    # With some twenty features, trees of neighbours take longer than all distances as one product of matrices.
    return LocalOutlierFactor(n_neighbors=min(20, rows - 1), algorithm="brute", novelty=True)


def _one_class_svm(features: int, rows: int, seed: int) -> Any:
    """Source: Schölkopf et al. 2001, doi:10.1162/089976601750264965."""
    from sklearn.svm import OneClassSVM

    del features, rows, seed
    return OneClassSVM(kernel="rbf", gamma="scale", nu=0.05)


def _autoencoder(features: int, rows: int, seed: int) -> Any:
    """Source: Sakurada and Yairi 2014, doi:10.1145/2689746.2689747."""
    from sklearn.neural_network import MLPRegressor

    outer, inner = max(2, math.ceil(features * 0.75)), max(1, features // 4)
    # A tenth is put aside, by which it knows when to stop.
    fitted = rows - math.ceil(rows * 0.1)
    return MLPRegressor(
        hidden_layer_sizes=(outer, inner, outer),
        activation="tanh",
        batch_size=min(256, fitted),
        early_stopping=True,
        max_iter=200,
        random_state=seed,
    )


def _isolation(estimator: Any, scaled: Floats) -> Floats:
    """What `score_samples` gives, negated and to the last bit: 2 to the minus mean depth over that of a usual row.

    The library's own call sets the filters of warnings for each tree, which threads share: two at a time leave the
    process without any.
    """
    rows = np.ascontiguousarray(scaled, dtype=np.float32)
    depth = np.zeros(len(rows))
    for tree, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        nodes = tree.tree_
        # Whatever is left in a leaf would have been parted further.
        depths = nodes.compute_node_depths() + _usual_depth(nodes.n_node_samples) - 1.0
        depth += depths[nodes.apply(np.ascontiguousarray(rows[:, features]))]
    usual = len(estimator.estimators_) * _usual_depth(np.array([estimator.max_samples_]))
    scores: Floats = 2 ** -np.divide(depth, usual, out=np.ones_like(depth), where=usual != 0)
    return scores


def _usual_depth(rows: Ints) -> Floats:
    """[n] Mean depth of a row in a tree of so many that are parted at random."""
    many = np.maximum(rows, 3)
    depth = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, depth))  # noqa: PLR2004 - two rows are parted by one cut


def _negated_samples(estimator: Any, scaled: Floats) -> Floats:
    return -np.asarray(estimator.score_samples(scaled), dtype=np.float64)


def _negated_decision(estimator: Any, scaled: Floats) -> Floats:
    return -np.asarray(estimator.decision_function(scaled), dtype=np.float64)


def _reconstruction_error(estimator: Any, scaled: Floats) -> Floats:
    errors: Floats = np.mean((scaled - estimator.predict(scaled).reshape(scaled.shape)) ** 2, axis=1)
    return errors


ISOLATION_FOREST: Final = "isolation-forest"
LOF: Final = "lof"
ONE_CLASS_SVM: Final = "one-class-svm"
AUTOENCODER: Final = "autoencoder"

DETECTORS: Final = {
    each.name: each
    for each in (
        Detector(
            ISOLATION_FOREST, "isolation forest", 200_000, 1, _isolation_forest, "estimators_features_", _isolation
        ),
        Detector(LOF, "local outlier factor", 5_000, 1, _local_outlier_factor, "score_samples", _negated_samples),
        Detector(ONE_CLASS_SVM, "one-class SVM", 10_000, 1, _one_class_svm, "decision_function", _negated_decision),
        Detector(
            AUTOENCODER, "autoencoder", 50_000, 2, _autoencoder, "predict", _reconstruction_error, gives_back=True
        ),
    )
}

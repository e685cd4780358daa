"""Training the classifier: what it finds, when there is none, its bytes, and which days it learns from."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.features.panel import Panel
from forecast_assets.metrics.risks import calibration_error, roc_auc
from forecast_assets.models.envelope import to_json
from forecast_assets.models.stock_status.model import StatusModel
from forecast_assets.models.stock_status.training import STATUS_STAGE, fit_status, slope_of
from tests.support.status_cases import DAYS, GROUPS, HORIZON, empty_shelves, status_hierarchy, status_panel

OUT = empty_shelves()
PANEL = status_panel(OUT[:, :DAYS])
HIERARCHY = status_hierarchy(PANEL)


def fitted(on: Panel = PANEL, earlier: tuple[int, ...] = (), workers: int = 1) -> dict[int, StatusModel]:
    return fit_status(on, GROUPS, HIERARCHY, horizon=HORIZON, earlier=earlier, workers=workers)


@pytest.fixture(scope="module")
def models() -> dict[int, StatusModel]:
    return fitted(earlier=(HORIZON,))


def content(model: StatusModel) -> bytes:
    return to_json("test", 1, model.to_data())


def test_it_tells_days_apart_better_than_each_series_own_rate_and_the_next_day_best(
    models: dict[int, StatusModel],
) -> None:
    came = OUT[:, DAYS:].astype(np.float64)
    said = models[0].assess(PANEL, GROUPS, HIERARCHY, workers=1).probability
    own = np.repeat(OUT[:, :DAYS].mean(axis=1, keepdims=True), HORIZON, axis=1)
    both = [roc_auc(each.ravel(), came.ravel()) or 0.0 for each in (said, own)]
    assert both[0] > both[1] + 0.02
    assert (roc_auc(said[:, 0], came[:, 0]) or 0.0) > 0.80
    assert ((said - came) ** 2).mean() < ((own - came) ** 2).mean()
    assert (calibration_error(said.ravel(), came.ravel()) or 0.0) < 0.05


def test_versions_as_of_earlier_cutoffs_are_what_would_have_been_trained_then(
    models: dict[int, StatusModel],
) -> None:
    then = fitted(PANEL.as_of(HORIZON))[0]
    assert content(models[HORIZON]) == content(then)
    assert content(models[0]) != content(then)


def test_progress_is_told_classifier_by_classifier() -> None:
    told: list[tuple[str, int, int]] = []
    fit_status(
        PANEL,
        GROUPS,
        HIERARCHY,
        horizon=HORIZON,
        earlier=(HORIZON,),
        workers=1,
        progress=lambda *step: told.append(step),
    )
    assert told == [(STATUS_STAGE, done, 2) for done in (0, 1, 2)]


def test_the_same_bytes_for_any_number_of_threads(models: dict[int, StatusModel]) -> None:
    assert content(fitted(workers=3)[0]) == content(models[0])
    one, three = (models[0].assess(PANEL, GROUPS, HIERARCHY, workers=workers) for workers in (1, 3))
    np.testing.assert_array_equal(one.probability, three.probability)
    np.testing.assert_array_equal(one.usual_probability, three.usual_probability)


@pytest.mark.parametrize(
    "on",
    [
        replace(PANEL, out_of_stock_share=np.full((len(GROUPS), DAYS), np.nan)),
        replace(PANEL, out_of_stock_share=np.zeros((len(GROUPS), DAYS))),
        PANEL.as_of(DAYS - 25),
    ],
    ids=["status is not known", "no shelf was ever empty", "25 days"],
)
def test_of_too_little_nothing_is_learned(on: Panel) -> None:
    assert fitted(on) == {}


def test_what_is_said_of_a_series_does_not_depend_on_the_order_or_number_of_days_ahead(
    models: dict[int, StatusModel],
) -> None:
    whole = models[0].assess(PANEL, GROUPS, HIERARCHY, workers=1)
    three = models[0].assess(PANEL.ahead(1), GROUPS, HIERARCHY, workers=1)
    assert three.probability.shape == (len(GROUPS), 1)
    # The rate of all series is corrected by errors of as many days ahead, so that levels differ a little.
    odds = [np.log(each[:, 0] / (1 - each[:, 0])) for each in (whole.probability, three.probability)]
    np.testing.assert_allclose(odds[0] - odds[0].mean(), odds[1] - odds[1].mean(), atol=1e-9)


def test_a_slope_brings_scores_to_what_they_mean() -> None:
    random = np.random.default_rng(2)
    score, shared = random.normal(0.0, 1.0, 30_000), random.normal(-0.5, 0.3, 30_000)
    for true in (0.4, 1.0, 1.6):
        outcome = random.random(30_000) < 1.0 / (1.0 + np.exp(-(shared + true * score)))
        assert slope_of(score, shared, outcome.astype(np.float64)) == pytest.approx(true, abs=0.06)


def test_scores_that_tell_nothing_apart_are_left_as_they_are() -> None:
    assert slope_of(np.zeros(10), np.zeros(10), np.ones(10)) == 1.0
    assert slope_of(np.zeros(0), np.zeros(0), np.zeros(0)) == 1.0


def test_a_score_that_points_the_wrong_way_counts_for_nothing() -> None:
    score = np.repeat([-1.0, 1.0], 5_000)
    assert slope_of(score, np.zeros(10_000), (score < 0).astype(np.float64)) == 0.0

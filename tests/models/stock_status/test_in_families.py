"""Classifiers within versions: trained with them, stored, read back, judged in the report, and used by runs."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from forecast_assets.models.family import family
from forecast_assets.models.stock_status.model import StatusProbabilities
from forecast_assets.models.training import TrainingInputs
from forecast_assets.stockout_risk.assessing import risk_frame
from forecast_assets.training.fitting import TrainingResult, fit_version
from tests.support.risk_cases import no_supply, reconciled
from tests.support.status_cases import DAYS, GROUPS, HORIZON, empty_shelves, status_hierarchy, status_panel

PANEL = status_panel(empty_shelves(DAYS))
HIERARCHY = status_hierarchy(PANEL)


@pytest.fixture(scope="module", params=["statistical", "combined"])
def trained(request: pytest.FixtureRequest) -> tuple[str, TrainingResult]:
    inputs = TrainingInputs(
        panel=PANEL, product_groups=np.array(["total"] * len(GROUPS)), hierarchy=HIERARCHY, horizon=HORIZON, workers=1
    )
    return request.param, fit_version(family(request.param), inputs)


def test_a_version_with_a_classifier_is_read_back_as_it_was_written(trained: tuple[str, TrainingResult]) -> None:
    name, made = trained
    assert made.artifact.stock_status is not None
    again = family(name).load(made.artifact.to_bytes())
    assert again.to_bytes() == made.artifact.to_bytes()
    assert again.stock_status.to_data() == made.artifact.stock_status.to_data()


def test_the_report_judges_the_risk_at_past_cutoffs(trained: tuple[str, TrainingResult]) -> None:
    report = trained[1].report
    assert report is not None
    overall = {
        metric: (value, beside)
        for metric, value, beside in report.filter(pl.col("segment_kind") == "all")
        .select("metric", "value", "baseline_value")
        .iter_rows()
    }
    brier, climatology = overall["brier"]
    assert brier < climatology
    assert overall["roc_auc"][0] > 0.6


def test_probabilities_of_a_run_are_the_classifiers_and_their_parts_add_up(trained: tuple[str, TrainingResult]) -> None:
    model = trained[1].artifact.stock_status
    assert model is not None
    status = model.assess(PANEL, np.array(["total"] * len(GROUPS)), HIERARCHY, workers=1)
    frame = risk_frame(reconciled(PANEL, 3.0), PANEL, no_supply(len(GROUPS)), np.zeros(len(GROUPS)), status=status)
    said = frame["stockout_probability"].cast(pl.Float64).to_numpy().reshape(len(GROUPS), HORIZON)
    np.testing.assert_allclose(said, status.probability, atol=1e-6)
    parts = frame["usual_probability"] + frame["series_probability"]
    assert (parts == frame["stockout_probability"]).all()


def test_what_is_lost_is_spread_over_days_as_they_are_likely_to_be_without_stock() -> None:
    count = len(GROUPS)
    likely = np.tile(np.linspace(0.2, 0.8, HORIZON), (count, 1))
    frame = risk_frame(
        reconciled(PANEL, 3.0),
        PANEL,
        no_supply(count),
        np.zeros(count),
        lost_share=np.full(count, 0.1),
        status=StatusProbabilities(likely, likely),
    )
    lost = frame["expected_lost_units"].cast(pl.Float64).to_numpy().reshape(count, HORIZON)
    np.testing.assert_allclose(lost / lost.mean(), likely / likely.mean(), atol=1e-5)
    np.testing.assert_allclose(lost.mean(), 0.3, atol=1e-5)
    assert set(frame["series_probability"]) == {Decimal(0)}

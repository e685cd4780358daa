"""Trees and covariates: an effect is found and told by its driver, by plans as they were, and never by what came."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from forecast_assets.core.arrays import Floats
from forecast_assets.features.deviations import from_usual
from forecast_assets.features.panel import Panel
from forecast_assets.models.boosted.covariate_inputs import AHEAD, DRIVER, LATELY, covariate_inputs
from forecast_assets.models.boosted.inputs import (
    DEFAULT_INPUTS,
    CutoffInputs,
    InputSpec,
    TreePanel,
    inputs_of,
)
from forecast_assets.models.boosted.model import GLOBAL, GlobalArtifact, GlobalForecasts, forecast_global
from forecast_assets.models.boosted.training import train_global
from forecast_assets.models.family import family
from forecast_assets.models.statistical.effects import Effects, GroupEffects, lay_out_factors
from tests.support.covariate_cases import NAME, PLAN_DAYS, said_of, warm_panel
from tests.support.digests import digest
from tests.support.forecast_cases import one_group

PANEL, TRUE_MEAN, WARMTH = warm_panel()
COUNT, HORIZON, DAYS = PANEL.series.height, PANEL.horizon_days, PANEL.history_days
GROUPS = one_group(COUNT)
NOTHING = Effects(GroupEffects(0.0, 0.0, (1.0,) * 7), {}, {}, 1e6)


def planned(**said: Any) -> Panel:
    return replace(PANEL, covariates=said_of(PANEL, WARMTH, **said))


def trained(panel: Panel) -> GlobalArtifact:
    return train_global(GLOBAL, panel, GROUPS, horizon=HORIZON, workers=1)[0]


@pytest.fixture(scope="module")
def version() -> GlobalArtifact:
    return trained(planned())


@pytest.fixture(scope="module")
def made(version: GlobalArtifact) -> GlobalForecasts:
    return forecast_global(planned(), version, GROUPS, workers=1)


def inputs_at(panel: Panel, origin: int, specs: list[InputSpec] | None = None) -> Floats:
    """[n, h, 2] the covariate's inputs at a cutoff, or others."""
    record = TreePanel.of(panel, lay_out_factors(panel, NOTHING, GROUPS), GROUPS, ["all"], 0.1)
    targets = np.arange(origin + 1, min(origin + 1 + HORIZON, DAYS + HORIZON))
    own = [InputSpec.from_data(spec) for spec in covariate_inputs([NAME])] if specs is None else specs
    return np.asarray(CutoffInputs(record, origin, targets).inputs(own, np.arange(COUNT)).reshape(COUNT, -1, len(own)))


def test_each_covariate_has_its_inputs_and_a_panel_without_one_those_of_all() -> None:
    assert inputs_of(PANEL) == DEFAULT_INPUTS
    own = inputs_of(planned())[len(DEFAULT_INPUTS) :]
    assert [(spec.driver, spec.of) for spec in own] == [(DRIVER, NAME)] * 2
    assert [spec.kind for spec in own] == [AHEAD, LATELY]


@pytest.mark.parametrize("origin", [60, DAYS - 1])
def test_a_past_cutoff_sees_plans_of_then_as_far_as_they_reached(origin: int) -> None:
    panel = planned()
    told = inputs_at(panel, origin)
    said = panel.covariates.as_known(NAME, origin, DAYS + HORIZON)[panel.covariates.store]
    targets = np.arange(origin + 1, origin + 1 + HORIZON)
    np.testing.assert_allclose(told[:, :, 0], from_usual(said, origin, targets).astype(np.float32))
    assert np.isnan(told[:, :, 0]).all(axis=0).tolist() == [step > PLAN_DAYS for step in range(1, HORIZON + 1)]
    came = from_usual(
        np.where(np.arange(DAYS + HORIZON) <= origin, said, WARMTH[panel.covariates.store]), origin, targets
    )
    assert not np.isclose(told[:, :PLAN_DAYS, 0], came[:, :PLAN_DAYS]).any()
    assert not np.isnan(told[:, :, 1]).any()


def test_what_is_observed_only_is_not_read_ahead() -> None:
    panel = planned(plan_days=0, until=DAYS + HORIZON - 1)
    for origin in (60, DAYS - 1):
        told = inputs_at(panel, origin)
        assert np.isnan(told[:, :, 0]).all()
        assert not np.isnan(told[:, :, 1]).any()


def test_a_covariate_that_a_run_has_not_is_unknown() -> None:
    for panel in (PANEL, planned()):
        told = inputs_at(panel, DAYS - 1, [InputSpec("covariate_1", DRIVER, AHEAD, of="guests")])
        assert np.isnan(told).all()


def test_an_effect_is_found_and_told_by_its_driver(made: GlobalForecasts) -> None:
    units = made.series.components[DRIVER]
    np.testing.assert_allclose(sum(made.series.components.values()), made.series.mean, rtol=1e-12)
    plan = inputs_at(planned(), DAYS - 1)[:, :PLAN_DAYS, 0]
    assert np.corrcoef(plan.ravel(), (units / made.series.mean)[:, :PLAN_DAYS].ravel())[0, 1] > 0.8
    ahead = slice(DAYS, DAYS + PLAN_DAYS)
    blind = forecast_global(PANEL, trained(PANEL), GROUPS, workers=1)
    ours, others = (np.abs(each.series.mean[:, :PLAN_DAYS] - TRUE_MEAN[:, ahead]).sum() for each in (made, blind))
    assert ours < 0.7 * others
    assert not blind.series.components[DRIVER].any()


def test_nodes_above_go_by_what_covariates_move(version: GlobalArtifact, made: GlobalForecasts) -> None:
    moved = made.series.components[DRIVER]
    share = made.series.mean / (made.series.mean - moved)
    np.testing.assert_allclose(made.for_nodes.mean, made.statistical.mean * share)
    blind = forecast_global(PANEL, version, GROUPS, workers=1)
    plain = replace(blind, series=replace(blind.series, components={DRIVER: np.zeros_like(moved)}))
    assert plain.for_nodes is plain.statistical


def test_a_version_with_covariates_survives_its_bytes(version: GlobalArtifact) -> None:
    again = family(GLOBAL).load(version.to_bytes())
    assert again == version


def test_weather_to_come_changes_no_version_and_no_forecast(version: GlobalArtifact, made: GlobalForecasts) -> None:
    """Days ahead as they will be observed, known only then: whatever they are, all is as if nobody knew them."""
    for value in (-50.0, 50.0):
        came = np.where(np.arange(DAYS + HORIZON) < DAYS, WARMTH, value)
        said = said_of(PANEL, came, until=DAYS + HORIZON - 1)
        told = replace(said, words=said.words.only(said.words.since >= DAYS))
        honest = planned().covariates
        both = {
            name: np.concatenate([getattr(honest.words, name), getattr(told.words, name)])
            for name in vars(honest.words)
        }
        panel = replace(PANEL, covariates=replace(honest, words=replace(honest.words, **both)))
        assert digest(trained(panel).to_bytes()) == digest(version.to_bytes())
        theirs = forecast_global(panel, version, GROUPS, workers=1)
        assert digest(theirs.series.mean.tobytes()) == digest(made.series.mean.tobytes())


def test_a_leak_of_weather_to_come_would_be_found(
    version: GlobalArtifact, made: GlobalForecasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = type(PANEL.covariates).as_known
    monkeypatch.setattr(
        "forecast_assets.features.covariates.Covariates.as_known",
        lambda self, name, cutoff, days: known(self, name, cutoff + HORIZON, days),
    )
    with pytest.raises(AssertionError):
        test_weather_to_come_changes_no_version_and_no_forecast(version, made)

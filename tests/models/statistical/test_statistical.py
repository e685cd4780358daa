from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import DEMAND_CLASSES
from forecast_assets.core.errors import InputError
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.borrowing import BORROWED
from forecast_assets.models.statistical.levels import MODELS
from forecast_assets.models.statistical.nodes import forecast_nodes
from forecast_assets.models.statistical.season import Season
from forecast_assets.models.statistical.series import FACTORED, SeriesForecasts, forecast_series
from forecast_assets.models.statistical.training import train_statistical
from tests.support.digests import digest
from tests.support.forecast_cases import lawful_fields, lawful_panel, one_group, panel_of, series_of

COUNT, DAYS, HORIZON = 60, 112, 14
GROUPS = one_group(COUNT)


@pytest.fixture(scope="module")
def artifact() -> StatisticalArtifact:
    return train_statistical(lawful_panel(COUNT, DAYS, HORIZON), GROUPS, horizon=HORIZON, workers=1)


@pytest.fixture(scope="module")
def forecasts(artifact: StatisticalArtifact) -> SeriesForecasts:
    return forecast_series(lawful_panel(COUNT, DAYS, HORIZON), artifact, GROUPS)


def test_the_artifact_decides_everything_and_survives_its_bytes(artifact: StatisticalArtifact) -> None:
    assert set(artifact.models) == {*DEMAND_CLASSES, "nodes"}
    assert set(artifact.models.values()) <= {*MODELS, *BORROWED}
    assert set(artifact.rho) == set(DEMAND_CLASSES)
    again = StatisticalArtifact.from_bytes(artifact.to_bytes())
    assert again == artifact
    assert digest(again.to_bytes()) == digest(artifact.to_bytes())


def test_training_twice_gives_the_same_bytes(artifact: StatisticalArtifact) -> None:
    again = train_statistical(lawful_panel(COUNT, DAYS, HORIZON), GROUPS, horizon=HORIZON, workers=1)
    assert digest(again.to_bytes()) == digest(artifact.to_bytes())


def test_an_artifact_of_another_format_is_refused(artifact: StatisticalArtifact) -> None:
    with pytest.raises(InputError, match="not of the family `statistical` in format 2"):
        StatisticalArtifact.from_bytes(artifact.to_bytes().replace(b'"format": 2', b'"format": 1'))


def test_forecasts_come_close_to_the_law(forecasts: SeriesForecasts) -> None:
    """The truth is known: its mean is missed by less than a tenth, without bias."""
    _, mean = lawful_fields(COUNT, DAYS, HORIZON, 20.0, 1)
    truth = mean[:, DAYS:]
    assert np.abs(forecasts.mean - truth).sum() / truth.sum() < 0.1
    assert abs((forecasts.mean - truth).sum() / truth.sum()) < 0.02


def test_components_add_up_and_each_has_its_cause(forecasts: SeriesForecasts) -> None:
    panel = lawful_panel(COUNT, DAYS, HORIZON)
    assert tuple(forecasts.components) == FACTORED
    assert sum(forecasts.components.values()) == pytest.approx(forecasts.mean)
    ahead = slice(DAYS, DAYS + HORIZON)
    assert (forecasts.components["price_units"][panel.price_ratio[:, ahead] == 1.0] == 0.0).all()
    assert (forecasts.components["promotion_units"][~panel.is_promotion[:, ahead]] == 0.0).all()
    assert (forecasts.components["price_units"][panel.price_ratio[:, ahead] < 1.0] > 0.0).all()
    assert (np.ptp(forecasts.components["level_units"], axis=1) == 0.0).all()


def test_a_forecast_of_a_series_depends_on_no_other_series(artifact: StatisticalArtifact) -> None:
    whole = lawful_panel(COUNT, DAYS, HORIZON)
    rows = slice(10, 13)
    few = whole.take(np.arange(rows.start, rows.stop))
    alone = forecast_series(few, artifact, GROUPS[rows])
    together = forecast_series(whole, artifact, GROUPS)
    assert alone.mean.tobytes() == together.mean[rows].tobytes()
    assert alone.quantiles.tobytes() == together.quantiles[rows].tobytes()


def test_dead_new_and_ended_series(artifact: StatisticalArtifact) -> None:
    """Dead: rows go on, all zero. Ended: the rows themselves stopped. A store that is a day late has not ended."""
    sales = np.full((5, DAYS), 4.0)
    sales[0, 30:] = 0.0
    sales[1, :-5] = np.nan
    sales[2, 50:] = np.nan
    sales[3] = np.nan
    sales[4, -1:] = np.nan
    made = forecast_series(panel_of(sales, HORIZON), artifact, one_group(5))
    assert made.demand_class.tolist() == ["dead", "new", "ended", "ended", "smooth"]
    assert made.model_used[:4].tolist() == ["ZeroModel", artifact.models["new"], "ZeroModel", "ZeroModel"]
    assert made.mean[[0, 2, 3]].sum() == 0.0
    assert made.mean[[1, 4]] == pytest.approx(4.0, rel=0.6)
    assert not made.is_fallback.any()


def test_a_new_series_without_a_sale_is_expected_to_sell_what_its_parents_lead_to_expect(
    artifact: StatisticalArtifact,
) -> None:
    """Store S1 sells three times what S0 does; the last product is three days old and has sold nothing yet."""
    store = np.array([0] * 10 + [1] * 10)
    sales = np.repeat(np.where(store == 0, 2.0, 6.0)[:, None], DAYS, axis=1)
    sales[[9, 19], :-3] = np.nan
    sales[[9, 19], -3:] = 0.0
    made = forecast_series(panel_of(sales, HORIZON, series=series_of(20)), artifact, one_group(20))
    assert made.demand_class[[9, 19]].tolist() == ["new", "new"]
    assert made.model_used[9] == artifact.models["new"]
    level = made.components["level_units"][:, 0]
    assert 0.0 < level[9] < level[0]
    assert level[19] == pytest.approx(3.0 * level[9], rel=0.3)


def test_what_was_compared_is_in_the_artifact(artifact: StatisticalArtifact) -> None:
    assert {"smooth", "new", "nodes"} <= set(artifact.comparisons)
    for name in ("smooth", "nodes"):
        losses = artifact.comparisons[name]
        assert artifact.models[name] == min(losses, key=lambda model: losses[model])
    assert artifact.comparisons["season"] == {}
    assert artifact.effects.season is None


def test_ninety_days_ahead_stay_sane() -> None:
    """Half a year of steady growth: the damped trend goes on for a while and never runs away; origins are two only."""
    panel = lawful_panel(30, 240, 90)
    growing = replace(panel, sales=panel.sales * np.linspace(0.5, 1.5, 240))
    artifact = train_statistical(growing, one_group(30), horizon=90, workers=1)
    assert artifact.horizon_days == 90
    made = forecast_series(growing, artifact, one_group(30))
    assert np.isfinite(made.quantiles).all()
    assert (np.diff(made.quantiles, axis=2) >= 0).all()
    last_month = growing.sales[:, -28:].sum() / 28
    assert 0.7 < made.mean[:, -28:].sum() / 28 / last_month < 1.4


def test_nodes_of_consistent_series_come_close_to_their_sums(artifact: StatisticalArtifact) -> None:
    panel = lawful_panel(COUNT, DAYS, HORIZON)
    hierarchy = Hierarchy.build(series_of(COUNT), None, None)
    made = forecast_series(panel, artifact, GROUPS)
    nodes = forecast_nodes(panel, made, hierarchy, artifact)
    assert nodes.nodes.select("product_level", "store_level").unique().height == 2
    assert nodes.mean == pytest.approx(hierarchy.information.matrix @ made.mean, rel=0.05)


def test_a_shift_of_everything_reaches_the_nodes(artifact: StatisticalArtifact) -> None:
    """All series sell half as much again on the last ten days; a slow series model hears less of it than the total.

    As in versions that do not look for shifts, which otherwise bring the series themselves to the new level.
    """
    panel = lawful_panel(COUNT, DAYS, HORIZON)
    slow = replace(
        artifact,
        models={**artifact.models, "smooth": "SimpleExponentialSmoothing(0.02)"},
        effects=replace(artifact.effects, reads_shifts=False),
    )
    quick = replace(slow, models={**slow.models, "nodes": "SimpleExponentialSmoothing(0.3)"})
    sales = panel.sales.copy()
    sales[:, -10:] = np.round(1.5 * sales[:, -10:])
    shifted = replace(panel, sales=sales)
    hierarchy = Hierarchy.build(series_of(COUNT), None, None)
    made = forecast_series(shifted, quick, GROUPS)
    nodes = forecast_nodes(shifted, made, hierarchy, quick)
    assert nodes.mean[-1].sum() > 1.15 * made.mean.sum()
    looking = replace(quick, effects=replace(quick.effects, reads_shifts=True))
    assert forecast_series(shifted, looking, GROUPS).mean.sum() > 1.15 * made.mean.sum()


def test_what_was_compared_is_told_against_the_best(artifact: StatisticalArtifact) -> None:
    frame = artifact.compared()
    assert frame.group_by("choice").agg(pl.col("loss_over_best").min())["loss_over_best"].to_list() == pytest.approx(
        [1.0] * frame["choice"].n_unique()
    )
    smooth = frame.filter(pl.col("choice") == "smooth")
    assert smooth.filter("is_chosen")["candidate"].to_list() == [artifact.models["smooth"]]
    assert smooth["loss_over_best"].is_sorted()


def test_a_season_survives_the_bytes_of_an_artifact(artifact: StatisticalArtifact) -> None:
    waves = (0.1, 0.0, 0.0, 0.0, 0.0, -0.02)
    season = Season(waves, {"all": waves}, {"K000": waves})
    seasonal = replace(artifact, effects=replace(artifact.effects, season=season))
    assert StatisticalArtifact.from_bytes(seasonal.to_bytes()) == seasonal
    assert seasonal.choices["season"] == "by product"
    assert artifact.choices["season"] == "none"

"""One year's season: waves are found, growth is none, and past cutoffs say how much of them comes back."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.core.arrays import Floats
from forecast_assets.features.panel import Panel
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.calendar_backtest import SumsAhead
from forecast_assets.models.statistical.effects import LAST_YEARS, Effects, GroupEffects, lay_out_factors
from forecast_assets.models.statistical.last_year import (
    LAST_YEAR_DAYS,
    SeasonBacktest,
    fit_last_year,
    season_share,
    with_last_year,
)
from forecast_assets.models.statistical.season import Season, deviation
from forecast_assets.models.statistical.series import forecast_series
from forecast_assets.models.statistical.training import train_statistical
from tests.support.forecast_cases import panel_of

FIRST, LAST = date(2024, 7, 1), date(2025, 6, 30)
HORIZON = 28
PLAIN = Effects(GroupEffects(0.0, 0.0, (1.0,) * 7), {}, {}, 1e6)


def _turn(first: date, days: int) -> Floats:
    """[days] angle of each day of the year."""
    return np.array([(first + timedelta(days=d)).timetuple().tm_yday - 1 for d in range(days)]) * 2 * np.pi / 365.25


def _fit(mean: Floats, groups: list[str], exposure: Floats | None = None) -> Season:
    units = np.random.default_rng(1).poisson(mean).astype(np.float64)
    shown = np.ones_like(units) if exposure is None else exposure
    return fit_last_year(units * shown, shown, LAST, np.array(groups))


def _of(season: Season, *groups: str) -> Floats:
    return season.of(np.array(groups), np.array(groups))


WAVE = 0.2 * np.cos(_turn(LAST - timedelta(days=LAST_YEAR_DAYS - 1), LAST_YEAR_DAYS))


def test_groups_that_turn_against_each_other_are_told_apart() -> None:
    season = _fit(40.0 * (1 + np.stack([WAVE] * 4 + [-WAVE] * 4)), ["winter"] * 4 + ["summer"] * 4)
    found = _of(season, "winter", "summer", "never seen")
    assert found[:, 0] == pytest.approx([0.2, -0.2, 0.0], abs=0.03)
    assert np.abs(found[:, 1:]).max() < 0.04
    assert not season.products


def test_steady_growth_is_no_season() -> None:
    growth = np.exp(0.3 * np.arange(LAST_YEAR_DAYS) / LAST_YEAR_DAYS)
    assert deviation(_of(_fit(40.0 * growth * np.ones((4, 1)), ["g"] * 4), "g"))[0] < 0.02


def test_a_group_that_sells_in_one_season_is_never_turned_round() -> None:
    """Two waves cannot follow a peak of a few weeks: between its peaks they are below nothing."""
    peaked = Season((0.0,) * 6, {"g": (1.6, 0.0, 0.6, 0.0, 0.0, 0.0)}, {})
    panel = panel_of(np.full((1, 364), 4.0), horizon=HORIZON, first_date=date(2024, 9, 20))
    ahead = lay_out_factors(panel, replace(PLAIN, last_year=peaked), np.array(["g"])).season[0, 364:]
    waves = peaked.factors(peaked.of(np.array(["g"]), np.array(["g"])), panel.first_date, 364 + HORIZON)[0]
    assert waves.min() < 0
    rises = np.diff(np.clip(waves[364:], 0.2, 5.0))
    assert (np.sign(np.diff(ahead)) == np.sign(rises)).all()
    assert ahead.min() > 0


def test_a_group_with_few_sales_takes_the_season_of_all() -> None:
    levels = np.array([40.0] * 12 + [0.03])
    season = _fit(levels[:, None] * (1 + WAVE), ["large"] * 12 + ["small"])
    assert _of(season, "small")[0, 0] == pytest.approx(0.2, abs=0.05)


def test_a_group_that_was_on_sale_for_half_a_year_takes_the_season_of_all() -> None:
    shown = np.ones((8, LAST_YEAR_DAYS))
    shown[6:, : LAST_YEAR_DAYS // 2] = 0.0
    mean = 40.0 * np.stack([1 + WAVE] * 6 + [1 - WAVE] * 2)
    season = _fit(mean, ["old"] * 6 + ["young"] * 2, shown)
    assert _of(season, "young")[0] == pytest.approx(season.pooled)


def test_nothing_sold_is_no_season() -> None:
    assert _fit(np.zeros((2, LAST_YEAR_DAYS)), ["a", "b"]).pooled == (0.0,) * 6


@given(scale=st.floats(0.01, 1000.0))
def test_the_unit_of_sales_does_not_matter(scale: float) -> None:
    """Pieces or kilograms: a season is a share."""
    units = 5.0 * (1 + np.stack([WAVE, -WAVE, 0.5 * WAVE])) + np.sin(np.arange(LAST_YEAR_DAYS))
    shown, groups = np.ones_like(units), np.array(["a", "b", "b"])
    one, other = (_of(fit_last_year(k * units, shown, LAST, groups), "a", "b") for k in (1.0, scale))
    assert other == pytest.approx(one, abs=1e-6)


def test_less_than_a_year_shows_no_season() -> None:
    panel = panel_of(np.full((2, LAST_YEAR_DAYS - 1), 5.0))
    assert with_last_year(panel, PLAIN, np.array(["g", "g"])).last_year is None


def test_a_season_is_drawn_towards_none() -> None:
    season = Season((0.2, 0.0, -0.1, 0.0, 0.0, 0.0), {"g": (0.4, 0.0, 0.0, 0.0, 0.0, 0.0)}, {})
    drawn = season.drawn(0.5)
    assert drawn.pooled == (0.1, 0.0, -0.05, 0.0, 0.0, 0.0)
    assert drawn.groups == {"g": (0.2, 0.0, 0.0, 0.0, 0.0, 0.0)}
    assert season.drawn(1.0) == season


def test_days_ahead_take_the_change_from_the_last_weeks_and_past_days_none() -> None:
    """Cosine waves, a quarter high, on 21 March and on the 28 days after it; one group has none."""
    first, days = date(2024, 3, 22), 365
    panel = panel_of(np.full((4, days), 5.0), HORIZON, first_date=first)
    groups = np.where(panel.series["sku_id"].to_numpy() == "K000", "a", "b")
    last_year = Season((0.0,) * 6, {"a": (0.25, 0.0, 0.0, 0.0, 0.0, 0.0)}, {})
    season = lay_out_factors(panel, replace(PLAIN, last_year=last_year), groups).season
    assert (season[:, :days] == 1.0).all()
    assert (season[groups == "b"] == 1.0).all()
    wave = 1 + 0.25 * np.cos(_turn(first, days + HORIZON))
    # The last week counts half, the one before it a quarter, and so on.
    lately = np.average(wave[:days], weights=0.5 ** (np.arange(days)[::-1] / 7))
    assert season[groups == "a", days:] == pytest.approx(np.repeat([wave[days:] / lately], 2, axis=0))
    assert season[0, -1] < 0.9


def _cutoff(came: float) -> SeasonBacktest:
    """Two sums of 100 a day without and 110 with all of last year's season."""
    plain, seasonal, actual = (np.full((2, HORIZON), value) for value in (100.0, 110.0, came))
    return SeasonBacktest(SumsAhead(plain, actual), SumsAhead(seasonal, actual))


@pytest.mark.parametrize(
    ("came", "share"),
    [
        # The prior counts as three cutoffs of 0.35.
        ([110.0, 110.0, 110.0], (1.05 + 3.0) / 6.0),
        ([105.0, 105.0], (1.05 + 1.0) / 5.0),
        ([110.0, 100.0], (1.05 + 1.0) / 5.0),
        # What went the other way every time is none.
        ([95.0, 95.0, 95.0], 0.0),
    ],
)
def test_as_much_comes_back_as_past_cutoffs_say(came: list[float], share: float) -> None:
    found, losses = season_share([_cutoff(each) for each in came])
    assert found == pytest.approx(share)
    assert losses["none"] == pytest.approx(np.mean([(each - 100.0) ** 2 / 100.0 for each in came]))
    assert (losses[LAST_YEARS] < losses["none"]) == (share > 0)


def _retailer(days: int, wave: Floats, seed: int = 5) -> tuple[Panel, Floats, np.ndarray]:
    """Six products in two stores, of groups that turn against each other; with what is to be expected ahead."""
    random = np.random.default_rng(seed)
    sign = np.tile([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], 2)
    mean = 60.0 * (1 + sign[:, None] * wave)
    named = [(store, f"K{sku}") for store in ("S1", "S2") for sku in range(6)]
    series = pl.DataFrame(named, schema=["store_id", "sku_id"], orient="row")
    panel = panel_of(random.poisson(mean)[:, :days], HORIZON, first_date=FIRST, series=series)
    return panel, mean[:, days:], np.where(sign > 0, "a", "b")


def _trained(panel: Panel, groups: np.ndarray) -> StatisticalArtifact:
    return train_statistical(panel, groups, horizon=HORIZON, workers=1, only_quick=True)


def test_training_takes_a_season_that_came_back_and_forecasts_by_it() -> None:
    days = 470
    panel, truth, groups = _retailer(days, 0.25 * np.cos(_turn(FIRST, days + HORIZON)))
    artifact = _trained(panel, groups)
    assert artifact.choices["season"] == LAST_YEARS
    losses = artifact.comparisons["season"]
    assert losses[LAST_YEARS] < losses["none"]
    assert StatisticalArtifact.from_bytes(artifact.to_bytes()) == artifact
    missed = np.abs(forecast_series(panel, artifact, groups).mean - truth).sum()
    without = StatisticalArtifact.from_data({**artifact.to_data(), "effects": _without_last_year(artifact)})
    assert missed < 0.7 * np.abs(forecast_series(panel, without, groups).mean - truth).sum()


def _without_last_year(artifact: StatisticalArtifact) -> dict[str, object]:
    return {**artifact.effects.to_data(), "last_year": None}


def test_training_takes_no_season_that_turned_round_since() -> None:
    days = 470
    wave = 0.25 * np.cos(_turn(FIRST, days + HORIZON))
    wave[days - 3 * HORIZON :] = 2 * wave[days - 3 * HORIZON] - wave[days - 3 * HORIZON :]
    panel, _, groups = _retailer(days, wave)
    assert _trained(panel, groups).effects.last_year is None


def test_no_season_is_taken_that_no_backtest_could_judge() -> None:
    panel, _, groups = _retailer(LAST_YEAR_DAYS + HORIZON - 1, np.zeros(LAST_YEAR_DAYS + 2 * HORIZON - 1))
    artifact = _trained(panel, groups)
    assert artifact.effects.last_year is None
    assert artifact.comparisons["season"] == {}

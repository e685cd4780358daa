"""The yearly season: what repeats is found, what does not is not."""

from dataclasses import asdict
from datetime import date, timedelta

import numpy as np
import pytest

from forecast_assets.models.statistical.effects import (
    Effects,
    GroupEffects,
    lay_out_factors,
    season_deviation,
    with_season,
)
from forecast_assets.models.statistical.season import LEAST_HISTORY_DAYS, Season, basis, deviation, fit_season
from tests.support.forecast_cases import panel_of

LAST = date(2025, 6, 30)
DAYS = 800
PLAIN = Effects(GroupEffects(0.0, 0.0, (1.0,) * 7), {}, {}, 1e6)


def _turn(days: int = DAYS) -> np.ndarray:
    first = LAST - timedelta(days=days - 1)
    return np.array([(first + timedelta(days=d)).timetuple().tm_yday - 1 for d in range(days)]) * 2 * np.pi / 365.25


def _fit(mean: np.ndarray, skus: list[str], groups: list[str] | None = None, seed: int = 1) -> Season:
    units = np.random.default_rng(seed).poisson(mean).astype(np.float64)
    names = np.array(groups or ["g"] * len(skus))
    return fit_season(units, np.ones_like(units), LAST, np.array(skus), names)


def test_the_season_of_each_product_is_found() -> None:
    """One sells most at new year, one at midsummer, in three stores each."""
    wave = 0.3 * np.cos(_turn())
    season = _fit(20.0 * (1 + np.stack([wave] * 3 + [-wave] * 3)), ["a"] * 3 + ["b"] * 3)
    found = season.of(np.array(["a", "b"]), np.array(["g", "g"]))
    assert found[:, 0] == pytest.approx([0.3, -0.3], abs=0.04)
    assert np.abs(found[:, 1:]).max() < 0.05
    assert deviation(found) == pytest.approx(0.3 / np.sqrt(2), abs=0.04)


def test_a_level_that_drifts_is_no_season() -> None:
    """Random walks look like waves within a year; they do not come back the next."""
    random = np.random.default_rng(3)
    walk = np.exp(np.cumsum(random.normal(0, 0.015, (40, DAYS)), axis=1))
    season = _fit(20.0 * walk, [f"k{i:02d}" for i in range(40)])
    found = season.of(np.array([f"k{i:02d}" for i in range(40)]), np.full(40, "g"))
    assert deviation(found).mean() < 0.05


def test_steady_growth_is_no_season() -> None:
    season = _fit(20.0 * np.exp(0.3 * np.arange(DAYS) / 365)[None] * np.ones((4, 1)), ["a"] * 4)
    assert deviation(season.of(np.array(["a"]), np.array(["g"])))[0] < 0.03


def test_a_product_with_few_sales_takes_the_season_of_its_group() -> None:
    wave = 1 + 0.3 * np.cos(_turn())
    levels = np.array([20.0] * 12 + [0.02])
    season = _fit(levels[:, None] * wave, [f"k{i:02d}" for i in range(13)])
    small = season.of(np.array(["k12", "never seen"]), np.array(["g", "g"]))
    assert small[:, 0] == pytest.approx([0.3, 0.3], abs=0.08)


def test_groups_differ_and_an_unknown_group_takes_what_all_share() -> None:
    wave = 0.3 * np.cos(_turn())
    skus = [f"k{i:02d}" for i in range(12)]
    rows = np.array([1 + wave] * 6 + [np.ones(DAYS)] * 6)
    season = _fit(15.0 * rows, skus, ["winter"] * 6 + ["even"] * 6)
    found = season.of(np.array(["x", "y", "z"]), np.array(["winter", "even", "other"]))
    assert found[0, 0] == pytest.approx(0.3, abs=0.06)
    assert abs(found[1, 0]) < 0.06
    assert found[2, 0] == pytest.approx(0.15, abs=0.06)


def test_factors_follow_the_day_of_the_year_and_average_one() -> None:
    season = Season((0.2, 0.0, 0.0, 0.0, 0.0, 0.0), {}, {})
    made = season.factors(np.array([season.pooled]), date(2025, 1, 1), 365)
    assert made[0, 0] == pytest.approx(1.2)
    assert made[0, 182] == pytest.approx(0.8, abs=0.001)
    assert made.mean() == pytest.approx(1.0, abs=0.001)
    assert basis(date(2024, 3, 1), 1)[0] == pytest.approx(basis(date(2025, 3, 1), 1)[0], abs=0.02)


def test_less_than_two_years_show_no_season() -> None:
    sales = np.full((2, LEAST_HISTORY_DAYS - 1), 5.0)
    groups = np.array(["g", "g"])
    assert with_season(panel_of(sales), PLAIN, groups).season is None
    with pytest.raises(ValueError, match="671 days show no yearly season; it takes 672"):
        fit_season(sales, np.ones_like(sales), LAST, groups, groups)


def test_a_panel_with_a_season_has_it_in_its_factors() -> None:
    wave = 1 + 0.4 * np.cos(_turn())
    sales = np.random.default_rng(2).poisson(20.0 * wave * np.ones((6, 1))).astype(np.float64)
    panel = panel_of(sales, 90, first_date=LAST - timedelta(days=DAYS - 1))
    groups = np.full(6, "g")
    effects = with_season(panel, PLAIN, groups)
    ahead = lay_out_factors(panel, effects, groups).season[:, DAYS:]
    truth = 1 + 0.4 * np.cos(2 * np.pi * (181 + np.arange(90)) / 365.25)
    assert np.abs(ahead - truth).max() < 0.08
    assert season_deviation(panel, effects, groups) == pytest.approx(0.4 / np.sqrt(2), abs=0.05)


def test_the_season_survives_json() -> None:
    season = _fit(np.full((2, DAYS), 4.0), ["a", "b"])
    assert Season.from_data(asdict(season)) == season

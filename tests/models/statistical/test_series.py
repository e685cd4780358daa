"""What models of intervals read of days that were seen in part: no sales that were none."""

from dataclasses import replace

import numpy as np
import pytest

from forecast_assets.core.arrays import Bools, Floats
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.levels import CROSTON
from forecast_assets.models.statistical.series import forecast_screened
from forecast_assets.models.statistical.training import train_statistical
from tests.support.forecast_cases import one_group, panel_of

COUNT, DAYS, HORIZON = 40, 120, 7
RATE = 0.15
SALES = np.random.default_rng(3).poisson(RATE, (COUNT, DAYS)).astype(float)
GROUPS = one_group(COUNT)
NOT_A_DAY_IDLE = np.flatnonzero(SALES[:, -3] == 0)


@pytest.fixture(scope="module")
def artifact() -> StatisticalArtifact:
    return train_statistical(panel_of(SALES, HORIZON), GROUPS, horizon=HORIZON, workers=1)


@pytest.mark.parametrize("model", CROSTON)
def test_one_day_that_says_little_moves_models_of_intervals_little(artifact: StatisticalArtifact, model: str) -> None:
    by_interval = replace(artifact, models={**artifact.models, "intermittent": model})
    panel = panel_of(SALES, HORIZON)
    empty, unknown, hours = np.zeros((COUNT, DAYS), dtype=np.bool_), SALES.copy(), np.full((COUNT, DAYS), np.nan)
    empty[NOT_A_DAY_IDLE, -3], unknown[NOT_A_DAY_IDLE, -3], hours[NOT_A_DAY_IDLE, -3] = True, np.nan, 0.9

    def level(sales: Floats = SALES, is_censored: Bools = panel.is_censored, **more: Floats) -> Floats:
        told = replace(panel, sales=sales, is_censored=is_censored, **more)
        return np.asarray(forecast_screened(told, by_interval, GROUPS, workers=1).mean.sum(axis=1)[NOT_A_DAY_IDLE])

    usual = level()
    for seen in (level(is_censored=empty), level(sales=unknown), level(is_censored=empty, missed_share=hours)):
        assert np.abs(seen / usual - 1.0).max() < 0.2


@pytest.mark.parametrize("model", CROSTON)
def test_days_that_lack_an_hour_without_a_sale_are_days_without_a_sale(
    artifact: StatisticalArtifact, model: str
) -> None:
    by_interval = replace(artifact, models={**artifact.models, "intermittent": model})
    panel, everywhere = panel_of(SALES, HORIZON), np.full((COUNT, DAYS), 0.1)
    partly = replace(panel, is_censored=everywhere > 0, out_of_stock_share=everywhere, missed_share=everywhere)
    whole, seen = (forecast_screened(each, by_interval, GROUPS, workers=1).mean.sum(axis=1) for each in (panel, partly))
    assert seen.sum() == pytest.approx(whole.sum() / 0.9, rel=0.05)

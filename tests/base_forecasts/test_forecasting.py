import json
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from forecast_assets.base_forecasts.forecasting import forecast_frames
from forecast_assets.base_forecasts.quality import UNUSUAL_SCORE
from forecast_assets.contracts import BASE_FORECASTS, BASE_NODE_FORECASTS, COMPONENTS, QUANTILE_COLUMNS
from forecast_assets.core.keys import RunKey
from forecast_assets.features.panel import Panel
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.statistical.artifact import StatisticalArtifact
from forecast_assets.models.statistical.family import STATISTICAL_FAMILY
from forecast_assets.models.statistical.training import train_statistical
from tests.support.forecast_cases import lawful_panel, one_group, series_of

KEY = RunKey("daily", date(2025, 4, 27), "stat-1", 14)
COUNT = 12


@pytest.fixture(scope="module")
def frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    panel, groups = lawful_panel(COUNT, level=2.0), one_group(COUNT)
    artifact = train_statistical(panel, groups, horizon=14, workers=1)
    return laid_out(panel, artifact)[1]


def laid_out(panel: Panel, artifact: StatisticalArtifact) -> tuple[Forecasts, tuple[pl.DataFrame, pl.DataFrame]]:
    hierarchy = Hierarchy.build(series_of(COUNT), None, None)
    made = STATISTICAL_FAMILY.forecast(artifact, ForecastInputs(panel, one_group(COUNT), hierarchy))
    return made, forecast_frames(KEY, panel, hierarchy, STATISTICAL_FAMILY, made)


def test_frames_keep_their_contracts(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    base, nodes = frames
    assert BASE_FORECASTS.validate(base).height == COUNT * 14
    assert BASE_NODE_FORECASTS.validate(nodes).height == 3 * 14
    assert base.equals(base.sort("store_id", "sku_id", "step"))
    assert nodes.equals(nodes.sort("product_level", "product_node", "store_level", "store_node", "step"))


def test_components_add_up_to_the_last_decimal(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    base = frames[0]
    assert (base.select(pl.sum_horizontal(COMPONENTS)).to_series() == base["base_units"]).all()
    assert base["weekday_units"].cast(pl.Float64).abs().max() > 0


def test_quantiles_rise(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    values = frames[0].select(pl.col(QUANTILE_COLUMNS).cast(pl.Float64)).to_numpy()
    assert (np.diff(values, axis=1) >= 0).all()
    assert (values[:, -1] > values[:, 0]).all()


def test_the_first_step_is_the_day_after_the_prediction_date(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    first = frames[0].filter(pl.col("step") == 1)
    assert first["target_date"].unique().to_list() == [date(2025, 4, 28)]


def test_every_row_has_a_score_and_flags_that_follow_from_it(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    base = frames[0]
    assert base["out_of_distribution_score"].null_count() == 0
    assert base["out_of_distribution_score"].n_unique() > 3
    flags = base["quality_flags"].str.split(";")
    assert (flags.list.contains("out_of_distribution") == (base["out_of_distribution_score"] >= UNUSUAL_SCORE)).all()


def test_a_version_of_before_scores_were_recorded_is_read_and_has_none() -> None:
    panel, groups = lawful_panel(COUNT, level=2.0), one_group(COUNT)
    artifact = train_statistical(panel, groups, horizon=14, workers=1)
    data = json.loads(artifact.to_bytes())
    assert data["reference"]["below"][0] == 0
    del data["reference"]
    before = StatisticalArtifact.from_bytes(json.dumps(data).encode())
    assert before == replace(artifact, reference=None)
    made, frames = laid_out(panel, before)
    assert made.out_of_distribution is None
    base = BASE_FORECASTS.validate(frames[0])
    assert base["out_of_distribution_score"].null_count() == base.height
    assert not base["quality_flags"].str.contains("out_of_distribution").any()

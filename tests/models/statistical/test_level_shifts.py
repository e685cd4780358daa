"""A level that shifts for a product group in a store is found within two weeks, and nobody else's is taken with it."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.core.arrays import Bools
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.family import family
from forecast_assets.models.forecasts import ForecastInputs
from forecast_assets.models.reconciled_means import reconcile
from tests.support.fitted import fit
from tests.support.forecast_cases import WEEKDAY, panel_of

STORES, GROUPS, SKUS, DAYS, HORIZON, SINCE = 4, 3, 25, 210, 14, 14
SERIES = pl.DataFrame(
    [(f"S{store}", f"K{sku:02d}") for store in range(STORES) for sku in range(GROUPS * SKUS)],
    schema=["store_id", "sku_id"],
    orient="row",
)
GROUP = np.tile(np.repeat(np.arange(GROUPS), SKUS), STORES)
STORE = np.repeat(np.arange(STORES), GROUPS * SKUS)
PRODUCTS = pl.DataFrame(
    {
        "sku_id": [f"K{sku:02d}" for sku in range(GROUPS * SKUS)],
        "depth": np.ones(GROUPS * SKUS, dtype=np.int32),
        "level_name": "group",
        "node_id": [f"G{sku // SKUS}" for sku in range(GROUPS * SKUS)],
    }
)
SHIFTED = (GROUP == 1) & (STORE == 2)


@pytest.mark.parametrize("size", [1.35, 0.7])
def test_two_weeks_after_a_shift_sums_are_forecast_at_the_new_level(size: float) -> None:
    """Two units a day and series: no single series shows it beyond doubt, their sum does."""
    random = np.random.default_rng(7)
    weekday = WEEKDAY[np.arange(DAYS + HORIZON) % 7]
    level = np.where(SHIFTED[:, None] & (np.arange(DAYS + HORIZON) >= DAYS - SINCE), size, 1.0)
    truth = random.gamma(4.0, 0.5, (len(SERIES), 1)) * weekday * level
    hierarchy = Hierarchy.build(SERIES, PRODUCTS, None)
    groups = hierarchy.product_groups("group")
    panel = panel_of(random.poisson(truth[:, :DAYS]), HORIZON, series=SERIES)
    artifact = fit(
        panel, groups, horizon=HORIZON, hierarchy=hierarchy, group_level="group", workers=1, evaluates=False
    ).artifact
    made = family("statistical").forecast(artifact, ForecastInputs(panel, groups, hierarchy, workers=1))
    assert made.nodes is not None
    mean = reconcile(made.mean, made.nodes.mean, hierarchy, made.nodes.variance_ratio)

    def against_truth(rows: Bools) -> float:
        return float(mean[rows].sum() / truth[rows, DAYS:].sum())

    def found(rows: Bools) -> float:
        """Share of the shift that the forecast has taken up."""
        return float((mean[rows].sum() / (truth[rows, DAYS:] / level[rows, DAYS:]).sum() - 1.0) / (size - 1.0))

    assert found(SHIFTED) > 0.75
    assert against_truth(SHIFTED) == pytest.approx(1.0, abs=0.08)
    assert against_truth(~SHIFTED) == pytest.approx(1.0, abs=0.03)

"""The plain model that ours is measured against is one that works."""

from dataclasses import replace

import numpy as np

from bench.plain_trees import plain_sales
from forecast_assets.training.evaluation import seasonal_naive
from tests.support.forecast_cases import lawful_fields, panel_of

COUNT, DAYS, HORIZON = 30, 84, 7


def test_it_does_better_than_the_last_week() -> None:
    fields, mean = lawful_fields(COUNT, DAYS, HORIZON, level=20.0, seed=2)
    panel = replace(panel_of(**fields), out_of_stock_share=np.zeros((COUNT, DAYS)))
    made = plain_sales(panel)
    truth = mean[:, -HORIZON:]
    naive = seasonal_naive(panel.sales, HORIZON)
    assert made.shape == (COUNT, HORIZON)
    assert np.abs(made - truth).sum() < 0.8 * np.abs(naive - truth).sum()

"""A covariate with a known effect, its plans with an error, and panels that sell by it."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from forecast_assets.core.arrays import Floats
from forecast_assets.features.covariates import WORD_COLUMNS, Covariates, lay_out_covariates
from forecast_assets.features.panel import Panel
from tests.support.forecast_cases import lawful_fields, panel_of

NAME = "warmth"
EFFECT = 0.35
# Days ahead that a plan is said, and the error of a plan.
PLAN_DAYS = 7
PLAN_ERROR = 0.3


def wandering(stores: int, days: int, seed: int = 3) -> Floats:
    """[S, D] standard normal values that last for about three days."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(stores, days))
    for day in range(1, days):
        values[:, day] = 0.7 * values[:, day - 1] + np.sqrt(1 - 0.49) * values[:, day]
    return values


def warm_panel(
    count: int = 40, days: int = 126, horizon: int = 14, level: float = 20.0
) -> tuple[Panel, Floats, Floats]:
    """A lawful panel that sells more when it is warm; its true mean [n, T + H], and the warmth [S, T + H]."""
    fields, mean = lawful_fields(count, days, horizon, level, seed=2)
    panel = panel_of(**fields)
    stores = panel.series["store_id"].unique().sort()
    warmth = wandering(len(stores), days + horizon)
    store = np.searchsorted(stores.to_numpy().astype(str), panel.series["store_id"].to_numpy().astype(str))
    true = mean * np.exp(EFFECT * warmth)[store]
    sales = np.random.default_rng(7).poisson(true[:, :days]).astype(np.float64)
    return replace(panel, sales=sales), true, warmth


def said_of(panel: Panel, warmth: Floats, *, plan_days: int = PLAN_DAYS, until: int | None = None) -> Covariates:
    """What is said of the warmth: plans with errors up to so many days ahead, and what came at the end of each day.

    Args:
        panel: n series.
        warmth: [S, D], in the order of the stores.
        plan_days: 0 for no plans.
        until: Column of the last day that is observed; the cutoff if left out.
    """
    last = panel.history_days - 1 if until is None else until
    errors = np.random.default_rng(5).normal(0.0, PLAN_ERROR, (plan_days + 1, *warmth.shape))
    rows = []
    for at, store in enumerate(panel.series["store_id"].unique().sort()):
        for day in range(warmth.shape[1]):
            ahead = range(plan_days, 0, -1)
            said = [(day - step, warmth[at, day] + errors[step, at, day]) for step in ahead]
            said += [(day, warmth[at, day])] if day <= last else []
            rows += [
                (NAME, store, panel.first_date + timedelta(days=day), panel.first_date + timedelta(days=since), value)
                for since, value in said
                if since <= last
            ]
    frame = pl.LazyFrame(rows, schema=list(WORD_COLUMNS), orient="row")
    return lay_out_covariates(frame, panel.series, panel.first_date, warmth.shape[1], None)

"""Families of the simplest kind: the last week again, the mean of a month; and what any family is trained from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from forecast_assets.contracts import EXTERNAL_FORECASTS, QUANTILE_COLUMNS, QUANTILES
from forecast_assets.core.keys import RunKey
from forecast_assets.core.quantities import UNITS, publish
from forecast_assets.core.rows import rows_per_step
from forecast_assets.features.panel import Panel
from forecast_assets.models.artifact import BaseArtifact
from forecast_assets.models.demand import classify
from forecast_assets.models.envelope import from_json, to_json
from forecast_assets.models.family import ModelFamily, register, unregister
from forecast_assets.models.forecasts import ForecastInputs, Forecasts
from forecast_assets.models.training import Fitted, GivenDate, TrainingInputs
from forecast_assets.training.evaluation import seasonal_naive


@dataclass(frozen=True, kw_only=True)
class WeekArtifact(BaseArtifact):
    def to_bytes(self) -> bytes:
        return to_json("last_week", 1, asdict(self))


class LastWeek(ModelFamily[WeekArtifact]):
    name = "last_week"

    def train(self, inputs: TrainingInputs) -> Fitted:
        return Fitted(WeekArtifact(history_days=inputs.history_days, horizon_days=inputs.horizon))

    def read(self, content: bytes) -> WeekArtifact:
        return WeekArtifact(**from_json(LastWeek.name, 1, content, remedy="Train it again."))

    def forecast(self, artifact: WeekArtifact, inputs: ForecastInputs) -> Forecasts:
        del artifact
        mean = seasonal_naive(inputs.panel.sales, inputs.panel.horizon_days)
        return Forecasts(
            mean=mean,
            quantiles=mean[:, :, None] * 2.0 * np.array(QUANTILES),
            demand_class=classify(inputs.panel),
            model_used=np.full(len(mean), self.name, dtype=np.object_),
            is_fallback=np.zeros(len(mean), dtype=np.bool_),
        )

    def gates(self, report: pl.DataFrame) -> dict[str, bool]:
        return {"was_measured": not report.filter(metric="wape").is_empty()}


class RecentMean(LastWeek):
    """The mean of four weeks for every day: better than the last week again, and blind to weekdays and promotions."""

    name = "recent_mean"

    def forecast(self, artifact: WeekArtifact, inputs: ForecastInputs) -> Forecasts:
        made = super().forecast(artifact, inputs)
        recent = inputs.panel.sales[:, -28:]
        mean, quantiles = np.nanmean(recent, axis=1), np.nanquantile(recent, QUANTILES, axis=1).T
        return replace(
            made,
            mean=np.broadcast_to(np.nan_to_num(mean)[:, None], made.mean.shape),
            quantiles=np.broadcast_to(np.nan_to_num(quantiles)[:, None], made.quantiles.shape),
        )


@contextmanager
def registered(family: ModelFamily[Any]) -> Iterator[ModelFamily[Any]]:
    """A family besides the built-in ones, for as long as it is needed."""
    register(family)
    try:
        yield family
    finally:
        unregister(family.name)


def given_forecasts(panel: Panel) -> pl.DataFrame:
    """External forecasts of a panel's series: the last week again, with a median."""
    key = RunKey("daily", panel.cutoff, "planners-1", panel.horizon_days)
    week = publish(seasonal_naive(panel.sales, panel.horizon_days), "forecast_units")
    others = (pl.lit(None, UNITS).alias(name) for name in QUANTILE_COLUMNS if name != "q500_units")
    rows = rows_per_step(key, panel.series).with_columns(week, week.alias("q500_units"), *others, is_missing=False)
    return EXTERNAL_FORECASTS.conform(rows)


def given_date(panel: Panel, known: Panel | None = None, days_since: int = 0) -> GivenDate:
    """What such a file says of one date."""
    facts = {
        "file": "planners.csv",
        "file_sha256": "0" * 64,
        "columns": {},
        "quantile_levels": [0.5],
        "upper_nodes": 0,
        "coherent_upper_nodes": 0,
    }
    return GivenDate(given_forecasts(panel), facts, known, days_since)

"""Errors and calibration of published forecasts, day by day: whether they went on as before.

What belongs here: the sequences that are watched, and judging them. What does not: measuring a forecast (``accuracy``).

Only forecasts of the next day are watched: their errors follow one another, while those of several days ahead share
days, on which no sequential test holds. What is expected is known: no bias, and 80% inside the 80% interval.
"""

from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from forecast_assets.contracts import AS_USUAL, CHANGED, TOO_LITTLE_HISTORY
from forecast_assets.core.arrays import Floats
from forecast_assets.drift.daily_figures import ALL_STORES, Scale
from forecast_assets.drift.detectors import LEAST_SPREAD, changes
from forecast_assets.drift.expectations import Deviations, spreads
from forecast_assets.drift.judging import DriftJudgement, mean_size

# Columns of `forecast_accuracy` that are read.
COLUMNS: Final = (
    "cadence", "prediction_date", "model_version", "forecast_horizon", "revision", "target_date", "step",
    "product_level", "store_level", "segment_kind", "sales_units", "expected_sales_units", "quantile_rows",
    "inside_80_rows",
)  # fmt: skip
_COVERAGE: Final = 0.8
_STEP: Final = 1
_FIGURES: Final = 2
# What is said of versions that published lately.
_RECENT: Final = timedelta(days=14)


def judge_forecasts(measured: pl.DataFrame, *, since: date, until: date) -> list[DriftJudgement]:
    """Judge bias and coverage of each version whose forecasts of the next day were measured lately.

    Args:
        measured: Rows of contract `forecast_accuracy`, the newest measurement of each day.
        since: First target date.
        until: Last target date.
    """
    rows = (
        measured.filter(
            pl.col("step") == _STEP,
            pl.col("segment_kind") == "all",
            pl.col("product_level") == "sku",
            pl.col("store_level") == "store",
            pl.col("target_date").is_between(since, until),
        )
        .sort("revision", "forecast_horizon")
        .unique(["cadence", "model_version", "target_date"], keep="last")
        .sort("cadence", "model_version", "target_date")
    )
    found = []
    for (cadence, version), some in rows.group_by("cadence", "model_version", maintain_order=True):
        if some["target_date"][-1] >= until - _RECENT:
            name = f"{cadence} {version}"
            bias, coverage = _daily(some, since, until)
            found += [_judged(name, "bias", "log", bias, until), _judged(name, "coverage_80", "share", coverage, until)]
    return found


def _daily(rows: pl.DataFrame, since: date, until: date) -> tuple[Floats, Floats]:
    """Return [T] the logarithm of sales over expected sales, and [T] what lay inside the interval, less 80%."""
    bias, coverage = (np.full((until - since).days + 1, np.nan) for _ in range(2))
    days = [(day - since).days for day in rows["target_date"]]
    sales, expected, judged, inside = (
        rows[name].cast(pl.Float64).to_numpy()
        for name in ("sales_units", "expected_sales_units", "quantile_rows", "inside_80_rows")
    )
    bias[days] = np.log(np.maximum(sales, 0.5) / np.maximum(expected, 0.5))
    coverage[days] = np.where(judged > 0, inside / np.maximum(judged, 1), np.nan) - _COVERAGE
    return bias, coverage


def _judged(name: str, figure: str, scale: Scale, values: Floats, until: date) -> DriftJudgement:
    own = values[None, :]
    spread, long_spread = spreads(own, LEAST_SPREAD[scale])
    apart = Deviations(own, np.zeros_like(own), spread, long_spread, np.zeros(own.shape, dtype=np.bool_))
    change = changes(apart, scale, _FIGURES)
    last = int(np.flatnonzero(~np.isnan(values))[-1])
    verdict, since, size = AS_USUAL, None, None
    if np.isnan(spread[0]):
        verdict = TOO_LITTLE_HISTORY
    elif change.is_changed[0, -1]:
        first = int(change.since[0, -1])
        verdict, since = CHANGED, until - timedelta(days=len(values) - 1 - first)
        size = mean_size(values[first:])
    expected = _COVERAGE if figure == "coverage_80" else 0.0
    is_known = not np.isnan(spread[0])
    return DriftJudgement(
        "forecast", name, figure, ALL_STORES, scale, verdict,
        value=expected + float(values[last]),
        expected=expected,
        deviation=float(values[last]),
        spread=float(spread[0]) if is_known else None,
        statistic=float(max(change.up[0, -1], change.down[0, -1])) if is_known else None,
        threshold=float(change.threshold[0]) if is_known else None,
        since=since,
        size=size,
    )  # fmt: skip

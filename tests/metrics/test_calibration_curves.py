"""Curves and pictures of backtests: hand-made cases."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.metrics.backtests import Backtest
from forecast_assets.metrics.calibration_curves import quantile_shares, risk_reliability
from forecast_assets.plots.reports import (
    bias_by_level_png,
    error_by_cutoff_png,
    quantile_calibration_png,
    risk_reliability_png,
)

NAMES = np.array(["smooth"])


def backtest(demand: Floats, probability: Floats | None = None, happened: Floats | None = None) -> Backtest:
    """One series whose quantiles are its levels, so that demand of 0.3 lies at its 30% point."""
    row = demand[None, :]
    nothing = np.zeros_like(row)
    return Backtest(
        cutoff=date(2025, 6, 1), hierarchy=None, past_sales=np.ones((1, 28)), sales=row, expected_sales=nothing,
        demand=row, mean=nothing, quantiles=np.broadcast_to(QUANTILES, (*row.shape, len(QUANTILES))),
        demand_class=NAMES, others={"seasonal_naive": nothing}, naive_demand=nothing,
        stockout_probability=None if probability is None else probability[None, :],
        is_stockout=None if happened is None else happened[None, :],
    )  # fmt: skip


def test_right_quantiles_have_as_much_between_them_as_they_say() -> None:
    even = (np.arange(2000) + 0.5) / 2000
    shares = quantile_shares([backtest(even[:1000]), backtest(even[1000:])])
    assert shares["rows"].unique().to_list() == [2000]
    assert shares["low"].to_list() == [0.0, *QUANTILES]
    assert (shares["share"] - (shares["high"] - shares["low"])).abs().max() < 1e-9  # type: ignore[operator]


def test_quantiles_that_are_too_low_have_too_much_above_them() -> None:
    shares = quantile_shares([backtest(np.full(10, 2.0))])
    assert shares["share"].to_list() == [0.0] * len(QUANTILES) + [1.0]


def test_days_of_unknown_demand_say_nothing() -> None:
    known = quantile_shares([backtest(np.array([0.3, np.nan]))])
    assert known["rows"].to_list()[0] == 1
    assert known["share"].sum() == 1.0
    assert quantile_shares([backtest(np.array([np.nan]))])["share"].null_count() == len(QUANTILES) + 1


def test_reliability_counts_what_came_by_what_was_said() -> None:
    said = np.array([0.05, 0.05, 0.15, 0.95, 1.0, np.nan, 0.5])
    came = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, np.nan])
    bins = risk_reliability([backtest(np.ones(7), said, came)])
    assert bins.rows() == [(0.05, 0.5, 2), (0.15, 0.0, 1), (0.975, 1.0, 2)]
    assert risk_reliability([backtest(np.ones(7))]).is_empty()


def report() -> pl.DataFrame:
    """Two methods at two cutoffs, with two levels."""
    rows = [
        (cutoff, method, kind, segment, metric, 0.1 * at, 10)
        for cutoff in (date(2025, 6, 1), date(2025, 6, 8), None)
        for kind, segment, metrics in (
            ("all", "all", ("wape", "bias")),
            ("level", "total x total", ("node_bias", "node_bias_before_reconciliation")),
            ("level", "sku x store", ("node_bias", "node_bias_before_reconciliation")),
        )
        for metric in metrics
        for at, method in enumerate(("version", "seasonal_naive"), start=1)
    ]
    names = ["cutoff", "method", "segment_kind", "segment", "metric", "value", "rows"]
    return pl.DataFrame(rows, schema=names, orient="row")


SHARES = quantile_shares([backtest((np.arange(100) + 0.5) / 100)])
BINS = risk_reliability([backtest(np.ones(2), np.array([0.1, 0.9]), np.array([0.0, 1.0]))])
TOGETHER = report().filter(pl.col("cutoff").is_null())


@pytest.mark.parametrize(
    ("draw", "frame", "other"),
    [
        (bias_by_level_png, TOGETHER, TOGETHER.with_columns(pl.col("value") * 3)),
        (bias_by_level_png, TOGETHER.filter(segment="none"), TOGETHER),
        (error_by_cutoff_png, report(), report().with_columns(pl.col("value") * 3)),
        (quantile_calibration_png, SHARES, quantile_shares([backtest(np.full(10, 2.0))])),
        (risk_reliability_png, BINS, BINS.clear()),
    ],
)
def test_a_picture_follows_from_its_frame_alone(draw: object, frame: pl.DataFrame, other: pl.DataFrame) -> None:
    assert callable(draw)
    assert draw(frame).startswith(b"\x89PNG")
    assert draw(frame) == draw(frame)
    assert draw(frame) != draw(other)


def test_a_backtest_may_have_no_risk_at_all() -> None:
    one = backtest(np.ones(3))
    assert one.rated[0].size == 0
    assert replace(one, stockout_probability=np.full((1, 3), np.nan), is_stockout=np.ones((1, 3))).rated[0].size == 0

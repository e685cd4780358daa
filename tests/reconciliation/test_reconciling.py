from datetime import date

import numpy as np
import polars as pl
import pytest

from forecast_assets.contracts import BASE_FORECASTS, QUANTILE_COLUMNS, RECONCILED_FORECASTS
from forecast_assets.core.errors import HierarchyError
from forecast_assets.core.quantities import publish
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.reconciled_means import reconcile
from forecast_assets.reconciliation.reconciling import coherence_report, reconciled_frame
from tests.support.forecast_cases import series_of

HIERARCHY = Hierarchy.build(series_of(8), None, None)
INFORMATION = HIERARCHY.information
UNITS = np.arange(1.0, 9.0)[:, None] * np.array([[1.0, 2.0]])


def _frames(base_units: np.ndarray, node_units: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    run = {
        "cadence": "daily", "prediction_date": date(2025, 1, 1), "model_version": "stat-1",
        "forecast_horizon": np.int32(2), "revision": np.int32(0),
    }  # fmt: skip
    steps = pl.DataFrame({"step": [1, 2]}, schema={"step": pl.Int32})
    common = [pl.lit(value).alias(name) for name, value in run.items()]
    target = (pl.lit(date(2025, 1, 1)) + pl.duration(days=pl.col("step"))).alias("target_date")
    both = []
    for keys, units in ((HIERARCHY.series, base_units), (INFORMATION.nodes, node_units)):
        rows = keys.join(steps, how="cross", maintain_order="left_right")
        both.append(rows.with_columns(*common, target, publish(units, "base_units")))
    quantiles = [publish(base_units * (0.5 + 0.1 * i), name) for i, name in enumerate(QUANTILE_COLUMNS)]
    return both[0].with_columns(quantiles), both[1].with_columns(variance_ratio=pl.lit(None, pl.Float64))


def test_a_higher_total_raises_series_in_proportion_to_their_units() -> None:
    """Eight alike series of one store level each: with equal gaps everywhere, all grow by one factor."""
    sums = INFORMATION.matrix @ UNITS
    moved = reconcile(UNITS, 1.2 * sums, HIERARCHY)
    growth = moved / UNITS
    assert growth == pytest.approx(growth[0, 0], abs=0.02)
    assert 1.05 < growth[0, 0] < 1.2


def test_a_node_is_listened_to_by_how_much_its_errors_vary_beside_those_of_the_sums() -> None:
    """Two shelves with one total: the corrected sum is the mean of both forecasts, weighted by inverse variances."""
    alone = Hierarchy.build(series_of(2, stores=1), None, None)
    total = alone.information.nodes["store_level"] == "total"
    base, wanted = np.array([[3.0], [1.0]]), np.where(total, 6.0, 4.0)[:, None]
    for ratio in (0.25, 1.0, 3.0):
        ratios = np.where(total, ratio, 1e9)
        moved = reconcile(base, wanted, alone, ratios)
        assert moved.sum() == pytest.approx((4.0 * ratio + 6.0) / (ratio + 1.0), abs=1e-4)
        assert moved[0] / moved[1] == pytest.approx(3.0, abs=1e-4)
    assert (reconcile(base, wanted, alone) == reconcile(base, wanted, alone, np.ones(len(wanted)))).all()


def test_the_frame_listens_as_its_nodes_say() -> None:
    base, nodes = _frames(UNITS, 1.2 * (INFORMATION.matrix @ UNITS))
    usual, trusting = (
        reconciled_frame(base, nodes.with_columns(variance_ratio=pl.lit(ratio, pl.Float64)), HIERARCHY)
        for ratio in (None, 0.1)
    )
    before, some, more = (frame[name].sum() for frame, name in (
        (base, "base_units"), (usual, "reconciled_units"), (trusting, "reconciled_units"),
    ))  # fmt: skip
    assert before < some < more


def test_a_series_at_zero_stays_at_zero() -> None:
    base = UNITS.copy()
    base[3] = 0.0
    moved = reconcile(base, 3.0 * (INFORMATION.matrix @ UNITS), HIERARCHY)
    assert (moved[3] == 0.0).all()
    assert (np.delete(moved, 3, axis=0) > np.delete(base, 3, axis=0)).all()
    assert reconcile(0.0 * base, INFORMATION.matrix @ UNITS, HIERARCHY).sum() == 0.0


def test_a_closed_day_stays_at_zero_while_other_days_of_the_series_move() -> None:
    base = UNITS.copy()
    base[:4, 1] = 0.0
    moved = reconcile(base, 1.2 * (INFORMATION.matrix @ base), HIERARCHY)
    assert (moved[:4, 1] == 0.0).all()
    assert (moved[base > 0] > base[base > 0]).all()


def test_a_total_of_nothing_never_makes_a_series_negative() -> None:
    assert (reconcile(UNITS, 0.0 * (INFORMATION.matrix @ UNITS), HIERARCHY) >= 0.0).all()


def test_the_frame_keeps_its_contract_and_scales_the_quantiles() -> None:
    base = UNITS.copy()
    base[3] = 0.0
    frame = reconciled_frame(*_frames(base, 1.2 * (INFORMATION.matrix @ base)), HIERARCHY)
    RECONCILED_FORECASTS.validate(frame)
    values = frame.select(pl.col("base_units", "reconciled_units", *QUANTILE_COLUMNS).cast(pl.Float64)).to_numpy()
    before, after, quantiles = values[:, 0], values[:, 1], values[:, 2:]
    expected = (0.5 + 0.1 * np.arange(13)) * after[:, None]
    assert quantiles == pytest.approx(expected, abs=1e-5)
    assert (after[before == 0.0] == 0.0).all()
    assert frame.columns != BASE_FORECASTS.names


def test_frames_of_other_series_are_refused() -> None:
    base, nodes = _frames(UNITS, INFORMATION.matrix @ UNITS)
    with pytest.raises(HierarchyError, match="not of the series and nodes"):
        reconciled_frame(base, nodes, Hierarchy.build(series_of(9), None, None))
    with pytest.raises(HierarchyError, match="not of the series and nodes"):
        reconciled_frame(base.head(-1), nodes, HIERARCHY)


def test_the_report_says_by_level_how_far_the_base_was_from_adding_up() -> None:
    nodes = INFORMATION.matrix @ UNITS
    nodes[-1] += 4.0
    found = coherence_report(*_frames(UNITS, nodes), HIERARCHY)
    gaps = dict(zip(found.select("product_level", "store_level").rows(), found["mean_absolute_gap_units"], strict=True))
    assert gaps == {("total", "store"): 0.0, ("total", "total"): pytest.approx(4.0)}

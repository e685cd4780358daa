"""What holds for all forecasts, coherent or not."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecast_assets.core.arrays import Floats
from forecast_assets.core.quantities import to_millionths
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.reconciled_means import reconcile
from tests.support.forecast_cases import products, series_of

SERIES = series_of(24, stores=3)
HIERARCHY = Hierarchy.build(SERIES, products(*((f"K{i:03d}", f"c{i % 2}") for i in range(8))), None)
SUMMING = HIERARCHY.information.matrix

units = st.floats(0.0, 500.0).map(lambda value: 0.0 if value < 0.01 else value)
forecasts = arrays(np.float64, (24, 3), elements=units)
nodes = arrays(np.float64, (SUMMING.shape[0], 3), elements=st.floats(0.0, 2000.0))


@settings(max_examples=60, deadline=None)
@given(base=forecasts)
def test_reconciling_coherent_forecasts_changes_nothing(base: Floats) -> None:
    moved = reconcile(base, SUMMING @ base, HIERARCHY)
    assert (to_millionths(moved) == to_millionths(base)).all()


@settings(max_examples=60, deadline=None)
@given(base=forecasts, node=nodes)
def test_reconciled_forecasts_are_never_negative_and_zeros_stay(base: Floats, node: Floats) -> None:
    moved = reconcile(base, node, HIERARCHY)
    assert np.isfinite(moved).all()
    assert (moved >= 0.0).all()
    assert (moved[base == 0.0] == 0.0).all()


@settings(max_examples=60, deadline=None)
@given(base=forecasts, node=nodes)
def test_sums_of_published_units_are_the_same_by_every_path(base: Floats, node: Floats) -> None:
    millionths = to_millionths(reconcile(base, node, HIERARCHY))
    sums = HIERARCHY.aggregate(millionths)
    levels = HIERARCHY.nodes.select("product_level", "store_level").rows()
    for level in set(levels):
        rows = [i for i, found in enumerate(levels) if found == level]
        assert (sums[rows].sum(axis=0) == millionths.sum(axis=0)).all()

"""What holds of sample paths whatever is forecast, however series hang together, and however the work is cut."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy import summing_of
from forecast_assets.models.sample_paths.dependence import OWN, Dependence
from forecast_assets.models.sample_paths.drawing import Factor, JointPaths
from forecast_assets.models.sample_paths.marginals import Marginals
from forecast_assets.models.sample_paths.periods import Periods, PeriodSums
from forecast_assets.models.sample_paths.randomness import keys_of
from forecast_assets.models.sample_paths.sums import quantiles_of_sums

N = 50
UNITS = st.floats(0, 1e6).map(lambda units: round(units, 3)) | st.sampled_from([0.0, 0.001, 1.0])
LEVELS = ("all", "store", "product", "product x store")


@st.composite
def paths(draw: st.DrawFn) -> JointPaths:
    """Paths of up to nine series over up to five days, some of which never sell, in up to three stores."""
    count, horizon = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    mean = np.array(draw(st.lists(UNITS, min_size=count * horizon, max_size=count * horizon))).reshape(count, horizon)
    spread = draw(st.floats(0, 3))
    quantiles = mean[:, :, None] * np.maximum(1 + spread * ndtri(np.array(QUANTILES)), 0)
    shares = draw(st.lists(st.floats(0.01, 1), min_size=9, max_size=9))
    weights = np.array(shares) / sum(shares) * draw(st.floats(0, 0.98))
    lasting, daily = weights[:5].tolist(), weights[5:].tolist()
    dependence = Dependence(dict(zip([*LEVELS, OWN], lasting, strict=True)), dict(zip(LEVELS, daily, strict=True)))
    store, product = np.arange(count) % 3, np.arange(count) // 3
    nodes = dict(zip(LEVELS, (np.zeros(count, dtype=np.int64), store, product, np.arange(count)), strict=True))
    factors = {
        level: Factor(keys_of([(level, str(at)) for at in range(int(node.max()) + 1)], 1), node)
        for level, node in nodes.items()
    }
    is_whole = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    keys = keys_of([("series", str(at)) for at in range(count)], 1)
    return JointPaths(Marginals(mean, quantiles, is_whole), dependence, keys, factors, N, workers=1)


def drawn(of: JointPaths, **options: Any) -> Floats:
    """[n, H, N] units."""
    return replace(of, **options).units(np.arange(len(of.keys)))


@given(paths())
def test_outcomes_are_not_negative_whole_where_they_should_be_and_have_the_mean(of: JointPaths) -> None:
    units, mean = drawn(of), of.marginals.mean
    assert units.min() >= 0
    whole = units[of.marginals.is_whole]
    assert (whole == np.rint(whole)).all()
    off = np.abs(units.mean(axis=2) - mean)
    rounding = 1e-9 * (1 + mean)
    assert (off <= 0.5 / N * of.marginals.is_whole[:, None] + rounding).all()


@given(paths(), st.sampled_from([1, 7, 1000]), st.sampled_from([1, 2, 3]))
def test_paths_do_not_depend_on_how_the_work_is_cut(of: JointPaths, block: int, workers: int) -> None:
    assert drawn(of, block=block, workers=workers).tobytes() == drawn(of).tobytes()


@given(paths(), st.data())
def test_paths_of_some_series_are_what_they_are_among_all(of: JointPaths, data: st.DataObject) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(of.keys) - 1), min_size=1, unique=True)))
    assert of.units(rows).tobytes() == np.ascontiguousarray(drawn(of)[rows]).tobytes()


@given(paths())
def test_levels_are_coherent_path_by_path_and_quantiles_rise(of: JointPaths) -> None:
    units = drawn(of)
    total = units.sum(axis=0)
    for level in LEVELS:
        sums = np.stack([summing_of(of.factors[level].node) @ units[:, day] for day in range(units.shape[1])])
        # Float sums in another order; whole numbers are exact in any.
        assert np.allclose(sums.sum(axis=1), total, rtol=1e-12)
        if of.marginals.is_whole.all():
            assert (sums.sum(axis=1) == total).all()
        quantiles = quantiles_of_sums(of, summing_of(of.factors[level].node)).nodes
        assert (np.diff(quantiles, axis=2) >= 0).all()


@given(paths())
def test_periods_grow_and_cover_more_with_more_units(of: JointPaths) -> None:
    count, horizon = of.marginals.mean.shape
    sums = PeriodSums(Periods(horizon, N, {str(days): days for days in range(1, horizon + 1)}, {}), workers=1)
    for units in of.steps():
        sums.add(units)
    found = np.stack([sums.found[str(days)] for days in range(1, horizon + 1)])
    assert found.shape == (horizon, count, 17)
    assert (np.diff(found, axis=0) >= -1e-9 * (1 + found[1:])).all()
    assert (np.diff(found[:, :, :13], axis=2) >= 0).all()
    assert (np.diff(found[:, :, 13:], axis=2) >= 0).all()

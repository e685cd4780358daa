"""Sample paths where there is least or most: one series, nothing sold, one day or ninety, one level or ten."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.sample_paths.dependence import OWN, CutoffErrors, Dependence, learn_dependence, level_name
from forecast_assets.models.sample_paths.drawing import JointPaths, factors_of, series_keys
from forecast_assets.models.sample_paths.marginals import Marginals, moment_with_score
from forecast_assets.models.sample_paths.periods import PeriodSums, periods_of
from forecast_assets.models.sample_paths.sums import quantiles_of_sums

N = 200


def hierarchy_of(stores: int, skus: int, levels: int) -> Hierarchy:
    """Cross stores with SKUs below so many product levels; level k parts them into 2^k nodes at most."""
    series = pl.DataFrame(
        {
            "store_id": np.repeat([f"S{at:02}" for at in range(stores)], skus),
            "sku_id": np.tile([f"P{at:04}" for at in range(skus)], stores),
        }
    )
    rows = [
        {"sku_id": f"P{at:04}", "depth": depth, "level_name": f"level-{depth}", "node_id": f"{depth}-{at % 2**depth}"}
        for at in range(skus)
        for depth in range(1, levels + 1)
    ]
    return Hierarchy.build(series, pl.DataFrame(rows) if rows else None, None)


def marginals_of(mean: Floats) -> Marginals:
    quantiles = np.maximum(mean[:, :, None] + np.sqrt(mean)[:, :, None] * ndtri(np.array(QUANTILES)), 0.0)
    return Marginals(mean, quantiles, np.ones(len(mean), dtype=np.bool_))


def learned(hierarchy: Hierarchy, cutoffs: int, horizon: int, mean: float) -> Dependence:
    """Learn from errors that all series of a store share in part."""
    random = np.random.default_rng(3)
    marginals = marginals_of(np.full((hierarchy.series.height, horizon), mean))
    moment = moment_with_score(marginals, range(horizon), N)
    store = np.unique(hierarchy.series["store_id"], return_inverse=True)[1]
    nodes = {level_name(*level.name): level.code for level in hierarchy.crossed_levels}
    errors = [
        moment * (0.5 * random.normal(size=(store.max() + 1, horizon))[store] + random.normal(size=moment.shape))
        for _ in range(cutoffs)
    ]
    return learn_dependence([CutoffErrors(error, moment, nodes) for error in errors])


@pytest.mark.parametrize(
    ("stores", "skus", "levels", "horizon", "cutoffs", "mean"),
    [
        (1, 1, 0, 7, 2, 3.0),
        (1, 1, 10, 1, 1, 3.0),
        (2, 5, 0, 7, 0, 3.0),
        (2, 5, 0, 7, 1, 3.0),
        (3, 8, 2, 7, 3, 0.0),
        (2, 6, 1, 1, 2, 0.4),
        (2, 6, 1, 90, 2, 0.4),
        (2, 1100, 10, 2, 2, 1.5),
    ],
    ids=[
        "one series", "one series, one day, ten levels", "no cutoff", "one cutoff", "nothing sold", "one day",
        "ninety days", "ten levels",
    ],
)  # fmt: skip
def test_paths_are_whole_and_coherent(
    stores: int, skus: int, levels: int, horizon: int, cutoffs: int, mean: float
) -> None:
    hierarchy = hierarchy_of(stores, skus, levels)
    shares = learned(hierarchy, cutoffs, horizon, mean)
    assert shares.rest > 0
    factors = factors_of(hierarchy, shares)
    means = np.full((hierarchy.series.height, horizon), mean)
    paths = JointPaths(marginals_of(means), shares.only(factors), series_keys(hierarchy), factors, N, workers=2)
    periods = PeriodSums(periods_of(hierarchy.series, None, horizon, N))
    quantiles = quantiles_of_sums(paths, hierarchy.summing, on_day=periods.add).nodes
    assert quantiles.shape == (hierarchy.nodes.height, horizon, 13)
    assert (np.diff(quantiles, axis=2) >= 0).all()
    units = paths.units(np.arange(len(means)))
    assert (units == np.rint(units)).all()
    assert units.min() >= 0
    assert np.abs(units.mean(axis=2) - means).max() <= 0.5 / N + 1e-9
    assert_sums(hierarchy, units, quantiles)
    assert periods.found["horizon"][:, :13] == pytest.approx(hazen(units.sum(axis=1)))


def assert_sums(hierarchy: Hierarchy, units: Floats, quantiles: Floats) -> None:
    """At every pair of levels, the first and the last node have the quantiles of the sums of their series' paths."""
    places = {name: row for row, name in enumerate(hierarchy.nodes.select(NODE).iter_rows())}
    for level in hierarchy.crossed_levels:
        names: Sequence[tuple[str, ...]] = level.frame.select(NODE).rows()
        for at in {0, len(names) - 1}:
            sums = units[level.code == at].sum(axis=0)
            assert quantiles[places[names[at]]] == pytest.approx(hazen(sums))


NODE = ["product_level", "product_node", "store_level", "store_node"]


def hazen(paths: Floats) -> Floats:
    return np.moveaxis(np.quantile(paths, QUANTILES, axis=-1, method="hazen"), 0, -1)


def test_one_series_knows_only_itself() -> None:
    shares = learned(hierarchy_of(1, 1, 0), 2, 7, 3.0)
    assert {*shares.lasting, *shares.daily} <= {OWN}


def test_of_one_cutoff_what_stores_share_is_found() -> None:
    shares = learned(hierarchy_of(12, 12, 1), 1, 28, 3.0)
    assert shares.daily["total x store"] == pytest.approx(0.2, abs=0.07)

"""Paths against what they are promised to be: exact marginals, and sums that vary as factors say."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.hierarchy import Hierarchy
from forecast_assets.models.sample_paths.dependence import OWN, Dependence
from forecast_assets.models.sample_paths.drawing import Factor, JointPaths, factors_of, order_of, series_keys
from forecast_assets.models.sample_paths.marginals import Marginals
from forecast_assets.models.sample_paths.randomness import keys_of

STORES, EACH, HORIZON, N = 8, 30, 6, 400
COUNT = STORES * EACH


def paths_of(dependence: Dependence, *, is_whole: bool = False, block: int = 64, workers: int = 1) -> JointPaths:
    mean = np.linspace(20.0, 60.0, COUNT)[:, None] * np.ones(HORIZON)
    quantiles = mean[:, :, None] * (1 + 0.1 * ndtri(np.array(QUANTILES)))
    names = [("series", str(number)) for number in range(COUNT)]
    factors = {
        "all": Factor(keys_of([("all",)], 1), np.zeros(COUNT, dtype=np.int64)),
        "store": Factor(keys_of([("store", str(at)) for at in range(STORES)], 1), np.arange(COUNT) // EACH),
    }
    kept = {name: factor for name, factor in factors.items() if name in {**dependence.lasting, **dependence.daily}}
    marginals = Marginals(mean, quantiles, np.full(COUNT, is_whole))
    return JointPaths(marginals, dependence, keys_of(names, 1), kept, N, block, workers)


def drawn(paths: JointPaths) -> Floats:
    """[H, n, N]."""
    return np.stack(list(paths.steps()))


MIXED = Dependence({"all": 0.1, OWN: 0.2}, {"store": 0.15, "all": 0.05})


@pytest.mark.parametrize("is_whole", [False, True])
def test_every_series_has_its_outcomes_and_its_mean(is_whole: bool) -> None:
    paths = paths_of(MIXED, is_whole=is_whole)
    for step, units in enumerate(paths.steps()):
        assert np.sort(units, axis=1).tolist() == paths.marginals.outcomes(step, N).tolist()
        assert np.abs(units.mean(axis=1) - paths.marginals.mean[:, step]).max() <= 0.5 / N + 1e-9


def test_paths_do_not_depend_on_blocks_or_threads() -> None:
    whole = drawn(paths_of(MIXED, block=COUNT))
    for block, workers in ((1, 1), (7, 2), (100, 3)):
        assert drawn(paths_of(MIXED, block=block, workers=workers)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 400, 500, 512, 513])
def test_places_are_those_of_sorting_by_score(count: int) -> None:
    scores = np.random.default_rng(count).normal(size=(50, count))
    assert order_of(scores.copy()).tolist() == scores.argsort(axis=1).tolist()


def test_scores_that_differ_in_their_last_bit_are_in_order_too() -> None:
    """The bits in which a place is carried are those that tell such scores apart."""
    score = np.random.default_rng(1).normal(size=(30, 1)).repeat(500, axis=1)
    for column in range(1, 500):
        score[:, column] = np.nextafter(score[:, column - 1], np.inf)
    mixed = np.random.default_rng(2).permuted(score, axis=1)
    assert (np.diff(np.take_along_axis(mixed, order_of(mixed), axis=1), axis=1) > 0).all()


def test_some_series_alone_have_the_same_paths() -> None:
    """No path of a series needs another's numbers."""
    paths, rows = paths_of(MIXED), np.array([3, 100, 239])
    assert drawn(paths.take(rows)).tobytes() == np.ascontiguousarray(drawn(paths)[:, rows]).tobytes()


def test_a_level_that_is_gone_leaves_its_share_to_each_day() -> None:
    series = pl.DataFrame({"store_id": ["S1", "S1", "S2"], "sku_id": ["A", "B", "A"]})
    hierarchy = Hierarchy.build(series, None, None)
    learned = Dependence({"total x total": 0.1, "department x total": 0.2, OWN: 0.3}, {"department x store": 0.1})
    factors = factors_of(hierarchy, learned)
    kept = learned.only(factors)
    assert (kept, round(kept.rest, 9)) == (Dependence({"total x total": 0.1, OWN: 0.3}, {}), 0.6)
    few = paths_of(MIXED).take(np.arange(3))
    assert drawn(replace(few, dependence=kept, keys=series_keys(hierarchy), factors=factors)).shape == (HORIZON, 3, N)


def test_without_dependence_sums_vary_as_independent_series_do() -> None:
    units = drawn(paths_of(Dependence.none()))
    spread = np.sqrt((units.var(axis=2)).sum(axis=1))
    assert units.sum(axis=1).std(axis=1) == pytest.approx(spread, rel=0.15)


def test_sums_vary_as_their_factors_say() -> None:
    units = drawn(paths_of(MIXED))
    deviation = units[0].std(axis=1)
    independent, together = (deviation**2).sum(), deviation.sum() ** 2
    in_stores = (deviation.reshape(STORES, -1).sum(axis=1) ** 2).sum()
    # Of the sum of all on a day: 0.15 is shared by all, 0.15 by stores, and the rest by nobody.
    expected = 0.15 * together + 0.15 * in_stores + 0.7 * independent
    assert units.sum(axis=1).var(axis=1) == pytest.approx(np.full(HORIZON, expected), rel=0.2)
    # Of a series over all days: 0.3 lasts.
    whole, daily = units.sum(axis=0).var(axis=1), units.var(axis=2).sum(axis=0)
    assert (whole / daily).mean() == pytest.approx(1 + 0.3 * (HORIZON - 1), rel=0.05)
    # Of all over all days, 0.1 lasts.
    lasting = 0.1 * HORIZON**2 * together + 0.2 * HORIZON**2 * independent
    once = 0.05 * HORIZON * together + 0.15 * HORIZON * in_stores + 0.5 * HORIZON * independent
    assert units.sum(axis=(0, 1)).var() == pytest.approx(lasting + once, rel=0.2)

"""How far forecasts of nodes are to be trusted beside sums, where the answer is known."""

import numpy as np
import polars as pl
import pytest

from forecast_assets.models.node_levels import (
    NodeLevel,
    NodesAtCutoff,
    decided,
    learned_share,
    losses_by_model,
    summing_matrix,
    variance_ratios,
)

NODES, HORIZON = 40, 14


def cutoff(own_error: float, sums_error: float, seed: int = 0) -> NodesAtCutoff:
    """Forecasts with independent errors of so many units about a hundred, each node's the same on all days."""
    random = np.random.default_rng(seed)
    own, sums = (100.0 + random.normal(0.0, error, (NODES, 1)) * np.ones(HORIZON) for error in (own_error, sums_error))
    return NodesAtCutoff({"a": own, "b": own + 30.0}, sums, random.poisson(100.0, (NODES, HORIZON)).astype(float))


@pytest.mark.parametrize(("own", "sums"), [(5.0, 20.0), (20.0, 5.0), (10.0, 10.0)])
def test_many_cutoffs_learn_the_share_of_inverse_variances(own: float, sums: float) -> None:
    learned = learned_share([cutoff(own, sums, seed) for seed in range(200)], "a")
    assert learned == pytest.approx(sums**2 / (own**2 + sums**2), abs=0.05)


def test_one_cutoff_counts_as_much_as_what_is_expected() -> None:
    told = cutoff(0.0, 20.0)
    assert told.best_share("a") == pytest.approx(1.0, abs=0.03)
    assert learned_share([told], "a") == pytest.approx((0.5 + told.best_share("a")) / 2.0)
    assert learned_share([told], "a", 0.2, 4.0) == pytest.approx((0.8 + told.best_share("a")) / 5.0)


def test_neither_forecast_is_thought_to_know_nothing() -> None:
    assert learned_share([cutoff(1e-9, 50.0, seed) for seed in range(50)], "a") == 0.95
    assert learned_share([cutoff(50.0, 1e-9, seed) for seed in range(50)], "a") == 0.05


def test_where_both_forecasts_are_the_same_half_is_each() -> None:
    sums = np.full((3, 2), 7.0)
    assert NodesAtCutoff({"a": sums}, sums, sums + 1.0).best_share("a") == 0.5
    nothing = np.zeros((3, 2))
    assert NodesAtCutoff({"a": nothing}, nothing, nothing).best_share("a") == 0.5


def test_models_are_compared_level_by_level() -> None:
    losses = losses_by_model([[cutoff(1.0, 1.0)], [cutoff(2.0, 1.0)]])
    assert losses["a"] == pytest.approx(1.0)
    assert losses["b"] > 3.0


def test_a_node_of_which_nothing_is_expected_decides_nothing() -> None:
    """One unit sold where nothing is expected is no ground for taking one level model for as good as another."""
    sound = cutoff(1.0, 1.0)
    more = NodesAtCutoff(
        {name: np.vstack([own, np.zeros((1, HORIZON))]) for name, own in sound.own.items()},
        np.vstack([sound.sums, np.zeros((1, HORIZON))]),
        np.vstack([sound.actual, np.eye(1, HORIZON)]),
    )
    assert losses_by_model([[more]]) == losses_by_model([[sound]])
    assert more.best_share("a") == sound.best_share("a")


def test_a_node_has_the_ratio_of_its_levels_and_one_of_others_has_one() -> None:
    nodes = pl.DataFrame({"product_level": ["total", "total", "sku"], "store_level": ["total", "store", "total"]})
    levels = [NodeLevel("total", "store", 0.8), NodeLevel("sku", "total", 0.2)]
    assert variance_ratios(nodes, levels).tolist() == [1.0, pytest.approx(0.25), 4.0]
    assert decided(nodes, levels).tolist() == [False, True, True]


def test_nodes_that_are_looked_at_are_spread_evenly() -> None:
    code = np.repeat(np.arange(10), 3)
    assert summing_matrix(code, 100).toarray().sum() == 30
    few = summing_matrix(code, 2).toarray()
    assert few.shape == (2, 30)
    assert few[0, :3].all()
    assert few[1, -3:].all()

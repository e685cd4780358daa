"""The solver against the same equations written out, and variances against those that effects were drawn with."""

import numpy as np
import pytest
from scipy import sparse

from forecast_assets.core.arrays import Floats
from forecast_assets.models.calendar.mixed_model import NOISE, Estimate, Layer, MixedModel, _balance

NODES, DAYS = 12, 40
GROUP, STORE = np.tile(np.arange(3), 4), np.repeat(np.arange(4), 3)


def model(random: np.random.Generator) -> tuple[MixedModel, Floats]:
    """A model, and weights of its observations, some of them 0."""
    designs = [sparse.csr_matrix((random.random((DAYS, 4)) < 0.4).astype(float)) for _ in range(2)]
    every, two = np.arange(4), np.array([0, 2])
    kind = np.array(["weekday", "weekday", "event", "event"])
    common = {"weekday": 0.5, "event": 0.8}
    layers = [
        Layer("all", np.zeros(NODES, dtype=np.intp), every, kind, common),
        Layer("group", GROUP, every, kind, common),
        Layer("store", STORE, every, kind, common),
        Layer("node", np.arange(NODES), two, kind[two], {"weekday": 0.2, "event": 0.3}),
        Layer("all", np.zeros(NODES, dtype=np.intp), np.arange(0), np.array([NOISE]), {NOISE: 0.3}),
        Layer("group", GROUP, np.arange(0), np.array([NOISE]), {NOISE: 0.2}),
    ]
    weight = random.uniform(0.5, 20.0, (DAYS, NODES)) * (random.random((DAYS, NODES)) < 0.9)
    return MixedModel(designs, [slice(0, 6), slice(6, 12)], layers), weight


def written_out(made: MixedModel) -> Floats:
    """[T * J, size] what each effect does to each observation."""
    unit = np.eye(made.size)
    return np.stack([made.predicted(made.parts(row), noise=True).ravel() for row in unit], axis=1)


def test_prediction_sums_the_layers_of_a_node() -> None:
    made, _ = model(np.random.default_rng(0))
    effects = made.parts(np.arange(made.size, dtype=np.float64))
    day, node = 7, 10
    row = made.designs[1].toarray()[day]
    own = np.zeros(4)
    own[[0, 2]] = effects[3][:, node]
    sums = effects[0][:, 0] + effects[1][:, GROUP[node]] + effects[2][:, STORE[node]] + own
    assert made.predicted(effects, noise=False)[day, node] == pytest.approx(row @ sums)
    shared = effects[4][day, 0] + effects[5][day, GROUP[node]]
    assert made.predicted(effects, noise=True)[day, node] == pytest.approx(row @ sums + shared)


def test_gathering_is_the_transpose_of_prediction() -> None:
    made, _ = model(np.random.default_rng(1))
    values = np.random.default_rng(2).normal(size=(DAYS, NODES))
    gathered = np.concatenate([part.ravel() for part in made.gathered(values)])
    assert gathered == pytest.approx(written_out(made).T @ values.ravel())


def test_effects_solve_the_penalised_normal_equations() -> None:
    random = np.random.default_rng(3)
    made, weights = model(random)
    target = random.normal(size=(DAYS, NODES))
    estimate = Estimate.start(made)
    estimate.solve(made, target, weights, tolerance=1e-7)
    rows, weight = written_out(made), weights.ravel()
    precision = np.diag(1.0 / estimate.deviations(made) ** 2)
    exact = np.linalg.solve(rows.T @ (weight[:, None] * rows) + precision, rows.T @ (weight * target.ravel()))
    assert np.concatenate([part.ravel() for part in estimate.effects(made)]) == pytest.approx(exact, abs=1e-4)


def test_variances_are_those_that_effects_were_drawn_with() -> None:
    """Sixty stores differ by 0.4 where 0.1 was expected, and on a day share 0.02 where 0.3 was expected."""
    random = np.random.default_rng(4)
    stores, days = 60, 150
    design = sparse.csr_matrix(np.eye(3)[np.arange(days) % 3])
    kind = np.array(["weekday"] * 3)
    layers = [
        Layer("store", np.arange(stores), np.arange(3), kind, {"weekday": 0.1}),
        Layer("all", np.zeros(stores, dtype=np.intp), np.arange(0), np.array([NOISE]), {NOISE: 0.3}),
    ]
    effects = 0.4 * random.normal(size=(3, stores))
    target = design @ effects + 0.02 * random.normal(size=(days, 1)) + 0.1 * random.normal(size=(days, stores))
    made, weight = MixedModel([design], [slice(0, stores)], layers), np.full((days, stores), 100.0)
    estimate = Estimate.start(made)
    for _ in range(6):
        estimate.solve(made, target, weight)
        decided = estimate.learn(made, weight)
    assert estimate.variances[0]["weekday"] ** 0.5 == pytest.approx(0.4, rel=0.15)
    assert estimate.variances[1][NOISE] ** 0.5 < 0.1
    assert 180 < decided < 180 + days


def test_what_nothing_was_seen_of_keeps_the_variance_that_was_expected() -> None:
    made, weights = model(np.random.default_rng(5))
    estimate, unseen = Estimate.start(made), np.zeros_like(weights)
    before = [dict(variance) for variance in estimate.variances]
    estimate.solve(made, np.ones_like(weights), unseen)
    assert estimate.learn(made, unseen) == 0.0
    for found, expected in zip(estimate.variances, before, strict=True):
        assert found == pytest.approx(expected)
    assert not np.any(estimate.scaled)


def test_sharing_effects_out_between_layers_leaves_their_sums_and_makes_them_likelier() -> None:
    made, _ = model(np.random.default_rng(6))
    estimate = Estimate.start(made)
    flat = np.random.default_rng(7).normal(size=made.size)
    before, after = made.parts(flat.copy()), made.parts(flat)
    _balance(made, after, estimate.variances)
    assert made.predicted(after, noise=True) == pytest.approx(made.predicted(before, noise=True))
    unlikely = [sum(float((part**2).sum()) for part in _scaled(made, estimate, each)) for each in (before, after)]
    assert unlikely[1] < 0.95 * unlikely[0]


def test_layers_are_told_apart_also_where_solving_ends_early() -> None:
    """What columns do by group would take long to be told from what they do to all."""
    random = np.random.default_rng(8)
    made, weights = model(random)
    target = made.predicted(made.parts(0.3 * random.normal(size=made.size)), noise=True)
    rough, exact = Estimate.start(made), Estimate.start(made)
    rough.solve(made, target, weights, tolerance=1e-2)
    exact.solve(made, target, weights, tolerance=1e-8)
    for found, true in zip(rough.effects(made), exact.effects(made), strict=True):
        assert found == pytest.approx(true, abs=0.05)


def _scaled(made: MixedModel, estimate: Estimate, effects: list[Floats]) -> list[Floats]:
    return [part / sd for part, sd in zip(effects, made.parts(estimate.deviations(made)), strict=True)]

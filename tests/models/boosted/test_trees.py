"""Trees: contributions add up to scores, bytes do not depend on threads, damage is named."""

import numpy as np
import pytest

from forecast_assets.core.arrays import InputMatrix
from forecast_assets.core.errors import InputError
from forecast_assets.models.boosted.trees import Trees, fit_trees

NAMES = ("size", "price", "kind", "noise")
DRIVERS = ("level_units", "price_units", "level_units", "trend_units")


def examples(count: int = 20_000, seed: int = 0) -> tuple[InputMatrix, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, len(NAMES))).astype(np.float32)
    inputs[:, 2] = random.integers(0, 6, count)
    inputs[::9, 3] = np.nan
    mean = np.exp(0.4 * inputs[:, 0] - 0.8 * inputs[:, 1] + 0.5 * (inputs[:, 2] % 2))
    return inputs, random.poisson(mean).astype(np.float64)


def fitted(workers: int = 1) -> Trees:
    inputs, units = examples()
    offset = np.zeros(len(units))
    return fit_trees(
        inputs, units, offset, names=NAMES, drivers=DRIVERS, categorical=["kind"], rounds=40, workers=workers
    )


@pytest.fixture(scope="module")
def trees() -> Trees:
    return fitted()


def test_contributions_add_up_to_the_score_that_lightgbm_gives(trees: Trees) -> None:
    inputs, _ = examples(5_000, seed=3)
    parts = trees.contributions(inputs)
    assert parts.shape == (5_000, 1 + len(set(DRIVERS)))
    np.testing.assert_allclose(
        parts.sum(axis=1), trees.start + trees.booster.predict(inputs, raw_score=True), atol=1e-12
    )
    np.testing.assert_allclose(trees.score(inputs), parts.sum(axis=1), atol=1e-12)
    assert len(np.unique(parts[:, 0])) == 1


def test_a_contribution_is_that_of_the_inputs_of_its_driver(trees: Trees) -> None:
    """By the law, price counts by -0.8, and what is noise for nearly nothing."""
    inputs, _ = examples(5_000, seed=3)
    parts = dict(zip(trees.names, trees.contributions(inputs)[:, 1:].T, strict=True))
    assert np.corrcoef(parts["price_units"], inputs[:, 1])[0, 1] < -0.95
    assert parts["trend_units"].std() < 0.05 * parts["price_units"].std()


def test_the_same_trees_for_any_number_of_threads(trees: Trees) -> None:
    assert fitted(workers=2).text == trees.text


def test_the_same_trees_for_any_number_of_threads_of_units_that_differ_much() -> None:
    """Sums of large and small gradients differ in their last digits if threads share out the rows."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(200_000, len(NAMES))).astype(np.float32)
    log_offset = random.normal(0.0, 5.0, len(inputs))
    units = random.gamma(1.0, np.exp(log_offset + 0.3 * inputs[:, 1])) * (random.random(len(inputs)) < 0.7)
    one, two = (
        fit_trees(inputs, units, log_offset, names=NAMES, drivers=DRIVERS, rounds=3, workers=workers).text
        for workers in (1, 2)
    )
    assert one == two


def test_reading_the_text_back_gives_the_same_bits(trees: Trees) -> None:
    inputs, _ = examples(1_000, seed=5)
    again = Trees.from_data(trees.to_data(), trees.drivers)
    np.testing.assert_array_equal(again.contributions(inputs), trees.contributions(inputs))


def test_a_row_has_the_same_bits_alone_and_among_others(trees: Trees) -> None:
    inputs, _ = examples(1_000, seed=5)
    np.testing.assert_array_equal(trees.score(inputs[7:8]), trees.score(inputs)[7:8])


def test_an_offset_is_what_trees_start_from() -> None:
    """Units of twice what the offset leads to expect: a score of log 2, whatever the inputs."""
    inputs, _ = examples()
    log_offset = np.linspace(-1.0, 2.0, len(inputs))
    units = np.random.default_rng(6).poisson(2.0 * np.exp(log_offset)).astype(np.float64)
    trees = fit_trees(inputs, units, log_offset, names=NAMES, drivers=DRIVERS, rounds=60, workers=1)
    assert trees.score(inputs).mean() == pytest.approx(np.log(2.0), abs=0.02)
    assert trees.score(inputs).std() < 0.1


def test_trees_that_are_none_are_refused(trees: Trees) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        _ = Trees("no model", 0.0, DRIVERS).booster
    with pytest.raises(InputError, match="look at 4 inputs, and 2 are named"):
        _ = Trees(trees.text, 0.0, DRIVERS[:2]).booster

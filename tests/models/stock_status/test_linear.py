"""The line that trees start from: what it finds, and that it adds up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_assets.models.stock_status.linear import LinearOdds, fit_linear, solved

ROWS = 20_000


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs [k, 3], known log odds, and outcomes whose odds follow the first two inputs."""
    random = np.random.default_rng(4)
    inputs = random.normal(2.0, 3.0, (ROWS, 3)).astype(np.float32)
    shared = random.normal(-0.5, 0.5, ROWS)
    odds = shared + 0.3 + 0.8 * (inputs[:, 0] - 2.0) / 3.0 - 0.4 * (inputs[:, 1] - 2.0) / 3.0
    return inputs, shared, (random.random(ROWS) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float64)


def test_a_line_finds_what_moves_the_odds(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    line = fit_linear(*case)
    np.testing.assert_allclose(line.weights, [0.8, -0.4, 0.0], atol=0.06)
    assert line.start == pytest.approx(0.3, abs=0.06)


def test_with_few_rows_a_line_says_little(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    few = fit_linear(*(each[:20] for each in case))
    assert max(abs(weight) for weight in few.weights) < 0.2


def test_what_inputs_add_is_shared_out_without_remainder(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    line, first = fit_linear(*case), np.array([True, False, False])
    whole, some, others = line.odds(case[0], [np.ones(3, dtype=np.bool_), first, ~first])
    np.testing.assert_allclose(whole, some + others, atol=1e-12)


def test_a_line_is_read_back_as_it_was_written(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    line = fit_linear(*case)
    assert LinearOdds.from_data(vars(line)) == line


@given(st.integers(1, 8), st.integers(0, 1000))
def test_equations_are_solved(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    factor = random.normal(size=(size, size))
    matrix, right = factor @ factor.T + np.eye(size), random.normal(size=size)
    np.testing.assert_allclose(matrix @ solved(matrix, right), right, atol=1e-8)

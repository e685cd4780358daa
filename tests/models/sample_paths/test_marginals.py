import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from forecast_assets.contracts import QUANTILES
from forecast_assets.models.sample_paths.marginals import Marginals, even_levels, moment_with_score

N = 500


def normal(mean: float, deviation: float) -> Marginals:
    quantiles = mean + deviation * ndtri(np.array(QUANTILES))
    return Marginals(np.array([[mean]]), np.maximum(quantiles, 0.0)[None, None], np.array([False]))


def test_outcomes_are_those_of_the_distribution() -> None:
    found = normal(100.0, 10.0).outcomes(0, N)[0]
    assert found == pytest.approx(100 + 10 * ndtri(even_levels(N)), rel=1e-9)


def test_a_slow_mover_has_whole_outcomes_with_its_mean() -> None:
    quantiles = np.where(np.array(QUANTILES) < 0.9, 0.0, 1.0)[None, None]
    found = Marginals(np.array([[0.1128]]), quantiles, np.array([True])).outcomes(0, N)[0]
    assert set(found.tolist()) <= {0.0, 1.0, 2.0}
    assert found.mean() == pytest.approx(0.1128, abs=0.5 / N)


def test_a_mean_without_a_quantile_above_nought_is_in_the_last_outcome() -> None:
    found = Marginals(np.array([[0.004]]), np.zeros((1, 1, 13)), np.array([True])).outcomes(0, N)[0]
    assert found[:-1].tolist() == [0.0] * (N - 1)
    assert found[-1] == 2.0


@settings(max_examples=60, deadline=None)
@given(
    mean=st.floats(0.0, 1e4),
    factors=st.lists(st.floats(0.0, 5.0), min_size=13, max_size=13).map(sorted),
    is_whole=st.booleans(),
    paths=st.sampled_from([1, 7, 500]),
)
def test_whatever_the_quantiles_outcomes_rise_and_keep_the_mean(
    mean: float, factors: list[float], is_whole: bool, paths: int
) -> None:
    case = Marginals(np.array([[mean]]), mean * np.array(factors)[None, None], np.array([is_whole]))
    found = case.outcomes(0, paths)[0]
    assert (found >= 0).all()
    assert (np.diff(found) >= 0).all()
    if is_whole:
        assert (found == np.rint(found)).all()
        assert found.mean() == pytest.approx(mean, abs=0.5 / paths * (1 + 1e-9), rel=1e-12)
    else:
        assert found.mean() == pytest.approx(mean, rel=1e-12)


def test_the_moment_with_the_score_is_the_deviation_of_a_normal_day() -> None:
    assert moment_with_score(normal(100.0, 10.0), [0], N)[0, 0] == pytest.approx(10.0, rel=0.02)


def test_the_moment_of_a_slow_mover_is_less_than_its_deviation() -> None:
    quantiles = np.where(np.array(QUANTILES) < 0.9, 0.0, 1.0)[None, None]
    slow = Marginals(np.array([[0.1]]), quantiles, np.array([True]))
    assert 0.0 < moment_with_score(slow, [0], N)[0, 0] < 0.7 * slow.outcomes(0, N).std()

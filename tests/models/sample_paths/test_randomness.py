import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from forecast_assets.models.sample_paths.randomness import even_normals, keys_of, normals, uniforms

KEYS = keys_of([("series", str(number)) for number in range(40)], 7)


def test_the_numbers_are_those_of_the_published_generator() -> None:
    """First outputs of SplitMix64 from the state 1234567, as its reference implementation prints them."""
    printed = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = uniforms(np.array([1234567], dtype=np.uint64), 0, 3)[0]
    assert found == pytest.approx(np.array(printed) / 2**64, abs=2**-52)


def test_names_and_seeds_tell_streams_apart() -> None:
    assert len(set(KEYS.tolist())) == 40
    assert not set(KEYS.tolist()) & set(keys_of([("series", str(number)) for number in range(40)], 8).tolist())
    assert keys_of([("series", "3")], 7)[0] == KEYS[3]


def test_where_a_part_of_a_name_ends_counts() -> None:
    names = [("a|b", "c"), ("a", "b|c"), ("a|b|c", ""), ('a", "b', "c")]
    assert len(set(keys_of(names, 7).tolist())) == len(names)


@given(first=st.integers(0, 10_000), count=st.integers(1, 50), at=st.integers(0, 39))
def test_any_part_can_be_had_alone(first: int, count: int, at: int) -> None:
    whole = uniforms(KEYS, 0, first + count)
    assert uniforms(KEYS[at : at + 1], first, count).tobytes() == whole[at : at + 1, first:].tobytes()


def test_numbers_are_evenly_spread_and_independent() -> None:
    drawn = uniforms(KEYS, 0, 5000)
    assert drawn.min() > 0
    assert drawn.max() < 1
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 0.001
    between = np.corrcoef(normals(KEYS, 0, 5000))
    assert np.abs(between - np.eye(40)).max() < 0.07
    after = np.corrcoef(drawn[:, 1:].ravel(), drawn[:, :-1].ravel())[0, 1]
    assert abs(after) < 0.01


def test_even_numbers_are_the_same_slices_in_another_order() -> None:
    drawn = even_normals(KEYS, 3, 200)
    assert np.unique(np.sort(drawn, axis=1), axis=0).shape == (1, 200)
    assert np.unique(drawn, axis=0).shape == (40, 200)
    assert drawn.std() == pytest.approx(1.0, abs=0.02)
    assert np.abs(np.corrcoef(drawn) - np.eye(40)).max() < 0.3

"""Pooled statistics: computed, kept, and held for a few series with their own changes added."""

import numpy as np
import pytest
from scipy import sparse

from forecast_assets.features.pooled import COMPUTED, Held, HeldApart, Kept, Statistic

CODE = np.array([1, 0, 1, 1, 0])
VALUES = np.arange(10.0).reshape(5, 2)


def summing_of(code: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code)))))


def test_what_is_kept_is_what_is_computed() -> None:
    kept = Kept()
    for source in (COMPUTED, kept):
        assert source.of_all("mean", lambda: VALUES.mean(axis=0)).tolist() == [4.0, 5.0]
        assert source.of_series("store", lambda: Statistic(np.array([7.0, 8.0]), CODE)).tolist() == [8, 7, 8, 8, 7]
        assert source.total("total", VALUES[:, 0]).tolist() == [20.0]
        assert source.sums("sums", CODE, summing_of(CODE), VALUES).tolist() == [[10.0, 12.0], [10.0, 13.0]]
    assert set(kept.found) == {"mean", "store", "total", "sums"}


def test_a_name_that_means_two_things_is_a_defect() -> None:
    kept = Kept()
    kept.of_all("mean", lambda: np.array([1.0, np.nan]))
    kept.of_all("mean", lambda: np.array([1.0, np.nan]))
    kept.within("sales").of_all("mean", lambda: np.array([2.0]))
    assert set(kept.found) == {"mean", "sales: mean"}
    with pytest.raises(ValueError, match="`mean` is two different ones"):
        kept.of_all("mean", lambda: np.array([3.0]))


def test_held_statistics_are_those_of_the_run_and_sums_follow_what_changes() -> None:
    kept = Kept()
    kept.of_series("store", lambda: Statistic(np.array([7.0, 8.0]), CODE))
    kept.of_series("own", lambda: Statistic(np.arange(5.0)))
    kept.total("total", VALUES[:, 0])
    kept.sums("sums", CODE, summing_of(CODE), VALUES)
    rows = np.array([0, 0, 3, 3, 4, 4])
    held = Held(kept.found, rows)
    few = VALUES[rows].copy()
    few[1] += 100.0
    few[3] += 10.0
    never = lambda: pytest.fail("computed from a few series")  # noqa: E731
    assert held.of_series("store", never).tolist() == [8, 8, 8, 8, 7, 7]
    assert held.of_series("own", never).tolist() == [0, 0, 3, 3, 4, 4]
    assert held.total("total", few[:, 0]).tolist() == [20, 130, 20, 130, 20, 130]
    node = held.nodes(CODE[rows])
    sums = held.sums("sums", node, summing_of(node), few)[node]
    assert sums[:, 0].tolist() == [10, 120, 10, 120, 10, 10]


def test_questions_that_do_not_hold_together_do_not_see_each_other() -> None:
    kept = Kept()
    kept.total("total", VALUES[:, 0])
    kept.within("scope").sums("sums", CODE, summing_of(CODE), VALUES)
    rows = np.array([0, 0, 0, 0, 3, 3])
    apart = HeldApart(kept.found, rows)
    few = VALUES[rows].copy()
    few[1] += 100.0
    few[5] += 10.0
    assert apart.total("total", few[:, 0]).tolist() == [20, 120, 20, 20, 20, 30]
    scoped = apart.within("scope")
    node = scoped.nodes(CODE[rows])
    assert scoped.sums("sums", node, summing_of(node), few)[node][:, 0].tolist() == [10, 110, 10, 10, 10, 20]


def test_where_nothing_changes_held_sums_are_the_kept_ones_to_the_last_bit() -> None:
    random = np.random.default_rng(1)
    values, code = random.random((50, 4)) * 1e6, random.integers(0, 6, 50)
    kept = Kept()
    whole = kept.sums("sums", code, summing_of(code), values)
    rows = np.repeat(random.choice(50, 20, replace=False), 2)
    held = Held(kept.found, rows)
    node = held.nodes(np.unique(code[rows], return_inverse=True)[1])
    found = held.sums("sums", node, summing_of(node), values[rows])[node]
    assert found.tobytes() == whole[code[rows]].tobytes()


def test_a_few_of_changed_and_published_series_have_no_sums() -> None:
    with pytest.raises(NotImplementedError, match="sums would lack changes"):
        Held({}, np.array([0, 0, 1, 1])).take(np.array([1]))

import numpy as np
import pytest
from scipy import sparse

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.arrays import Floats
from forecast_assets.models.sample_paths import sums
from forecast_assets.models.sample_paths.sums import quantiles_of_moved_sums, quantiles_of_paths, quantiles_of_sums
from tests.models.sample_paths.test_drawing import COUNT, HORIZON, MIXED, drawn, paths_of

SUMMING = sparse.csr_matrix((np.random.default_rng(0).random((9, COUNT)) < 0.3).astype(np.int64))


def test_quantiles_are_those_of_numpy() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=(5, 77))
    expected = np.quantile(values, QUANTILES, axis=1, method="hazen").T
    assert quantiles_of_paths(values) == pytest.approx(expected)
    assert quantiles_of_paths(values[:, :1]) == pytest.approx(np.repeat(values[:, :1], len(QUANTILES), axis=1))


def test_nodes_and_first_days_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_NODES", 4)
    found, units = quantiles_of_sums(paths_of(MIXED), SUMMING, (2, HORIZON)), drawn(paths_of(MIXED))
    for step in range(HORIZON):
        assert found.nodes[:, step] == pytest.approx(quantiles_of_paths(SUMMING @ units[step]))
    for days in (2, HORIZON):
        whole = units[:days].sum(axis=0)
        assert found.first_days[days] == pytest.approx(quantiles_of_paths(SUMMING @ whole))


def test_every_day_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    quantiles_of_sums(paths_of(MIXED), SUMMING, progress=lambda *each: told.append(each))
    assert told == [("sample paths drawn", step, HORIZON) for step in range(1, HORIZON + 1)]


def test_sums_do_not_depend_on_threads() -> None:
    alone = quantiles_of_sums(paths_of(MIXED), SUMMING).nodes
    assert quantiles_of_sums(paths_of(MIXED, workers=3), SUMMING).nodes.tobytes() == alone.tobytes()


@pytest.mark.parametrize("workers", [1, 3])
def test_sums_of_what_has_moved_are_those_of_all(workers: int) -> None:
    moved = np.zeros((COUNT, HORIZON), dtype=np.bool_)
    moved[[3, 77], 1], moved[5, 4] = True, True
    days: list[Floats] = []
    of = paths_of(MIXED, workers=workers)
    found = quantiles_of_moved_sums(of, SUMMING, moved, on_day=lambda units: days.append(units.copy()))
    touched = SUMMING @ moved > 0
    assert 0 < touched.sum() < touched[:, [1, 4]].size
    expected = quantiles_of_sums(paths_of(MIXED), SUMMING).nodes
    assert found[touched].tobytes() == expected[touched].tobytes()
    assert not found[~touched].any()
    assert np.stack(days).tobytes() == drawn(of)[:, [3, 5, 77]].tobytes()


@pytest.mark.parametrize("has_moved", [False, True])
def test_all_or_nothing_may_have_moved(has_moved: bool) -> None:
    days: list[Floats] = []
    moved = np.full((COUNT, HORIZON), has_moved)
    found = quantiles_of_moved_sums(paths_of(MIXED), SUMMING, moved, on_day=lambda units: days.append(units.copy()))
    expected = quantiles_of_sums(paths_of(MIXED), SUMMING).nodes
    assert found.tobytes() == (expected if has_moved else np.zeros_like(expected)).tobytes()
    assert [day.shape[0] for day in days] == [COUNT if has_moved else 0] * HORIZON

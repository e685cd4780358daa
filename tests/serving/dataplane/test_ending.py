"""What goes on in the background when a process ends: nobody waits for it, and what fails is not tried for ever."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from forecast_assets.core.keys import RunKey
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from resources.feature_cache.in_process import InProcessCache
from resources.feature_cache.on_disk import OnDiskCache
from resources.stores.home import Stores
from tests.support.store_cases import run_key

KEY = run_key()


def features_of(stores: Stores, prepare: Callable[[Stores, RunKey], PreparedRun]) -> OnlineFeatures:
    return OnlineFeatures(stores, PreparedRuns(stores, prepare=prepare), InProcessCache())


def test_a_process_that_ends_does_not_wait_for_a_run_that_is_being_prepared(stores: Stores) -> None:
    go = Event()

    def slow(_stores: Stores, _run: RunKey) -> PreparedRun:
        assert go.wait(60)
        raise AssertionError("nobody waits for it any more")

    features = features_of(stores, slow)
    with pytest.raises(TimeoutError):
        features.of(KEY, [("S-01", "A")], 0.01)
    started = monotonic()
    features.close()
    # As the interpreter does when it ends.
    features._writer.shutdown(wait=True)
    assert monotonic() - started < 20
    go.set()


def test_a_run_that_fails_by_its_own_time_limit_is_not_prepared_again_and_again(stores: Stores) -> None:
    go, times = Event(), list[RunKey]()

    def fails(_stores: Stores, run: RunKey) -> PreparedRun:
        times.append(run)
        assert go.wait(60)
        raise TimeoutError

    features = features_of(stores, fails)
    with pytest.raises(TimeoutError):
        features.of(KEY, [("S-01", "A")], 0.01)
    go.set()
    features.finish()
    # Twice if it had failed before anything waited in the background.
    assert len(times) <= 2
    features.close()


def test_a_cache_that_is_slow_is_no_reason_to_prepare_a_run(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, times = Event(), list[RunKey]()

    def prepare(_stores: Stores, run: RunKey) -> PreparedRun:
        times.append(run)
        raise AssertionError("it is in the cache")

    runs = PreparedRuns(stores, prepare=prepare)
    features = OnlineFeatures(stores, runs, OnDiskCache(tmp_path / "features.sqlite"))
    monkeypatch.setattr(features, "cached", lambda *_: go.wait(60))
    with pytest.raises(TimeoutError):
        features.of(KEY, [("S-01", "A")], 0.05)
    go.set()
    features.finish()
    assert times == []
    # As it answers in time it is what is asked.
    assert features.of(KEY, [("S-01", "A")], 10.0) is True  # type: ignore[comparison-overlap]
    features.close()


def test_a_question_that_nobody_waits_for_any_more_is_not_read(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, asked = Event(), list[str]()
    features = OnlineFeatures(stores, PreparedRuns(stores), OnDiskCache(tmp_path / "features.sqlite"))

    def cached(_run: RunKey, series: list[tuple[str, str]]) -> bool:
        asked.append(series[0][1])
        return go.wait(60)

    def gives_up(sku: str) -> None:
        with pytest.raises(TimeoutError):
            features.of(KEY, [("S-01", sku)], 0.2)

    monkeypatch.setattr(features, "cached", cached)
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(gives_up, "abcd"))
    for sku in "efgh":
        gives_up(sku)
    go.set()
    features.of(KEY, [("S-01", "last")], 10.0)
    assert sorted(asked) == ["a", "b", "c", "d", "last"]
    features.close()


class _PanicError(BaseException):
    """As libraries report defects of their own, around `Exception`."""


def test_a_panic_of_a_library_reaches_who_asks_as_an_error_and_no_run_is_waited_for_any_more(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, times = Event(), list[RunKey]()

    def panics(_stores: Stores, run: RunKey) -> PreparedRun:
        times.append(run)
        assert go.wait(60)
        raise _PanicError

    features = OnlineFeatures(stores, PreparedRuns(stores, prepare=panics), OnDiskCache(tmp_path / "features.sqlite"))
    monkeypatch.setattr(features, "cached", lambda *_: None)
    monkeypatch.setattr(features._runs, "one_of_whole", lambda *_: None)
    for _ in range(2):
        go.clear()
        with pytest.raises(TimeoutError):
            features.of(KEY, [("S-01", "A")], 0.2)
        assert KEY in features._missed
        go.set()
        features.finish()
        assert KEY not in features._missed
    with pytest.raises(RuntimeError, match="_PanicError"):
        features.of(KEY, [("S-01", "A")], 10.0)

    def cached(*_: object) -> None:
        raise _PanicError

    monkeypatch.setattr(features, "cached", cached)
    before = len(times)
    with pytest.raises(RuntimeError, match="_PanicError"):
        features.of(KEY, [("S-01", "A")], 10.0)
    assert len(times) == before
    features.close()

"""A prepared run, and processes that answer from it or from a cache."""

from collections.abc import Callable, Iterator
from time import time

import pytest

from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.prepared import PreparedRun, prepare_run
from resources.feature_cache.cache import FeatureCache
from tests.support.feature_cases import Process
from tests.support.retailers import KEY


@pytest.fixture(scope="module")
def prepared(plane: DataPlane) -> PreparedRun:
    return prepare_run(plane.stores, KEY, workers=1)


@pytest.fixture
def now() -> list[float]:
    """Seconds of a clock that all processes share."""
    return [time()]


@pytest.fixture
def process(plane: DataPlane, prepared: PreparedRun, now: list[float]) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(cache: FeatureCache, make: Callable[[], PreparedRun] = lambda: prepared) -> Process:
        started.append(Process(plane, make, cache, now))
        return started[-1]

    yield start
    for each in started:
        each.features.close()

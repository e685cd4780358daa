"""A small home, made by hand, behind both doors."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from forecast_assets.core.breaker import Breaker
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predictor
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores
from tests.support.rpc_calls import RpcCaller, serving
from tests.support.store_cases import ingest, publish, register, run_key

NOW = datetime(2025, 1, 5, 9, tzinfo=UTC)
RUNS = (run_key(0), run_key(1), run_key(1, "stat-2"), run_key(1, revision=1), run_key(2))


def _no_model(*_: Any) -> Any:
    raise OSError("runs made by hand have no model")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> DataPlane:
    """Five runs of two versions; predictions are answered by what was published."""
    stores = open_stores(tmp_path_factory.mktemp("small") / "store")
    ingest(stores)
    for version in ("stat-1", "stat-2"):
        register(stores, version)
    for units, key in enumerate(RUNS, 3):
        publish(stores, key, units)
    stores.registry.promote("stat-1", by="tests", reason="first")
    # What came on a day that runs look at.
    ingest(stores, day=2)
    plane = DataPlane(stores, lambda: NOW)
    plane.predictor = Predictor(
        plane.stores, PreparedRuns(plane.stores, prepare=_no_model), breaker=lambda: Breaker(failures=1_000_000)
    )
    return plane


@pytest.fixture(scope="session")
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> ApiKeys:
    return ApiKeys(tmp_path_factory.mktemp("keys") / "operational.db")


@pytest.fixture(scope="session")
def planner_key(own_keys: ApiKeys) -> str:
    return own_keys.create("tests", "planner", now=NOW, valid_for=timedelta(days=1))[1]


@pytest.fixture
def callers(own_keys: ApiKeys) -> Callers:
    return Callers(own_keys, lambda: NOW, per_minute={"planner": 10_000, "reader": 10_000})


@pytest.fixture
def caller(small: DataPlane, callers: Callers, planner_key: str) -> Iterator[RpcCaller]:
    with serving(small, callers, planner_key) as found:
        yield found

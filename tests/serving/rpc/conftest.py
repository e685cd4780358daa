"""A small home behind the gRPC door."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import ROLES
from forecast_assets.serving.dataplane.plane import DataPlane
from resources.operational.api_keys import ApiKeys
from tests.support.rpc_calls import RpcCaller, serving
from tests.support.small_home import NOW_OF_SMALL


@pytest.fixture(scope="session")
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> ApiKeys:
    return ApiKeys(tmp_path_factory.mktemp("keys") / "operational.db")


@pytest.fixture(scope="session")
def planner_key(own_keys: ApiKeys) -> str:
    return own_keys.create("tests", "planner", now=NOW_OF_SMALL, valid_for=timedelta(days=1))[1]


@pytest.fixture
def callers(own_keys: ApiKeys) -> Callers:
    return Callers(own_keys, lambda: NOW_OF_SMALL, per_minute=dict.fromkeys(ROLES, 10_000))


@pytest.fixture
def caller(small: DataPlane, callers: Callers, planner_key: str) -> Iterator[RpcCaller]:
    with serving(small, callers, planner_key) as found:
        yield found

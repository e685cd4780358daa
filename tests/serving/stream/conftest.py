"""A small home behind the stream door, on every broker."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import ROLES
from resources.broker.broker import Broker
from resources.broker.memory import MemoryBroker
from resources.operational.api_keys import ApiKeys
from tests.support.brokers import kafka_broker
from tests.support.small_home import NOW_OF_SMALL
from tests.support.stream_calls import StreamCaller


@pytest.fixture(scope="session")
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> ApiKeys:
    return ApiKeys(tmp_path_factory.mktemp("keys") / "operational.db")


@pytest.fixture(scope="session")
def support_key(own_keys: ApiKeys) -> str:
    return own_keys.create("tests", "support", now=NOW_OF_SMALL, valid_for=timedelta(days=1))[1]


@pytest.fixture
def callers(own_keys: ApiKeys) -> Callers:
    return Callers(own_keys, lambda: NOW_OF_SMALL, per_minute=dict.fromkeys(ROLES, 100_000))


@pytest.fixture(params=["memory", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "memory":
        yield MemoryBroker()
        return
    with kafka_broker() as made:
        yield made


@pytest.fixture
def caller(broker: Broker, support_key: str) -> Iterator[StreamCaller]:
    made = StreamCaller(broker, support_key)
    yield made
    made.close()

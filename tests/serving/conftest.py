"""A published retailer behind the data plane, and a client that speaks HTTP to it without a network."""

from datetime import timedelta
from pathlib import Path

import pytest
from httpx import ASGITransport

from forecast_assets.launch import Runner
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores
from tests.support.callers import Client
from tests.support.planning_cases import NOW, Planning, planning_on
from tests.support.small_home import small_stores, without_model


@pytest.fixture(scope="session")
def plane(published: tuple[Runner, RunOutcome]) -> DataPlane:
    return DataPlane(published[0].stores, lambda: NOW)


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home made by hand, which nothing but its making writes to."""
    home = tmp_path_factory.mktemp("small")
    small_stores(home / "store")
    return home


@pytest.fixture(scope="session")
def small(small_home: Path) -> DataPlane:
    """The same behind the data plane; predictions are answered by what was published."""
    return without_model(open_stores(small_home / "store"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ApiKeys:
    return ApiKeys(tmp_path_factory.mktemp("keys") / "operational.db")


@pytest.fixture(scope="session")
def reader_key(keys: ApiKeys) -> str:
    return keys.create("tests", "reader", now=NOW, valid_for=timedelta(days=1))[1]


@pytest.fixture
def client(plane: DataPlane, keys: ApiKeys, reader_key: str) -> Client:
    app = create_app(plane, Callers(keys, lambda: NOW))
    return Client(ASGITransport(app=app, raise_app_exceptions=False), reader_key)


@pytest.fixture(scope="module")
def planning(published: tuple[Runner, RunOutcome], tmp_path_factory: pytest.TempPathFactory) -> Planning:
    return planning_on(published[0], tmp_path_factory.mktemp("planning") / "home")

"""The HTTP door while Redis fails in every way: right answers, no errors of the server, and told in /health/ready."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from httpx import ASGITransport

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.request_counts import RequestCounts
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.predicting import Predictor
from resources.feature_cache.redis_cache import RedisCache
from resources.operational.api_keys import ApiKeys
from resources.redis_server.server import RedisServer
from tests.serving.conftest import NOW
from tests.support.callers import Client
from tests.support.redis_servers import PrivateRedis, listener, redis_server
from tests.support.retailers import KEY

Start = Callable[[str], tuple[Client, DataPlane]]


@pytest.fixture
def start(
    plane: DataPlane, keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], tuple[Client, DataPlane]]]:
    """Start a service, as a process does it, with a Redis."""
    monkeypatch.setattr(RedisServer.__init__, "__kwdefaults__", {"left_alone_seconds": 0.2})
    key = keys.create("redis", "planner", now=NOW, valid_for=timedelta(days=1))[1]
    started: list[DataPlane] = []

    def begin(url: str) -> tuple[Client, DataPlane]:
        counts = RequestCounts(url)
        made = DataPlane(plane.stores, lambda: NOW, cache=RedisCache(url), also_degraded=counts.degraded)
        # Whatever else the machine does meanwhile.
        made.predictor = Predictor(made.stores, features=made.features, deadline_seconds=60.0)
        app = create_app(made, Callers(keys, lambda: NOW, counts=counts))
        started.append(made)
        return Client(ASGITransport(app=app, raise_app_exceptions=False), key), made

    yield begin
    for each in started:
        each.close()


def predicted(client: Client) -> dict[str, Any]:
    row = client.get("/v1/forecasts?model_version=stat-1&limit=1").json()["rows"][0]
    series = {"store_id": row["store_id"], "sku_id": row["sku_id"]}
    body = {"use": "what_if", "model_version": "stat-1", "series": [series]}
    found = client.request("POST", "/v1/predict", json=body)
    assert found.status_code == 200
    answer: dict[str, Any] = found.json()
    # Nothing is changed, so that it has to be the published row.
    assert answer["forecasts"][0]["forecast_units"] == row["forecast_units"]
    assert (answer["run"]["served_from"], answer["degraded"]) == ("model", False)
    return answer


def health(client: Client) -> dict[str, Any]:
    found = client.get("/health/ready")
    assert found.status_code == 200
    state: dict[str, Any] = found.json()
    return state


def test_a_service_that_prepares_nothing_answers_and_counts_what_it_found(start: Start, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        (_, first), (client, second) = start(server.url), start(server.url)
        first.features.warm(KEY)
        assert predicted(client)["held"]
        assert not second.features.is_ready(KEY)
        state = health(client)
        assert state["features"] == {"place": server.url, "answers": True, "hits": 1, "misses": 0, "put": 0}
        assert not any("Redis" in said for said in state["degraded"])


def test_gone_and_back_answers_stay_right_and_health_tells_it(start: Start, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        (_, first), (client, _) = start(server.url), start(server.url)
        first.features.warm(KEY)
        before = predicted(client)
        server.stop()
        assert predicted(client)["forecasts"] == before["forecasts"]
        state = health(client)
        assert [said for said in state["degraded"] if "Redis" in said] == [
            "features are of runs prepared in this process alone: Redis fails (ConnectionError)",
            "requests are counted in this process alone: Redis fails (ConnectionError)",
        ]
        assert (state["status"], state["features"]["answers"]) == ("ready", False)
        server.start()
        sleep(0.25)
        state = health(client)
        assert (not any("Redis" in said for said in state["degraded"]), state["features"]["answers"]) == (True, True)
        assert predicted(client)["forecasts"] == before["forecasts"]


def hanging(_folder: Path) -> Any:
    return listener()


def of_something_else(_folder: Path) -> Any:
    return listener(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize("faulty", [hanging, of_something_else])
def test_what_is_no_redis_is_gone_around(start: Start, tmp_path: Path, faulty: Callable[[Path], Any]) -> None:
    with faulty(tmp_path) as url:
        client, _ = start(url)
        predicted(client)
        began = monotonic()
        for _ in range(20):
            assert client.get("/v1/versions").status_code == 200
        # Some of them try again, and wait for a fifth of a second at most.
        assert monotonic() - began < 10.0
        assert len([said for said in health(client)["degraded"] if "Redis" in said]) == 2


def test_a_wrong_password_is_told_and_not_shown(start: Start, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "right") as server:
        client, _ = start(server.url.replace("right", "secret"))
        predicted(client)
        state = health(client)
        assert "AuthenticationError" in str(state["degraded"])
        assert "secret" not in str(state)
        assert state["features"]["place"] == f"redis://:***@127.0.0.1:{server.port}"


def test_limits_hold_over_services_and_while_redis_is_gone(plane: DataPlane, keys: ApiKeys, tmp_path: Path) -> None:
    key = keys.create("often", "reader", now=NOW, valid_for=timedelta(days=1))[1]

    def client(server: PrivateRedis) -> Client:
        callers = Callers(keys, lambda: NOW, counts=RequestCounts(server.url), per_minute={"reader": 4})
        return Client(ASGITransport(app=create_app(plane, callers), raise_app_exceptions=False), key)

    with redis_server(tmp_path / "redis") as server:
        first, second = client(server), client(server)
        assert [one.get("/v1/versions").status_code for one in (first, first, second, second, first)] == [200] * 4 + [
            429
        ]
        server.stop()
        assert [second.get("/v1/versions").status_code for _ in range(4)] == [200, 200, 429, 429]

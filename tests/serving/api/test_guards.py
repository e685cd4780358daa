"""What holds for every request: keys, limits, ids, bounds, headers."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from httpx import ASGITransport

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES
from resources.operational.api_keys import ApiKeys
from tests.serving.conftest import NOW
from tests.support.callers import Client


def test_without_a_key_nothing_is_read(client: Client) -> None:
    client.key = None
    found = client.get("/v1/versions")
    assert (found.status_code, found.json()["code"]) == (401, "not-authenticated")
    assert found.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["nonsense", "fak_000000000000_x", "fak_", "x" * 5000])
def test_a_key_of_nobody_is_refused(client: Client, key: str) -> None:
    client.key = key
    assert client.get("/v1/versions").json()["detail"] == "The key is nobody's."


def test_expired_and_revoked_keys_are_refused(plane: DataPlane, keys: ApiKeys) -> None:
    app = create_app(plane, Callers(keys, lambda: NOW))
    expired = keys.create("old", "reader", now=NOW - timedelta(days=2), valid_for=timedelta(days=1))
    revoked = keys.create("gone", "reader", now=NOW, valid_for=None)
    keys.revoke(revoked[0].key_id, now=NOW)
    for (key, text), what in ((expired, "expired"), (revoked, "revoked")):
        found = Client(ASGITransport(app=app), text).get("/v1/versions")
        assert (found.status_code, found.json()["detail"]) == (401, f"The key {key.key_id} is {what}.")


def test_who_asks_too_often_is_told_when_to_ask_again(plane: DataPlane, keys: ApiKeys, reader_key: str) -> None:
    app = create_app(plane, Callers(keys, lambda: NOW, per_minute={"reader": 3}))
    client = Client(ASGITransport(app=app), reader_key)
    assert [client.get("/v1/versions").status_code for _ in range(3)] == [200, 200, 200]
    found = client.get("/v1/versions")
    assert found.status_code == 429
    assert int(found.headers["retry-after"]) >= 1


def test_ids_and_trace_context_come_back(client: Client) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    found = client.get("/health/live", headers={"X-Request-Id": "order-7", "traceparent": trace})
    assert (found.headers["x-request-id"], found.headers["traceparent"]) == ("order-7", trace)
    odd = client.get("/health/live", headers={"X-Request-Id": "a b\tc", "traceparent": "00-0-0-0"})
    assert len(odd.headers["x-request-id"]) == 36
    assert odd.headers["traceparent"] != "00-0-0-0"


@pytest.mark.parametrize("is_counted", [True, False])
def test_a_body_that_is_too_large_is_refused(client: Client, *, is_counted: bool) -> None:
    body = b"x" * (LARGEST_REQUEST_BYTES + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:1000]
        yield body[1000:]

    found = client.request("POST", "/v1/predict", content=body if is_counted else pieces())
    assert (found.status_code, found.json()["code"]) == (413, "too-large")
    assert found.json()["request_id"] == found.headers["x-request-id"]


def test_a_defect_is_told_to_the_log_and_not_to_the_caller(
    client: Client, plane: DataPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise KeyError("inner secret")

    monkeypatch.setattr(plane, "versions", broken)
    found = client.get("/v1/versions", headers={"X-Request-Id": "order-7"})
    assert (found.status_code, found.json()["code"]) == (500, "defect")
    assert (found.json()["request_id"], found.headers["x-request-id"]) == ("order-7", "order-7")
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in found.text
    failed = next(record for record in caplog.records if record.exc_info)
    assert "order-7" in failed.getMessage()
    assert "inner secret" in str(failed.exc_info[1])  # type: ignore[index]


def test_browsers_are_told_what_not_to_do(client: Client) -> None:
    headers = client.get("/health/live").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_document_says_what_each_route_takes(client: Client) -> None:
    client.key = None
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/forecasts", "/v1/risks", "/v1/explanations", "/v1/versions", "/v1/history"} <= set(paths)

"""Who may scrape, and that figures of requests are by route and never by what was asked."""

from pathlib import Path

import pytest
from httpx import ASGITransport
from prometheus_client import CollectorRegistry

from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import ROLES
from forecast_assets.serving.api.app import create_app
from forecast_assets.serving.api.metrics_route import add_metrics
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.service_metrics import service_collector
from forecast_assets.settings import Settings
from forecast_assets.telemetry.collectors import home_collectors
from forecast_assets.telemetry.request_metrics import RequestMetrics
from resources.operational.api_keys import ApiKeys
from tests.support.callers import Client
from tests.support.metrics_read import Samples, labelled, parsed
from tests.support.planning_cases import NOW


@pytest.fixture
def clients(plane: DataPlane, keys: ApiKeys, tmp_path: Path) -> dict[str, Client]:
    """A caller of each role, of one service."""
    registry, callers = CollectorRegistry(auto_describe=False), Callers(keys, lambda: NOW)
    app = create_app(plane, callers, RequestMetrics(registry))
    collectors = [service_collector(plane), *home_collectors(Settings(home=tmp_path), plane.stores, lambda: NOW)]
    add_metrics(app, registry, collectors, callers)
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    return {role: Client(transport, keys.create(role, role, now=NOW, valid_for=None)[1]) for role in ROLES}


def scraped(clients: dict[str, Client]) -> Samples:
    found = clients["monitor"].get("/metrics")
    assert (found.status_code, found.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return parsed(found.text)


@pytest.mark.parametrize(("role", "status"), [
    ("monitor", 200), ("operator", 200), ("reader", 403), ("planner", 403), ("support", 403),
])  # fmt: skip
def test_whoever_may_see_how_the_service_does_may_scrape(clients: dict[str, Client], role: str, status: int) -> None:
    assert clients[role].get("/metrics").status_code == status


def test_without_a_key_nobody_scrapes(clients: dict[str, Client]) -> None:
    clients["monitor"].key = None
    assert clients["monitor"].get("/metrics").status_code == 401


@pytest.mark.parametrize("path", ["/v1/forecasts?channel=champion", "/v1/events", "/v1/versions"])
def test_what_scrapes_reads_nothing_else(clients: dict[str, Client], path: str) -> None:
    assert clients["monitor"].get(path).status_code == 403


def test_requests_are_counted_by_route_status_and_use(clients: dict[str, Client]) -> None:
    planner = clients["planner"]
    for sku in ("FOOD-0001", "FOOD-0002", "NO-SUCH"):
        planner.get(f"/v1/explain/daily/2025-06-30/stat-1/28/r0/{sku}/S-01/1")
        planner.get(f"/no/such/{sku}")
    body = {"use": "what_if", "model_version": "stat-1", "series": [{"store_id": "S-01", "sku_id": "FOOD-0001"}]}
    assert planner.request("POST", "/v1/predict", json=body).status_code == 200
    assert planner.request("POST", "/v1/predict", json={**body, "use": "tea-leaves"}).status_code == 403
    found = scraped(clients)
    explained = {"door": "http", "route": "/v1/explain/{prediction_id:path}", "use": ""}
    assert labelled(found, "request_seconds_count", **explained, status="2xx") == 2
    assert labelled(found, "request_seconds_count", **explained, status="4xx") == 1
    unmatched = {"door": "http", "route": "unmatched", "use": "", "status": "4xx"}
    assert labelled(found, "request_seconds_count", **unmatched) == 3
    predicted = {"door": "http", "route": "/v1/predict"}
    assert labelled(found, "request_seconds_count", **predicted, use="what_if", status="2xx") == 1
    assert labelled(found, "request_seconds_count", **predicted, use="", status="4xx") == 1
    assert labelled(found, "requests_in_flight", door="http") == 1
    values = {value for _, labels in found for _, value in labels}
    assert not {value for value in values if "FOOD" in value or "SUCH" in value or "tea" in value}


def test_thousands_of_different_questions_make_no_more_series(clients: dict[str, Client]) -> None:
    def ask(number: int) -> None:
        clients["planner"].get(f"/v1/forecasts?channel=champion&sku_id=X-{number}&limit=1")
        clients["planner"].get(f"/odd/{number}?token={number}")

    ask(0)
    before = len(scraped(clients))
    for number in range(1, 150):
        ask(number)
    # The scrape itself was counted meanwhile.
    buckets = len([name for name, labels in scraped(clients) if ("route", "/metrics") in labels])
    assert len(scraped(clients)) - before <= buckets


def test_the_service_says_how_its_caches_and_breakers_do(clients: dict[str, Client], plane: DataPlane) -> None:
    asked = "/v1/forecasts?model_version=stat-1&sku_id=FOOD-0001&store_id=S-01&limit=1"
    before = scraped(clients)
    clients["reader"].get(asked)
    plane.few.finish()
    clients["reader"].get(asked)
    found = scraped(clients)
    hits = [labelled(each, "cache_hits_total", cache="rows") for each in (before, found)]
    assert hits[1] > hits[0]
    assert labelled(found, "breakers", around="model", state="open") == 0
    assert labelled(found, "breakers", around="feature_cache", state="closed") == 1
    assert labelled(found, "service_ready") == 1
    assert labelled(found, "requests_waiting") == 0

"""Ten thousand broken requests: none is a defect, and each that is refused is told what is wrong.

Some hundred in every run of the tests, all of them in `make torture`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from forecast_assets.serving.dataplane.plane import DataPlane
from tests.support.broken_requests import BrokenRequest, broken_requests
from tests.support.contracted_service import ContractedService, contracted
from tests.torture.sizes import size

COUNT = size(400, 10_000)
PROBLEM = b"application/problem+json"


@pytest.fixture(scope="module")
def service(small: DataPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractedService]:
    with contracted(small, tmp_path_factory.mktemp("broken")) as made:
        yield made


async def answered(service: ContractedService, request: BrokenRequest) -> tuple[int, dict[bytes, bytes], bytes]:
    """Hand a request over as a server of ASGI would: clients refuse to send most of them."""
    path, _, query = request.target.partition("?")
    key = (b"authorization", f"Bearer {service.keys['operator']}".encode())
    own = [(name.lower().encode(), value) for name, value in request.headers]
    headers = own if any(name == b"authorization" for name, _ in own) else [key, *own]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("api", 80),
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": request.body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await service.app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), body


def test_no_request_is_a_defect_and_each_that_is_refused_is_told_why(service: ContractedService) -> None:
    statuses: Counter[int] = Counter()

    async def ask() -> None:
        for request in broken_requests(COUNT, seed=11):
            status, headers, body = await answered(service, request)
            assert status < 500, (request, body[:500])
            statuses[status] += 1
            if status >= 400:
                seen = (request, body[:500])
                is_page = request.target.startswith("/support") and headers[b"content-type"].startswith(b"text/html")
                assert headers[b"content-type"] == PROBLEM or is_page, seen
                assert headers[b"x-request-id"], seen
                assert b'"code"' in body or is_page or request.method == "HEAD", seen

    asyncio.run(ask())
    assert {200, 401, 404, 405, 413, 422} <= set(statuses), statuses
    assert statuses[422] > COUNT / 4


def test_a_refusal_is_in_the_log_with_who_asked_and_why_it_was_refused(
    service: ContractedService, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"use": "resale", "model_version": "stat-1", "series": [{"store_id": "S", "sku_id": "A"}]}
    with caplog.at_level("INFO"):
        found = service.client("planner").request(
            "POST", "/v1/predict", json=body, headers={"X-Request-Id": "visit-17"}
        )
    assert found.json()["code"] == "not-allowed"
    key_id = service.keys["planner"].split("_")[1]
    said = next(record for record in caplog.records if getattr(record, "request_id", "") == "visit-17")
    assert f"(request visit-17, key {key_id}, problem not-allowed)" in said.getMessage()
    assert (said.status, said.key_id, said.problem) == (403, key_id, "not-allowed")  # type: ignore[attr-defined]

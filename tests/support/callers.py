"""A caller of the API in tests: requests without a network, one after the other."""

import asyncio
from typing import Any

from httpx import AsyncBaseTransport, AsyncClient, Response

from tests.support.same_questions import Question


class Client:
    """Asks an application in this process.

    Args:
        transport: To the application.
        key: Sent with each request; None for none.
    """

    def __init__(self, transport: AsyncBaseTransport, key: str | None) -> None:
        self._transport, self.key = transport, key

    def get(self, path: str, **arguments: Any) -> Response:
        return self.request("GET", path, **arguments)

    def request(self, method: str, path: str, **arguments: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= arguments.pop("headers", {})

        async def ask() -> Response:
            async with AsyncClient(transport=self._transport, base_url="http://api") as client:
                return await client.request(method, path, headers=headers, **arguments)

        return asyncio.run(ask())


def asked_over_http(client: Client, question: Question) -> Response:
    arguments = dict(question.arguments)
    if question.kind in {"predict", "compare"}:
        return client.request("POST", f"/v1/{question.kind}", json=arguments)
    if question.kind == "explain":
        return client.get(f"/v1/explain/{arguments['prediction_id']}")
    return client.get(f"/v1/{question.kind}", params=arguments)

"""What holds for every request and answer: an id, trace context, bounds, headers.

What belongs here: one ASGI middleware. What does not: who asks, or any route.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, Final

from forecast_assets.core import spans
from forecast_assets.core.log_context import bound
from forecast_assets.serving.api.problems import TooLargeError, failed, too_large
from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES, request_id_of, trace_of
from forecast_assets.telemetry.request_metrics import UNMATCHED, RequestMetrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DOOR: Final = "http"
_log = logging.getLogger(__name__)


class Guards:
    """Gives each request its id, refuses bodies that are too large, adds headers, counts it, and logs one line.

    Args:
        app: What is guarded.
        largest_body: Bytes.
        marks: Headers of every answer besides.
        counts: Of requests; None for nowhere.
    """

    def __init__(
        self,
        app: App,
        largest_body: int = LARGEST_REQUEST_BYTES,
        marks: Mapping[str, str] = MappingProxyType({}),
        counts: RequestMetrics | None = None,
    ) -> None:
        self._app, self._largest, self._counts = app, largest_body, counts
        self._marks = [(name.lower().encode(), value.encode()) for name, value in marks.items()]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        counted = nullcontext() if self._counts is None else self._counts.under_way(_DOOR)
        with counted:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        said = _text(headers, b"x-request-id")
        given = _text(headers, b"traceparent")
        request_id, trace = request_id_of(said), trace_of(given)
        scope["request_id"], scope["traceparent"] = request_id, trace
        scope["is_request_id_given"] = said == request_id
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", request_id.encode()), (b"traceparent", trace.encode()), *self._marks]
                present = {name.lower() for name, _ in message["headers"]}
                added = [header for header in _HEADERS if header[0] not in present]
                message["headers"] = [*message["headers"], *added, *own]
            await send(message)

        try:
            if _length(headers) > self._largest:
                await too_large(scope, self._largest)(scope, receive, answer)
            else:
                with bound(request_id=request_id), spans.request(trace, is_given=trace == given):
                    await self._app(scope, _Bounded(receive, self._largest), answer)
        except Exception as error:
            _log.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
            if status:
                # Part of an answer is out: only breaking off tells that it is not whole.
                raise
            await failed(scope, error)(scope, receive, answer)
        finally:
            key_id, problem = scope.get("key_id", "-"), scope.get("problem", "-")
            seconds = time.perf_counter() - started
            if self._counts is not None:
                route = getattr(scope.get("route"), "path", UNMATCHED)
                self._counts.answered(_DOOR, route, scope.get("use", ""), f"{status // 100}xx", seconds)
            _log.info(
                "%s %s %s in %.1f ms (request %s, key %s, problem %s)",
                scope["method"],
                scope["path"],
                status,
                seconds * 1_000,
                request_id,
                key_id,
                problem,
                extra={
                    "request_id": request_id, "traceparent": trace, "status": status, "key_id": key_id,
                    "problem": problem,
                },
            )  # fmt: skip


class _Bounded:
    """Receives a body up to its bound; what claims no length is counted."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self._receive, self._largest, self._left = receive, largest, largest

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLargeError(self._largest)
        return message


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("ascii", errors="replace")


def _length(headers: dict[bytes, bytes]) -> int:
    said = headers.get(b"content-length", b"0")
    return int(said) if said.isdigit() else 0

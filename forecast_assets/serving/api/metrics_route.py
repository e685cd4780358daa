"""The route that Prometheus scrapes.

What belongs here: who may scrape, and the answer. What does not: a figure.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CollectorRegistry

from forecast_assets.core.operational_metrics import Collector, OperationalMetric, Reading
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.api.rights import allowed
from forecast_assets.telemetry.exposition import MEDIA_TYPE, bridged, registry_text

WAITING: Final = OperationalMetric(
    "requests_waiting", "gauge", "requests", "Requests that wait for a thread to answer them: the queue."
)
THREADS: Final = OperationalMetric("request_threads_busy", "gauge", "threads", "Threads that answer requests.")
QUEUE_METRICS: Final = (WAITING, THREADS)


def add_metrics(app: FastAPI, registry: CollectorRegistry, collectors: Sequence[Collector], callers: Callers) -> None:
    """Add the route to an application.

    Args:
        app: The application.
        registry: Has what is counted as requests are answered.
        collectors: Read what is looked up when somebody asks.
        callers: Who may ask.
    """
    operator = allowed(callers, Right.OPERATE)
    queue: list[Reading] = []
    bridged(registry, [*collectors, Collector("queue", QUEUE_METRICS, lambda: tuple(queue))])

    # Not in the document of routes: Prometheus' format is a contract of its own.
    @app.get("/metrics", dependencies=[operator], include_in_schema=False)
    async def metrics() -> Response:
        # Of this loop, which only it can tell.
        queue[:] = _queue()
        return Response(await run_in_threadpool(registry_text, registry), media_type=MEDIA_TYPE)


def _queue() -> Iterator[Reading]:
    found = current_default_thread_limiter().statistics()
    yield WAITING(found.tasks_waiting)
    yield THREADS(found.borrowed_tokens)

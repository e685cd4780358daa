"""Figures of requests: how many, how long, how they ended, how many at once.

What belongs here: counting what doors tell. What does not: doors, or what they answer.

Each process counts for itself. Several behind a balancer are scraped one by one, each under its own address: a scrape
through the balancer would meet another one each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics

from forecast_assets.core.operational_metrics import PREFIX, OperationalMetric

# From what a published row in memory takes to what a caller waits at most.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
UNMATCHED: Final = "unmatched"
REQUEST_SECONDS: Final = OperationalMetric(
    "request_seconds",
    "histogram",
    "seconds",
    "How long requests took, by route as its template has it and by the use of predictions; its count is throughput.",
    ("door", "route", "use", "status"),
)
IN_FLIGHT: Final = OperationalMetric(
    "requests_in_flight", "gauge", "requests", "Requests that are being answered.", ("door",)
)
REQUEST_METRICS: Final = (REQUEST_SECONDS, IN_FLIGHT)


class RequestMetrics:
    """Counts requests of one process; safe to share between threads.

    Args:
        registry: That is asked for the figures.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        # When a series began is no figure of ours, and doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        name = f"{PREFIX}{REQUEST_SECONDS.name}"
        self._seconds = Histogram(
            name, REQUEST_SECONDS.meaning, REQUEST_SECONDS.labels, buckets=BUCKETS, registry=registry
        )
        self._in_flight = Gauge(f"{PREFIX}{IN_FLIGHT.name}", IN_FLIGHT.meaning, IN_FLIGHT.labels, registry=registry)

    @contextmanager
    def under_way(self, door: str) -> Iterator[None]:
        """Count a request while the block goes on."""
        gauge = self._in_flight.labels(door)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def answered(self, door: str, route: str, use: str, status: str, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            door: `http`, `grpc` or `stream`.
            route: As its template has it, never the path that was asked.
            use: Of a prediction, one that is approved; empty of others.
            status: Of few values: of HTTP its class, as `2xx`; of gRPC its code.
            seconds: How long it took.
        """
        self._seconds.labels(door, route, use, status).observe(seconds)

"""Figures of a data plane: caches, breakers, events on their way.

What belongs here: what this process knows of itself. What does not: requests, which doors count, or the ledger.
"""

from collections.abc import Iterator
from typing import Final

from forecast_assets.core.operational_metrics import Collector, OperationalMetric, Reading
from forecast_assets.serving.dataplane.plane import DataPlane

READY: Final = OperationalMetric("service_ready", "gauge", "flag", "1 if questions can be answered.")
DEGRADED: Final = OperationalMetric(
    "service_degraded", "gauge", "findings", "How many things are worse than usual; /health/ready says which."
)
CACHE_HITS: Final = OperationalMetric(
    "cache_hits_total", "counter", "look-ups", "What was found in a cache: series, or rows.", ("cache",)
)
CACHE_MISSES: Final = OperationalMetric(
    "cache_misses_total", "counter", "look-ups", "What was not; the hit rate is hits by hits and misses.", ("cache",)
)
BREAKERS: Final = OperationalMetric(
    "breakers",
    "gauge",
    "breakers",
    "Circuit breakers by state; of the model each run that was asked has one.",
    ("around", "state"),
)
SPOOL_BYTES: Final = OperationalMetric(
    "event_spool_bytes", "gauge", "bytes", "Prediction events that some sink does not have yet."
)
EVENTS: Final = OperationalMetric(
    "events_total",
    "counter",
    "events",
    "Prediction events of this process: `recorded` `drained` to every sink, `dropped`, `torn` or `refused`.",
    ("fate",),
)
SINKS: Final = OperationalMetric("event_sinks_failing", "gauge", "sinks", "Sinks that take no events at present.")
SERVICE_METRICS: Final = (READY, DEGRADED, CACHE_HITS, CACHE_MISSES, BREAKERS, SPOOL_BYTES, EVENTS, SINKS)


def service_collector(plane: DataPlane) -> Collector:
    """Return what reads the figures of a data plane."""
    return Collector("service", SERVICE_METRICS, lambda: service_readings(plane))


def service_readings(plane: DataPlane) -> Iterator[Reading]:
    """Read the figures of a data plane."""
    ready = plane.readiness()
    yield READY(ready.is_ready)
    yield DEGRADED(len(ready.degraded))
    features = plane.features.state()
    yield CACHE_HITS(features.hits, "features")
    yield CACHE_MISSES(features.misses, "features")
    rows = plane.few.looked_up()
    yield CACHE_HITS(rows.hits, "rows")
    yield CACHE_MISSES(rows.misses, "rows")
    open_models, all_models = plane.predictor.breakers()
    yield BREAKERS(open_models, "model", "open")
    yield BREAKERS(all_models - open_models, "model", "closed")
    yield BREAKERS(not features.answers, "feature_cache", "open")
    yield BREAKERS(features.answers, "feature_cache", "closed")
    if plane.events is not None:
        events = plane.events.buffer.state()
        yield SPOOL_BYTES(events.waiting_bytes)
        yield SINKS(len(events.failing))
        fates = {
            "recorded": events.recorded, "drained": events.drained, "torn": events.torn, "refused": events.refused,
            "dropped": sum(events.dropped.values()),
        }  # fmt: skip
        yield from (EVENTS(count, fate) for fate, count in fates.items())

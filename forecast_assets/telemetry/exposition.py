"""Figures in Prometheus' text format: for a scrape, for a file, for a terminal.

What belongs here: the format, by Prometheus' own library. What does not: what is read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector as PrometheusCollector

from forecast_assets.core.errors import StorageError
from forecast_assets.core.operational_metrics import PREFIX, Collector, OperationalMetric, Reading
from forecast_assets.telemetry.collectors import all_readings

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Bridge(PrometheusCollector):
    """Reads figures whenever the registry is asked for its text."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Return a family for each metric that has a reading."""
        families: dict[OperationalMetric, GaugeMetricFamily | CounterMetricFamily] = {}
        for reading in self._read():
            family = families.get(reading.metric)
            if family is None:
                family = families[reading.metric] = _family(reading.metric)
            family.add_metric(reading.labels, reading.value)
        yield from families.values()

    def describe(self) -> list[Metric]:
        """Return nothing, so that nothing is read when it is registered."""
        return []


def _family(metric: OperationalMetric) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(f"{PREFIX}{metric.name}", metric.meaning, labels=metric.labels)


def bridged(registry: CollectorRegistry, collectors: Sequence[Collector]) -> None:
    """Let a registry read figures whenever it is asked for its text."""
    registry.register(_Bridge(lambda: all_readings(collectors)))


def registry_text(registry: CollectorRegistry) -> bytes:
    """Return all that a registry has, in Prometheus' text format."""
    return generate_latest(registry)


def metrics_text(collectors: Sequence[Collector]) -> str:
    """Return figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    bridged(registry, collectors)
    return registry_text(registry).decode()


def write_metrics(path: Path, text: str) -> None:
    """Write figures to a file whole or not at all, as node_exporter's textfile collector asks.

    Args:
        path: Of the file; its folder has to be there.
        text: In Prometheus' text format.

    Raises:
        StorageError: If it cannot be written.
    """
    # Not named `.prom`: the collector must not take it for a file of its own.
    scratch = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.chmod(0o644)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StorageError(
            f"The file of figures `{path}` cannot be written: {error}.",
            remedy="Make its folder, writable for this user, or unset FORECAST_ASSETS_METRICS_FILE.",
        ) from error

"""Starting telemetry where a process starts.

What belongs here: from settings to who listens in this process. What does not: what listens does.

By default nothing leaves the process but times of runs, which are kept below the home; no library of telemetry is
imported until a setting asks for it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.util import Finalize
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal

from forecast_assets.core.spans import listen
from forecast_assets.settings import Settings
from forecast_assets.telemetry.logs import start_batch_logs
from forecast_assets.telemetry.recording import Recorder
from resources.operational.traces import TraceStore

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from forecast_assets.telemetry.exporting import Tracing

ProcessKind = Literal["batch", "service"]
_log: Final = logging.getLogger(__name__)
_SERVICES: Final = {"batch": "forecast-assets", "service": "forecast-assets-service"}


@dataclass
class _Started:
    """What this process has started.

    Attributes:
        settings: By which.
        part: As what.
        tracing: What exports spans, if any.
    """

    settings: Settings | None = None
    part: ProcessKind | None = None
    tracing: "Tracing | None" = None


_started = _Started()
_lock = Lock()


def start(settings: Settings, part: ProcessKind) -> None:
    """Listen in this process from now on; the same again changes nothing.

    Args:
        settings: Of the home.
        part: `batch` for runs, trainings and ingests; `service` for what answers callers.

    Raises:
        InputError: If a library that a setting asks for is not installed.
    """
    with _lock:
        if (_started.settings, _started.part) == (settings, part):
            return
        _stop()
        exporter = _exporter(settings)
        is_batch = part == "batch"
        if exporter is not None:
            from forecast_assets.telemetry.exporting import Tracing

            _started.tracing = Tracing(exporter, _SERVICES[part])
            # Also where Dagster or multiprocessing ends a process without what `atexit` has.
            Finalize(None, stop, exitpriority=10)
        if exporter is not None or is_batch:
            listen(
                Recorder(
                    _started.tracing,
                    settings.trace_share if is_batch else settings.trace_share_answers,
                    TraceStore(settings.traces_path),
                    keeps_times=is_batch,
                    afterwards=_file_of_figures(settings) if is_batch else lambda: None,
                )
            )
        if is_batch:
            start_batch_logs(settings.log_format)
        _started.settings, _started.part = settings, part


@contextmanager
def listening(settings: Settings, part: ProcessKind) -> Iterator[None]:
    """Listen while a command or a service goes on; see `start`."""
    start(settings, part)
    try:
        yield
    finally:
        stop()


def stop() -> None:
    """Export what waits, for two seconds at most, and listen no more."""
    with _lock:
        _stop()


def _stop() -> None:
    listen(None)
    tracing, _started.tracing, _started.settings, _started.part = _started.tracing, None, None, None
    if tracing is not None:
        tracing.close()


def _file_of_figures(settings: Settings) -> Callable[[], None]:
    """Return what writes the file of figures, and stops nobody where it cannot."""

    def write() -> None:
        if settings.metrics_file is None:
            return
        from forecast_assets.telemetry.collectors import home_collectors
        from forecast_assets.telemetry.exposition import metrics_text, write_metrics
        from resources.stores.home import open_stores

        try:
            stores = open_stores(settings.store, settings.mirror_folder)
            write_metrics(settings.metrics_file, metrics_text(home_collectors(settings, stores)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run that has ended has ended well
            _log.warning("figures could not be written: %s", error)

    return write


def _exporter(settings: Settings) -> "SpanExporter | None":
    if settings.otlp is not None:
        from forecast_assets.telemetry.exporting import otlp_exporter

        return otlp_exporter(settings.otlp)
    if settings.trace_file is not None:
        from forecast_assets.telemetry.exporting import JsonLines

        return JsonLines(settings.trace_file)
    return None

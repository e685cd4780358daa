"""Spans, and where they go: a collector by OTLP over HTTP, or JSON lines.

What belongs here: OpenTelemetry, which is imported nowhere else. What does not: which work is recorded (`recording`).

A span waits in a bounded queue for a thread of its own, and is dropped where the queue is full: no run and no answer
waits for a collector. One that fails is told of once, and left alone for half a minute at a time.
"""

import json
import logging
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import local
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from forecast_assets import __version__
from forecast_assets.core.breaker import Breaker
from forecast_assets.core.errors import InputError
from forecast_assets.core.spans import Fact
from forecast_assets.telemetry.scrubbing import scrubbed_text

# Seconds that an export may take, and that the end of a process may wait for the last one.
EXPORT_SECONDS: Final = 2.0
_QUEUE: Final = 4_096
_BATCH: Final = 512
_DELAY_MILLISECONDS: Final = 1_000
_RECORDED: Final = TraceFlags(TraceFlags.SAMPLED)
_log: Final = logging.getLogger(__name__)


class Tracing:
    """Makes spans and hands them to an exporter.

    Args:
        exporter: Where they go.
        service: What the process calls itself.
    """

    def __init__(self, exporter: SpanExporter, service: str) -> None:
        # It would tell of each batch that fails, and of each span that is dropped; once is told here.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": service, "service.version": __version__}),
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_attributes=64, max_attribute_length=1_000),
        )
        self._processor = _BriefEnd(
            _LeftAlone(exporter),
            max_queue_size=_QUEUE,
            schedule_delay_millis=_DELAY_MILLISECONDS,
            max_export_batch_size=_BATCH,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("forecast_assets", __version__)

    def root(self, name: str, trace_id: int, parent_id: int, facts: Mapping[str, Fact]) -> Span:
        """Begin a span that is a part of no other of this process.

        Args:
            name: Of the span.
            trace_id: Of its trace.
            parent_id: Of the span of another process that it is a part of; 0 for none.
            facts: Its attributes so far.
        """
        if parent_id:
            around = NonRecordingSpan(SpanContext(trace_id, parent_id, is_remote=True, trace_flags=_RECORDED))
            return self.child(name, around, facts)
        with self._ids.next_trace(trace_id):
            outside = set_span_in_context(INVALID_SPAN)
            return self._tracer.start_span(name, context=outside, attributes=_attributes(facts))

    def child(self, name: str, around: Span, facts: Mapping[str, Fact]) -> Span:
        """Begin a span that is a part of another one."""
        return self._tracer.start_span(name, context=set_span_in_context(around), attributes=_attributes(facts))

    def link(self, span: Span, traceparent: str, subject: str) -> None:
        """Link a span to that of another trace."""
        context = SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), is_remote=True)
        span.add_link(context, {"subject": subject})

    def end(self, span: Span, facts: Mapping[str, Fact], error: BaseException | None) -> None:
        """End a span with all that is known of it."""
        span.set_attributes(_attributes(facts))
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, scrubbed_text(f"{type(error).__name__}: {error}")))
        span.end()

    def close(self) -> None:
        """Export what waits, for two seconds at most."""
        self._processor.shutdown()


class _BriefEnd(BatchSpanProcessor):
    """Waits at its end no longer for the last export than that may take; half a minute is OpenTelemetry's own bound."""

    def shutdown(self) -> None:
        """Export what waits."""
        self._batch_processor.shutdown(timeout_millis=int(1_000 * EXPORT_SECONDS))


class _Ids(IdGenerator):
    """Ids of spans by chance, and of the next trace as it is named."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311 - ids, no secrets
        self._next = local()

    @contextmanager
    def next_trace(self, trace_id: int) -> Iterator[None]:
        """Let the trace that is begun in the block have an id."""
        self._next.trace_id = trace_id
        yield

    def generate_trace_id(self) -> int:
        """Return what was named."""
        return int(self._next.trace_id)

    def generate_span_id(self) -> int:
        """Return one of 64 bits."""
        return self._random.getrandbits(64) or 1


class _LeftAlone(SpanExporter):
    """Exports unless that failed a few times in a row; tells once that it does, and once that it works again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter, self._breaker, self._is_told = exporter, Breaker(failures=1), False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, or drop."""
        if not self._breaker.allows():
            return SpanExportResult.FAILURE
        why = ""
        try:
            found = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, work goes on without its trace
            found, why = SpanExportResult.FAILURE, f" ({type(error).__name__})"
        if found is SpanExportResult.SUCCESS:
            self._breaker.succeeded()
            if self._is_told:
                _log.warning("spans are exported again")
            self._is_told = False
            return found
        self._breaker.failed()
        if not self._is_told:
            _log.warning("spans cannot be exported%s; they are dropped, and nothing waits for them", why)
        self._is_told = True
        return found

    def shutdown(self) -> None:
        """Let go of connections."""
        self._exporter.shutdown()


class JsonLines(SpanExporter):
    """Appends each span as a line of JSON.

    Args:
        path: Of the file; `-` for standard output.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans in one piece."""
        text = "".join(f"{json.dumps(_document(span), ensure_ascii=False)}\n" for span in spans)
        if self._path == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
            return SpanExportResult.SUCCESS
        with Path(self._path).open("a", encoding="utf-8") as file:
            file.write(text)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""


def otlp_exporter(url: str) -> SpanExporter:
    """Return what exports spans to a collector; headers, such as its key, are OpenTelemetry's own variable.

    Args:
        url: Of the collector, such as `http://127.0.0.1:4318`, or of its traces.

    Raises:
        InputError: If the library is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise InputError(
            "Traces cannot be exported: the library for OTLP is not installed.",
            remedy="Install the extra: pip install 'forecast-assets[otlp]'; or unset FORECAST_ASSETS_OTLP.",
        ) from error
    endpoint = url if url.endswith("/v1/traces") else f"{url.rstrip('/')}/v1/traces"
    return OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)


def _attributes(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {
        f"forecast_assets.{name}": scrubbed_text(value) if isinstance(value, str) else value
        for name, value in facts.items()
    }


def _document(span: ReadableSpan) -> dict[str, object]:
    context, start, end = span.context, span.start_time or 0, span.end_time or 0
    return {
        "name": span.name,
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "started_at": datetime.fromtimestamp(start / 1e9, UTC).isoformat(),
        "seconds": round((end - start) / 1e9, 6),
        "is_error": span.status.status_code is StatusCode.ERROR,
        "error": span.status.description or "",
        "facts": dict(span.attributes or {}),
        "links": [f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}-01" for link in span.links],
    }

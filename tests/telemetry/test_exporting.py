"""Where spans go: a collector that is down costs nothing and is told of once; a file has them as JSON lines."""

import json
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from forecast_assets.core.errors import InputError
from forecast_assets.core.spans import listen, span
from forecast_assets.telemetry import exporting
from forecast_assets.telemetry.exporting import JsonLines, Tracing, otlp_exporter
from forecast_assets.telemetry.recording import Recorder
from resources.operational.traces import TraceStore


class Kept(SpanExporter):
    """Keeps spans, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.spans: list[ReadableSpan] = []
        self.asked, self.fails = 0, fails

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += 1
        if self.fails:
            raise ConnectionError("no collector at bob:pw@collector")
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


def recorded(exporter: SpanExporter, tmp_path: Path, count: int) -> float:
    """Make spans, each with two parts; return how many seconds that took, and closing."""
    tracing = Tracing(exporter, "tests")
    before = listen(Recorder(tracing, 1.0, TraceStore(tmp_path / "traces.sqlite")))
    began = perf_counter()
    try:
        for number in range(count):
            with span("outer", number=number), span("inner"), span("innermost"):
                pass
    finally:
        listen(before)
        tracing.close()
    return perf_counter() - began


def test_spans_are_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    recorded(JsonLines(str(path)), tmp_path, 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["name"] for line in lines) == ["inner", "inner", "innermost", "innermost", "outer", "outer"]
    outer = next(line for line in lines if line["name"] == "outer")
    inner = next(line for line in lines if line["parent_id"] == outer["span_id"])
    assert (inner["name"], inner["trace_id"]) == ("inner", outer["trace_id"])
    assert outer["facts"] == {"forecast_assets.number": 0}
    assert outer["seconds"] >= inner["seconds"] >= 0


def test_an_exporter_that_fails_is_told_of_once_left_alone_and_keeps_nobody_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = Kept(fails=True)
    with caplog.at_level(logging.WARNING):
        seconds = recorded(exporter, tmp_path, 5_000)
    assert exporter.asked == 1
    said = [record.getMessage() for record in caplog.records if "spans" in record.getMessage()]
    assert said == ["spans cannot be exported (ConnectionError); they are dropped, and nothing waits for them"]
    assert seconds < 15


def test_nobody_waits_longer_than_two_seconds_for_a_collector_that_takes_connections_and_never_answers(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exporter = otlp_exporter(f"http://127.0.0.1:{silent.getsockname()[1]}")
        seconds = recorded(exporter, tmp_path, 10)
    assert seconds < 2 * exporting.EXPORT_SECONDS + 1


def test_more_spans_than_the_queue_holds_are_dropped_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_QUEUE", 16)
    monkeypatch.setattr(exporting, "_BATCH", 16)
    exporter = Kept()
    recorded(exporter, tmp_path, 1_000)
    assert 16 <= len(exporter.spans) <= 3_000


def test_without_the_library_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InputError, match=r"library for OTLP is not installed.*forecast-assets\[otlp\]"):
        otlp_exporter("http://127.0.0.1:4318")


def test_what_raises_ends_its_span_as_an_error_without_secrets(tmp_path: Path) -> None:
    exporter = Kept()
    tracing = Tracing(exporter, "tests")
    before = listen(Recorder(tracing, 1.0, TraceStore(tmp_path / "traces.sqlite")))
    try:
        with pytest.raises(ValueError, match="database"), span("outer", address="postgresql://ana:hunter2@db/x"):
            raise ValueError("database postgresql://ana:hunter2@db/x is gone, says ana@shop.example")
    finally:
        listen(before)
        tracing.close()
    (ended,) = exporter.spans
    assert ended.attributes == {"forecast_assets.address": "postgresql://[gone]@db/x"}
    assert ended.status.description == "ValueError: database postgresql://[gone]@db/x is gone, says [gone]"
    assert ended.events == ()

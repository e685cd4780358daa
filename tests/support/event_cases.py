"""Prediction events by hand, and what sinks do to them."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from forecast_assets.core.errors import StorageError
from resources.events.buffer import EventBuffer
from resources.events.draining import Drainer
from resources.events.record import EventRecord, content_of
from resources.events.segments import line_of
from resources.events.sinks import EventSink
from resources.events.spool import Spool

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)


def event_id(number: int) -> str:
    return str(UUID(int=number, version=4))


def event(number: int, *, at: datetime | None = None, **more: Any) -> EventRecord:
    """An event of its own number: a second after the one before."""
    moment = (at or NOW) + timedelta(seconds=0 if at else number)
    document = {
        "schema": 1,
        "event_id": event_id(number),
        "occurred_at": moment.isoformat(timespec="microseconds"),
        "request_id": f"request-{number}",
        "caller": {"key_id": "k1", "name": "ana", "role": "planner"},
        "use": "what_if",
        "model_version": "stat-1",
        "run": {
            "run": "daily/2025-06-30/stat-1/28/r0", "artifact": "ab" * 32, "prediction_date": "2025-06-30",
            "served_from": "model",
        },
        "input": {"use": "what_if", "series": [{"store_id": "S-01", "sku_id": "Käse €/1"}]},
        "series": [["S-01", "Käse €/1"]],
        "days": ["2025-07-01"],
        "steps": [{"name": "base", "outputs": {"base_units": [1.25, 1e-07, None]}}],
        "out_of_distribution_score": 0.25,
        "is_degraded": False,
        "warnings": ["careful"],
        "milliseconds": 12.5,
        **more,
    }  # fmt: skip
    return EventRecord.of(document)


def caller(key_id: str, name: str) -> dict[str, str]:
    return {"key_id": key_id, "name": name, "role": "planner"}


class ListSink:
    """Keeps events in a list; refuses for now, or for good, as it is told."""

    def __init__(self, name: str = "list") -> None:
        self.name = name
        self.taken: list[EventRecord] = []
        self.is_down = False
        self.never: set[str] = set()

    def take(self, records: Sequence[EventRecord]) -> None:
        if self.is_down:
            raise StorageError("no answer", remedy="wait")
        if self.never & {record.event_id for record in records}:
            raise ValueError("never")
        self.taken += records

    @property
    def ids(self) -> list[str]:
        return [each.event_id for each in self.taken]


def left_by_a_dead_process(root: Path, records: Sequence[EventRecord], *, torn: bytes = b"") -> Path:
    """Fill a spool, and let go of its lock without draining, as the death of its process does."""
    spool = Spool.open(root)
    for record in records:
        spool.append(line_of(record.content))
    if torn:
        spool.append(torn)
    spool.seal()
    spool.close()
    return spool.path


def drained(root: Path, *sinks: EventSink) -> Drainer:
    drainer = Drainer(root, sinks)
    drainer.drain(None, at_once=True)
    drainer.release()
    return drainer


def buffer_to(root: Path, *sinks: EventSink, **more: Any) -> EventBuffer:
    """A buffer that is not started."""
    return EventBuffer(root, Drainer(root, sinks), **{"most_bytes": 1 << 20, **more})


def record(buffer: EventBuffer, *numbers: int) -> list[str]:
    return [buffer.record(event_id(number), event(number).content).status for number in numbers]


def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


def same(one: EventRecord, other: EventRecord) -> bool:
    return content_of(json.loads(one.content)) == other.content

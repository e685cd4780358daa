"""The buffer: an answer is told the truth about its event, whatever the disk and the sinks do."""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from resources.events.buffer import EventBuffer, unrecorded
from resources.events.draining import Drainer
from resources.events.segments import line_of
from resources.events.sinks import JsonLinesSink, StoreSink
from resources.events.spool import Spool
from resources.events.sqlite import SqliteEvents
from tests.support.event_cases import (
    ListSink,
    buffer_to,
    drained,
    event,
    event_id,
    left_by_a_dead_process,
    record,
    until,
)


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def buffer(tmp_path: Path, sink: ListSink) -> Iterator[EventBuffer]:
    made = buffer_to(tmp_path, sink)
    made.start()
    yield made
    made.close()


def test_a_recorded_event_is_on_the_disk_when_it_is_said_and_in_the_sink_soon(
    buffer: EventBuffer, sink: ListSink, tmp_path: Path
) -> None:
    sink.is_down = True
    assert record(buffer, 1) == ["recorded"]
    lines = b"".join(path.read_bytes() for path in tmp_path.rglob("*.events"))
    assert lines == line_of(event(1).content)
    sink.is_down = False
    until(lambda: sink.ids == [event_id(1)])
    until(lambda: buffer.state().waiting_bytes == 0)
    assert buffer.state().drained == 1


def test_a_store_that_is_down_is_tried_again_and_nothing_is_lost_or_repeated(
    buffer: EventBuffer, sink: ListSink
) -> None:
    sink.is_down = True
    assert record(buffer, *range(50)) == ["recorded"] * 50
    until(lambda: bool(buffer.state().failing))
    assert "prediction events wait for the sink `list`: no answer" in buffer.state().degraded
    assert record(buffer, *range(50, 60)) == ["recorded"] * 10
    sink.is_down = False
    until(lambda: len(sink.taken) == 60)
    assert sink.ids == [event_id(number) for number in range(60)]
    until(lambda: not buffer.state().failing)
    assert buffer.state().degraded == ()


def test_every_sink_gets_the_same_event_and_one_that_is_down_holds_up_no_other(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    down, store = ListSink("down"), SqliteEvents(tmp_path / "events.sqlite")
    down.is_down = True
    buffer = buffer_to(tmp_path / "spool", down, StoreSink(store), JsonLinesSink(writer))
    buffer.start()
    assert record(buffer, 1, 2) == ["recorded"] * 2
    until(lambda: len(store.days()) == 1 and store.days()[event(1).day] == 2)
    down.is_down = False
    until(lambda: buffer.state().drained == 2)
    buffer.close()
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        told = lines.read().splitlines()
    assert told == [event(number).content for number in (1, 2)]
    found = store.find(json.loads(told[0])["event_id"])
    assert found is not None
    assert [each.content for each in down.taken] == told
    assert found.content == told[0]


def test_what_comes_after_a_sink_went_down_reaches_the_others_too(tmp_path: Path) -> None:
    clock, down, up = [0.0], ListSink("down"), ListSink("up")
    down.is_down = True
    drainer, spool = Drainer(tmp_path, [down, up], clock=lambda: clock[0]), Spool.open(tmp_path)
    for second in range(20):
        clock[0] = float(second)
        spool.append(line_of(event(second).content))
        drainer.drain(spool)
        assert down.taken == []
        assert len(up.taken) > second - 6
    assert len(spool.segments()) < 8, "segments become many only slowly"
    down.is_down = False
    drainer.drain(spool, at_once=True)
    assert down.ids == up.ids == [event_id(number) for number in range(20)]
    spool.close()


def test_a_reader_that_stands_still_holds_up_no_other_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.events.sinks._READER_MILLISECONDS", 50)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    sink = ListSink()
    records = [event(number, warnings=["x" * 50_000]) for number in range(5)]
    left_by_a_dead_process(tmp_path, records)
    drainer = Drainer(tmp_path, [JsonLinesSink(writer), sink])
    drainer.drain(None, at_once=True)
    assert sink.ids == [event_id(number) for number in range(5)]
    assert "Nobody has read events" in drainer.state().failing["json_lines"]
    told = b""
    for _ in range(200):
        with suppress(BlockingIOError):
            while chunk := os.read(reader, 1 << 16):
                told += chunk
        if not drainer.state().failing:
            break
        drainer.drain(None, at_once=True)
    drainer.release()
    contents = [record.content for record in records]
    # What was cut off is a line that is not whole; each event is there whole, once.
    assert [line for line in told.splitlines() if line in contents] == contents


def test_nobody_reads_the_lines_any_more(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    drainer = Drainer(tmp_path, [JsonLinesSink(writer)])
    left_by_a_dead_process(tmp_path, [event(1)])
    drainer.drain(None)
    assert "Broken pipe" in drainer.state().failing["json_lines"]
    drainer.release()
    sink = ListSink()
    drained(tmp_path, sink)
    assert sink.ids == [event_id(1)]


def test_what_was_repeated_lately_is_recorded_once(buffer: EventBuffer, sink: ListSink) -> None:
    assert record(buffer, 1, 1, 2, 1) == ["recorded"] * 4
    until(lambda: len(sink.taken) == 2)
    assert buffer.state().recorded == 2


def test_a_full_disk_drops_events_counts_them_and_records_again_once_there_is_room(
    buffer: EventBuffer, sink: ListSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert record(buffer, 1) == ["recorded"]
    with monkeypatch.context() as patch:
        patch.setattr("resources.events.spool.os.write", full)
        assert record(buffer, 2, 3) == ["dropped"] * 2
    assert record(buffer, 4) == ["recorded"]
    until(lambda: len(sink.taken) == 2)
    assert sink.ids == [event_id(1), event_id(4)]
    assert buffer.state().dropped == {"the spool cannot be written (No space left on device)": 2}
    assert "2 prediction events were dropped since the service began" in buffer.state().degraded


def test_a_real_disk_without_room_costs_nothing_but_events(tmp_path: Path) -> None:
    sink, small = ListSink(), Path("/dev/full")
    if not small.exists():
        pytest.skip("no /dev/full here")

    class OnFullDisk(Spool):
        def _begin(self) -> None:
            super()._begin()
            os.close(self._open)
            self._open = os.open(small, os.O_WRONLY)

    buffer = buffer_to(tmp_path, sink, open_spool=OnFullDisk.open)
    buffer.start()
    assert record(buffer, 1) == ["dropped"]
    buffer.close()
    assert buffer.state().recorded == 0


def test_a_folder_that_cannot_be_made_drops_events_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "serving").write_text("in the way")
    sink = ListSink()
    buffer = buffer_to(tmp_path / "serving/spool", sink)
    buffer.start()
    assert record(buffer, 1) == ["dropped"]
    (tmp_path / "serving").unlink()
    assert record(buffer, 2) == ["recorded"]
    buffer.close()
    assert sink.ids == [event_id(2)]


def test_a_spool_beyond_its_bound_drops_and_counts(tmp_path: Path) -> None:
    sink = ListSink()
    sink.is_down = True
    size = len(line_of(event(1).content))
    buffer = buffer_to(tmp_path, sink, most_bytes=3 * size + 10)
    buffer.start()
    assert record(buffer, 1, 2, 3, 4) == [*["recorded"] * 3, "dropped"]
    assert buffer.state().dropped == {"the spool is full": 1}
    sink.is_down = False
    until(lambda: len(sink.taken) == 3)
    until(lambda: buffer.state().waiting_bytes == 0)
    assert record(buffer, 5) == ["recorded"]
    buffer.close()
    assert sink.ids == [event_id(number) for number in (1, 2, 3, 5)]


def test_what_dead_processes_left_counts_to_the_bound(tmp_path: Path) -> None:
    sink = ListSink()
    sink.is_down = True
    left_by_a_dead_process(tmp_path, [event(number) for number in range(4)])
    buffer = buffer_to(tmp_path, sink, most_bytes=4 * len(line_of(event(1).content)) + 100)
    buffer.start()
    until(lambda: buffer.state().waiting_bytes > 0)
    assert record(buffer, 5) == ["dropped"]
    buffer.close()


def test_a_disk_that_does_not_answer_holds_up_one_answer_for_a_moment_and_others_not_at_all(tmp_path: Path) -> None:
    go, sink = threading.Event(), ListSink()

    class Stalled(Spool):
        def append(self, line: bytes) -> None:
            go.wait(10)
            super().append(line)

    buffer = buffer_to(tmp_path, sink, open_spool=Stalled.open, wait_seconds=0.2)
    buffer.start()
    began = time.monotonic()
    assert record(buffer, 1) == ["dropped"]
    assert 0.15 < time.monotonic() - began < 2.0
    began = time.monotonic()
    assert record(buffer, *range(2, 102)) == ["dropped"] * 100
    assert time.monotonic() - began < 0.5
    go.set()
    until(lambda: record(buffer, 200) == ["recorded"])
    buffer.close()
    assert sum(buffer.state().dropped.values()) >= 101
    # What was being written then may have been kept; what waited behind it was not.
    assert set(sink.ids) <= {event_id(1), event_id(200)}


def test_more_than_can_wait_for_the_disk_are_dropped(tmp_path: Path) -> None:
    buffer = buffer_to(tmp_path, ListSink(), most_waiting=2, wait_seconds=0.2)
    waiting = [buffer.record(event_id(number), event(number).content) for number in range(3)]
    assert waiting[2].status == "dropped"
    assert buffer.state().dropped == {"too many wait for the disk": 1}
    buffer.start()
    buffer.close()


def test_a_sink_that_will_never_take_one_event_gets_the_others_and_it_is_kept_aside(tmp_path: Path) -> None:
    sink = ListSink()
    sink.never = {event_id(2)}
    left_by_a_dead_process(tmp_path, [event(number) for number in range(4)])
    drainer = drained(tmp_path, sink)
    assert sink.ids == [event_id(number) for number in (0, 1, 3)]
    assert drainer.state().refused == 1
    (aside,) = (tmp_path / "aside").iterdir()
    assert aside.read_bytes() == event(2).content


def test_what_is_no_event_stops_no_other_segment(tmp_path: Path) -> None:
    left_by_a_dead_process(tmp_path, [], torn=line_of(b'{"event_id":"x"}'))
    left_by_a_dead_process(tmp_path, [event(1)])
    sink = ListSink()
    drainer = drained(tmp_path, sink)
    assert sink.ids == [event_id(1)]
    assert "is no prediction event" in drainer.state().trouble


def test_what_is_no_event_keeps_no_other_of_its_segment_waiting_and_stays(tmp_path: Path) -> None:
    lines = [line_of(event(1).content), line_of(b'{"event_id":"x"}'), line_of(event(2).content)]
    path = left_by_a_dead_process(tmp_path, [], torn=b"".join(lines))
    sink = ListSink()
    drainer = Drainer(tmp_path, [sink])
    drainer.drain(None)
    drainer.drain(None)
    assert sink.ids == [event_id(1), event_id(2)]
    assert "is no prediction event" in drainer.state().trouble
    (segment,) = path.glob("*.events")
    segment.unlink()
    drainer.drain(None)
    assert drainer.state().trouble == "", "somebody has taken it away"
    drainer.release()


def test_looking_for_segments_may_fail_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    sink, spool = ListSink(), Spool.open(tmp_path)
    drainer = Drainer(tmp_path, [sink])
    spool.append(line_of(event(1).content))
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "segments", none_left)
        drainer.drain(spool)
        assert "looking for segments failed: [Errno 24]" in drainer.state().trouble
    drainer.drain(spool)
    assert (sink.ids, drainer.state().trouble) == ([event_id(1)], "")
    spool.close()


def test_tries_come_ever_later(tmp_path: Path) -> None:
    sink, clock = ListSink(), [0.0]
    sink.is_down = True
    left_by_a_dead_process(tmp_path, [event(1)])
    drainer = Drainer(tmp_path, [sink], clock=lambda: clock[0])
    tried = []
    real = sink.take
    sink.take = lambda records: (tried.append(clock[0]), real(records))  # type: ignore[method-assign,func-returns-value]
    for second in range(100):
        clock[0] = float(second)
        drainer.drain(None)
    assert tried == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
    drainer.release()


def test_many_threads_record_at_once(buffer: EventBuffer, sink: ListSink) -> None:
    with ThreadPoolExecutor(8) as callers:
        said = list(callers.map(lambda number: record(buffer, number)[0], range(400)))
    assert said == ["recorded"] * 400
    until(lambda: len(sink.taken) == 400)
    assert len(set(sink.ids)) == 400


def test_ending_hands_over_what_was_taken_and_takes_no_more(tmp_path: Path) -> None:
    sink = ListSink()
    buffer = buffer_to(tmp_path, sink)
    buffer.start()
    assert record(buffer, *range(20)) == ["recorded"] * 20
    buffer.close()
    assert len(sink.taken) == 20
    assert record(buffer, 21) == ["dropped"]
    assert list(tmp_path.iterdir()) == []


def test_ending_while_the_store_is_down_leaves_events_to_the_next_process(tmp_path: Path) -> None:
    sink, later = ListSink(), ListSink()
    sink.is_down = True
    buffer = buffer_to(tmp_path, sink)
    buffer.start()
    assert record(buffer, *range(5)) == ["recorded"] * 5
    buffer.close()
    following = buffer_to(tmp_path, later)
    following.start()
    until(lambda: len(later.taken) == 5)
    following.close()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_on_one_spool_hand_over_each_its_own(tmp_path: Path) -> None:
    one, other = ListSink(), ListSink()
    buffers = [buffer_to(tmp_path, one), buffer_to(tmp_path, other)]
    for each in buffers:
        each.start()
    assert record(buffers[0], *range(10)) == ["recorded"] * 10
    assert record(buffers[1], *range(10, 20)) == ["recorded"] * 10
    until(lambda: len(one.taken) == len(other.taken) == 10)
    for each in buffers:
        each.close()
    assert set(one.ids).isdisjoint(other.ids)


def test_without_a_buffer_nothing_is_said_to_be_recorded() -> None:
    assert unrecorded("x").status == "dropped"

"""The spool: what is appended stays until every sink has it, whoever dies."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources.events.segments import line_of, read_segment
from resources.events.spool import SEGMENT_BYTES, Spool, adopt
from tests.support.event_cases import ListSink, drained, event, event_id, left_by_a_dead_process

REPOSITORY = Path(__file__).parents[3]


def test_what_is_appended_is_read_back_whole_and_in_order(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    contents = [event(number).content for number in range(5)]
    for content in contents:
        spool.append(line_of(content))
    spool.seal()
    (segment,) = spool.sealed()
    found = read_segment(segment)
    assert (list(found.contents), found.torn) == (contents, 0)
    assert spool.waiting_bytes == segment.stat().st_size
    spool.remove(segment)
    assert (spool.waiting_bytes, spool.sealed()) == (0, [])


def test_the_segment_that_is_appended_to_is_not_drained_and_a_large_one_is_closed(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    spool.append(b"x\n")
    assert spool.sealed() == []
    spool.append(b"y" * SEGMENT_BYTES)
    assert len(spool.sealed()) == 1
    spool.append(b"z\n")
    assert len(spool.segments()) == 2
    assert len(spool.sealed()) == 1


@pytest.mark.parametrize("is_before", [True, False])
def test_a_segment_that_is_begun_while_closed_ones_are_looked_for_is_none_of_them(
    tmp_path: Path, *, is_before: bool
) -> None:
    spool, listed = Spool.open(tmp_path), Spool.segments
    appended = iter([line_of(event(2).content)])

    class Interrupted(Spool):
        def segments(self) -> list[Path]:
            """Return them while the writer appends, once."""
            found = None if is_before else listed(self)
            for line in appended:
                self.append(line)
            return listed(self) if found is None else found

    spool.__class__ = Interrupted
    spool.append(line_of(event(1).content))
    spool.seal()
    (closed,) = spool.sealed()
    assert list(read_segment(closed).contents) == [event(1).content]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-40],
        lambda data: data + b"0000",
        lambda data: data[:-30] + b"?" + data[-29:],
        lambda data: data + b"\n",
    ],
)
def test_a_torn_line_is_told_and_costs_no_other_event(tmp_path: Path, damage: object) -> None:
    whole = b"".join(line_of(event(number).content) for number in range(3))
    path = tmp_path / "0000000001.events"
    path.write_bytes(damage(whole))  # type: ignore[operator]
    found = read_segment(path)
    assert found.torn == 1
    assert [event(number).content for number in range(2)] == list(found.contents)[:2]


def test_a_living_process_keeps_its_spool_and_a_dead_ones_is_found(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    spool.append(line_of(event(1).content))
    assert list(adopt(tmp_path, own=None)) == []
    spool.close()
    (found,) = adopt(tmp_path, own=None)
    assert found.path == spool.path
    # Adopted once: the next one who looks finds it locked.
    assert list(adopt(tmp_path, own=None)) == []
    for segment in found.segments():
        found.remove(segment)
    found.give_up()
    assert list(tmp_path.iterdir()) == []


def test_a_spool_without_events_leaves_nothing(tmp_path: Path) -> None:
    Spool.open(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_full_disk_took_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, real = Spool.open(tmp_path), os.write
    spool.append(line_of(event(1).content))
    calls = []

    def half(file: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        spool.append(line_of(event(2).content))
    monkeypatch.undo()
    spool.append(line_of(event(3).content))
    spool.close()
    sink = ListSink()
    assert drained(tmp_path, sink).state().torn == 0
    assert sink.ids == [event_id(1), event_id(3)]


def test_where_it_cannot_be_taken_back_the_next_event_begins_another_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, real = Spool.open(tmp_path), os.write

    def half(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", lambda *_: _raise())
        return real(file, data[: len(data) // 2])

    def _raise() -> int:
        raise OSError(errno.EIO, "Input/output error")

    spool.append(line_of(event(1).content))
    monkeypatch.setattr(os, "write", half)
    monkeypatch.setattr(os, "ftruncate", lambda *_: _raise())
    with pytest.raises(OSError, match="Input/output"):
        spool.append(line_of(event(2).content))
    monkeypatch.undo()
    spool.append(line_of(event(3).content))
    spool.close()
    sink = ListSink()
    assert drained(tmp_path, sink).state().torn == 1
    assert sink.ids == [event_id(1), event_id(3)]
    assert len(list((tmp_path / "aside").iterdir())) == 1


APPENDING = """
import sys
from pathlib import Path
from resources.events.segments import line_of
from resources.events.spool import Spool
from tests.support.event_cases import event
spool = Spool.open(Path(sys.argv[1]))
for number in range(1_000_000):
    spool.append(line_of(event(number).content))
    print(number, flush=True)
"""


def test_what_a_killed_process_said_to_have_appended_is_there(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", APPENDING, tmp_path], cwd=REPOSITORY, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        assert one.stdout.readline()
        time.sleep(0.2)
        one.send_signal(signal.SIGKILL)
        said = 1 + len(one.stdout.read().splitlines())
    sink = ListSink()
    drained(tmp_path, sink)
    assert said > 10
    # One more may be there, of which nobody could be told any more.
    assert sink.ids[:said] == [event_id(number) for number in range(said)]
    assert len(sink.ids) <= said + 1


def test_a_sync_that_could_not_begin_is_made_good_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, synced, fsync = Spool.open(tmp_path), list[int](), os.fsync

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), fsync(file))[1])
    spool.append(line_of(event(1).content))
    spool.seal()
    spool.append(line_of(event(2).content))
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", none_left)
        with pytest.raises(OSError, match="Too many"):
            spool.sync()
    assert synced == []
    spool.sync()
    # Both segments, and the folder that names them.
    assert len(synced) == 3
    spool.close()


def test_a_spool_that_could_not_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(OSError, match="Too many"):
        Spool.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_drainers_share_what_dead_processes_left(tmp_path: Path) -> None:
    for number in range(3):
        left_by_a_dead_process(tmp_path, [event(number)])
    first, second = ListSink(), ListSink()
    drained(tmp_path, first)
    drained(tmp_path, second)
    assert sorted(first.ids) == [event_id(number) for number in range(3)]
    assert second.ids == []


def test_a_folder_that_is_being_made_is_nobodys_legacy(tmp_path: Path) -> None:
    being_made, long_ago = tmp_path / ".new-1", tmp_path / ".new-2"
    for folder in (being_made, long_ago):
        folder.mkdir()
        (folder / "lock").touch()
    os.utime(long_ago, (0, 0))
    (found,) = adopt(tmp_path, own=None)
    assert found.path == long_ago
    found.give_up()
    assert [path.name for path in tmp_path.iterdir()] == [".new-1"]

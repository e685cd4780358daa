"""The file of features: bounded, shared by processes, begun anew where it is damaged, gone around while it fails."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from resources.feature_cache import on_disk
from resources.feature_cache.on_disk import OnDiskCache

GROUP = "1:version:digest"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "features.sqlite"


@pytest.fixture
def start(path: Path) -> Iterator[Callable[..., OnDiskCache]]:
    """Open the file as a process does it, and try what failed again at once."""
    started: list[OnDiskCache] = []

    def begin(most_bytes: int = 64 << 20, clock: Callable[[], float] = lambda: 1_000.0) -> OnDiskCache:
        started.append(OnDiskCache(path, most_bytes, left_alone_seconds=0.0, clock=clock))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def named(group: str, count: int, size: int = 4_000) -> dict[str, bytes]:
    return {f"{group}:{number}": os.urandom(size) for number in range(count)}


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_what_one_puts_another_finds_and_the_next_after_a_restart(start: Callable[..., OnDiskCache]) -> None:
    entries = named(GROUP, 700)
    first, second = start(), start()
    assert first.put(entries, 60)
    assert second.get(list(entries)) == list(entries.values())
    first.close()
    second.close()
    assert start().get(list(entries)) == list(entries.values())


def test_killed_in_the_middle_of_putting_nothing_is_half_there(start: Callable[..., OnDiskCache], path: Path) -> None:
    script = """
import sys
from pathlib import Path
from resources.feature_cache.on_disk import OnDiskCache
cache, at = OnDiskCache(Path(sys.argv[1]), clock=lambda: 1000.0), 0
while True:
    cache.put({f"1:v:d:{at}-{number}": bytes([at % 251]) * 9000 for number in range(40)}, 60)
    at += 1
    print(at, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) >= 60:
                break
        process.send_signal(signal.SIGKILL)
    cache = start()
    whole = 0
    for at in range(200):
        found = cache.get([f"1:v:d:{at}-{number}" for number in range(40)])
        assert len(set(found)) == 1
        whole += found[0] == bytes([at % 251]) * 9000
    # What was said to be put is there.
    assert 60 <= whole < 200
    assert cache.trouble() is None


def test_torn_foreign_and_moved_entries_are_not_there(start: Callable[..., OnDiskCache], path: Path) -> None:
    cache = start()
    cache.put({f"{GROUP}:a": b"content of a" * 50, f"{GROUP}:b": b"content of b" * 50}, 60)
    (whole,), (other,) = rows(path, "SELECT sealed FROM entries ORDER BY rest")
    assert isinstance(whole, bytes)
    for content in (whole[:-1], b"", whole + b"x", b"\x80\x04cposix\nsystem\n.", other, "text", None, 7):
        with closing(sqlite3.connect(path)) as database, database:
            if content is None:
                database.execute("DELETE FROM entries WHERE rest = 'a'")
                database.execute("INSERT INTO entries VALUES (90, 9, 'a', 2000, x'00')")
            else:
                database.execute("UPDATE entries SET sealed = ? WHERE rest = 'a'", (content,))
        assert cache.get([f"{GROUP}:a", f"{GROUP}:b"]) == [None, b"content of b" * 50]


def test_what_ended_is_removed_when_something_is_put(
    start: Callable[..., OnDiskCache], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_disk, "_LOOKS_EVERY_SECONDS", 0.0)
    now = [1_000.0]
    cache = start(clock=lambda: now[0])
    cache.put(named("1:v:old", 1_200, 100), 60)
    cache.put(named("1:v:renewed", 3, 100), 60)
    now[0] += 59
    cache.put(named("1:v:renewed", 3, 100), 60)
    assert rows(path, "SELECT count(*) FROM entries") == [(1_203,)]
    now[0] += 2
    cache.put(named("1:v:new", 2, 100), 60)
    found = rows(path, "SELECT name, count(*) FROM entries JOIN groups USING (group_id) GROUP BY name ORDER BY name")
    assert found == [("1:v:new", 2), ("1:v:renewed", 3)]
    assert rows(path, "SELECT count(*) FROM groups") == [(2,)]
    assert rows(path, "SELECT count(*) FROM entries") == [(5,)]


def test_the_file_has_no_more_than_it_may_and_what_ends_first_goes(
    start: Callable[..., OnDiskCache], path: Path
) -> None:
    cache, kept = start(most_bytes=4 << 20), dict[str, dict[str, bytes]]()
    for at in range(5):
        kept[f"1:v:{at}"] = named(f"1:v:{at}", 300)
        assert cache.put(kept[f"1:v:{at}"], 10 * 3**at)
    found = {group: [each is not None for each in cache.get(list(entries))] for group, entries in kept.items()}
    assert {group: sum(there) for group, there in found.items()} == {
        "1:v:0": 0, "1:v:1": 0, "1:v:2": 300, "1:v:3": 300, "1:v:4": 300,
    }  # fmt: skip
    cache.close()
    assert path.stat().st_size <= 4 << 20
    # Nothing goes for what would not have twice its time left.
    cache = start(most_bytes=4 << 20)
    assert not cache.put(named("1:v:late", 300), 180)
    assert cache.trouble() == "it may have no more bytes, or the disk has none"
    assert all(each is not None for group in ("1:v:2", "1:v:3", "1:v:4") for each in cache.get(list(kept[group])))
    # Nor is a group put that is larger than all there may be.
    assert not cache.put(named("1:v:large", 1_500), 100_000)
    assert path.stat().st_size <= 4 << 20


def test_two_that_do_not_fit_together_and_are_put_again_do_not_push_each_other_out(
    start: Callable[..., OnDiskCache],
) -> None:
    now = [1_000.0]
    cache = start(most_bytes=2 << 20, clock=lambda: now[0])
    first, second = named("1:v:first", 300), named("1:v:second", 300)
    taken = []
    for _ in range(3):
        taken.append((cache.put(first, 60), cache.put(second, 60)))
        now[0] += 10
        # What is put again ends later than what is there.
        assert not cache.put(second, 60)
        assert cache.get(list(first)) == list(first.values())
    assert taken == [(True, False)] * 3
    # Nobody puts the first again: the second has its place before it ends.
    now[0] += 25
    assert cache.put(second, 60)
    assert cache.get(list(second)) == list(second.values())


@pytest.mark.parametrize("is_open", [False, True])
def test_a_damaged_file_is_set_aside_and_begun_anew(
    start: Callable[..., OnDiskCache], path: Path, *, is_open: bool
) -> None:
    cache = start()
    entries = named(GROUP, 200)
    cache.put(entries, 60)
    if not is_open:
        cache.close()
        cache = start()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(b"no database at all" + bytes(500) + content[518 : len(content) // 2])
    names = list(entries)
    assert cache.get(names) == [None] * len(names)
    if is_open:
        # Whoever has it open may have noticed nothing yet.
        cache.get(names)
    assert cache.put(entries, 60)
    assert cache.get(names) == list(entries.values())
    assert "damaged" in (cache.trouble() or "")
    assert path.with_name("features.sqlite.damaged").is_file()
    assert start().get(names) == list(entries.values())


def test_a_database_of_something_else_is_set_aside(start: Callable[..., OnDiskCache], path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE entries (name TEXT)")
    cache = start()
    assert cache.get(["a"]) == [None]
    assert cache.put({"a": b"1"}, 60)
    assert cache.get(["a"]) == [b"1"]
    assert rows(path.with_name("features.sqlite.damaged"), "SELECT count(*) FROM entries") == [(0,)]


def test_removed_or_moved_away_it_is_begun_anew_by_whoever_has_it_open(
    start: Callable[..., OnDiskCache], path: Path
) -> None:
    cache = start()
    cache.put({"a": b"1"}, 60)
    for gone in path.parent.glob("features.sqlite*"):
        gone.unlink()
    assert cache.get(["a"]) == [None]
    assert cache.put({"a": b"2"}, 60)
    assert start().get(["a"]) == [b"2"]
    assert cache.trouble() is None


def test_where_nothing_can_be_made_nothing_is_there_and_it_is_told(
    start: Callable[..., OnDiskCache], path: Path
) -> None:
    path.parent.write_text("a file where the folder should be")
    cache = start()
    assert (cache.get(["a"]), cache.put({"a": b"1"}, 60)) == ([None], False)
    assert cache.trouble() == "File exists"
    path.parent.unlink()
    path.mkdir(parents=True)
    assert (cache.get(["a"]), cache.put({"a": b"1"}, 60)) == ([None], False)
    assert cache.trouble() == "unable to open database file"
    path.rmdir()
    assert cache.put({"a": b"1"}, 60)
    assert cache.get(["a"]) == [b"1"]


def test_a_full_disk_takes_no_more_and_gives_what_it_has(start: Callable[..., OnDiskCache], path: Path) -> None:
    cache = start(most_bytes=1 << 20)
    entries = named(GROUP, 50)
    assert cache.put(entries, 60)
    was_full = any(not cache.put(named(GROUP + str(at), 50), 60 - at) for at in range(10))
    assert was_full
    assert cache.get(list(entries)) == list(entries.values())
    assert cache.trouble()
    assert path.stat().st_size <= 1 << 20


def test_while_another_writes_for_long_it_is_read_and_not_written(
    start: Callable[..., OnDiskCache], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.feature_cache.disk_file._WRITES_WAIT_SECONDS", 0.05)
    cache = start()
    cache.put({"a": b"1"}, 60)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM entries")
        assert cache.get(["a"]) == [b"1"]
        assert not cache.put({"a": b"2"}, 60)
        assert cache.trouble() == "database is locked"
        other.execute("ROLLBACK")
    assert cache.put({"a": b"2"}, 60)
    assert cache.get(["a"]) == [b"2"]


def test_while_it_cannot_be_read_it_costs_nothing(path: Path) -> None:
    path.mkdir(parents=True)
    cache = OnDiskCache(path)
    began = monotonic()
    for _ in range(5_000):
        assert cache.get(["a"]) == [None]
    assert monotonic() - began < 1.0


def test_threads_use_a_connection_each_and_leave_none_open(start: Callable[..., OnDiskCache], path: Path) -> None:
    cache = start()
    entries = named(GROUP, 64)
    cache.put(entries, 60)

    def get(at: int) -> bool:
        names = list(entries)[at % 8 :]
        if at % 5 == 0:
            cache.put({f"{GROUP}:own {at}": b"x"}, 60)
        return cache.get(names) == [entries[name] for name in names]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(get, range(200)))
    cache.close()
    # Who lets go last puts the log into the file.
    assert not path.with_name("features.sqlite-wal").exists()
    # Closed, it may be asked yet, by what was under way.
    assert cache.get([f"{GROUP}:0"]) == [entries[f"{GROUP}:0"]]
    assert not path.with_name("features.sqlite-wal").exists()


def test_a_process_that_is_forked_from_this_one_uses_connections_of_its_own(
    start: Callable[..., OnDiskCache],
) -> None:
    cache = start()
    cache.put({"a": b"1"}, 60)
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        found = cache.get(["a"]) == [b"1"] and cache.put({"b": b"2"}, 60)
        os.write(writes, b"right" if found else b"wrong")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reads, 5) == b"right"
    os.close(reads)
    os.close(writes)
    assert cache.get(["a", "b"]) == [b"1", b"2"]


def test_nobody_else_may_read_it(start: Callable[..., OnDiskCache], path: Path) -> None:
    cache = start()
    assert cache.put({"one": b"1"}, 60.0)
    assert {each.stat().st_mode & 0o077 for each in path.parent.glob("features.sqlite*")} == {0}


def test_what_is_put_right_after_a_damaged_file_was_set_aside_is_there(
    start: Callable[..., OnDiskCache], path: Path
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no database, but bytes that somebody has left" * 1_000)
    cache = start()
    assert cache.get(["one"]) == [None]
    assert cache.put({"one": b"1"}, 60.0)
    assert cache.get(["one"]) == [b"1"]


def test_many_open_a_new_file_at_once(start: Callable[..., OnDiskCache]) -> None:
    caches = [start() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        put = [*pool.map(lambda at: caches[at].put({f"n{at}": b"1"}, 60.0), range(8))]
    assert put == [True] * 8

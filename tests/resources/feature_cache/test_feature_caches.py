"""Caches of features, held to one suite: this process, a file on disk, and Redis on a server of its own."""

import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import pytest
from redis import Redis

from resources.feature_cache.cache import FeatureCache, feature_cache
from resources.feature_cache.in_process import InProcessCache
from resources.feature_cache.redis_cache import PREFIX, RedisCache
from resources.feature_cache.sealed import digest_of, opened, seal
from resources.redis_server.server import RedisServer
from tests.support.redis_servers import PrivateRedis, listener, redis_server

ODD = ["", "a b", "S-1/FOOD\n", "Läden:Öl", '["S","x"]', "{a}", "x" * 3000]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with redis_server(tmp_path_factory.mktemp("redis") / "server", memory_mb=16) as started:
        yield started


@pytest.fixture
def client(server: PrivateRedis) -> "Redis":
    found = Redis.from_url(server.url)
    found.flushall()
    return found


@pytest.fixture(params=["in process", "on disk", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeatureCache]:
    if request.param == "redis":
        request.getfixturevalue("client")
    places: dict[str, tuple[str | None, Path | None]] = {
        "in process": (None, None),
        "on disk": (None, tmp_path / "serving" / "features.sqlite"),
        "redis": (request.getfixturevalue("server").url if request.param == "redis" else None, None),
    }
    made = feature_cache(*places[request.param], most_bytes=64 << 20)
    yield made
    made.close()


@pytest.fixture
def shared(server: PrivateRedis, client: "Redis", monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisCache]:
    """Tries what did not answer again after a moment."""
    del client
    monkeypatch.setattr(RedisServer.__init__, "__kwdefaults__", {"left_alone_seconds": 0.2})
    made = RedisCache(server.url)
    yield made
    made.close()


def test_what_was_put_comes_back_under_its_name_alone_and_in_order(cache: FeatureCache) -> None:
    entries = {name: os.urandom(at * 1000) + bytes(at) for at, name in enumerate(ODD)}
    assert cache.put(entries, 60)
    assert cache.get([*ODD, "none", ODD[2]]) == [*entries.values(), None, entries[ODD[2]]]
    assert cache.get([]) == []
    assert cache.put({}, 60)
    assert cache.trouble() is None


def test_what_is_put_again_is_the_new_one(cache: FeatureCache) -> None:
    cache.put({"a": b"old", "b": b"other"}, 60)
    cache.put({"a": b"new"}, 60)
    assert cache.get(["a", "b"]) == [b"new", b"other"]


def test_after_its_time_an_entry_is_not_there(cache: FeatureCache) -> None:
    cache.put({"brief": b"1"}, 1.0)
    cache.put({"long": b"2"}, 60)
    assert cache.get(["brief", "long"]) == [b"1", b"2"]
    # Redis counts whole milliseconds of its own clock: in the millisecond in which the time ends the entry is there.
    sleep(1.0 + 0.25)
    assert cache.get(["brief", "long"]) == [None, b"2"]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_what_may_not_be_kept_is_not_there(cache: FeatureCache, seconds: float) -> None:
    cache.put({"a": b"1"}, seconds)
    assert cache.get(["a"]) == [None]


def test_threads_share_it(cache: FeatureCache) -> None:
    def put_and_get(at: int) -> bool:
        names = [f"{at % 7} {number}" for number in range(20)]
        cache.put({name: name.encode() for name in names}, 60)
        return cache.get(names) == [name.encode() for name in names]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(put_and_get, range(50)))


def test_each_says_what_and_where_it_is_and_whether_others_find_it(server: PrivateRedis, tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    found = [
        feature_cache(None), feature_cache(None, path, 0), feature_cache(None, path, 1 << 20),
        feature_cache(server.url, path, 1 << 20),
    ]  # fmt: skip
    assert [(one.what, one.place, one.is_shared, one.is_lasting) for one in found] == [
        ("memory", "this process", False, False),
        ("memory", "this process", False, False),
        ("the file of features", f"{tmp_path.name}/features.sqlite", True, True),
        ("Redis", server.url, True, False),
    ]
    # Nothing is made before something is put.
    assert not path.exists()


def test_what_is_shared_is_opened_anew_where_it_is_unpickled(server: PrivateRedis, tmp_path: Path) -> None:
    for one in (feature_cache(None, tmp_path / "features.sqlite", 1 << 20), feature_cache(server.url)):
        one.put({"a": b"content"}, 60)
        other = pickle.loads(pickle.dumps(one))  # noqa: S301
        assert (other.get(["a"]), other.place) == ([b"content"], one.place)
        other.close()
        one.close()


def test_in_process_what_was_asked_for_least_recently_goes_first() -> None:
    cache = InProcessCache(most_bytes=40)
    cache.put({"a": b"x" * 9, "b": b"x" * 9, "c": b"x" * 9}, 60)
    assert cache.get(["a"]) == [b"x" * 9]
    cache.put({"d": b"x" * 9, "e": b"x" * 9}, 60)
    assert [found is not None for found in cache.get(["a", "b", "c", "d", "e"])] == [True, False, True, True, True]
    cache.put({"large": b"x" * 40}, 60)
    assert cache.get(["large", "a"]) == [None, b"x" * 9]
    cache.close()
    assert cache.get(["a"]) == [None]


def test_what_one_process_puts_into_redis_another_finds(shared: RedisCache, server: PrivateRedis) -> None:
    shared.put({"a": b"content"}, 60)
    other = RedisCache(server.url)
    assert other.get(["a"]) == [b"content"]


def test_torn_foreign_and_moved_entries_are_not_there(shared: RedisCache, client: "Redis") -> None:
    shared.put({"a": b"content of a" * 50, "b": b"content of b" * 50}, 60)
    whole = client.get(PREFIX + "a")
    assert isinstance(whole, bytes)
    spoiled = [whole[:-1], whole[:20], b"", b"x", whole + b"x", bytes([*whole[:50], whole[50] ^ 1, *whole[51:]])]
    spoiled += [b"FAF0" + whole[4:], b"\x80\x04cposix\nsystem\n.", whole[:4] + bytes(32) + whole[36:]]
    for content in spoiled:
        client.set(PREFIX + "a", content)
        assert shared.get(["a", "b"]) == [None, b"content of b" * 50]
    client.set(PREFIX + "a", client.get(PREFIX + "b"))
    assert shared.get(["a", "b"]) == [None, b"content of b" * 50]
    client.delete(PREFIX + "a")
    client.rpush(PREFIX + "a", "a list")
    assert shared.get(["a", "b"]) == [None, b"content of b" * 50]
    client.set(PREFIX + "a", whole)
    assert shared.get(["a"]) == [b"content of a" * 50]


def test_an_entry_with_a_right_digest_and_no_content_does_not_open() -> None:
    sealed = seal("a", b"content" * 9)
    assert opened("a", sealed) == b"content" * 9
    for packed in (b"", b"no zlib", sealed[36:-3], sealed[36:] + b"more"):
        assert opened("a", sealed[:4] + digest_of("a", packed) + packed) is None


def test_flushed_in_the_middle_it_goes_on_with_what_is_put_next(shared: RedisCache, client: "Redis") -> None:
    shared.put({"a": b"1"}, 60)
    client.flushall()
    assert shared.get(["a"]) == [None]
    shared.put({"a": b"2"}, 60)
    assert (shared.get(["a"]), shared.trouble()) == ([b"2"], None)


def test_stopped_it_costs_nothing_and_started_again_it_comes_back(shared: RedisCache, server: PrivateRedis) -> None:
    shared.put({"a": b"1"}, 60)
    server.stop()
    try:
        assert (shared.get(["a"]), shared.put({"a": b"1"}, 60)) == ([None], False)
        assert shared.trouble() == "ConnectionError"
        began = monotonic()
        for _ in range(1_000):
            assert shared.get(["a"]) == [None]
        assert monotonic() - began < 0.5
    finally:
        server.start()
    sleep(0.25)
    assert shared.trouble() is None
    assert shared.put({"a": b"2"}, 60)
    assert shared.get(["a"]) == [b"2"]


def test_hanging_it_costs_one_short_wait() -> None:
    with listener() as url:
        cache = RedisCache(url)
        began = monotonic()
        for _ in range(100):
            assert cache.get(["a"]) == [None]
            assert not cache.put({"a": b"1"}, 60)
        assert monotonic() - began < 1.0
        assert cache.trouble() == "TimeoutError"


def test_with_a_wrong_password_nothing_is_there_and_it_is_told(tmp_path: Path) -> None:
    with redis_server(tmp_path / "locked", "right") as locked:
        cache = RedisCache(locked.url.replace("right", "wrong"))
        assert (cache.get(["a"]), cache.put({"a": b"1"}, 60)) == ([None], False)
        assert cache.trouble() == "AuthenticationError"
        assert "wrong" not in cache.place


def test_a_full_redis_takes_no_more_and_gives_what_it_has(shared: RedisCache, client: "Redis") -> None:
    shared.put({"a": b"1"}, 60)
    was_full = False
    for at in range(40):
        was_full = was_full or not shared.put({f"large {at}": os.urandom(1 << 20)}, 60)
    assert was_full
    assert shared.get(["a"]) == [b"1"]
    assert client.exists(PREFIX + "a")
    assert shared.trouble() == "OutOfMemoryError"

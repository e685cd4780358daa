"""Requests counted by several processes together, and by each alone while Redis fails."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from redis import Redis

from forecast_assets.core.errors import InputError
from forecast_assets.serving.access.request_counts import RequestCounts
from resources.redis_server.server import RedisServer
from tests.support.redis_servers import PrivateRedis, listener, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with redis_server(tmp_path_factory.mktemp("redis") / "server") as started:
        yield started


@pytest.fixture
def two(server: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RequestCounts, RequestCounts]]:
    """As two processes have them; what did not answer is tried again after a moment."""
    monkeypatch.setattr(RedisServer.__init__, "__kwdefaults__", {"left_alone_seconds": 0.3})
    Redis.from_url(server.url).flushall()
    found = RequestCounts(server.url), RequestCounts(server.url)
    yield found
    for each in found:
        each.close()


def admitted(counts: RequestCounts, times: int, key: str = "key", per_minute: int = 4) -> int:
    return sum(counts.wait_seconds(key, per_minute) == 0 for _ in range(times))


def test_two_processes_count_a_key_together_and_others_apart(two: tuple[RequestCounts, RequestCounts]) -> None:
    first, second = two
    assert (admitted(first, 3), admitted(second, 3), admitted(first, 1)) == (3, 1, 0)
    assert admitted(second, 9, "another") == 4
    assert 1 <= first.wait_seconds("key", 4) <= 60
    assert first.degraded() == second.degraded() == ()


def test_in_a_process_of_its_own_each_key_has_its_minute() -> None:
    counts = RequestCounts()
    assert (admitted(counts, 9), admitted(counts, 9, "another"), counts.degraded()) == (4, 4, ())


def test_what_was_refused_by_all_together_is_not_held_against_a_process(
    two: tuple[RequestCounts, RequestCounts], server: PrivateRedis
) -> None:
    first, second = two
    assert (admitted(first, 4), admitted(second, 50)) == (4, 0)
    Redis.from_url(server.url).flushall()
    assert admitted(second, 9) == 4


def test_counts_that_are_lost_in_the_middle_let_nobody_ask_without_bound(
    two: tuple[RequestCounts, RequestCounts], server: PrivateRedis
) -> None:
    first, _ = two
    found = 0
    for _ in range(10):
        Redis.from_url(server.url).flushall()
        found += admitted(first, 2)
    assert found == 4


def test_while_redis_is_gone_each_process_counts_alone_and_comes_back_by_itself(
    two: tuple[RequestCounts, RequestCounts], server: PrivateRedis
) -> None:
    first, second = two
    assert admitted(first, 3) == 3
    server.stop()
    try:
        assert (admitted(first, 9), admitted(second, 9)) == (1, 4)
        assert first.degraded() == ("requests are counted in this process alone: Redis fails (ConnectionError)",)
        began = monotonic()
        for at in range(200):
            first.wait_seconds(f"key {at}", 4)
        assert monotonic() - began < 0.2
    finally:
        server.start()
    sleep(0.35)
    assert first.degraded() == ()
    assert (admitted(first, 2, "later"), admitted(second, 3, "later")) == (2, 2)


def test_a_server_that_was_started_anew_meanwhile_answers_at_once(
    two: tuple[RequestCounts, RequestCounts], server: PrivateRedis
) -> None:
    first, second = two
    assert (admitted(first, 2), admitted(second, 1)) == (2, 1)
    server.stop()
    server.start()
    assert admitted(second, 3) == 3
    assert (admitted(first, 9), first.degraded(), second.degraded()) == (1, (), ())


def test_a_key_of_something_else_in_its_place_is_told_and_counted_around(
    two: tuple[RequestCounts, RequestCounts], server: PrivateRedis
) -> None:
    client = Redis.from_url(server.url)
    admitted(two[0], 1)
    (name,) = client.keys("forecast-assets:limits*")
    client.set(name, "of somebody else")
    assert admitted(two[0], 9) == 3
    assert two[0].degraded() == ("requests are counted in this process alone: Redis fails (ResponseError)",)


def took(counts: RequestCounts) -> float:
    began = monotonic()
    assert admitted(counts, 100, per_minute=10) == 10
    return monotonic() - began


def test_what_accepts_and_never_answers_costs_one_short_wait() -> None:
    with listener() as url:
        counts = RequestCounts(url)
        assert took(counts) < 1.0
        assert counts.degraded() == ("requests are counted in this process alone: Redis fails (TimeoutError)",)


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 40 + b"\r\n", b"$-9\r\n"])
def test_what_is_no_redis_is_counted_around(says: bytes) -> None:
    with listener(says) as url:
        counts = RequestCounts(url)
        assert took(counts) < 1.0
        assert len(counts.degraded()) == 1


def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    with redis_server(tmp_path / "locked", "right") as locked:
        right, wrong = RequestCounts(locked.url), RequestCounts(locked.url.replace("right", "secret"))
        assert (admitted(right, 9), right.degraded()) == (4, ())
        assert took(wrong) < 1.0
        assert wrong.degraded() == ("requests are counted in this process alone: Redis fails (AuthenticationError)",)
        none = RequestCounts(locked.url_without_password)
        assert took(none) < 1.0
        assert len(none.degraded()) == 1


def test_without_the_library_the_setting_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(InputError, match="needs the library `redis`") as refused:
        RequestCounts("redis://127.0.0.1:1")
    assert "pip install redis" in str(refused.value.remedy)


def test_an_address_is_shown_without_its_password_and_a_wrong_one_is_refused() -> None:
    assert RedisServer("redis://ana:se@cret@db:1/2?db=3").place == "redis://ana:***@db:1/2"
    assert RedisServer("redis://db:1/2").place == "redis://db:1/2"
    for password in ("secret", "sec/ret", "sec?ret", "s:e#c"):
        with pytest.raises(InputError, match=r"no address of a Redis: redis://ana:\*\*\*@db:port\."):
            RedisServer(f"redis://ana:{password}@db:port")

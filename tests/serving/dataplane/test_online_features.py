"""What predictions need of series, from a run prepared here or from a cache: never wrong, whatever becomes of Redis."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, sleep

import numpy as np
import pytest
from polars.testing import assert_frame_equal
from redis import Redis

from forecast_assets.core.errors import InputError, StorageError
from forecast_assets.features.changes import SeriesChange
from forecast_assets.serving.dataplane import run_basis
from forecast_assets.serving.dataplane.online_features import OnlineFeatures
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.dataplane.prepared import PreparedRun
from forecast_assets.serving.dataplane.prepared_runs import PreparedRuns
from forecast_assets.serving.dataplane.what_if import what_if
from resources.feature_cache.in_process import InProcessCache
from resources.feature_cache.redis_cache import PREFIX, RedisCache
from resources.feature_cache.sealed import opened, seal
from resources.redis_server.server import RedisServer
from tests.support.feature_cases import KEEPS, Process, asked, never, require_equal, series
from tests.support.redis_servers import PrivateRedis, listener, redis_server
from tests.support.retailers import KEY


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with redis_server(tmp_path_factory.mktemp("redis") / "server") as started:
        yield started


@pytest.fixture
def client(server: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> "Redis":
    monkeypatch.setattr(RedisServer.__init__, "__kwdefaults__", {"left_alone_seconds": 0.2})
    found = Redis.from_url(server.url)
    found.flushall()
    return found


def test_a_process_that_prepared_nothing_answers_what_another_has_put(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    first, second = process(RedisCache(server.url)), process(RedisCache(server.url), make=never)
    first.features.warm(KEY)
    assert client.dbsize() == prepared.panel.series.height + 2
    assert {client.ttl(key) > 3_500 for key in client.keys(f"{PREFIX}*")} == {True}
    for rows in ((0,), (7, 3), (35, 0, 18, 9)):
        changes = asked(prepared, *rows)
        require_equal(second.answer(*changes), prepared, changes)
    second.features.warm(KEY)
    assert (first.prepared_times, second.prepared_times, second.features.is_ready(KEY)) == (1, 0, False)
    found = second.features.state()
    assert (found.place, found.answers, found.hits, found.misses, found.put) == (server.url, True, 8, 0, 0)
    assert first.features.state().put == 36


def test_what_is_missed_is_prepared_and_put_for_others(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    first, second = process(RedisCache(server.url)), process(RedisCache(server.url), make=never)
    changes = asked(prepared, 4, 9)
    require_equal(first.answer(*changes), prepared, changes)
    first.features.finish()
    assert client.dbsize() == 3
    require_equal(second.answer(*changes), prepared, changes)
    require_equal(second.answer(changes[1]), prepared, changes[1:])
    assert second.answer(*asked(prepared, 5)).run.served_from == "last_batch"
    assert (first.features.state().misses, second.features.state().hits, second.features.state().misses) == (2, 3, 1)


@pytest.mark.parametrize("is_shared", [False, True])
def test_series_that_the_run_does_not_have_are_refused_and_not_put(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", *, is_shared: bool
) -> None:
    one = process(RedisCache(server.url) if is_shared else InProcessCache())
    for _ in range(2):
        with pytest.raises(InputError, match="has no series S-01/none"):
            one.answer(SeriesChange("S-01", "none"))
    one.features.finish()
    assert (client.dbsize(), one.features.state().put, one.prepared_times) == (0, 0, 1)


def test_flushed_in_the_middle_all_is_put_again_by_who_has_it(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    first, second = process(RedisCache(server.url)), process(RedisCache(server.url))
    first.features.warm(KEY)
    changes = asked(prepared, 2)
    require_equal(second.answer(*changes), prepared, changes)
    client.flushall()
    require_equal(second.answer(*changes), prepared, changes)
    assert second.prepared_times == 1
    first.features.warm(KEY)
    assert (client.dbsize(), first.prepared_times) == (38, 1)
    puts = first.features.state().put
    first.features.warm(KEY)
    assert first.features.state().put == puts


def test_stopped_and_started_again_every_answer_is_right(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    client.ping()
    first, second = process(RedisCache(server.url)), process(RedisCache(server.url))
    first.features.warm(KEY)
    changes = asked(prepared, 2, 30)
    require_equal(second.answer(*changes), prepared, changes)
    server.stop()
    try:
        require_equal(second.answer(*changes), prepared, changes)
        first.features.warm(KEY)
        assert second.features.degraded() == (
            "features are of runs prepared in this process alone: Redis fails (ConnectionError)",
        )
        assert not second.features.state().answers
    finally:
        server.start()
    sleep(0.25)
    first.features.warm(KEY)
    third = process(RedisCache(server.url), make=never)
    require_equal(third.answer(*changes), prepared, changes)
    assert (second.features.degraded(), second.features.state().answers) == ((), True)


def test_a_redis_that_hangs_costs_a_short_wait_once(process: Callable[..., Process], prepared: PreparedRun) -> None:
    with listener() as url:
        one, changes = process(RedisCache(url)), asked(prepared, 2)
        began = monotonic()
        assert one.features.of(KEY, series(prepared, 2), 60.0) is prepared
        assert monotonic() - began < 2.0
        require_equal(one.answer(*changes), prepared, changes)
        assert one.features.degraded() == (
            "features are of runs prepared in this process alone: Redis fails (TimeoutError)",
        )


def names(client: "Redis", prepared: PreparedRun, row: int) -> tuple[str, str]:
    """Return the names of the entries of the run and of a series."""
    keys = [key.decode().removeprefix(PREFIX) for key in client.keys(f"{PREFIX}*")]
    (store, sku), (of_run,) = prepared.panel.series.row(row), [key for key in keys if key.endswith(":run")]
    (of_series,) = [key for key in keys if key.endswith(f'["{store}","{sku}"]')]
    return of_run, of_series


def test_entries_that_are_torn_or_of_something_else_are_never_answered_from(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    process(RedisCache(server.url)).features.warm(KEY)
    changes = asked(prepared, 2)
    of_run, own = names(client, prepared, 2)
    other = names(client, prepared, 3)[1]
    kept = {name: client.get(PREFIX + name) for name in (of_run, own, other)}
    content = {name: opened(name, sealed) for name, sealed in kept.items()}  # type: ignore[arg-type]
    spoiled = {
        own: [
            kept[own][: len(kept[own]) // 2],  # type: ignore[index]
            kept[other],
            b"of somebody else",
            # As a defect would put them: sealed, and not what belongs there.
            seal(own, content[other] or b""),
            seal(own, content[of_run] or b""),
            seal(own, (content[own] or b"")[:-64]),
            seal(own, b""),
        ],
        of_run: [kept[own], seal(of_run, b"PK"), seal(of_run, content[own] or b""), seal(of_run, content[of_run][:-9])],  # type: ignore[index]
    }
    for name, entries in spoiled.items():
        for entry in entries:
            client.set(PREFIX + name, entry)  # type: ignore[arg-type]
            able = process(RedisCache(server.url))
            assert able.features.cached(KEY, series(prepared, 2)) is None
            assert able.features.of(KEY, series(prepared, 2), 60.0) is prepared
            # What was missed was put again, right.
            able.features.finish()
            healed = process(RedisCache(server.url), make=never)
            assert healed.features.of(KEY, series(prepared, 2), 60.0).panel.sales.tolist() == [
                prepared.panel.sales[2].tolist()
            ]
    require_equal(healed.answer(*changes), prepared, changes)


def test_numbers_that_are_not_the_published_ones_give_no_answer(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    client.ping()
    wrong = replace(prepared, base=prepared.base + 1)
    process(RedisCache(server.url), make=lambda: wrong).features.warm(KEY)
    found = process(RedisCache(server.url), make=never).answer(*asked(prepared, 2))
    assert (found.run.served_from, found.is_degraded) == ("last_batch", True)


def test_what_does_not_answer_as_published_is_prepared_by_who_warms_it(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    client.ping()
    wrong = replace(prepared, base=prepared.base + 1)
    process(RedisCache(server.url), make=lambda: wrong).features.warm(KEY)
    one = process(RedisCache(server.url))
    one.features.warm(KEY)
    assert (one.prepared_times, one.features.is_ready(KEY)) == (1, True)
    require_equal(one.answer(*asked(prepared, 2)), prepared, asked(prepared, 2))


def test_entries_of_other_code_or_another_run_are_not_found(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client.ping()
    process(RedisCache(server.url)).features.warm(KEY)
    monkeypatch.setattr(run_basis, "code_version", lambda: "0.1.0+another")
    other = process(RedisCache(server.url), make=never)
    assert other.answer(*asked(prepared, 2)).run.served_from == "last_batch"
    assert other.features.state().hits == 0
    assert not other.features.is_whole(KEY)


def test_what_is_too_old_is_not_used_wherever_it_is(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun, now: list[float]
) -> None:
    first, late = process(RedisCache(server.url)), process(RedisCache(server.url), make=never)
    changes = asked(prepared, 2)
    first.features.warm(KEY)
    now[0] += KEEPS - 1.0
    require_equal(late.answer(*changes), prepared, changes)
    # Redis has them yet.
    now[0] += 1.0
    assert client.dbsize() == 38
    assert late.answer(*changes).run.served_from == "last_batch"
    assert process(RedisCache(server.url), make=never).answer(*changes).run.served_from == "last_batch"
    assert not late.features.is_whole(KEY)
    require_equal(first.answer(*changes), prepared, changes)
    assert first.prepared_times == 2


def test_what_is_put_late_is_gone_as_early(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", now: list[float]
) -> None:
    one = process(RedisCache(server.url))
    one.features.warm(KEY)
    client.flushall()
    now[0] += 0.7 * KEEPS
    one.features.warm(KEY)
    assert one.prepared_times == 1
    assert {0.2 * KEEPS < client.ttl(key) <= 0.3 * KEEPS for key in client.keys(f"{PREFIX}*")} == {True}


def test_before_it_is_too_old_it_is_prepared_and_put_again(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun, now: list[float]
) -> None:
    client.ping()
    first, second = process(RedisCache(server.url)), process(RedisCache(server.url), make=never)
    first.features.warm(KEY)
    now[0] += 0.8 * KEEPS
    # Who has it prepared renews it; the other would only if nobody did.
    second.features.warm(KEY)
    first.features.warm(KEY)
    assert (first.prepared_times, first.features.state().put) == (2, 72)
    now[0] += 0.8 * KEEPS
    require_equal(second.answer(*asked(prepared, 2)), prepared, asked(prepared, 2))
    now[0] += 0.15 * KEEPS
    with pytest.raises(StorageError):
        second.features.warm(KEY)


def test_without_redis_what_was_asked_outlives_the_run_in_memory(plane: DataPlane, prepared: PreparedRun) -> None:
    made = iter([prepared])
    runs = PreparedRuns(plane.stores, prepare=lambda _stores, _run: next(made), most=1)
    features = OnlineFeatures(plane.stores, runs, InProcessCache())
    features.of(KEY, series(prepared, 2), 10)
    features.finish()
    runs._kept.clear()
    few = features.of(KEY, series(prepared, 2), 10)
    assert few.panel.series.rows() == series(prepared, 2)
    assert_frame_equal(what_if(few, asked(prepared, 2)).forecasts, what_if(prepared, asked(prepared, 2)).forecasts)
    assert (features.state().hits, features.state().place) == (1, "this process")


def test_many_callers_are_answered_right_while_redis_comes_and_goes(
    process: Callable[..., Process], server: PrivateRedis, client: "Redis", prepared: PreparedRun
) -> None:
    client.ping()
    process(RedisCache(server.url)).features.warm(KEY)
    one, random = process(RedisCache(server.url)), np.random.default_rng(5)
    for at in range(5):
        if at == 2:
            server.stop()
        if at == 4:
            server.start()
            sleep(0.25)
        changes = asked(prepared, *sorted(random.choice(36, 2, replace=False)))
        require_equal(one.answer(*changes), prepared, changes)
    assert one.features.degraded() == ()

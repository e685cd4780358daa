"""Stores of events, held to one suite: SQLite, and PostgreSQL on a server of its own."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest

from forecast_assets.core.errors import InputError, IntegrityError, StorageError
from resources.events.archive import EventArchive
from resources.events.postgresql import PostgresqlEvents
from resources.events.sqlite import SqliteEvents
from resources.events.stores import EventQuery, EventStore, event_store
from tests.support.event_cases import NOW, caller, event, event_id
from tests.support.mirrors import postgresql, require

DAY = NOW.date()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require(find_spec("psycopg"), "psycopg")
    with postgresql(tmp_path_factory.mktemp("events") / "postgresql") as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EventStore:
    if request.param == "sqlite":
        return event_store(tmp_path / "operational/events.sqlite", None)
    import psycopg

    address, name = request.getfixturevalue("server"), f"events_{uuid4().hex}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return event_store(tmp_path / "unused", f"{address.rsplit('/', 1)[0]}/{name}")


def test_a_store_without_events_has_none(store: EventStore) -> None:
    assert (store.find(event_id(1)), store.select(EventQuery()), store.days()) == (None, [], {})
    assert list(store.of_day(DAY)) == []


def test_an_event_comes_back_as_it_was_and_is_there_once(store: EventStore) -> None:
    assert store.add([event(1), event(2)]) == 2
    assert store.add([event(2), event(3)]) == 1
    found = store.find(event_id(2))
    assert found is not None
    assert found.content == event(2).content
    assert found.document == event(2).document
    assert store.days() == {DAY: 3}
    assert [each.event_id for each in store.of_day(DAY)] == [event_id(number) for number in (1, 2, 3)]


def test_which_of_many_ids_are_events_is_asked_at_once(store: EventStore, tmp_path: Path) -> None:
    ids = [event_id(number) for number in range(1, 501)]
    assert store.known(ids) == set()
    store.add([event(2), event(3), event(4)])
    assert store.known(ids) == {event_id(2), event_id(3), event_id(4)}
    assert store.known([]) == set()
    archive = EventArchive(tmp_path / "archive")
    assert archive.known(ids) == set()
    archive.move(store, DAY)
    assert archive.known(ids[:2]) == {event_id(2)}
    assert archive.known([]) == set()


def test_the_first_of_two_with_one_id_stays_also_where_the_second_is_of_another_day(store: EventStore) -> None:
    store.add([event(1)])
    again = event(1, at=NOW + timedelta(days=1), warnings=["another answer"])
    assert store.add([again]) == 0
    assert store.days() == {DAY: 1}
    found = store.find(event_id(1))
    assert found is not None
    assert found.document["warnings"] == ["careful"]


def test_events_are_found_by_caller_series_and_time_the_newest_first(store: EventStore) -> None:
    series = [["S-01", "A"], ["S-02", "B"]]
    store.add([event(1), event(2, caller=caller("k2", "bob"))])
    store.add([event(3, series=series), event(4, series=[["B", "S-02"]])])

    def numbers(**asked: object) -> list[int]:
        return [int(each.document["request_id"].split("-")[1]) for each in store.select(EventQuery(**asked))]  # type: ignore[arg-type]

    assert numbers() == [4, 3, 2, 1]
    assert numbers(limit=2) == [4, 3]
    assert numbers(key_id="k2") == numbers(caller="bob") == [2]
    assert numbers(store_id="S-02", sku_id="B") == [3]
    assert numbers(store_id="S-01", sku_id="B") == []
    assert numbers(store_id="S-01", sku_id="Käse €/1", key_id="k1") == [1]
    assert numbers(since=NOW + timedelta(seconds=2), until=NOW + timedelta(seconds=4)) == [3, 2]
    last = event(3)
    assert numbers(before=(last.occurred_at, last.event_id)) == [2, 1]


def test_a_day_is_dropped_with_exactly_the_events_that_were_counted(store: EventStore) -> None:
    store.add([event(1), event(2), event(3, at=NOW + timedelta(days=1))])
    assert not store.drop(DAY, 1)
    assert not store.drop(DAY, 3)
    assert store.days() == {DAY: 2, DAY + timedelta(days=1): 1}
    assert store.drop(DAY, 2)
    assert store.days() == {DAY + timedelta(days=1): 1}
    assert store.select(EventQuery(store_id="S-01", sku_id="Käse €/1")) == [event(3, at=NOW + timedelta(days=1))]
    # Late events of the day find their place again.
    assert store.add([event(4)]) == 1
    assert store.days()[DAY] == 1


def test_many_writers_at_once_lose_nothing_and_repeat_nothing(store: EventStore) -> None:
    with ThreadPoolExecutor(4) as writers:
        added = list(writers.map(lambda first: store.add([event(n) for n in range(first, first + 20)]), [0, 10, 0, 20]))
    assert sum(added) == 40
    assert store.days() == {DAY: 40}


def test_an_address_shows_no_password() -> None:
    assert PostgresqlEvents("postgresql://ana:secret@db/x").place == "postgresql://ana:***@db/x"


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    require(find_spec("psycopg"), "psycopg")
    with pytest.raises(StorageError, match="cannot be used") as error:
        PostgresqlEvents("postgresql://ana:secret@127.0.0.1:1/x").add([event(1)])
    assert "secret" not in str(error.value)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r'pip install "psycopg\[binary\]"'):
        PostgresqlEvents("postgresql://db/x").days()


def test_what_postgresql_cannot_hold_is_no_failure_of_the_server(server: str) -> None:
    import psycopg

    with pytest.raises(psycopg.DataError):
        PostgresqlEvents(server).add([event(1, use="\x00")])


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "events.sqlite").write_bytes(b"no database, and longer than a hundred bytes" * 10)
    with pytest.raises(IntegrityError, match="is damaged"):
        SqliteEvents(tmp_path / "events.sqlite").add([event(1)])

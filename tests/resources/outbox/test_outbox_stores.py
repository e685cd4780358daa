"""Outboxes, held to one suite: a file of SQLite, and PostgreSQL on a server of its own."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecast_assets.core.errors import StorageError
from resources.outbox.event import LEDGER, OPERATIONS
from resources.outbox.store import DestinationPosition, OutboxStore, outbox_store
from tests.support.brokers import silent_address
from tests.support.mirrors import postgresql

NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> OutboxStore:
    if request.param == "sqlite":
        return outbox_store(tmp_path / "operational" / "outbox.sqlite", None)
    import psycopg

    address = request.getfixturevalue("server")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS operational_events, outbox_positions")
    return outbox_store(tmp_path, address)


def add(outbox: OutboxStore, number: int, *, now: datetime = NOW) -> int:
    return outbox.add(
        "alert.opened", f"alerts/{number % 3}", {"number": number, "ü": "Läden"}, now, trace=f"00-{number}"
    )


def test_one_that_was_never_used_has_nothing(outbox: OutboxStore) -> None:
    assert (outbox.after(0, 10), outbox.newest(), outbox.positions()) == ([], 0, [])


def test_events_come_in_their_order_with_all_that_was_said(outbox: OutboxStore) -> None:
    places = [add(outbox, number) for number in range(25)]
    assert places == sorted(set(places))
    found = outbox.after(0, 10)
    assert [json.loads(each.content)["facts"]["number"] for each in found] == [*range(10)]
    assert [each.position for each in outbox.after(found[-1].position, 100)] == places[10:]
    assert outbox.newest() == places[-1]
    first = found[0]
    assert (first.stream, first.type, first.subject) == (OPERATIONS, "forecast-assets.alert.opened", "alerts/0")
    assert (first.at, first.trace) == ("2025-07-01T09:00:00+00:00", "00-0")
    assert json.loads(first.content) == {
        "format": 1,
        "kind": "alert.opened",
        "subject": "alerts/0",
        "recorded_at": "2025-07-01T09:00:00+00:00",
        "facts": {"number": 0, "ü": "Läden"},
    }
    assert len({each.id for each in outbox.after(0, 100)}) == 25
    assert outbox.after(0, 10) == found


def test_what_is_recorded_under_its_own_id_is_there_once(outbox: OutboxStore) -> None:
    first = outbox.add("alert.opened", "alerts/x", {}, NOW, event_id="alert-1")
    assert outbox.add("alert.opened", "alerts/x", {"later": 1}, NOW, event_id="alert-1") == 0
    second = add(outbox, 2)
    assert [each.position for each in outbox.after(0, 10)] == [first, second]


def test_who_reads_behind_a_position_misses_none_that_is_added_meanwhile(outbox: OutboxStore) -> None:
    add(outbox, -1)
    done, seen = threading.Event(), list[int]()

    def read() -> None:
        position, ended = 0, False
        while not ended:
            ended = done.is_set()
            for each in outbox.after(position, 7):
                position = each.position
                seen.append(json.loads(each.content)["facts"]["number"])
                ended = False

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as threads:
        [*threads.map(lambda number: add(outbox, number), range(60))]
    done.set()
    reader.join(60)
    assert sorted(seen) == [*range(-1, 60)]


def test_it_keeps_how_far_each_destination_is(outbox: OutboxStore) -> None:
    first = DestinationPosition("broker", LEDGER, 3, "ab", "2025-07-01T09:00:00+00:00")
    failing = DestinationPosition("webhook x/y", LEDGER, 1, "cd", "then", "it answers 500", "since")
    outbox.put(first, failing)
    assert outbox.positions() == [first, failing]
    later = DestinationPosition("broker", LEDGER, 5, "ef", "later")
    other = DestinationPosition("broker", OPERATIONS, 1, "", "later")
    outbox.put(later, other)
    assert outbox.positions() == [later, other, failing]
    outbox.forget("webhook x/y")
    assert outbox.positions() == [later, other]


def test_of_two_that_tell_the_same_destination_one_is_alone(outbox: OutboxStore) -> None:
    with outbox.alone("broker") as first, outbox.alone("broker") as second, outbox.alone("webhook x") as other:
        assert (first, second, other) == (True, False, True)
    with outbox.alone("broker") as again:
        assert again


def test_old_events_go_when_every_destination_has_them(outbox: OutboxStore) -> None:
    places = [add(outbox, number, now=NOW + timedelta(days=number)) for number in range(6)]
    outbox.put(
        DestinationPosition("broker", OPERATIONS, places[3], "", ""),
        DestinationPosition("webhook", OPERATIONS, places[1], "", ""),
        DestinationPosition("webhook", LEDGER, 0, "", ""),
    )
    assert outbox.drop_before(NOW + timedelta(days=3)) == 2
    assert [each.position for each in outbox.after(0, 10)] == places[2:]
    outbox.forget("webhook")
    assert outbox.drop_before(NOW + timedelta(days=3)) == 1
    outbox.forget("broker")
    assert outbox.drop_before(NOW + timedelta(days=99)) == 3
    assert add(outbox, 7) > places[-1], "a position was given a second time"


def test_what_cannot_be_used_is_said_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for outbox in (
        outbox_store(tmp_path / "file" / "outbox.sqlite", None),
        outbox_store(tmp_path, f"postgresql://ana:secret@{silent_address()}/x"),
    ):
        with pytest.raises(StorageError) as caught:
            add(outbox, 1)
        assert "secret" not in str(caught.value) + outbox.place

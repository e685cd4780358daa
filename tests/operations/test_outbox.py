"""Telling others what is recorded: in order, none left out, whoever is down, whatever is restored."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecast_assets.core.errors import BrokenChainError, DeliveryError, InputError, RefusedError
from forecast_assets.operations import outbox as use_cases
from forecast_assets.operations.outbox import (
    Delivery,
    deliver_events,
    events_behind,
    follow_events,
    home_destinations,
    home_outbox,
    move_destination,
    outbox_state,
    take_events,
)
from forecast_assets.settings import Settings
from resources.broker.memory import MemoryBroker
from resources.ledger.log import entry_path
from resources.outbox.destinations import BrokerDestination, WebhookDestination
from resources.outbox.event import LEDGER, OPERATIONS, OutboxEvent
from resources.outbox.inbox import EventInbox
from resources.outbox.store import OutboxStore
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import promote
from tests.support.webhooks import webhook_receiver

TOPICS = ["forecast-assets.events.ledger", "forecast-assets.events.operations"]


class Taking:
    """Takes events into a list; refuses after so many as it is told."""

    def __init__(self, name: str = "broker", *, begins_with_the_first: bool = True) -> None:
        self.name, self.begins_with_the_first = name, begins_with_the_first
        self.taken: list[OutboxEvent] = []
        self.room: int | None = None
        self.asked = 0

    def take(self, events: Sequence[OutboxEvent]) -> int:
        self.asked += 1
        if self.room == 0:
            raise DeliveryError("it is down", remedy="wait")
        done = len(events) if self.room is None else min(self.room, len(events))
        if self.room is not None:
            self.room -= done
        self.taken += events[:done]
        return done


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def stores(settings: Settings) -> Stores:
    return open_stores(settings.store)


@pytest.fixture
def outbox(settings: Settings) -> OutboxStore:
    return home_outbox(settings)


def record(stores: Stores, count: int) -> None:
    for number in range(count):
        promote(stores.ledger, f"v-{stores.ledger.state().sequence + number}")


def positions(taking: Taking, stream: str = LEDGER) -> list[int]:
    return [each.position for each in taking.taken if each.stream == stream]


def record_event(settings: Settings, kind: str, subject: str, facts: dict[str, object]) -> None:
    home_outbox(settings).add(kind, subject, facts, datetime.now(UTC))


def of(deliveries: Sequence[Delivery], stream: str) -> tuple[int, int, str]:
    (found,) = [each for each in deliveries if each.place.stream == stream]
    return found.delivered, found.waiting, found.place.trouble


def test_everything_is_told_once_in_order_and_then_what_is_new(
    stores: Stores, outbox: OutboxStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "BATCH", 3)
    taking = Taking()
    record(stores, 7)
    record_event(settings, "alert.opened", "alerts/late-feed", {"feed": "sales"})
    done = deliver_events(stores, outbox, [taking])
    assert (of(done, LEDGER), of(done, OPERATIONS)) == ((7, 0, ""), (1, 0, ""))
    assert positions(taking) == [*range(1, 8)]
    assert json.loads(taking.taken[-1].content)["facts"] == {"feed": "sales"}
    assert [of(deliver_events(stores, outbox, [taking]), stream)[0] for stream in (LEDGER, OPERATIONS)] == [0, 0]
    record(stores, 2)
    assert of(deliver_events(stores, outbox, [taking]), LEDGER) == (2, 0, "")
    assert positions(taking) == [*range(1, 10)]


def test_a_destination_that_was_down_for_a_day_gets_what_it_missed_and_keeps_nobody_waiting(
    stores: Stores, outbox: OutboxStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "BATCH", 2)
    down, other = Taking("down"), Taking("other")
    record(stores, 5)
    down.room = 3
    done = deliver_events(stores, outbox, [down, other])
    assert positions(down) == [1, 2, 3]
    assert positions(other) == [1, 2, 3, 4, 5]
    assert [of([each for each in done if each.place.destination == name], LEDGER) for name in ("down", "other")] == [
        (3, 2, "it is down"),
        (5, 0, ""),
    ]
    since = next(each.place.trouble_since for each in outbox_state(settings, stores) if each.place.trouble)
    record(stores, 4)
    record_event(settings, "alert.opened", "a", {})
    asked = down.asked
    again = deliver_events(stores, outbox, [down])
    assert [each.place.trouble_since for each in again if each.place.stream == LEDGER] == [since]
    assert down.asked == asked + 1, "who is down was asked for each stream"
    down.room = None
    assert of(deliver_events(stores, outbox, [down]), LEDGER) == (6, 0, "")
    assert positions(down) == [*range(1, 10)]
    assert positions(down, OPERATIONS) == [1]


def test_a_new_webhook_is_told_what_is_recorded_from_then_on(stores: Stores, outbox: OutboxStore) -> None:
    record(stores, 3)
    taking = Taking("webhook", begins_with_the_first=False)
    taking.room = 0
    assert of(deliver_events(stores, outbox, [taking]), LEDGER) == (0, 0, "")
    record(stores, 2)
    assert of(deliver_events(stores, outbox, [taking]), LEDGER) == (0, 2, "it is down")
    taking.room = None
    deliver_events(stores, outbox, [taking])
    assert positions(taking) == [4, 5]


def test_killed_before_it_was_noted_events_come_again_the_same(
    stores: Stores, outbox: OutboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(stores, 4)
    taking = Taking()

    class Killed(BaseException):
        pass

    noted = type(outbox).put

    def kill(self: OutboxStore, *places: object) -> None:
        if any(getattr(each, "position", 0) for each in places):
            raise Killed
        noted(self, *places)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(type(outbox), "put", kill)
        with pytest.raises(Killed):
            deliver_events(stores, outbox, [taking])
    first = list(taking.taken)
    deliver_events(open_stores(stores.blobs.root), outbox, [taking])
    assert taking.taken == [*first, *first]
    assert len(first) == 4


def test_a_ledger_that_was_restored_to_an_earlier_state_is_not_told_on_as_if_nothing_were(
    stores: Stores, outbox: OutboxStore, settings: Settings
) -> None:
    taking = Taking()
    record(stores, 5)
    deliver_events(stores, outbox, [taking])
    for sequence in (4, 5):
        (settings.store_folder / entry_path(sequence)).unlink()
    restored = open_stores(settings.store)
    delivered, _, trouble = of(deliver_events(restored, outbox, [taking]), LEDGER)
    assert (delivered, trouble) == (0, "broker was told entry 5 as it is not in this ledger.")
    record(restored, 3)
    delivered, _, trouble = of(deliver_events(restored, outbox, [taking]), LEDGER)
    assert (delivered, trouble) == (0, "broker was told entry 5 as it is not in this ledger.")
    assert move_destination(settings, restored, "broker", LEDGER, 3).position == 3
    assert of(deliver_events(restored, outbox, [taking]), LEDGER) == (3, 0, "")
    assert positions(taking) == [1, 2, 3, 4, 5, 4, 5, 6]


def test_an_entry_that_was_changed_is_said_and_not_told(
    stores: Stores, outbox: OutboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(stores, 2)
    taking = Taking()

    def changed(_self: object, _entries: object) -> list[bytes]:
        raise BrokenChainError("entry 1 was changed", remedy="restore")

    monkeypatch.setattr(type(stores.ledger), "stored", changed)
    assert of(deliver_events(stores, outbox, [taking]), LEDGER) == (0, 2, "entry 1 was changed")
    assert taking.taken == []


def test_two_who_tell_one_destination_at_once_tell_it_once(stores: Stores, outbox: OutboxStore) -> None:
    record(stores, 3)
    taking = Taking()
    with outbox.alone("broker"):
        done = deliver_events(stores, outbox, [taking])
        assert [each.is_elsewhere for each in done] == [True, True]
        assert (taking.taken, outbox.positions()) == ([], []), "who does not hold it says where it begins"
    deliver_events(stores, outbox, [taking])
    home = Settings(home=stores.blobs.root.parent)
    with outbox.alone("broker"):
        with pytest.raises(InputError, match="No destination `elsewhere`"):
            move_destination(home, stores, "elsewhere", LEDGER, 0)
        with pytest.raises(RefusedError, match="just being told something"):
            move_destination(home, stores, "broker", LEDGER, 0)
    assert positions(taking) == [1, 2, 3]


def test_a_destination_can_be_told_again_or_pass_by_what_it_will_never_take(
    stores: Stores, outbox: OutboxStore, settings: Settings
) -> None:
    record(stores, 4)
    taking = Taking()
    deliver_events(stores, outbox, [taking])
    move_destination(settings, stores, "broker", LEDGER, 2)
    deliver_events(stores, outbox, [taking])
    assert positions(taking) == [1, 2, 3, 4, 3, 4]
    record(stores, 2)
    move_destination(settings, stores, "broker", LEDGER, 5)
    deliver_events(stores, outbox, [taking])
    assert positions(taking)[-1:] == [6]
    for position in (-1, 7):
        with pytest.raises(InputError, match="has the positions 1 to 6"):
            move_destination(settings, stores, "broker", LEDGER, position)
    with pytest.raises(InputError, match="no stream `else`"):
        events_behind(settings, stores, "else", 0, 1)


def test_who_follows_tells_what_is_recorded_meanwhile_and_waits_longer_for_who_is_down(
    stores: Stores, outbox: OutboxStore
) -> None:
    taking, waits, told = Taking(), list[float](), list[Delivery]()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:
            record(stores, 2)
        taking.room = 0 if 3 <= len(waits) <= 12 else None
        if len(waits) == 3:
            record(stores, 1)
        return len(waits) == 14

    follow_events(stores, outbox, [taking], wait, told.extend)
    assert positions(taking) == [1, 2, 3]
    assert waits == [1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 1]
    assert [each.place.position for each in told if each.delivered] == [2, 3]


def test_destinations_follow_from_the_settings(tmp_path: Path) -> None:
    assert home_destinations(Settings(home=tmp_path)) == []
    found = home_destinations(
        Settings(home=tmp_path, broker="127.0.0.1:1", webhooks=("https://x.example/a", "https://y.example:8/b?c=d"))
    )
    assert [each.name for each in found] == ["broker", "webhook x.example/a", "webhook y.example:8/b"]
    with pytest.raises(ValueError, match="each has to begin with https://"):
        Settings(home=tmp_path, webhooks=("ftp://x",))
    with pytest.raises(ValueError, match="none of Standard Webhooks") as caught:
        Settings(home=tmp_path, webhook_secret="not base64!")  # noqa: S106 - none at all
    assert "not base64!" not in str(caught.value)


def test_a_consumer_that_is_rebuilt_from_nothing_has_the_same(
    stores: Stores, outbox: OutboxStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = MemoryBroker()
    destination = BrokerDestination(broker, "forecast-assets")
    record(stores, 6)
    record_event(settings, "feed.late", "feeds/sales", {})
    deliver_events(stores, outbox, [destination])
    move_destination(settings, stores, "broker", LEDGER, 2)
    deliver_events(stores, outbox, [destination])

    def read(group: str, path: Path) -> tuple[list[OutboxEvent], EventInbox]:
        inbox = EventInbox(path)
        return [*take_events(broker.subscribe(TOPICS, group), inbox, ends_when_quiet=True)], inbox

    monkeypatch.setattr(use_cases, "QUIET_SECONDS", 1.5)
    first, inbox = read("one", tmp_path / "one.sqlite")
    assert sorted(each.position for each in first if each.stream == LEDGER) == [*range(1, 7)]
    assert inbox.events(LEDGER) == events_behind(settings, stores, LEDGER, 0, 100)
    assert inbox.events(OPERATIONS) == events_behind(settings, stores, OPERATIONS, 0, 100)
    _, rebuilt = read("two", tmp_path / "two.sqlite")
    assert rebuilt.events(LEDGER) == inbox.events(LEDGER)


def test_a_slow_webhook_ends_in_time_and_goes_on_later(
    stores: Stores, outbox: OutboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.outbox import destinations

    with webhook_receiver() as receiver:
        hook = WebhookDestination(receiver.url)
        deliver_events(stores, outbox, [hook])
        record(stores, 5)
        clock = iter(range(0, 1_000, 4))
        monkeypatch.setattr(destinations, "monotonic", lambda: float(next(clock)))
        done = deliver_events(stores, outbox, [hook], seconds=0.0)
        assert of(done, LEDGER) == (0, 5, "")
        assert of(deliver_events(stores, outbox, [hook]), LEDGER) == (5, 0, "")
        assert receiver.ids == [each.hash for each in stores.ledger.entries()]


def test_two_webhooks_that_would_count_as_one_are_refused(settings: Settings) -> None:
    first, second = "https://example.com/hook?token=SECRET1", "https://example.com/hook?token=SECRET2"
    assert len(home_destinations(settings.model_copy(update={"webhooks": (first, first)}))) == 1
    with pytest.raises(InputError, match=r"two addresses of webhook example\.com/hook") as caught:
        home_destinations(settings.model_copy(update={"webhooks": (first, second)}))
    assert "SECRET" not in str(caught.value)


def test_who_does_not_hold_a_new_destination_notes_nothing_of_it(stores: Stores, outbox: OutboxStore) -> None:
    webhook = Taking("w", begins_with_the_first=False)
    with outbox.alone("w"):
        assert all(each.is_elsewhere for each in deliver_events(stores, outbox, [webhook]))
        assert outbox.positions() == []
    deliver_events(stores, outbox, [webhook])
    assert {each.stream for each in outbox.positions()} == {LEDGER, OPERATIONS}

"""Brokers, held to one suite: within this process, and Kafka over TCP."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from time import monotonic

import pytest

from forecast_assets.core.errors import DeliveryError, InputError
from resources.broker import kafka
from resources.broker.broker import Broker, BrokerMessage, ReceivedMessage, Subscription
from resources.broker.kafka import KafkaBroker
from resources.broker.memory import MemoryBroker
from tests.support.brokers import deaf_listener, kafka_broker, silent_address


@pytest.fixture(params=["memory", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    if request.param == "memory":
        yield MemoryBroker()
        return
    with kafka_broker() as made:
        yield made


def read(subscription: Subscription, expected: int, seconds: float = 20) -> list[ReceivedMessage]:
    """Read until so many have come."""
    found, until = list[ReceivedMessage](), monotonic() + seconds
    while len(found) < expected and monotonic() < until:
        found += subscription.poll(100, 0.2)
    return found


def messages(count: int, topic: str = "t", keys: int = 5) -> list[BrokerMessage]:
    return [
        BrokerMessage(topic, f"k{at % keys}", str(at).encode(), {"number": str(at), "ü": "ö"}) for at in range(count)
    ]


def test_everything_comes_once_with_key_and_headers_and_in_order_of_its_key(broker: Broker) -> None:
    sent = messages(1_000)
    broker.publish(sent[:1])
    broker.publish(sent[1:])
    reader = broker.subscribe(["t"], "g")
    found = read(reader, 1_000)
    reader.close()
    assert sorted(int(each.value) for each in found) == [*range(1_000)]
    by_key = defaultdict[str, list[int]](list)
    for each in found:
        by_key[each.key].append(int(each.value))
        assert each.headers == {"number": each.value.decode(), "ü": "ö"}
        assert each.topic == "t"
    assert {key: values == sorted(values) for key, values in by_key.items()} == dict.fromkeys(by_key, True)
    assert len({(each.partition, each.offset) for each in found}) == 1_000
    assert len({(each.key, each.partition) for each in found}) == 5


def test_what_was_not_committed_comes_again_to_the_next_of_the_group(broker: Broker) -> None:
    broker.publish(messages(20))
    first = broker.subscribe(["t"], "g")
    found = read(first, 20)
    done = [each for each in found if int(each.value) < 10]
    first.commit(done)
    assert first.lag() == 10
    first.close()
    second = broker.subscribe(["t"], "g")
    again = read(second, 10)
    assert sorted(int(each.value) for each in again) == [*range(10, 20)]
    assert second.poll(10, 0.2) == []
    second.commit(again)
    assert second.lag() == 0
    second.close()


def test_every_group_gets_everything_and_members_of_one_share(broker: Broker) -> None:
    sent = messages(100, keys=50)
    broker.publish(sent)
    other = broker.subscribe(["t"], "other")
    assert len(read(other, 100)) == 100
    other.close()
    members, parts, until = [broker.subscribe(["t"], "g") for _ in range(2)], [set[int](), set[int]()], monotonic() + 30
    while monotonic() < until and not (all(parts) and parts[0] | parts[1] >= {*range(len(sent))}):
        for member, part in zip(members, parts, strict=True):
            new = member.poll(10, 0.1)
            # While partitions are shared out anew nothing can be noted: it comes again.
            with suppress(DeliveryError):
                member.commit(new)
            part |= {int(each.value) for each in new}
        if len(sent) < 5_000:
            more = [replace(each, value=str(len(sent) + at).encode()) for at, each in enumerate(sent[:100])]
            broker.publish(more)
            sent += more
    for member in members:
        member.close()
    assert parts[0] | parts[1] == {*range(len(sent))}
    assert all(parts), "one of the members got nothing"


def test_topics_are_apart_and_one_that_is_empty_is_no_error(broker: Broker) -> None:
    broker.publish([BrokerMessage("a", "k", b"1"), BrokerMessage("b", "k", b"2")])
    reader = broker.subscribe(["b"], "g")
    assert [(each.topic, each.value) for each in read(reader, 1)] == [("b", b"2")]
    empty = broker.subscribe(["none-yet"], "g2")
    assert empty.poll(10, 0.2) == []
    for each in (reader, empty):
        each.close()


def test_contents_of_any_bytes_and_size_come_as_they_are(broker: Broker) -> None:
    contents = [b"", bytes(range(256)), b"x" * 800_000, "Läden".encode()]
    for at, content in enumerate(contents):
        broker.publish([BrokerMessage("t", "", content, {"at": str(at)})])
    reader = broker.subscribe(["t"], "g")
    assert [each.value for each in sorted(read(reader, 4), key=lambda each: each.headers["at"])] == contents
    reader.close()


def test_nobody_there_is_said_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "PUBLISH_SECONDS", 2.0)
    monkeypatch.setattr(kafka, "ANSWER_SECONDS", 1.0)
    with deaf_listener() as deaf:
        for address in (silent_address(), deaf):
            broker, began = KafkaBroker(address), monotonic()
            with pytest.raises(DeliveryError, match=f"kafka {address} does not take or give messages"):
                broker.publish(messages(3))
            with pytest.raises(DeliveryError, match="does not take or give"):
                broker.subscribe(["t"], "g")
            assert monotonic() - began < 10
            broker.close()


def test_after_a_failure_the_same_object_publishes_again() -> None:
    with kafka_broker() as broker:
        with pytest.raises(DeliveryError, match="too large"):
            broker.publish([BrokerMessage("t", "k", b"x" * 5_000_000)])
        broker.publish(messages(3))
        reader = broker.subscribe(["t"], "g")
        assert [each.value for each in sorted(read(reader, 3), key=lambda each: each.value)] == [b"0", b"1", b"2"]
        reader.close()


def test_options_that_are_none_are_refused_by_name() -> None:
    broker = KafkaBroker("127.0.0.1:1", {"no.such": "1"})
    with pytest.raises(InputError, match=r"FORECAST_ASSETS_BROKER_OPTIONS.*no.such"):
        broker.publish(messages(1))

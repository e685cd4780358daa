"""Destinations: what each gets of an event, byte for byte, and what it says when it takes nothing."""

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from hmac import new as hmac

import pytest

from forecast_assets.core.errors import DeliveryError
from resources.broker.memory import MemoryBroker
from resources.outbox.destinations import BrokerDestination, WebhookDestination
from resources.outbox.event import LEDGER, OutboxEvent
from tests.support.brokers import silent_address
from tests.support.webhooks import Receiver, webhook_receiver

EVENT = OutboxEvent(
    LEDGER,
    7,
    "ab" * 32,
    "urn:forecast-assets:ledger:00",
    "forecast-assets.run.published",
    "runs/daily/2025-06-30/stat-1/14",
    "2025-07-01T09:00:00+00:00",
    b'{"body":{}}',
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "ab" * 32,
    "source": "urn:forecast-assets:ledger:00",
    "type": "forecast-assets.run.published",
    "subject": "runs/daily/2025-06-30/stat-1/14",
    "time": "2025-07-01T09:00:00+00:00",
    "dataschema": "urn:forecast-assets:schema:ledger-entry:1",
    "sequence": "00000000000000000007",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as made:
        yield made


def events(count: int) -> list[OutboxEvent]:
    return [replace(EVENT, position=at, id=str(at)) for at in range(count)]


def test_a_broker_gets_a_message_with_its_subject_as_key_and_attributes_as_headers() -> None:
    broker = MemoryBroker()
    assert BrokerDestination(broker, "shop").take([EVENT]) == 1
    (message,) = broker.subscribe(["shop.events.ledger"], "g").poll(10, 0)
    assert (message.key, message.value) == (EVENT.subject, EVENT.content)
    expected = {f"ce_{name}": value for name, value in ATTRIBUTES.items()}
    assert message.headers == {**expected, "content-type": "application/json", "traceparent": EVENT.trace}


def test_a_webhook_gets_the_same_and_a_signature(receiver: Receiver) -> None:
    assert WebhookDestination(f"{receiver.url}/hook?token=t", "whsec_c2hhcmVk").take([EVENT, EVENT]) == 2
    (path, headers, body), again = receiver.requests
    assert (path, body) == ("/hook?token=t", EVENT.content)
    assert {name.removeprefix("ce-"): value for name, value in headers.items() if name.startswith("ce-")} == ATTRIBUTES
    assert (headers["content-type"], headers["traceparent"]) == ("application/json", EVENT.trace)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    version, found = headers["webhook-signature"].split(",")
    assert (version, headers["webhook-id"]) == ("v1", EVENT.id)
    assert b64decode(found) == hmac(b"shared", signed, sha256).digest()
    assert again[2] == body


def test_a_webhook_gets_a_subject_in_any_letters_percent_encoded(receiver: Receiver) -> None:
    subject = 'alerts/disk-nearly-full//srv/Łódź 100% "a"'
    WebhookDestination(receiver.url).take([replace(EVENT, subject=subject)])
    found = receiver.requests[0][1]["ce-subject"]
    assert found == "alerts/disk-nearly-full//srv/%C5%81%C3%B3d%C5%BA%20100%25%20%22a%22"


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    WebhookDestination(receiver.url).take([EVENT])
    assert not [name for name in receiver.requests[0][1] if name.lower().startswith("webhook-")]


@pytest.mark.parametrize("status", [302, 400, 410, 429, 500, 503])
def test_what_is_not_taken_ends_the_batch_and_is_said(receiver: Receiver, status: int) -> None:
    destination = WebhookDestination(f"{receiver.url}/hook?token=hidden")
    receiver.answers = [200, 202, status]
    assert destination.take(events(5)) == 2
    assert receiver.ids == ["0", "1", "2"]
    receiver.answers = [status]
    with pytest.raises(DeliveryError, match=f"does not take forecast-assets.run.published 2: it answers {status}") as e:
        destination.take(events(5)[2:])
    assert "hidden" not in f"{e.value}{destination.name}"


def test_nobody_there_is_said_without_what_is_secret_of_the_address() -> None:
    address = silent_address()
    destination = WebhookDestination(f"http://ana:secret@{address}/hook?token=hidden")
    with pytest.raises(DeliveryError, match=f"webhook {address}/hook does not take") as caught:
        destination.take([EVENT])
    assert "hidden" not in str(caught.value)
    assert "secret" not in str(caught.value)

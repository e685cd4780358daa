"""Destinations: who gets every event, each in its own way.

What belongs here: from an event to a message or a request. What does not: which events a destination has, or trying
again (`delivering`).

A destination may get an event twice, since whoever hands it over may die before noting that it did. Its id tells.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from forecast_assets.core.addresses import without_password
from forecast_assets.core.errors import DeliveryError
from forecast_assets.core.webhooks import webhook_headers
from resources.broker.broker import Broker, BrokerMessage
from resources.outbox.event import OutboxEvent

_SECONDS: Final = 10.0


class EventDestination(Protocol):
    """Takes events."""

    @property
    def name(self) -> str:
        """Under which it is noted how far it is."""
        ...

    @property
    def begins_with_the_first(self) -> bool:
        """Whether a new one gets everything that was ever recorded, or only what is recorded from then on."""
        ...

    def take(self, events: Sequence[OutboxEvent]) -> int:
        """Take events in their order, and return how many of them it has for good: from the first on.

        Raises:
            DeliveryError: If it cannot take even the first now.
        """
        ...


class BrokerDestination:
    """A topic for each stream, on a broker.

    Args:
        broker: The broker.
        prefix: What names of topics begin with.
    """

    name: Final = "broker"
    # Whoever reads a topic says from where on.
    begins_with_the_first: Final = True

    def __init__(self, broker: Broker, prefix: str) -> None:
        self._broker, self._prefix = broker, prefix

    def take(self, events: Sequence[OutboxEvent]) -> int:
        """Publish events; the subject is the key."""
        self._broker.publish(
            [
                BrokerMessage(event_topic(self._prefix, each.stream), each.subject, each.content, each.headers("ce_"))
                for each in events
            ]
        )
        return len(events)


def event_topic(prefix: str, stream: str) -> str:
    """Return the topic of a stream of events.

    Example:
        >>> event_topic("forecast-assets", "ledger")
        'forecast-assets.events.ledger'
    """
    return f"{prefix}.events.{stream}"


class WebhookDestination:
    """A receiver over HTTP, a request for each event: CloudEvents' binary form, signed as Standard Webhooks has it.

    Args:
        url: Of the receiver.
        secret: Which both know, `whsec_` and base64; empty for no signature.
    """

    begins_with_the_first: Final = False

    def __init__(self, url: str, secret: str = "") -> None:
        self._url, self._secret = url, secret
        parts = urlsplit(without_password(url))
        # What follows a `?` is often a secret.
        self.name: Final = f"webhook {parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def take(self, events: Sequence[OutboxEvent]) -> int:
        """Send events one by one, up to the first that the receiver does not take, or as many as it takes in time."""
        import requests

        until = monotonic() + _SECONDS
        with requests.Session() as session:
            for done, event in enumerate(events):
                if done and monotonic() > until:
                    return done
                try:
                    answer = session.post(
                        self._url, event.content, headers=self._headers(event), timeout=_SECONDS, allow_redirects=False
                    )
                except requests.Timeout:
                    why = f"it does not answer within {_SECONDS:g} s"
                except requests.RequestException as error:
                    # The library's own words have all of the address.
                    why = f"there is no connection ({type(error).__name__})"
                else:
                    if 200 <= answer.status_code < 300:  # noqa: PLR2004 - the statuses of success
                        continue
                    why = f"it answers {answer.status_code} {answer.reason}"
                if done:
                    return done
                raise DeliveryError(
                    f"{self.name} does not take {event.type} {event.id}: {why}.",
                    remedy="See whether the receiver runs and what it says; the event is sent again until it is taken. "
                    "One that it will never take is passed by: `outbox move`.",
                )
        return len(events)

    def _headers(self, event: OutboxEvent) -> dict[str, str]:
        signed = webhook_headers(event.id, event.content, self._secret, datetime.now(UTC)) if self._secret else {}
        said = {name: _header_text(value) for name, value in event.headers("ce-").items() if name.startswith("ce-")}
        return {**event.headers("ce-"), **said, "user-agent": "forecast-assets", **signed}


def _header_text(value: str) -> str:
    """Return a value as CloudEvents has it in a header of HTTP: blanks, quotes, `%` and non-ASCII percent-encoded.

    Example:
        >>> _header_text('alerts/disk/München "1"')
        'alerts/disk/M%C3%BCnchen%20%221%22'
    """
    return quote(value, safe="!#$&'()*+,/:;<=>?@[\\]^`{|}")

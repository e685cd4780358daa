"""Apache Kafka, by librdkafka.

What belongs here: how the library is used, and what its failures mean. What does not: which topics there are, or what
is in them.

Publishing is idempotent within a connection and stops at the first message that was not confirmed, so that no later one
of its key overtakes it. Whoever publishes begins again with the whole batch, on a connection of its own. Tests run
against librdkafka's own mock of a cluster, which speaks the protocol over TCP; not against Apache Kafka itself.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from forecast_assets.core.errors import DeliveryError, InputError
from resources.broker.broker import BrokerMessage, ReceivedMessage

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer
    from confluent_kafka import Message as KafkaMessage

# So long messages may take to be confirmed, with all that is tried meanwhile.
PUBLISH_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 5.0
_COMMON: Final[Mapping[str, str | int | bool]] = {
    "client.id": "forecast-assets",
    "log.connection.close": False,
    "socket.connection.setup.timeout.ms": 3_000,
    "reconnect.backoff.max.ms": 2_000,
}
_PUBLISHING: Final[Mapping[str, str | int | bool]] = {
    "acks": "all",
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    # Of those of one key a later one could be confirmed after an earlier one's time is up: all are given up at once,
    # by `publish`, and none by itself before.
    "message.timeout.ms": 600_000,
    "linger.ms": 5,
    "compression.type": "lz4",
}
_READING: Final[Mapping[str, str | int | bool]] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # Others take over from a consumer that died within this time.
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 1_000,
    # A topic that is made later, and partitions that are added, are found soon.
    "topic.metadata.refresh.interval.ms": 5_000,
    "allow.auto.create.topics": True,
}
_log: Final = logging.getLogger(__name__)
# Options are given to those who publish and to those who read alike, and each warns of those that are the other's.
_log.addFilter(lambda record: "CONFWARN" not in record.getMessage())
_Client = TypeVar("_Client")


class KafkaBroker:
    """A cluster.

    Args:
        servers: Addresses of some of its brokers, `host:port` with commas between.
        options: Of librdkafka besides, such as those of TLS and SASL.

    Raises:
        InputError: If the library is not installed, or an option is none of its.
    """

    def __init__(self, servers: str, options: Mapping[str, str] | None = None) -> None:
        _require_library()
        self._options = {**_COMMON, **(options or {}), "bootstrap.servers": servers}
        self.place: Final = f"kafka {servers}"
        self._lock = Lock()
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[BrokerMessage]) -> None:
        """Publish messages: see `Broker.publish`."""
        with self._lock:
            failed = list[str]()
            try:
                producer = self._connected()
                for message in messages:
                    _hand_over(producer, message, failed)
                left = producer.flush(PUBLISH_SECONDS)
            except BaseException:
                self._let_go()
                raise
            if left or failed:
                # What is still on its way must not come after what is published again.
                self._let_go()
                raise self._unavailable(failed[0] if failed else f"{left} messages were not confirmed")

    def subscribe(self, topics: Sequence[str], group: str) -> "KafkaSubscription":
        """Join a group: see `Broker.subscribe`."""
        from confluent_kafka import Consumer, KafkaException

        consumer = _made(lambda: Consumer({**_READING, **self._options, "group.id": group}, logger=_log))
        try:
            consumer.list_topics(timeout=ANSWER_SECONDS)
            consumer.subscribe([*topics])
        except KafkaException as error:
            consumer.close()
            raise self._unavailable(_words(error.args[0])) from error
        return KafkaSubscription(consumer, self._unavailable)

    def trouble(self) -> str | None:
        """Ask whether it answers: see `Broker.trouble`."""
        from confluent_kafka import KafkaException

        with self._lock:
            try:
                self._connected().list_topics(timeout=ANSWER_SECONDS)
            except KafkaException as error:
                return _words(error.args[0])
        return None

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            self._let_go()

    def _connected(self) -> "Producer":
        from confluent_kafka import Producer

        if self._producer is None:
            self._producer = _made(lambda: Producer({**_PUBLISHING, **self._options}, logger=_log))
        return self._producer

    def _let_go(self) -> None:
        if self._producer is not None:
            # Its buffered messages go with it.
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None

    def _unavailable(self, why: str) -> DeliveryError:
        return DeliveryError(
            f"The broker at {self.place} does not take or give messages: {why}.",
            remedy="See whether it runs and can be reached, and whether its topics may be written and read. What waits "
            "is handed over when it answers.",
        )


class KafkaSubscription:
    """One consumer of a group.

    Args:
        consumer: Of the library, subscribed.
        unavailable: Makes the error of a reason.
    """

    def __init__(self, consumer: "Consumer", unavailable: Callable[[str], DeliveryError]) -> None:
        self._consumer, self._unavailable = consumer, unavailable

    def poll(self, most: int, seconds: float) -> Sequence[ReceivedMessage]:
        """Return the next messages: see `Subscription.poll`."""
        from confluent_kafka import KafkaException

        try:
            found = self._consumer.consume(most, seconds)
        except KafkaException as error:
            raise self._unavailable(_words(error.args[0])) from error
        return [_received(message) for message in found if self._is_content(message)]

    def commit(self, received: Sequence[ReceivedMessage]) -> None:
        """Note what is needed no more: see `Subscription.commit`."""
        from confluent_kafka import KafkaException, TopicPartition

        if not received:
            return
        ends = dict[tuple[str, int], int]()
        for each in received:
            place = each.topic, each.partition
            ends[place] = max(ends.get(place, 0), each.offset + 1)
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        try:
            answered = self._consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as error:
            raise self._unavailable(_words(error.args[0])) from error
        refused = next((each.error for each in answered if each.error), None)
        if refused is not None:
            raise self._unavailable(_words(refused))

    def lag(self) -> int:
        """Return how many are not committed: see `Subscription.lag`."""
        from confluent_kafka import KafkaException

        left = 0
        with suppress(KafkaException):
            for place in self._consumer.committed(self._consumer.assignment(), timeout=ANSWER_SECONDS):
                first, end = self._consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS)
                left += end - max(first, place.offset)
        return left

    def close(self) -> None:
        """Leave the group: see `Subscription.close`."""
        self._consumer.close()

    def _is_content(self, message: "KafkaMessage") -> bool:
        """Tell a message from what the library says in its place; what passes by itself is only logged."""
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise self._unavailable(_words(error))
        _log.warning("reading from the broker: %s", _words(error))
        return False


def _hand_over(producer: "Producer", message: BrokerMessage, failed: list[str]) -> None:
    """Put a message into the library's queue; where that is full, wait for it to get shorter."""

    def confirmed(error: "KafkaError | None", _message: "KafkaMessage") -> None:
        if error is not None:
            failed.append(_words(error))

    from confluent_kafka import KafkaException

    while not failed:
        try:
            producer.produce(
                message.topic,
                message.value,
                message.key.encode(),
                on_delivery=confirmed,
                headers=[(name, value.encode()) for name, value in message.headers.items()],
            )
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            failed.append(_words(error.args[0]))
        else:
            producer.poll(0)
            return


def _received(message: "KafkaMessage") -> ReceivedMessage:
    headers = {str(name): _text(value) for name, value in dict(message.headers() or []).items()}
    return ReceivedMessage(
        str(message.topic()),
        _text(message.key()),
        message.value() or b"",
        headers,
        int(message.partition() or 0),
        int(message.offset() or 0),
    )


def _text(found: str | bytes | None) -> str:
    return found.decode(errors="replace") if isinstance(found, bytes) else found or ""


def _made(make: Callable[[], _Client]) -> _Client:
    from confluent_kafka import KafkaException

    try:
        return make()
    except KafkaException as error:
        raise InputError(
            f"FORECAST_ASSETS_BROKER_OPTIONS cannot be used: {_words(error.args[0])}.",
            remedy="Name options of librdkafka, as a JSON object of texts.",
        ) from error


def _words(error: "KafkaError") -> str:
    return str(error.str()).removeprefix("Local: ").rstrip(".")


def _require_library() -> None:
    try:
        import confluent_kafka  # noqa: F401
    except ImportError as error:
        raise InputError(
            "The setting FORECAST_ASSETS_BROKER needs the library `confluent-kafka`, and it is not installed.",
            remedy="Install it into this environment: pip install confluent-kafka. Or leave the setting out: events "
            "stay readable with `outbox list`, and webhooks get them.",
            library="confluent-kafka",
        ) from error

"""What every broker can do, whatever it runs on.

What belongs here: messages, the protocol, and which broker a home has. What does not: any implementation.

A message may come twice, since whoever hands it over or works it off may die before that is noted. Messages of one key
come in the order in which they were published. Transactions are not used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

# Brokers refuse messages of more than a megabyte unless somebody has told them otherwise.
MOST_MESSAGE_BYTES: Final = 900_000


@dataclass(frozen=True)
class BrokerMessage:
    """What is published.

    Attributes:
        topic: Where to.
        key: Messages of one key stay in their order.
        value: The content.
        headers: What stands beside it, by name.
    """

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReceivedMessage(BrokerMessage):
    """What was read, and where it stands.

    Attributes:
        partition: Of the topic.
        offset: In the partition, from 0.
    """

    partition: int = 0
    offset: int = 0


class Subscription(Protocol):
    """One consumer of a group: each partition of its topics is read by one consumer of the group at a time."""

    def poll(self, most: int, seconds: float) -> Sequence[ReceivedMessage]:
        """Return the next messages.

        Args:
            most: At most so many.
            seconds: Wait so long for the first.

        Raises:
            DeliveryError: If the broker refuses this consumer.
        """
        ...

    def commit(self, received: Sequence[ReceivedMessage]) -> None:
        """Note that the group needs these, and all before them in their partitions, no more.

        Raises:
            DeliveryError: If the broker does not take it; they come again, to whoever has the partition by then.
        """
        ...

    def lag(self) -> int:
        """Return how many messages of its partitions the group has not committed, as far as the broker has said."""
        ...

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        ...


class Broker(Protocol):
    """A broker that this process talks to; publishing is safe to share between threads."""

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        ...

    def publish(self, messages: Sequence[BrokerMessage]) -> None:
        """Publish messages, and return when the broker has all of them for good.

        Raises:
            DeliveryError: If it does not confirm all in time; some may be there, and publishing all again is right.
        """
        ...

    def subscribe(self, topics: Sequence[str], group: str) -> Subscription:
        """Join a group of consumers; where the group has committed nothing yet it begins with the oldest message.

        Raises:
            DeliveryError: If the broker does not answer.
        """
        ...

    def trouble(self) -> str | None:
        """Ask whether it answers; return what is wrong, None if nothing is."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...

"""A broker within this process: for tests, for notebooks, and for whoever embeds the product without a server.

What belongs here: topics as lists. What does not: anything that outlives the process.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition
from typing import Final
from zlib import crc32

from resources.broker.broker import BrokerMessage, ReceivedMessage

PARTITIONS: Final = 4


@dataclass
class _Group:
    """Consumers that share the partitions of their topics."""

    members: list["MemorySubscription"] = field(default_factory=list)
    committed: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))


class MemoryBroker:
    """Topics of this process.

    Args:
        partitions: Of each topic.

    Example:
        >>> broker = MemoryBroker()
        >>> broker.publish([BrokerMessage("t", "a", b"1"), BrokerMessage("t", "a", b"2")])
        >>> reader = broker.subscribe(["t"], "g")
        >>> [message.value for message in reader.poll(10, 0)]
        [b'1', b'2']
    """

    place: Final = "this process"

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self.partitions = partitions
        self.changed = Condition()
        self.topics: defaultdict[tuple[str, int], list[ReceivedMessage]] = defaultdict(list)
        self.groups: defaultdict[str, _Group] = defaultdict(_Group)

    def publish(self, messages: Sequence[BrokerMessage]) -> None:
        """Publish messages: see `Broker.publish`."""
        with self.changed:
            for message in messages:
                partition = crc32(message.key.encode()) % self.partitions
                there = self.topics[message.topic, partition]
                there.append(
                    ReceivedMessage(
                        message.topic, message.key, message.value, dict(message.headers), partition, len(there)
                    )
                )
            self.changed.notify_all()

    def subscribe(self, topics: Sequence[str], group: str) -> "MemorySubscription":
        """Join a group: see `Broker.subscribe`."""
        return MemorySubscription(self, topics, self.groups[group])

    def trouble(self) -> None:
        """Say that it answers: it is of this process."""

    def close(self) -> None:
        """Nothing is held: what was published stays as long as this object."""


class MemorySubscription:
    """One consumer of a group.

    Args:
        broker: Of the topics.
        topics: Which are read.
        group: Which it joins; partitions are shared out anew.
    """

    def __init__(self, broker: MemoryBroker, topics: Sequence[str], group: _Group) -> None:
        self._broker, self._topics, self._group = broker, tuple(topics), group
        self.next: dict[tuple[str, int], int] = {}
        with broker.changed:
            group.members.append(self)
            self._share_out()

    def poll(self, most: int, seconds: float) -> Sequence[ReceivedMessage]:
        """Return the next messages: see `Subscription.poll`."""
        with self._broker.changed:
            self._broker.changed.wait_for(self._waiting, timeout=seconds)
            found = list[ReceivedMessage]()
            for place, begin in self.next.items():
                taken = self._broker.topics[place][begin : begin + most - len(found)]
                self.next[place] = begin + len(taken)
                found += taken
            return found

    def commit(self, received: Sequence[ReceivedMessage]) -> None:
        """Note what is needed no more: see `Subscription.commit`."""
        with self._broker.changed:
            for each in received:
                place = each.topic, each.partition
                self._group.committed[place] = max(self._group.committed[place], each.offset + 1)

    def lag(self) -> int:
        """Return how many are not committed: see `Subscription.lag`."""
        with self._broker.changed:
            return sum(len(self._broker.topics[place]) - self._group.committed[place] for place in self.next)

    def close(self) -> None:
        """Leave the group: see `Subscription.close`."""
        with self._broker.changed:
            if self in self._group.members:
                self._group.members.remove(self)
                self.next = {}
                self._share_out()

    def _waiting(self) -> bool:
        return any(len(self._broker.topics[place]) > begin for place, begin in self.next.items())

    def _share_out(self) -> None:
        """Give each member its partitions, which it reads from what the group has committed."""
        for number, member in enumerate(self._group.members):
            own = range(number, self._broker.partitions, len(self._group.members))
            member.next = {
                (topic, partition): self._group.committed[topic, partition]
                for topic in member._topics  # noqa: SLF001 - of the same class
                for partition in own
            }
        self._broker.changed.notify_all()

"""Brokers of tests: librdkafka's mock of a Kafka cluster, over TCP on this machine.

The mock keeps at most 5 MB a partition, and its transactions are hollow, which is why none are used.
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from resources.broker.kafka import KafkaBroker
from tests.support.mirrors import free_port

# A consumer that leaves is missed by the mock only when its session ends.
QUICK: Final = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "300"}


@contextmanager
def kafka_cluster() -> Iterator[str]:
    """Run a cluster until the block ends; yield its address."""
    from confluent_kafka import Producer

    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"
    del cluster


@contextmanager
def kafka_broker() -> Iterator[KafkaBroker]:
    """Run a cluster, and yield what talks to it."""
    with kafka_cluster() as servers:
        broker = KafkaBroker(servers, QUICK)
        yield broker
        broker.close()


def silent_address() -> str:
    """Return an address at which nobody answers."""
    return f"127.0.0.1:{free_port()}"


@contextmanager
def deaf_listener() -> Iterator[str]:
    """Yield an address at which connections are taken and nothing is ever said."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"

"""How fast an outbox tells others what is recorded, beside the bare library with the same bytes.

10,000 ledger entries to a Kafka cluster (librdkafka's mock, over TCP) and to a receiver of webhooks, both on this
machine; beside them the same messages by `confluent_kafka` alone, in one run. Exits with 1 if Kafka takes longer than
30 s.

    python -m bench.outbox [--entries 10000] [--bytes 2000]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from confluent_kafka import Producer

from forecast_assets.operations.outbox import LedgerEvents, deliver_events, home_outbox
from forecast_assets.presentation.text import table
from forecast_assets.settings import Settings
from resources.broker.kafka import KafkaBroker
from resources.ledger.log import Ledger
from resources.outbox.destinations import BrokerDestination, WebhookDestination
from resources.outbox.event import OutboxEvent
from resources.stores.home import open_stores

GOAL_SECONDS = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000, help="of the ledger")
    parser.add_argument("--bytes", type=int, default=2_000, help="of an entry, about")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cluster() as servers, receiver() as url:
        return measure(Settings(home=Path(folder)), servers, url, chosen.entries, chosen.bytes)


def measure(settings: Settings, servers: str, url: str, entries: int, size: int) -> int:
    stores, outbox = open_stores(settings.store), home_outbox(settings)
    webhook = WebhookDestination(url, "whsec_c2VjcmV0")
    # A new webhook is told what comes from then on: it is known before anything is recorded.
    deliver_events(stores, outbox, [webhook])
    fill(stores.ledger, entries, size)
    broker = BrokerDestination(KafkaBroker(servers), "bench")

    def tell(destination: BrokerDestination | WebhookDestination) -> None:
        left = [each.waiting for each in deliver_events(stores, outbox, [destination])]
        assert left == [0, 0], left

    events = LedgerEvents(stores).after(0, entries)
    took = {
        "confluent_kafka alone": seconds(lambda: publish_bare(servers, events)),
        "Kafka": seconds(lambda: tell(broker)),
        "a webhook": seconds(lambda: tell(webhook)),
    }
    bare = took["confluent_kafka alone"]
    rows = [(name, f"{each:.2f}", f"{entries / each:,.0f}", f"{each / bare:.1f}") for name, each in took.items()]
    print(table((f"{entries:,} entries to", "seconds", "events/s", "times the bare"), rows))
    is_reached = took["Kafka"] <= GOAL_SECONDS
    print(f"goal: Kafka within {GOAL_SECONDS:g} s: {'reached' if is_reached else 'MISSED'}")
    return 0 if is_reached else 1


def fill(ledger: Ledger, entries: int, size: int) -> None:
    for number in range(entries):
        body = {"channel": f"c{number % 50}", "model_version": f"v{number}", "by": "bench", "reason": "x" * size}
        ledger.append("promote", body, lambda _state: None)


def publish_bare(servers: str, events: Sequence[OutboxEvent]) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all", "enable.idempotence": True, "linger.ms": 5})
    for each in events:
        producer.produce("bare", each.content, each.subject, headers=each.headers("ce_"))
        producer.poll(0)
    assert producer.flush(30) == 0


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def cluster() -> Iterator[str]:
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(mock.list_topics(timeout=10).brokers.values()))
    yield f"{broker.host}:{broker.port}"


@contextmanager
def receiver() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()


if __name__ == "__main__":
    sys.exit(main())

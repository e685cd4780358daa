"""Who tells others is killed, again and again: none is left out, repeats are the same, and keys keep their order."""

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forecast_assets.operations.outbox import deliver_events, home_outbox, move_destination
from forecast_assets.settings import Settings
from resources.broker.broker import ReceivedMessage
from resources.outbox.destinations import BrokerDestination, event_topic
from resources.outbox.event import LEDGER, OPERATIONS
from resources.stores.home import open_stores
from tests.support.brokers import kafka_broker
from tests.support.ledger_cases import admit_all
from tests.torture.publisher import REPOSITORY
from tests.torture.sizes import size

KILLS = size(8, 200)
ENTRIES, EVENTS, CHANNELS = size(1_500, 10_000), 200, 7
NOW = datetime(2025, 7, 1, 9, tzinfo=UTC)

# Tells a broker what it lacks, in small batches, so that there is something to kill.
TELLING = """
import sys
from pathlib import Path
from forecast_assets.operations import outbox
from forecast_assets.settings import Settings
from resources.broker.kafka import KafkaBroker
from resources.outbox.destinations import BrokerDestination
from resources.stores.home import open_stores
outbox.BATCH = 5
settings = Settings(home=Path(sys.argv[1]))
destination = BrokerDestination(KafkaBroker(sys.argv[2]), "shop")
print("ready", flush=True)
outbox.deliver_events(open_stores(settings.store), outbox.home_outbox(settings), [destination])
print("done", flush=True)
"""


@pytest.mark.timeout(3_600)
def test_no_event_is_left_out_however_often_who_tells_it_is_killed(tmp_path: Path) -> None:
    settings, chance = Settings(home=tmp_path), random.Random(3)
    stores, outbox = open_stores(settings.store), home_outbox(settings)
    for number in range(ENTRIES):
        body = {"channel": f"c{number % CHANNELS}", "model_version": f"v{number}", "by": "ana", "reason": "ü" * 50}
        stores.ledger.append("promote", body, admit_all)
    facts = [outbox.add("alert.opened", f"alerts/{number % 3}", {"number": number}, NOW) for number in range(EVENTS)]
    killed = 0
    with kafka_broker() as broker:
        destination = BrokerDestination(broker, "shop")
        while killed < KILLS:
            command = [sys.executable, "-c", TELLING, str(tmp_path), broker.place.removeprefix("kafka ")]
            with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                time.sleep(chance.uniform(0.0, 0.6))
                process.send_signal(signal.SIGKILL)
                killed += "done" not in process.stdout.read()
            if (LEDGER, ENTRIES) in {(each.stream, each.position) for each in outbox.positions()}:
                move_destination(settings, stores, "broker", LEDGER, ENTRIES // 2)
        done = deliver_events(stores, outbox, [destination])
        assert [(each.waiting, each.place.trouble) for each in done] == [(0, ""), (0, "")]
        reader = broker.subscribe([event_topic("shop", stream) for stream in (LEDGER, OPERATIONS)], "g")
        found, quiet = list[ReceivedMessage](), 0
        while quiet < 20:
            new = reader.poll(500, 0.5)
            quiet = 0 if new else quiet + 1
            found += new
        reader.close()
    ids = [message.headers["ce_id"] for message in found]
    assert {*ids} == {entry.hash for entry in stores.ledger.entries()} | {each.id for each in outbox.after(0, 1_000)}
    if size(0, 1):
        assert len(ids) > ENTRIES + len(facts), "no kill was between telling and noting"
    contents = defaultdict[str, set[tuple[str, bytes, str]]](set)
    for message in found:
        contents[message.headers["ce_id"]].add((message.key, message.value, str(sorted(message.headers.items()))))
    assert {len(versions) for versions in contents.values()} == {1}
    order, seen = defaultdict[tuple[str, str], list[str]](list), set[str]()
    for message in found:
        if message.headers["ce_id"] not in seen:
            seen.add(message.headers["ce_id"])
            order[message.topic, message.key].append(message.headers["ce_sequence"])
    assert len(order) == CHANNELS + 3
    assert all(positions == sorted(positions) for positions in order.values())

"""The stream under load, through a broker over TCP: requests, deaths of consumer and broker, and a million records.

Publishes two runs of all 50,000 series of FreshRetailNet, if no home is named (a home that is named is copied but for
its store, which is only read). Runs librdkafka's mock of a cluster as a process of its own, `forecast-assets stream
serve` and `stream ingest` beside it, sends requests at fixed times, kills the consumer, has the broker stand still, and
prints what was reached. Exits with 1 when a promise is missed. The mock is not Apache Kafka: it writes to no disk.

    python -m bench.stream [--home DIR] [--seconds 30] [--only requests|deaths|records]
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import numpy as np
import psutil

from bench.goals import Goal, any_missed, goals_table
from bench.real_input import fresh_parser
from bench.serving import newest_two, published
from forecast_assets.operations.reading import scan_product
from forecast_assets.operations.stream_ingesting import observations_topic
from forecast_assets.settings import Settings
from resources.broker.broker import BrokerMessage, ReceivedMessage
from resources.broker.kafka import KafkaBroker
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores

READS, WHAT_IFS, KEYS = 200.0, 20.0, 8
RECORDS, RECORDS_A_MESSAGE, INGEST_SECONDS = 1_000_000, 1_000, 60.0
# The mock keeps 5 MB a partition: what is sent faster than it is read would be gone.
SEND_SECONDS = 35.0
PREFIX: Final = "bench"
_COMMAND: Final = str(Path(sys.executable).with_name("forecast-assets"))
_QUICK: Final = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "300"}
_MOCK: Final = """
import signal, sys
from confluent_kafka import Producer
cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
broker = next(iter(cluster.list_topics(timeout=10).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


def main() -> int:
    parser = fresh_parser(__doc__)
    parser.add_argument("--home", type=Path, help="home folder with two daily runs of `stat-1`; made if left out")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--only", choices=["requests", "deaths", "records"], help="one of the measures")
    chosen = parser.parse_args()
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.only != "records":
            if chosen.home is None and not chosen.folder.is_dir():
                print(f"skipped: no FreshRetailNet files at {chosen.folder}; name them with FORECAST_ASSETS_DATA")
                return 0
            source = chosen.home or published(Path(scratch) / "published", chosen.folder)
            home = own_home(source, Path(scratch) / "home")
            if chosen.only != "deaths":
                goals += measure_requests(home, chosen.seconds)
            if chosen.only != "requests":
                goals += measure_deaths(home, chosen.seconds)
        if chosen.only in (None, "records"):
            goals += measure_records(Path(scratch) / "ingested")
    print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(goals_table(goals, "the stream"))
    return any_missed(goals)


def own_home(source: Path, home: Path) -> Path:
    """Return a home that reads the same store and writes elsewhere."""
    home.mkdir(parents=True)
    (home / "store").symlink_to((source / "store").absolute())
    for name in ("features.sqlite", "rows"):
        found = source / "serving" / name
        if found.is_dir():
            shutil.copytree(found, home / "serving" / name)
        elif found.is_file():
            (home / "serving").mkdir(exist_ok=True)
            shutil.copy(found, home / "serving" / name)
    return home


@contextmanager
def cluster() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run a broker of its own process; yield it and its address."""
    with subprocess.Popen(
        [sys.executable, "-c", _MOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def started(home: Path, servers: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command of the stream; return it when it reads."""
    environment = {
        **os.environ, "FORECAST_ASSETS_HOME": str(home), "FORECAST_ASSETS_BROKER": servers,
        "FORECAST_ASSETS_BROKER_OPTIONS": json.dumps(_QUICK), "FORECAST_ASSETS_TOPIC_PREFIX": PREFIX,
        "POLARS_MAX_THREADS": "2",
    }  # fmt: skip
    process = subprocess.Popen([_COMMAND, "stream", *arguments], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ended(process: "subprocess.Popen[str]") -> str:
    """Tell a command to stop, and return what it said."""
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=120)[0]


@dataclass
class Caller:
    """Sends requests when they are due, and notes what comes when.

    Attributes:
        broker: Where.
        keys: In turn, since each may ask so often a minute.
        bodies: By id, the different answers.
        came: By id, when the first answer came.
        due: By id, when the request was.
        statuses: By id, of the first answer.
        sent: By id, the request.
        degraded: Answers by what was published.
        repeats: Answers that came again.
    """

    broker: KafkaBroker
    keys: Sequence[str]
    bodies: defaultdict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    came: dict[str, float] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    sent: dict[str, BrokerMessage] = field(default_factory=dict)
    degraded: int = 0
    repeats: int = 0

    def request(self, request_id: str, question: str, body: Mapping[str, Any]) -> BrokerMessage:
        key = self.keys[len(self.due) % len(self.keys)]
        self.due[request_id] = time.perf_counter()
        headers = {"authorization": f"Bearer {key}", "x-request-id": request_id, "question": question}
        made = BrokerMessage(f"{PREFIX}.requests", request_id, json.dumps(body).encode(), headers)
        self.sent[request_id] = made
        return made

    def take(self, answers: Sequence[ReceivedMessage]) -> None:
        now = time.perf_counter()
        for each in answers:
            name = each.headers["x-request-id"]
            self.repeats += name in self.came
            self.came.setdefault(name, now)
            self.statuses.setdefault(name, each.headers["status"])
            self.degraded += b'"degraded": true' in each.value
            self.bodies[name].add(each.value)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read answers in a thread until the block ends."""
        subscription, over = self.broker.subscribe([f"{PREFIX}.answers"], f"{PREFIX}.bench"), Event()

        def read() -> None:
            while not over.is_set():
                self.take(subscription.poll(1_000, 0.02))

        thread = Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            subscription.close()

    def load(self, ask: "Asking", name: str, per_second: Sequence[float], seconds: float) -> list[str]:
        """Send reads and what-ifs at fixed rates; return their ids."""
        reads, what_ifs = (np.arange(int(rate * seconds)) / rate for rate in per_second)
        plan = sorted([*((at, "forecasts") for at in reads), *((at, "predict") for at in what_ifs)])
        began, sent = time.perf_counter(), list[str]()
        while len(sent) < len(plan):
            now, batch = time.perf_counter() - began, list[BrokerMessage]()
            while len(sent) < len(plan) and plan[len(sent)][0] <= now:
                at, question = plan[len(sent)]
                request_id = f"{name}-{len(sent)}"
                batch.append(self.request(request_id, question, ask.body(question, len(sent))))
                self.due[request_id] = began + at
                sent.append(request_id)
            if batch:
                # What the broker does not take while it stands still, it takes later: the same ids.
                while True:
                    with suppress(Exception):
                        self.broker.publish(batch)
                        break
            time.sleep(0.005)
        return sent

    def wait(self, ids: Sequence[str], seconds: float) -> None:
        until = time.perf_counter() + seconds
        while any(each not in self.came for each in ids) and time.perf_counter() < until:
            time.sleep(0.05)

    def milliseconds(self, ids: Sequence[str]) -> list[float]:
        return [1_000 * (self.came[each] - self.due[each]) for each in ids if each in self.came]


class Asking:
    """Requests about random series of the newest run of a home."""

    def __init__(self, home: Path) -> None:
        stores = open_stores(Settings(home=home).store)
        run = newest_two(stores)[-1]
        rows = scan_product(stores, stores.predictions.publication(run), "forecasts")
        names = rows.select("store_id", "sku_id").unique().sort("*").collect()
        self.series = [names.row(at) for at in np.random.default_rng(2).permutation(names.height)]
        self._named = {
            "model_version": run.model_version, "prediction_date": str(run.prediction_date), "revision": run.revision,
        }  # fmt: skip
        self._day = str(run.prediction_date + timedelta(days=2))

    def body(self, question: str, at: int) -> dict[str, Any]:
        store, sku = self.series[at % len(self.series)]
        if question == "forecasts":
            return {**self._named, "store_id": [store], "sku_id": [sku]}
        said = {"store_id": store, "sku_id": sku, "price_ratios": {self._day: 0.8}, "on_hand_units": float(at % 50)}
        return {**self._named, "use": "what_if", "series": [said]}


def new_keys(home: Path) -> list[str]:
    keys, now = ApiKeys(Settings(home=home).operational_path), datetime.now(UTC)
    return [keys.create(f"bench-{at}", "operator", now=now, valid_for=timedelta(days=1))[1] for at in range(KEYS)]


def until_ready(caller: Caller, ask: Asking, seconds: float = 300.0) -> float:
    """Return after how long what-ifs are answered by the model."""
    began = time.perf_counter()
    at = 0
    while time.perf_counter() < began + seconds:
        at += 1
        before = caller.degraded
        caller.broker.publish([caller.request(f"ready-{at}-{began}", "predict", ask.body("predict", at))])
        caller.wait([f"ready-{at}-{began}"], 60)
        if caller.degraded == before and caller.statuses.get(f"ready-{at}-{began}") == "200":
            return time.perf_counter() - began
        time.sleep(1)
    return float("nan")


def measure_requests(home: Path, seconds: float) -> list[Goal]:
    ask, keys = Asking(home), new_keys(home)
    with cluster() as (_, servers):
        caller = Caller(KafkaBroker(servers, _QUICK), keys)
        process = started(home, servers, "serve", "--no-log-requests", "--at-once", "64")
        with caller.reading():
            print(f"what-ifs by the model after {until_ready(caller, ask):.0f} s", flush=True)
            caller.degraded = 0
            before = _processor_seconds(process.pid)
            ids = caller.load(ask, "load", (READS, WHAT_IFS), seconds)
            done_sending = time.perf_counter()
            caller.wait(ids, 120)
            behind = max(caller.came.values()) - done_sending
            spent = _processor_seconds(process.pid) - before
        print(ended(process).strip())
    took = caller.milliseconds(ids)
    good = sum(caller.statuses.get(each) == "200" for each in ids)
    print(
        f"{len(ids):,} requests in {seconds:.0f} s: median {np.median(took):.0f} ms, "
        f"p95 {np.quantile(took, 0.95):.0f} ms, p99 {np.quantile(took, 0.99):.0f} ms, largest {max(took):.0f} ms; "
        f"{caller.degraded} by what was published; statuses {dict(Counter(caller.statuses[each] for each in ids))}",
        flush=True,
    )
    return [
        Goal("requests a second that are answered: 200 reads and 20 what-ifs", good / (seconds + max(behind - 1, 0)),
             0.99 * (READS + WHAT_IFS), unit="rows/s"),
        Goal("requests without an answer of 200", len(ids) - good, 0, unit="count"),
        Goal("processor time of an answer", 1_000 * spent / len(ids), unit="tenths of ms"),
        Goal("p95 of answers under that load", float(np.quantile(took, 0.95)), unit="ms"),
    ]  # fmt: skip


def _processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def measure_deaths(home: Path, seconds: float) -> list[Goal]:
    ask, keys = Asking(home), new_keys(home)
    kills = 0
    with cluster() as (broker, servers):
        caller = Caller(KafkaBroker(servers, _QUICK), keys)
        process, over = started(home, servers, "serve", "--no-log-requests"), Event()

        def trouble() -> None:
            nonlocal process, kills
            while not over.wait(6.0):
                process.kill()
                process.communicate()
                process = started(home, servers, "serve", "--no-log-requests")
                kills += 1
                if kills % 2 == 0:
                    # Longer than anybody waits for a message to be confirmed.
                    broker.send_signal(signal.SIGSTOP)
                    time.sleep(18.0)
                    broker.send_signal(signal.SIGCONT)

        with caller.reading():
            until_ready(caller, ask)
            thread = Thread(target=trouble)
            thread.start()
            ids = caller.load(ask, "death", (READS / 4, WHAT_IFS / 4), 2 * seconds)
            over.set()
            thread.join()
            caller.wait(ids, 180)
            # Every tenth is asked again, of a consumer that did not answer it.
            before = caller.repeats
            again = [caller.sent[each] for each in ids[::10]]
            for at in range(0, len(again), 100):
                caller.broker.publish(again[at : at + 100])
            until = time.perf_counter() + 60
            while caller.repeats < before + len(again) and time.perf_counter() < until:
                time.sleep(0.1)
        ended(process)
    print(
        f"{len(ids):,} requests while the consumer was killed {kills} times and the broker stood still "
        f"{kills // 2} times for 18 s; {caller.repeats:,} answers came again",
        flush=True,
    )
    return [
        Goal("requests without an answer under deaths", sum(each not in caller.came for each in ids), 0, unit="count"),
        Goal(
            "requests with different answers under one id",
            sum(len(caller.bodies[each]) > 1 for each in ids if caller.statuses.get(each) == "200"), 0, unit="count",
        ),
        Goal("requests asked again and not answered", max(before + len(again) - caller.repeats, 0), 0, unit="count"),
    ]  # fmt: skip


def measure_records(home: Path) -> list[Goal]:
    """Send a million records while they are ingested."""
    topic, first = observations_topic(PREFIX, "sales"), date(2025, 1, 1)
    messages = [records(topic, at, first) for at in range(RECORDS // RECORDS_A_MESSAGE)]
    with cluster() as (_, servers):
        broker = KafkaBroker(servers, _QUICK)
        process = started(
            home, servers, "ingest", "--source", "bench", "--feed", "sales", "--records", "250000", "--seconds", "3"
        )
        # The checks' libraries are loaded, and the group is joined, before it counts.
        first_record = {"sku_id": "X", "store_id": "X", "event_date": str(first), "sales_units": 1}
        broker.publish([BrokerMessage(topic, "first", json.dumps(first_record).encode())])
        assert process.stdout is not None
        process.stdout.readline()
        began, said, seen = time.perf_counter(), list[str](), 1

        def send() -> None:
            for at in range(0, len(messages), 10):
                broker.publish(messages[at : at + 10])
                time.sleep(max(0.0, began + SEND_SECONDS * (at + 10) / len(messages) - time.perf_counter()))

        thread = Thread(target=send)
        thread.start()
        while seen < RECORDS + 1 and process.poll() is None and time.perf_counter() - began < 300:
            line = process.stdout.readline()
            if " records: " in line:
                said.append(f"{time.perf_counter() - began:.1f} s: {line.strip()}")
                seen += int(line.partition(" messages, ")[2].partition(" ")[0].replace(",", ""))
        took = time.perf_counter() - began
        thread.join()
        ended(process)
    print("\n".join(said), flush=True)
    stores = open_stores(Settings(home=home).store)
    rows = sum(batch.rows for batch in stores.observations.batches() if batch.feed == "sales")
    return [
        Goal("1,000,000 sales records sent and ingested at once", took, INGEST_SECONDS, unit="tenths"),
        Goal("records that are not in the store", RECORDS + 1 - rows, 0, unit="count"),
    ]


def records(topic: str, at: int, first: date) -> BrokerMessage:
    """Return a message of records: 25 series of a store, 40 days each."""
    days = [(first + timedelta(days=day)).isoformat() for day in range(40)]
    lines = [
        json.dumps(
            {
                "sku_id": f"{at % 40}-{sku}",
                "store_id": f"S-{at // 40}",
                "event_date": day,
                "sales_units": (at + sku) % 9,
            }
        )
        for sku in range(RECORDS_A_MESSAGE // len(days))
        for day in days
    ]
    return BrokerMessage(topic, str(at), "\n".join(lines).encode())


if __name__ == "__main__":
    sys.exit(main())

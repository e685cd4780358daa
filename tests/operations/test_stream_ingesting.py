"""Observations from topics: in the store once, or among the dead letters, whoever dies."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from forecast_assets.core.errors import DeliveryError, InputError, LostRaceError, StorageError
from forecast_assets.launch import Runner
from forecast_assets.operations.stream_ingesting import ObservationStream, StreamIngested, StreamIngestOptions
from forecast_assets.settings import Settings
from forecast_assets.sources.stream_records import StreamSource
from resources.broker.broker import Broker, BrokerMessage, ReceivedMessage
from resources.broker.memory import MemoryBroker
from resources.ledger.entries.ingest import INGEST
from resources.operational.stream_letters import StreamLetters
from tests.support.brokers import kafka_broker

SALES = "t.observations.sales"
NOW = datetime(2025, 3, 1, 9, tzinfo=UTC)


def record(sku: str, day: int, units: float = 1.0, **said: Any) -> dict[str, Any]:
    return {"sku_id": sku, "store_id": "S", "event_date": f"2025-01-{day:02d}", "sales_units": units, **said}


def message(*records: dict[str, Any], key: str = "S", topic: str = SALES) -> BrokerMessage:
    return BrokerMessage(topic, key, b"\n".join(json.dumps(each).encode() for each in records))


class Home:
    """A home whose topics are ingested by hand.

    Attributes:
        runner: Of the home.
        broker: Where topics are.
    """

    def __init__(self, folder: Path, broker: Broker | None = None) -> None:
        self.runner, self.broker = Runner(Settings(home=folder)), broker or MemoryBroker()
        self.letters = StreamLetters(folder / "operational" / "stream.sqlite")
        self.done: list[StreamIngested] = []

    def stream(self, **said: Any) -> ObservationStream:
        source = StreamSource("pos", declared_lag=timedelta(hours=6))
        feeds = said.pop("feeds", ["sales"])
        options = StreamIngestOptions(feeds, source, **{"most_seconds": 0.2, **said})
        return ObservationStream(self.runner, self.broker, "t", self.letters, options, lambda: NOW)

    def run(self, batches: int = 1, **said: Any) -> list[StreamIngested]:
        """Ingest until so many batches were worked off; return what became of them."""
        stopped, done = Event(), list[StreamIngested]()

        def told(one: StreamIngested) -> None:
            done.append(one)
            if len(done) >= batches:
                stopped.set()

        self.stream(**said).run(stopped, told)
        self.done += done
        return done

    def rows(self, feed: str = "sales") -> list[tuple[Any, ...]]:
        found = self.runner.stores.observations.scan(self.runner.stores.observations.batches(), feed)
        if found is None:
            return []
        names = ["sku_id", "event_date", "known_at", "sales_units"]
        return found.select(names).sort(names).collect().rows()

    def skus(self) -> list[str]:
        return [row[0] for row in self.rows()]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_records_are_ingested_with_the_messages_that_they_came_in(home: Home) -> None:
    home.broker.publish([message(record("a", 1), record("a", 2)), message(record("b", 1)), message(record("a", 3))])
    (done,) = home.run()
    assert (done.messages, done.records, done.letters) == (3, 4, 0)
    assert [(row[0], row[1].day) for row in home.rows()] == [("a", 1), ("a", 2), ("a", 3), ("b", 1)]
    entry = home.runner.stores.ledger.entries()[-1]
    (read,) = INGEST.read(entry).read
    assert (read.topic, read.first, read.last) == (SALES, 0, 2)
    assert f"messages: {SALES}/{read.partition}@0-2" in INGEST.describe(INGEST.read(entry)).what


def test_feeds_are_ingested_together_and_days_that_are_missing_may_still_come(home: Home) -> None:
    status = {
        "sku_id": "a", "store_id": "S", "event_date": "2025-01-01", "out_of_stock_hours": 2, "trading_hours": 12,
    }  # fmt: skip
    home.broker.publish([message(status, topic="t.observations.stock_status"), message(record("a", 1), record("a", 3))])
    (done,) = home.run(feeds=["sales", "stock_status"])
    (outcome,) = done.outcomes
    assert {batch.feed for batch in outcome.added} == {"sales", "stock_status"}
    assert "late days" in {finding.kind for finding in outcome.findings}
    home.broker.publish([message(record("a", 2))])
    home.run(feeds=["sales", "stock_status"])
    assert [row[1].day for row in home.rows()] == [1, 2, 3]


def test_what_is_no_record_is_a_dead_letter_and_the_rest_is_ingested(home: Home) -> None:
    bad = {"sku_id": "bad", "sales_units": -1}
    home.broker.publish([message(record("a", 1), bad, record("b", 1)), BrokerMessage(SALES, "k", b"\xff", {"h": "1"})])
    (done,) = home.run()
    assert (done.letters, home.skus()) == (2, ["a", "b"])
    reader = home.broker.subscribe(["t.dead-letters"], "tests")
    found = sorted(reader.poll(10, 1), key=lambda each: each.headers["dead-letter-offset"] + each.key)
    assert {(each.value, each.headers.get("h")) for each in found} == {(json.dumps(bad).encode(), None), (b"\xff", "1")}
    assert {each.value for each in home.letters.newest(10)} == {each.value for each in found}
    assert any("record 2: " in each.headers["dead-letter-reason"] for each in found)


def test_a_message_that_a_check_refuses_is_a_dead_letter_and_the_others_go_on(home: Home) -> None:
    home.broker.publish([message(record("a", 1, 3.0))])
    home.run()
    # The same key and moment with another value: a correction would need a later moment.
    wrong = message(record("a", 1, 4.0))
    home.broker.publish([message(record("b", 1)), wrong, *(message(record(f"c{at}", 1)) for at in range(5))])
    (done,) = home.run()
    (letter,) = home.letters.newest(10)
    assert letter.value == wrong.value
    assert "sales: " in letter.reason
    assert done.letters == 1
    assert home.skus() == ["a", "b", "c0", "c1", "c2", "c3", "c4"]
    # None of it comes again.
    home.broker.publish([message(record("z", 1))])
    (done,) = home.run()
    assert done.messages == 1


def test_a_later_word_on_the_same_key_is_a_correction(home: Home) -> None:
    home.broker.publish([message(record("a", 1, 3.0), record("a", 1, 5.0))])
    home.run()
    home.broker.publish([message(record("a", 1, 9.0, known_at="2025-01-05T00:00:00Z"))])
    home.run()
    assert [row[3] for row in home.rows()] == [5.0, 9.0]
    assert home.letters.count() == 0


class Dying:
    """Raises at one of the steps by which messages are worked off."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        self.step = step
        ingest, keep = home.runner.ingest, home.letters.keep
        monkeypatch.setattr(home.runner, "ingest", self._around("ingest", ingest))
        monkeypatch.setattr(home.letters, "keep", self._around("keep", keep))
        monkeypatch.setattr(home.broker, "publish", self._around("publish", home.broker.publish))
        subscribe = home.broker.subscribe

        def watched(topics: Sequence[str], group: str) -> Any:
            made = subscribe(topics, group)
            made.commit = self._around("commit", made.commit)  # type: ignore[method-assign]
            return made

        monkeypatch.setattr(home.broker, "subscribe", watched)

    def _around(self, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            if self.step == f"before {name}":
                raise KeyboardInterrupt
            done = do(*arguments)
            if self.step == f"after {name}":
                raise KeyboardInterrupt
            return done

        return step


STEPS = [f"{when} {step}" for step in ("ingest", "keep", "publish", "commit") for when in ("before", "after")]


@pytest.mark.parametrize("step", STEPS)
def test_whoever_dies_leaves_nothing_out_and_nothing_twice(
    home: Home, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.broker.publish([message(record("a", 1), {"sku_id": "bad"}), message(record("b", 1))])
    with monkeypatch.context() as patched:
        Dying(home, patched, step)
        with pytest.raises(KeyboardInterrupt):
            home.run()
    home.broker.publish([message(record("c", 1))])
    home.run()
    assert home.skus() == ["a", "b", "c"]
    assert home.letters.count() == 1
    if step == "before commit":
        # What was held already is no news.
        assert sum(entry.kind == INGEST.name for entry in home.runner.stores.ledger.entries()) == 2


@pytest.mark.parametrize("error", [StorageError("Full.", remedy="Wait."), LostRaceError("Late.", remedy="Again.")])
def test_what_passes_is_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    ingest, failures = home.runner.ingest, [error, error]

    def failing(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return ingest(*arguments)

    monkeypatch.setattr(home.runner, "ingest", failing)
    home.broker.publish([message(record("a", 1))])
    (done,) = home.run()
    assert (done.letters, home.skus()) == (0, ["a"])


def test_told_to_stop_while_it_waits_it_leaves_what_it_has_to_the_next(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Event()

    def full(*_: Any) -> Any:
        stopped.set()
        raise StorageError("Full.", remedy="Wait.")

    home.broker.publish([message(record("a", 1))])
    with monkeypatch.context() as patched:
        patched.setattr(home.runner, "ingest", full)
        home.stream().run(stopped)
    assert home.skus() == []
    home.run()
    assert home.skus() == ["a"]


def test_batches_are_cut_by_records_and_told_to_stop_ingests_what_was_read(home: Home) -> None:
    home.broker.publish([message(record(f"s{at}", 1), record(f"s{at}", 2)) for at in range(4)])
    done = home.run(batches=1, most_records=1, most_seconds=60)
    assert sum(each.records for each in done) == 8
    stopped = Event()
    home.broker.publish([message(record("last", 1))])
    reading = home.stream(most_seconds=600)
    poll = reading._poll

    def once(event: Event) -> Sequence[ReceivedMessage]:
        event.set()
        return poll(event)

    reading._poll = once  # type: ignore[method-assign]
    reading.run(stopped)
    assert "last" in home.skus()


def test_a_broker_that_is_away_is_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribe, failures = home.broker.subscribe, [1, 1]

    def away(topics: Sequence[str], group: str) -> Any:
        if failures:
            failures.pop()
            raise DeliveryError("Nobody is there.", remedy="Wait.")
        return subscribe(topics, group)

    monkeypatch.setattr(home.broker, "subscribe", away)
    home.broker.publish([message(record("a", 1))])
    home.run()
    assert home.skus() == ["a"]


def test_over_kafka(tmp_path: Path) -> None:
    with kafka_broker() as broker:
        home = Home(tmp_path / "home", broker)
        broker.publish([message(record(f"s{at}", 1), key=str(at)) for at in range(50)])
        done = home.run(most_seconds=3)
        assert sum(each.records for each in done) == 50
        broker.publish([message(record("z", 1))])
        (done_again,) = home.run(most_seconds=1)
        assert done_again.records == 1
        assert len(home.rows()) == 51


def test_feeds_and_sources_that_cannot_be_are_refused_at_once(home: Home) -> None:
    with pytest.raises(InputError, match="nonsense"):
        home.stream(feeds=["nonsense"])
    with pytest.raises(InputError, match="quarantined_rows"):
        home.stream(feeds=["quarantined_rows"])
    assert home.rows() == []

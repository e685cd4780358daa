"""What others are told of each kind of entry: the stored bytes, under names that never change."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from forecast_assets.core.errors import BrokenChainError, IntegrityError
from forecast_assets.operations.outbox import LedgerEvents
from resources.broker.broker import BrokerMessage, ReceivedMessage
from resources.ledger.entries import KINDS
from resources.ledger.log import entry_path
from resources.operational.traces import TraceStore
from resources.outbox import event as events
from resources.outbox.event import LEDGER, OPERATIONS, OutboxEvent, ledger_event
from resources.outbox.inbox import EventInbox, read_event
from resources.outbox.sqlite import SqliteOutbox
from resources.store.blobs import sha256
from resources.stores.home import Stores, open_stores
from tests.support.ledger_cases import every_kind

DOCUMENT = Path(__file__).parents[3] / "docs" / "events.md"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stores, list[OutboxEvent]]:
    stores = open_stores(tmp_path_factory.mktemp("every") / "store")
    every_kind(stores)
    return stores, LedgerEvents(stores).after(0, 1_000)


def test_every_entry_is_told_with_its_own_bytes_under_their_hash(told: tuple[Stores, list[OutboxEvent]]) -> None:
    stores, found = told
    entries = stores.ledger.entries()
    assert {entry.kind for entry in entries} == {*KINDS}
    assert [each.position for each in found] == [*range(1, len(entries) + 1)]
    for entry, each in zip(entries, found, strict=True):
        assert sha256(each.content) == each.id == entry.hash
        assert each.source == f"urn:forecast-assets:ledger:{entries[0].hash}"
        assert (each.at, json.loads(each.content)["kind"]) == (entry.recorded_at, entry.kind)
        assert each.subject
        assert re.fullmatch(r"forecast-assets\.[a-z]+\.[a-z_]+", each.type)
        assert each.document["data"]["body"] == entry.body


def test_every_type_is_in_the_documents(told: tuple[Stores, list[OutboxEvent]]) -> None:
    documented = {*re.findall(r"^\| `([a-z._]+)` \|", DOCUMENT.read_text(), re.MULTILINE)}
    assert {each.type.removeprefix("forecast-assets.") for each in told[1]} <= documented


def test_contents_keep_the_schema_that_they_name(told: tuple[Stores, list[OutboxEvent]], tmp_path: Path) -> None:
    schemas = {
        schema["$id"]: Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for schema in map(json.loads, (path.read_text() for path in DOCUMENT.with_suffix("").glob("*.schema.json")))
    }
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    outbox.add("alert.opened", "alerts/x", {"a": 1}, datetime(2025, 7, 1, tzinfo=UTC))
    every = [*told[1], *outbox.after(0, 10)]
    for each in every:
        schemas[each.attributes["dataschema"]].validate(json.loads(each.content))
    assert {each.attributes["dataschema"] for each in every} == {*schemas}
    broken = {**json.loads(every[0].content), "previous": "x"}
    assert not schemas[every[0].attributes["dataschema"]].is_valid(broken)


def test_a_correction_is_told_after_what_it_corrects_under_one_key(told: tuple[Stores, list[OutboxEvent]]) -> None:
    runs = [each for each in told[1] if each.subject.startswith("runs/")]
    corrected = next(each for each in runs if each.type.endswith("run.corrected"))
    of_run = [each.type for each in runs if each.subject == corrected.subject]
    assert of_run[:2] == ["forecast-assets.run.published", "forecast-assets.run.corrected"]


def test_an_event_has_the_trace_of_the_work_that_made_it(
    told: tuple[Stores, list[OutboxEvent]], tmp_path: Path
) -> None:
    traces = TraceStore(tmp_path / "traces.sqlite")
    key, trace = str(next(iter(told[0].ledger.state().publications))), f"00-{'0a' * 16}-{'b7' * 8}-01"
    traces.record(trace, key)
    found = {each.trace: each for each in LedgerEvents(told[0], traces).after(0, 1_000)}
    assert {*found} == {"", trace}
    assert found[trace].subject == f"runs/{key.rpartition('/')[0]}"
    assert found[trace].headers("ce_")["traceparent"] == trace


def test_an_entry_that_is_too_large_is_named_instead(
    told: tuple[Stores, list[OutboxEvent]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores, _ = told
    (entry, *_) = stores.ledger.entries()
    (stored,) = stores.ledger.stored([entry])
    monkeypatch.setattr(events, "MOST_BYTES", len(stored) - 1)
    made = ledger_event(entry.hash, entry, stored)
    assert (made.content, made.reference, made.id) == (b"", entry_path(1), entry.hash)
    assert made.headers("ce_")["ce_dataref"] == entry_path(1)
    assert stores.ledger.stored([entry]) == [stored]


def test_an_entry_that_was_changed_is_not_told(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "store")
    every_kind(stores)
    before = stores.ledger.entries()
    path = tmp_path / "store" / entry_path(3)
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format": 1'))
    with pytest.raises(BrokenChainError, match=f"{entry_path(3)}` was changed"):
        stores.ledger.stored(before[:5])


def message(event: OutboxEvent, offset: int = 0) -> ReceivedMessage:
    sent = BrokerMessage("t", event.subject, event.content, event.headers("ce_"))
    return ReceivedMessage(sent.topic, sent.key, sent.value, sent.headers, 0, offset)


def test_an_inbox_keeps_each_event_once_and_equal(told: tuple[Stores, list[OutboxEvent]], tmp_path: Path) -> None:
    found, inbox = told[1], EventInbox(tmp_path / "inbox.sqlite")
    sent = [message(each, at) for at, each in enumerate(found)]
    assert inbox.take(sent[:5]) == found[:5]
    assert inbox.take([*sent[3:9], sent[4]]) == found[5:9]
    assert inbox.take(sent) == found[9:]
    assert inbox.events(LEDGER) == found
    assert inbox.events(OPERATIONS) == []


def test_an_inbox_takes_all_or_none_and_no_message_of_somebody_else(
    told: tuple[Stores, list[OutboxEvent]], tmp_path: Path
) -> None:
    first, second, *_ = told[1]
    inbox = EventInbox(tmp_path / "inbox.sqlite")
    forged = ReceivedMessage("t", "k", second.content, first.headers("ce_"), 0, 7)
    with pytest.raises(IntegrityError, match=r"Message 7 of partition 0 of `t` .* not the entry that its id names"):
        inbox.take([message(second), forged])
    with pytest.raises(IntegrityError, match="no event of this product"):
        read_event(ReceivedMessage("t", "k", b"{}", {"content-type": "application/json"}, 0, 1))
    assert inbox.events(LEDGER) == []

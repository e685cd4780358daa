"""An event as others get it: CloudEvents 1.0 (https://github.com/cloudevents/spec), in its binary form.

What belongs here: names, headers and bytes. What does not: transports.

The content of an event is what is stored, byte for byte: of the ledger the entry, whose SHA-256 is the id of the event.
So a repeat is the same, whichever release sends it, and who has all of them has the ledger, chain and all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from resources.ledger.entries import KINDS
from resources.ledger.log import Entry, entry_path

LEDGER: Final = "ledger"
OPERATIONS: Final = "operations"
STREAMS: Final = (LEDGER, OPERATIONS)
SPECIFICATION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"
# What types of events begin with, as CloudEvents asks: a name that is nobody else's.
TYPE_PREFIX: Final = "forecast-assets."
SCHEMAS: Final = {
    LEDGER: "urn:forecast-assets:schema:ledger-entry:1",
    OPERATIONS: "urn:forecast-assets:schema:operational-event:1",
}
# An entry that is larger is not sent but named: brokers take a megabyte.
MOST_BYTES: Final = 800_000


@dataclass(frozen=True)
class OutboxEvent:
    """What others are told.

    Attributes:
        stream: One of `STREAMS`.
        position: Place in the stream, from 1.
        id: Its own; the same one whenever it is told again.
        source: Who tells; together with `id` there is no other.
        type: What happened, such as `forecast-assets.run.published`.
        subject: What it is about; events of one subject are told in their order.
        at: When, ISO 8601 in UTC.
        content: JSON; empty where it is too large and `reference` names it.
        reference: Path of the content in the store, where it is not here.
        trace: W3C `traceparent` of what made it; empty where nobody kept one.
    """

    stream: str
    position: int
    id: str
    source: str
    type: str
    subject: str
    at: str
    content: bytes
    reference: str = ""
    trace: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """CloudEvents attributes and extensions by name, without those that say nothing."""
        said = {
            "specversion": SPECIFICATION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.at,
            "dataschema": SCHEMAS[self.stream],
            "sequence": f"{self.position:020d}",
            "dataref": self.reference,
        }
        return {name: value for name, value in said.items() if value}

    def headers(self, prefix: str) -> dict[str, str]:
        """Return what stands beside the content.

        Args:
            prefix: Of the names: `ce_` on Kafka, `ce-` over HTTP.
        """
        trace = {"traceparent": self.trace} if self.trace else {}
        named = {f"{prefix}{name}": value for name, value in self.attributes.items()}
        return {"content-type": CONTENT_TYPE, **named, **trace}

    @property
    def document(self) -> dict[str, Any]:
        """The event as one JSON object: CloudEvents' structured form."""
        data = {"data": json.loads(self.content)} if self.content else {}
        trace = {"traceparent": self.trace} if self.trace else {}
        return {**self.attributes, "datacontenttype": CONTENT_TYPE, **trace, **data}


def ledger_event(
    ledger: str, entry: Entry, stored: bytes, trace_of: Callable[[str], str] = lambda _work: ""
) -> OutboxEvent:
    """Return what is told of a ledger entry.

    Args:
        ledger: Hash of the first entry, which names the ledger.
        entry: The entry.
        stored: Its bytes.
        trace_of: Returns the trace of the work that made it, by its name; empty for none.
    """
    kind = KINDS[entry.kind]
    told = kind.event(kind.read(entry))
    is_small = len(stored) <= MOST_BYTES
    return OutboxEvent(
        LEDGER,
        entry.sequence,
        entry.hash,
        f"urn:forecast-assets:ledger:{ledger}",
        f"{TYPE_PREFIX}{told.type}",
        told.subject,
        entry.recorded_at,
        stored if is_small else b"",
        "" if is_small else entry_path(entry.sequence),
        trace_of(told.work) if told.work else "",
    )

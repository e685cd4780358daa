"""An inbox: events that were read from a broker, each once, whatever was repeated on the way.

What belongs here: from messages to events, and dropping those that are held. What does not: what a consumer makes of
them.

Whoever consumes takes events in, and commits only then to the broker: what is repeated after a crash in between is
known by source and id. So an inbox can be rebuilt from nothing by reading the topics from their beginning.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import IntegrityError
from resources.broker.broker import ReceivedMessage
from resources.operational.opening import operational_rows, operational_store
from resources.outbox.event import LEDGER, SCHEMAS, OutboxEvent
from resources.store.blobs import sha256

_NAME: Final = "inbox"
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    stream TEXT NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    at TEXT NOT NULL,
    content BLOB NOT NULL,
    reference TEXT NOT NULL,
    trace TEXT NOT NULL,
    PRIMARY KEY (source, id)
) STRICT
"""
_COLUMNS: Final = "stream, position, id, source, type, subject, at, content, reference, trace"


class EventInbox:
    """Events that were taken in.

    Args:
        path: Of the SQLite database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, received: Sequence[ReceivedMessage]) -> list[OutboxEvent]:
        """Take events in, all or none, and return those that are new, in the order in which they came.

        Raises:
            IntegrityError: If a message is no event of ours, or says that it is an entry and is not.
            StorageError: If it cannot be written.
        """
        events = [read_event(each) for each in received]
        new = list[OutboxEvent]()
        with operational_store(self._path, _TABLE) as database:
            for each in events:
                places = ", ".join("?" * 10)
                added = database.execute(
                    f"INSERT INTO {_NAME} ({_COLUMNS}) VALUES ({places}) ON CONFLICT DO NOTHING",  # noqa: S608
                    (each.stream, each.position, each.id, each.source, each.type, each.subject, each.at, each.content,
                     each.reference, each.trace),
                ).rowcount  # fmt: skip
                if added:
                    new.append(each)
        return new

    def events(self, stream: str) -> list[OutboxEvent]:
        """Return the events of a stream by position."""
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            query = f"SELECT {_COLUMNS} FROM {_NAME} WHERE stream = ? ORDER BY source, position"  # noqa: S608
            return [OutboxEvent(*row) for row in database.execute(query, (stream,))]


def read_event(message: ReceivedMessage) -> OutboxEvent:
    """Return the event of a message.

    Raises:
        IntegrityError: If it is none of ours, or its content is not what its id says.
    """
    said = message.headers
    streams = {schema: stream for stream, schema in SCHEMAS.items()}
    try:
        event = OutboxEvent(
            streams[said["ce_dataschema"]],
            int(said["ce_sequence"]),
            said["ce_id"],
            said["ce_source"],
            said["ce_type"],
            said["ce_subject"],
            said["ce_time"],
            message.value,
            said.get("ce_dataref", ""),
            said.get("traceparent", ""),
        )
    except (KeyError, ValueError) as error:
        raise _wrong(message, f"its headers lack {error}") from error
    if event.stream == LEDGER and not event.reference and sha256(event.content) != event.id:
        raise _wrong(message, "its content is not the entry that its id names")
    return event


def _wrong(message: ReceivedMessage, why: str) -> IntegrityError:
    return IntegrityError(
        f"Message {message.offset} of partition {message.partition} of `{message.topic}` is no event of this product: "
        f"{why}.",
        remedy="See who else writes to the topic; give homes topics of their own with FORECAST_ASSETS_TOPIC_PREFIX.",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
    )

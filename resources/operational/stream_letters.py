"""Dead letters of the stream: messages that could not be worked off, whole, with the reason and where they stood.

What belongs here: keeping them, and finding them again. What does not: what makes a message bad.

A message is kept here before the broker is told that the group needs it no more, so that it is lost nowhere, whatever
becomes of the topic of dead letters. The key of a caller is no part of it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError
from resources.operational.opening import operational_rows, operational_store

_NAME: Final = "stream_letters"
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    letter_id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    key TEXT NOT NULL,
    headers TEXT NOT NULL,
    value BLOB NOT NULL,
    reason TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (topic, partition, "offset", digest)
) STRICT
"""
_SELECT: Final = (
    'SELECT letter_id, received_at, topic, partition, "offset", key, headers, value, reason FROM stream_letters'
)


@dataclass(frozen=True)
class StreamLetter:
    """A message that could not be worked off, or the part of it that could not.

    Attributes:
        topic: Where it stood.
        partition: Of the topic.
        offset: In the partition.
        key: Of the message.
        headers: Of the message, without the key of a caller.
        value: Its bytes; of a message with many records those that could not be taken in.
        reason: Why.
        letter_id: Number of the letter; 0 before it is kept.
        received_at: When, ISO 8601 in UTC.
    """

    topic: str
    partition: int
    offset: int
    key: str
    headers: Mapping[str, str]
    value: bytes
    reason: str
    letter_id: int = 0
    received_at: str = ""


class StreamLetters:
    """The dead letters of a home's stream.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, letters: Sequence[StreamLetter], now: datetime) -> None:
        """Keep letters; one that is kept already, since its message came again, is left alone.

        Raises:
            StorageError: If it cannot be written; none is kept then.
        """
        if not letters:
            return
        at = now.isoformat(timespec="seconds")
        with operational_store(self._path, _TABLE) as database:
            database.executemany(
                'INSERT OR IGNORE INTO stream_letters (received_at, topic, partition, "offset", key, headers, value, '
                "reason, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        at, each.topic, each.partition, each.offset, each.key,
                        json.dumps(dict(each.headers), ensure_ascii=False), each.value, each.reason, _digest(each),
                    )
                    for each in letters
                ],
            )  # fmt: skip

    def newest(self, most: int) -> Sequence[StreamLetter]:
        """Return the newest letters, the newest first."""
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            rows = database.execute(f"{_SELECT} ORDER BY letter_id DESC LIMIT ?", (most,))
            return [_read(tuple(row)) for row in rows]

    def count(self) -> int:
        """Return how many there are."""
        with operational_rows(self._path, _NAME) as database:
            return 0 if database is None else int(database.execute("SELECT count(*) FROM stream_letters").fetchone()[0])

    def find(self, letter_id: int) -> StreamLetter:
        """Return a letter.

        Raises:
            InputError: If there is none of the number.
        """
        with operational_rows(self._path, _NAME) as database:
            row = None
            if database is not None:
                row = database.execute(f"{_SELECT} WHERE letter_id = ?", (letter_id,)).fetchone()
        if row is None:
            raise InputError(
                f"There is no dead letter {letter_id} of the stream.",
                remedy=Sentence("See which there are: ", Action("stream dead-letters list"), "."),
                letter_id=letter_id,
            )
        return _read(tuple(row))


def _digest(letter: StreamLetter) -> str:
    """Tell a message that came again from another one at its place, in a topic that was made anew."""
    return hashlib.sha256(letter.reason.encode() + b"\0" + letter.value).hexdigest()


def _read(row: tuple[int, str, str, int, int, str, str, bytes, str]) -> StreamLetter:
    number, received_at, topic, partition, offset, key, headers, value, reason = row
    return StreamLetter(topic, partition, offset, key, json.loads(headers), value, reason, number, received_at)

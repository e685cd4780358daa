"""Feedback of callers on predictions: who said what, when, about which one.

What belongs here: keeping feedback, each request once and whole with its dead letters. What does not: what makes a
record good.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import InputError
from resources.operational.dead_letters import (
    LETTER_TABLES,
    REPLAYED,
    DeadLetter,
    LetterStep,
    Sender,
    add_step,
    insert_letter,
)
from resources.operational.opening import operational_rows, operational_store

_NAME: Final = "feedback"
_REQUESTS: Final = "feedback_requests"
_TABLES: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    feedback_id TEXT PRIMARY KEY,
    received_at TEXT NOT NULL,
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    prediction_id TEXT,
    event_id TEXT,
    units REAL,
    label TEXT,
    finding TEXT,
    comment TEXT,
    letter_id INTEGER,
    backlog_item INTEGER,
    taken_over_by TEXT,
    taken_over_at TEXT
) STRICT
""",
    f"""
CREATE TABLE IF NOT EXISTS {_REQUESTS} (
    key_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    received_at TEXT NOT NULL,
    outcomes TEXT NOT NULL,
    PRIMARY KEY (key_id, request_id)
) STRICT, WITHOUT ROWID
""",
    *LETTER_TABLES,
)


@dataclass(frozen=True)
class Feedback:
    """What a record says, once it is known to be good.

    Attributes:
        kind: `correction`, `label` or `quality`.
        prediction_id: The published row that it is about; None where it is about an event.
        event_id: The prediction event that it is about; None where it is about a published row.
        units: Of a correction what it should have been.
        label: Of a label its word.
        finding: Of a quality finding what is wrong with the data.
        comment: Besides; None for nothing.
    """

    kind: str
    prediction_id: str | None = None
    event_id: str | None = None
    units: float | None = None
    label: str | None = None
    finding: str | None = None
    comment: str | None = None

    @property
    def subject(self) -> str:
        """What it is about: a prediction id, or the id of an event."""
        return self.prediction_id or self.event_id or ""


@dataclass(frozen=True)
class KeptFeedback:
    """Feedback that was accepted.

    Attributes:
        feedback_id: UUID.
        sender: Who sent it, when.
        position: Of the record in its request, from 0.
        said: What it says.
        letter_id: Dead letter that it was before; None if it was good at once.
        backlog_item: Item of the quality backlog that a finding became; None while it is open.
        taken_over_by: Who made it one.
        taken_over_at: When, ISO 8601 in UTC.
    """

    feedback_id: str
    sender: Sender
    position: int
    said: Feedback
    letter_id: int | None = None
    backlog_item: int | None = None
    taken_over_by: str | None = None
    taken_over_at: str | None = None


@dataclass(frozen=True)
class NewRecord:
    """A record of a request, judged.

    Attributes:
        sent: As it was sent.
        feedback_id: UUID that it gets if it is good.
        judged: What it says, or why it cannot be used.
    """

    sent: str
    feedback_id: str
    judged: Feedback | str


@dataclass(frozen=True)
class Outcome:
    """What became of a record of a request.

    Attributes:
        position: Of the record in the request, from 0.
        status: `accepted` or `dead-lettered`.
        feedback_id: Of what was accepted; else None.
        letter_id: Of what is among the dead letters; else None.
        reason: Why it is there; else None.
    """

    position: int
    status: str
    feedback_id: str | None = None
    letter_id: int | None = None
    reason: str | None = None


ACCEPTED: Final = "accepted"
DEAD_LETTERED: Final = "dead-lettered"
_SAID: Final = tuple(each.name for each in fields(Feedback))


class FeedbackStore:
    """The feedback of a home.

    Args:
        path: The operational database.
        wait_seconds: How long writing waits for who writes; half a minute if left out.
    """

    def __init__(self, path: Path, wait_seconds: float | None = None) -> None:
        self._path, self._wait = path, wait_seconds

    def outcomes(self, sender: Sender, sha256: str) -> Sequence[Outcome] | None:
        """Return what became of a request that is sent again; None if it is new.

        Raises:
            InputError: If the caller sent other records under its id.
        """
        with operational_rows(self._path, _REQUESTS) as database:
            return None if database is None else _earlier(database, sender, sha256)

    def keep(self, sender: Sender, sha256: str, records: Sequence[NewRecord]) -> tuple[Sequence[Outcome], bool]:
        """Keep a request whole: what is good as feedback, what is bad as dead letters.

        Args:
            sender: Who sent it.
            sha256: Of what was sent.
            records: Its records, judged.

        Returns:
            What became of each record; and whether that was so before: a request that comes again is kept once.

        Raises:
            InputError: If the caller sent other records under its id.
            StorageError: If the store cannot be written; then nothing is kept.
        """
        with operational_store(self._path, *_TABLES, wait_seconds=self._wait) as database:
            earlier = _earlier(database, sender, sha256)
            if earlier is not None:
                return earlier, True
            outcomes = [_insert(database, sender, position, record) for position, record in enumerate(records)]
            told = json.dumps([asdict(each) for each in outcomes])
            database.execute(
                "INSERT INTO feedback_requests (key_id, request_id, sha256, received_at, outcomes) "
                "VALUES (?, ?, ?, ?, ?)",
                (sender.key_id, sender.request_id, sha256, sender.at, told),
            )
        return outcomes, False

    def keep_replayed(self, letter: DeadLetter, feedback_id: str, said: Feedback, step: LetterStep) -> None:
        """Keep what a dead letter says now as feedback of who sent it, and say of the letter that it was replayed.

        Args:
            letter: As it was judged.
            feedback_id: UUID that it gets.
            said: What it says.
            step: Who replays it, when.

        Raises:
            RefusedError: If it waits no more, or somebody mended it meanwhile.
        """
        if step.what != REPLAYED:
            raise ValueError(step.what)
        with operational_store(self._path, *_TABLES, wait_seconds=self._wait) as database:
            add_step(database, letter, step)
            _insert_feedback(database, letter.sender, letter.position, feedback_id, said, letter.letter_id)

    def all(self, kind: str | None = None) -> Sequence[KeptFeedback]:
        """Return feedback, oldest first; of one kind, if one is named."""
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            found = database.execute(
                "SELECT * FROM feedback WHERE ? IS NULL OR kind = ? ORDER BY received_at, rowid", (kind, kind)
            )
            return [_read(row) for row in found]

    def taken_over(self, feedback_id: str, item: int, *, by: str, at: str) -> None:
        """Note which item of the quality backlog a finding has become; what was noted before stays."""
        with operational_store(self._path, *_TABLES, wait_seconds=self._wait) as database:
            database.execute(
                "UPDATE feedback SET backlog_item = ?, taken_over_by = ?, taken_over_at = ? "
                "WHERE feedback_id = ? AND backlog_item IS NULL",
                (item, by, at, feedback_id),
            )


def _earlier(database: sqlite3.Connection, sender: Sender, sha256: str) -> Sequence[Outcome] | None:
    row = database.execute(
        "SELECT sha256, outcomes, received_at FROM feedback_requests WHERE key_id = ? AND request_id = ?",
        (sender.key_id, sender.request_id),
    ).fetchone()
    if row is None:
        return None
    if row["sha256"] != sha256:
        raise InputError(
            f"The request id {sender.request_id} was used for other feedback at {row['received_at']}.",
            remedy="Send it under an `X-Request-Id` of its own; the same id is only for the same request again.",
            request_id=sender.request_id,
        )
    return [Outcome(**each) for each in json.loads(row["outcomes"])]


def _insert(database: sqlite3.Connection, sender: Sender, position: int, record: NewRecord) -> Outcome:
    if isinstance(record.judged, str):
        number = insert_letter(database, sender, position, record.sent, record.judged)
        return Outcome(position, DEAD_LETTERED, letter_id=number, reason=record.judged)
    _insert_feedback(database, sender, position, record.feedback_id, record.judged)
    return Outcome(position, ACCEPTED, record.feedback_id)


def _insert_feedback(
    database: sqlite3.Connection,
    sender: Sender,
    position: int,
    feedback_id: str,
    said: Feedback,
    letter_id: int | None = None,
) -> None:
    values = (
        feedback_id, sender.at, sender.key_id, sender.name, sender.request_id, position, letter_id, *astuple(said),
    )  # fmt: skip
    # Columns by name: a later release may have added some.
    database.execute(
        "INSERT INTO feedback (feedback_id, received_at, key_id, name, request_id, position, letter_id, "  # noqa: S608
        f"{', '.join(_SAID)}) VALUES ({', '.join('?' * len(values))})",
        values,
    )


def _read(row: sqlite3.Row) -> KeptFeedback:
    return KeptFeedback(
        row["feedback_id"],
        Sender(row["key_id"], row["name"], row["request_id"], row["received_at"]),
        row["position"],
        Feedback(*(row[name] for name in _SAID)),
        row["letter_id"],
        row["backlog_item"],
        row["taken_over_by"],
        row["taken_over_at"],
    )

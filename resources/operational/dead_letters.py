"""Dead letters: records that callers sent and that could not be used, whole, with the reason.

What belongs here: keeping letters, and what people did with each. What does not: what makes a record bad, or taking one
in at last (`feedback`).

Nothing is deleted: a letter stays as it was sent, beside how it reads after mending, and each step says who did it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, RefusedError
from resources.operational.opening import operational_rows, operational_store

WAITING: Final = "waiting"
REPLAYED: Final = "replayed"
DROPPED: Final = "dropped"
STATES: Final = (WAITING, REPLAYED, DROPPED)
MENDED: Final = "mended"
REFUSED: Final = "refused"

_NAME: Final = "dead_letters"
_STEPS: Final = "dead_letter_steps"
LETTER_TABLES: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    letter_id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL,
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    request_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    sent TEXT NOT NULL,
    text TEXT NOT NULL,
    reason TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT
""",
    f"""
CREATE TABLE IF NOT EXISTS {_STEPS} (
    letter_id INTEGER NOT NULL,
    at TEXT NOT NULL,
    what TEXT NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT
""",
)


@dataclass(frozen=True)
class Sender:
    """Who sent records, in which request.

    Attributes:
        key_id: Key of the caller.
        name: Whose key it is.
        request_id: Of the request.
        at: When it came by the clock of the service, ISO 8601 in UTC.
    """

    key_id: str
    name: str
    request_id: str
    at: str


@dataclass(frozen=True)
class DeadLetter:
    """A record that could not be used.

    Attributes:
        letter_id: Number of the letter.
        sender: Who sent it, when.
        position: Of the record in its request, from 0.
        sent: The record as it was sent.
        text: The record as it is after mending.
        reason: Why it could not be used when that was last tried.
        state: One of `STATES`.
    """

    letter_id: int
    sender: Sender
    position: int
    sent: str
    text: str
    reason: str
    state: str


@dataclass(frozen=True)
class LetterStep:
    """What somebody did with a letter.

    Attributes:
        at: When, ISO 8601 in UTC.
        what: `mended`, `replayed`, `dropped`, or `refused` where it was replayed in vain.
        by: Who.
        reason: Why; of what was refused what is wrong with it.
        text: The record as it was from then on.
    """

    at: str
    what: str
    by: str
    reason: str
    text: str


class DeadLetters:
    """The dead letters of a home.

    Args:
        path: The operational database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self, state: str | None = None) -> Sequence[DeadLetter]:
        """Return letters, oldest first; those in one state, if one is named."""
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            found = database.execute(
                "SELECT * FROM dead_letters WHERE ? IS NULL OR state = ? ORDER BY letter_id", (state, state)
            )
            return [_read(row) for row in found]

    def find(self, letter_id: int) -> DeadLetter:
        """Return a letter.

        Raises:
            InputError: If there is none of the number.
        """
        with operational_rows(self._path, _NAME) as database:
            return _one(database, letter_id)

    def steps(self, letter_id: int) -> Sequence[LetterStep]:
        """Return what was done with a letter, oldest first."""
        with operational_rows(self._path, _STEPS) as database:
            if database is None:
                return []
            rows = database.execute(
                "SELECT at, what, by, reason, text FROM dead_letter_steps WHERE letter_id = ? ORDER BY rowid",
                (letter_id,),
            )
            return [LetterStep(*row) for row in rows]

    def step(self, letter: DeadLetter, step: LetterStep) -> DeadLetter:
        """Record that a letter was mended, dropped or replayed in vain, and return it as it is then.

        Args:
            letter: As whoever does so saw it.
            step: What is done.

        Raises:
            RefusedError: If it waits no more, or somebody mended it meanwhile.
        """
        with operational_store(self._path, *LETTER_TABLES) as database:
            add_step(database, letter, step)
            return _one(database, letter.letter_id)


def insert_letter(database: sqlite3.Connection, sender: Sender, position: int, sent: str, reason: str) -> int:
    """Put a record among the dead letters, within the transaction of whoever takes its request in.

    Returns:
        Number of the letter.
    """
    number = database.execute(
        "INSERT INTO dead_letters (received_at, key_id, name, request_id, position, sent, text, reason, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (sender.at, sender.key_id, sender.name, sender.request_id, position, sent, sent, reason, WAITING),
    ).lastrowid
    return int(number or 0)


def add_step(database: sqlite3.Connection, letter: DeadLetter, step: LetterStep) -> None:
    """Record what is done with a letter, within a transaction.

    Raises:
        RefusedError: If it waits no more, or somebody mended it meanwhile.
    """
    now = _one(database, letter.letter_id)
    if now.state != WAITING:
        raise RefusedError(
            f"Dead letter {now.letter_id} is {now.state} already.",
            remedy=Sentence("See by whom: ", Action("dead-letters show", on=(str(now.letter_id),)), "."),
            letter_id=now.letter_id,
            state=now.state,
        )
    if now.text != letter.text:
        raise RefusedError(
            f"Somebody mended dead letter {now.letter_id} meanwhile.",
            remedy=Sentence("See how: ", Action("dead-letters show", on=(str(now.letter_id),)), "."),
            letter_id=now.letter_id,
        )
    database.execute(
        "INSERT INTO dead_letter_steps (letter_id, at, what, by, reason, text) VALUES (?, ?, ?, ?, ?, ?)",
        (letter.letter_id, step.at, step.what, step.by, step.reason, step.text),
    )
    state = step.what if step.what in STATES else WAITING
    reason = step.reason if step.what == REFUSED else now.reason
    database.execute(
        "UPDATE dead_letters SET text = ?, reason = ?, state = ? WHERE letter_id = ?",
        (step.text, reason, state, letter.letter_id),
    )


def _one(database: sqlite3.Connection | None, letter_id: int) -> DeadLetter:
    one = "SELECT * FROM dead_letters WHERE letter_id = ?"
    row = None if database is None else database.execute(one, (letter_id,)).fetchone()
    if row is None:
        raise InputError(
            f"There is no dead letter {letter_id}.",
            remedy=Sentence("See which there are: ", Action("dead-letters list", {"all": True}), "."),
            letter_id=letter_id,
        )
    return _read(row)


def _read(row: sqlite3.Row) -> DeadLetter:
    sender = Sender(row["key_id"], row["name"], row["request_id"], row["received_at"])
    return DeadLetter(row["letter_id"], sender, row["position"], row["sent"], row["text"], row["reason"], row["state"])

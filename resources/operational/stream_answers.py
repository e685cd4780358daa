"""Answers that the stream has given, by who asked and under which id: the same request again has the same bytes.

What belongs here: keeping answers, and forgetting those that nobody can ask for again. What does not: answering.

An answer is kept before it is handed to the broker. Whoever dies in between finds it here when the request comes again,
whatever was published meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from resources.operational.opening import operational_rows, operational_store

_NAME: Final = "stream_answers"
_TABLES: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    key_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    kept_at TEXT NOT NULL,
    status INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (key_id, request_id)
) STRICT
""",
    f"CREATE INDEX IF NOT EXISTS {_NAME}_by_time ON {_NAME} (kept_at)",
)
# So many are forgotten at a time, so that nobody who keeps one waits for long.
_MOST_FORGOTTEN: Final = 10_000


@dataclass(frozen=True)
class KeptAnswer:
    """An answer.

    Attributes:
        key_id: Key of the caller.
        request_id: The caller's own.
        digest: Of what was asked.
        status: As of HTTP.
        content_type: Of the body.
        body: What was answered.
    """

    key_id: str
    request_id: str
    digest: str
    status: int
    content_type: str
    body: bytes


class StreamAnswers:
    """The answers of a home; safe to share between threads and processes of a machine.

    Args:
        path: The database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key_id: str, request_id: str) -> KeptAnswer | None:
        """Return what a caller was answered under an id; None if nothing.

        Raises:
            StorageError: If it cannot be read.
        """
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return None
            row = database.execute(
                "SELECT key_id, request_id, digest, status, content_type, body FROM stream_answers "
                "WHERE key_id = ? AND request_id = ?",
                (key_id, request_id),
            ).fetchone()
            return None if row is None else KeptAnswer(*row)

    def keep(self, answers: Sequence[KeptAnswer], now: datetime) -> Sequence[KeptAnswer]:
        """Keep answers, and return for each what is kept under its id: of two at once, the first.

        Args:
            answers: What was worked out.
            now: The present moment, UTC.

        Raises:
            StorageError: If it cannot be written; nothing of it is kept then.
        """
        if not answers:
            return []
        at = now.isoformat(timespec="seconds")
        with operational_store(self._path, *_TABLES) as database:
            database.executemany(
                "INSERT OR IGNORE INTO stream_answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (each.key_id, each.request_id, each.digest, at, each.status, each.content_type, each.body)
                    for each in answers
                ],
            )
            rows = (
                database.execute(
                    "SELECT key_id, request_id, digest, status, content_type, body FROM stream_answers "
                    "WHERE key_id = ? AND request_id = ?",
                    (each.key_id, each.request_id),
                ).fetchone()
                for each in answers
            )
            return [KeptAnswer(*row) for row in rows]

    def forget(self, before: datetime) -> int:
        """Forget answers that were kept before a moment; return how many.

        Raises:
            StorageError: If it cannot be written.
        """
        forgotten, count = 0, _MOST_FORGOTTEN
        while self._path.is_file() and count == _MOST_FORGOTTEN:
            with operational_store(self._path, *_TABLES) as database:
                count = database.execute(
                    "DELETE FROM stream_answers WHERE rowid IN "
                    "(SELECT rowid FROM stream_answers WHERE kept_at < ? LIMIT ?)",
                    (before.isoformat(timespec="seconds"), _MOST_FORGOTTEN),
                ).rowcount
            forgotten += count
        return forgotten

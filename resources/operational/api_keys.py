"""Keys of callers: who may ask what, until when.

What belongs here: keeping keys, as hashes. What does not: what a role may do, or reading a request.

A key is 32 random bytes; a plain SHA-256 of so much chance cannot be reversed, so that no slow hash is needed on every
request (NIST SP 800-63B 5.1.1.2 asks for one where people choose secrets).
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError
from resources.operational.opening import operational_rows, operational_store

PREFIX: Final = "fak"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_NAME: Final = "api_keys"
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    key_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT
)
"""

_ONE: Final = "SELECT * FROM api_keys WHERE key_id = ?"


@dataclass(frozen=True)
class ApiKey:
    """A key, without its secret.

    Attributes:
        key_id: What logs and lists call it.
        name: Whose it is.
        role: What it may do.
        created_at: Moment in UTC.
        expires_at: From when on it is refused; None for never.
        revoked_at: When it was revoked; None if it was not.
    """

    key_id: str
    name: str
    role: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it is accepted at a moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeys:
    """The keys of a home.

    Args:
        path: The operational database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, name: str, role: str, *, now: datetime, valid_for: timedelta | None) -> tuple[ApiKey, str]:
        """Make a key; return it with its text, which is shown now and never again.

        Args:
            name: Whose it is.
            role: What it may do.
            now: The present moment.
            valid_for: How long; None for ever.
        """
        key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        key = ApiKey(key_id, name, role, now, None if valid_for is None else now + valid_for)
        with operational_store(self._path, _SCHEMA) as database:
            database.execute(
                "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (key_id, name, role, _hash(secret), _text(now), _text(key.expires_at)),
            )
        return key, f"{PREFIX}_{key_id}_{secret}"

    def all(self) -> Sequence[ApiKey]:
        """Return all keys, oldest first."""
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            return [_read(row) for row in database.execute("SELECT * FROM api_keys ORDER BY created_at, key_id")]

    def revoke(self, key_id: str, *, now: datetime) -> ApiKey:
        """Refuse a key from now on.

        Raises:
            InputError: If there is no such key, or it is revoked already.
        """
        with operational_store(self._path, _SCHEMA) as database:
            row = database.execute(_ONE, (key_id,)).fetchone()
            if row is None or row["revoked_at"] is not None:
                why = "There is no key" if row is None else f"Since {row['revoked_at']} nobody may use the key"
                raise InputError(
                    f"{why} `{key_id}`.",
                    remedy=Sentence("See which there are: ", Action("keys list"), "."),
                    key_id=key_id,
                )
            database.execute("UPDATE api_keys SET revoked_at = ? WHERE key_id = ?", (_text(now), key_id))
            found = database.execute(_ONE, (key_id,)).fetchone()
        return _read(found)

    def find(self, text: str) -> ApiKey | None:
        """Return the key of a text that a caller sent, valid or not any more; None if it is nobody's."""
        parts = text.split("_", 2)
        if len(parts) != len(("prefix", "id", "secret")) or parts[0] != PREFIX:
            return None
        with operational_rows(self._path, _NAME) as database:
            row = None if database is None else database.execute(_ONE, (parts[1],)).fetchone()
        if row is None or not secrets.compare_digest(row["secret_hash"], _hash(parts[2])):
            return None
        return _read(row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _read(row: sqlite3.Row) -> ApiKey:
    return ApiKey(
        row["key_id"],
        row["name"],
        row["role"],
        datetime.fromisoformat(row["created_at"]),
        _moment(row["expires_at"]),
        _moment(row["revoked_at"]),
    )

"""Keys of callers, in words and as a table.

What belongs here: what people read of keys. What does not: keeping them (`resources.operational`), or what a role may
do.
"""

from collections.abc import Sequence
from datetime import datetime

from forecast_assets.presentation.text import table
from resources.operational.api_keys import ApiKey


def made_text(key: ApiKey, text: str) -> str:
    """Return what is said of a new key, once, with its text."""
    until = "never expires" if key.expires_at is None else f"expires {key.expires_at:%Y-%m-%d}"
    return f"Key {key.key_id} of {key.name} ({key.role}) {until}. Keep it; it is not shown again:\n{text}"


def keys_text(keys: Sequence[ApiKey], now: datetime) -> str:
    """Return keys as a table: whose, with which role, until when."""
    if not keys:
        return "No keys yet: forecast-assets keys create --name NAME --role reader"
    rows = [
        (
            key.key_id,
            key.name,
            key.role,
            f"{key.created_at:%Y-%m-%d}",
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}",
            "revoked" if key.revoked_at else "valid" if key.is_valid(now) else "expired",
        )
        for key in keys
    ]
    return table(("key", "name", "role", "made", "expires", "state"), rows)


def revoked_text(key: ApiKey) -> str:
    """Return what is said of a key that nobody may use any more."""
    return f"Key {key.key_id} of {key.name} is revoked."

"""Filters that planners want again, by name: each caller has their own.

What belongs here: keeping them. What does not: what a filter means, or the worklist that it chooses from.

They are a convenience of one home and say nothing of any number, so they are here and not in the ledger.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from forecast_assets.core.errors import InputError, first_ten
from resources.operational.opening import operational_rows, operational_store

MOST_FILTERS: Final = 50
MOST_NAME_CHARACTERS: Final = 60
_MOST_FIELD_CHARACTERS: Final = 200
_NAME: Final = "saved_filters"
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS {_NAME} (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    fields TEXT NOT NULL,
    saved_at TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT
"""


@dataclass(frozen=True)
class SavedFilter:
    """A filter of one caller.

    Attributes:
        name: What its owner calls it.
        fields: As a link has them, by name; none for all lines.
    """

    name: str
    fields: Mapping[str, str]


class SavedFilters:
    """The saved filters of a home.

    An owner is the name of a key, so that a new key of the same person finds them again.

    Args:
        path: The operational database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self, owner: str) -> Sequence[SavedFilter]:
        """Return the filters of somebody, by name."""
        with operational_rows(self._path, _NAME) as database:
            if database is None:
                return []
            rows = database.execute("SELECT name, fields FROM saved_filters WHERE owner = ? ORDER BY name", (owner,))
            return [SavedFilter(name, json.loads(fields)) for name, fields in rows]

    def save(self, owner: str, kept: SavedFilter, *, now: datetime) -> None:
        """Save a filter; one of the same name is replaced.

        Args:
            owner: Whose it is.
            kept: The filter.
            now: The present moment.

        Raises:
            InputError: If its name is empty or too long, a field is too long, or the owner has as many as may be.
        """
        if not 0 < len(kept.name) <= MOST_NAME_CHARACTERS or not kept.name.isprintable():
            raise InputError(
                "A saved filter needs a name.", remedy=f"Give one of up to {MOST_NAME_CHARACTERS} characters."
            )
        long = [name for name, value in kept.fields.items() if len(value) > _MOST_FIELD_CHARACTERS]
        if long:
            raise InputError(
                f"{first_ten(long)}: that is too long to be kept.", remedy="Name a node, band, flag or planner."
            )
        with operational_store(self._path, _SCHEMA) as database:
            others = "SELECT count(*) FROM saved_filters WHERE owner = ? AND name <> ?"
            if database.execute(others, (owner, kept.name)).fetchone()[0] >= MOST_FILTERS:
                raise InputError(
                    f"There are {MOST_FILTERS} saved filters already.", remedy="Delete one that is not needed any more."
                )
            database.execute(
                "INSERT OR REPLACE INTO saved_filters VALUES (?, ?, ?, ?)",
                (owner, kept.name, json.dumps({**kept.fields}), now.astimezone(UTC).isoformat()),
            )

    def delete(self, owner: str, name: str) -> None:
        """Delete a filter.

        Raises:
            InputError: If the owner has none of the name.
        """
        with operational_store(self._path, _SCHEMA) as database:
            found = database.execute("DELETE FROM saved_filters WHERE owner = ? AND name = ?", (owner, name))
            if not found.rowcount:
                raise InputError(f"There is no saved filter `{name}`.", remedy="Choose one of the list.")

"""An event as stores and files hold it: a JSON document, and what it is looked up by.

What belongs here: the form of an event's bytes. What does not: what an event says beyond what it is looked up by.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Self

from forecast_assets.core.errors import IntegrityError

RECORDED: Final = "recorded"
DROPPED: Final = "dropped"


@dataclass(frozen=True)
class EventRecord:
    """An event.

    Attributes:
        event_id: UUID in text.
        occurred_at: When it was answered, UTC.
        key_id: Key of the caller.
        caller: Whose key it is.
        use: What the prediction was for.
        model_version: Which version answered.
        series: Store and SKU of each series.
        document: All of it, as JSON has it.
    """

    event_id: str
    occurred_at: datetime
    key_id: str
    caller: str
    use: str
    model_version: str
    series: Sequence[tuple[str, str]]
    document: Mapping[str, Any]

    @property
    def day(self) -> date:
        """The day, in UTC, that it belongs to."""
        return self.occurred_at.date()

    @property
    def content(self) -> bytes:
        """Its bytes, the same wherever it has been: stores may lay JSON out otherwise."""
        return content_of(self.document)

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes."""
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read an event from its document.

        Raises:
            IntegrityError: If it is none.
        """
        try:
            return cls(
                event_id=str(document["event_id"]),
                occurred_at=datetime.fromisoformat(document["occurred_at"]).astimezone(UTC),
                key_id=str(document["caller"]["key_id"]),
                caller=str(document["caller"]["name"]),
                use=str(document["use"]),
                model_version=str(document["model_version"]),
                series=tuple((str(store), str(sku)) for store, sku in document["series"]),
                document=document,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"A document is no prediction event: {type(error).__name__} {error}.",
                remedy="Look where it comes from; a release writes only what it can read.",
            ) from error


def content_of(document: Mapping[str, Any]) -> bytes:
    """Return a document as bytes: equal for equal documents, in one line.

    Example:
        >>> content_of({"b": 1.50, "a": None})
        b'{"a":null,"b":1.5}'
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

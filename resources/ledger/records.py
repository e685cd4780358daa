"""The JSON of entries and manifests: its one form, reading it into records, and files as both name them.

What belongs here: what all kinds of entries and manifests share. What does not: what any of them says.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EntryBody = Mapping[str, Any]
RecordT = TypeVar("RecordT", bound="DataclassInstance")
KeyT = TypeVar("KeyT")
KeptT = TypeVar("KeptT")


def canonical(value: Any) -> bytes:
    """Return the one JSON form that hashes are taken of: sorted keys, no spaces, ASCII.

    Example:
        >>> canonical({"b": 1, "a": "x"})
        b'{"a":"x","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def with_known_fields(kind: type[RecordT], facts: EntryBody) -> RecordT:
    """Return a record of those facts that this release has fields for: a later release may have added others.

    Raises:
        TypeError: If a field without a default is missing.

    Example:
        >>> with_known_fields(ProductFile, {"path": "a", "sha256": "b", "rows": 1, "bytes": 2, "colour": "red"})
        ProductFile(path='a', sha256='b', rows=1, bytes=2)
    """
    known = _field_names(kind)
    return kind(**{name: value for name, value in facts.items() if name in known})


def last_of(kept: Mapping[KeyT, Sequence[KeptT]], key: KeyT) -> KeptT | None:
    """Return the last of the records that are kept under a key, or None.

    Example:
        >>> last_of({"a": [1, 2]}, "a"), last_of({"a": [1, 2]}, "b")
        (2, None)
    """
    return next(reversed(kept.get(key, ())), None)


@cache
def _field_names(kind: "type[DataclassInstance]") -> frozenset[str]:
    return frozenset(each.name for each in fields(kind))


@dataclass(frozen=True)
class ProductFile:
    """One file of a product version: path below the store, SHA-256, rows, bytes."""

    path: str
    sha256: str
    rows: int
    bytes: int

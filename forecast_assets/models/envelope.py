"""The bytes of an artifact: canonical JSON that names the family and the format beside what the artifact holds.

What belongs here: writing and reading those bytes. What does not: what an artifact of a family holds.
"""

import json
from collections.abc import Mapping
from typing import Any

from forecast_assets.core.errors import InputError


def to_json(family: str, format_number: int, data: Mapping[str, Any]) -> bytes:
    """Write canonical JSON: sorted keys, shortest exact floats, so that equal artifacts are equal bytes."""
    named = {"family": family, "format": format_number, **data}
    return json.dumps(named, sort_keys=True, indent=1, allow_nan=False).encode()


def from_json(family: str, format_number: int, content: bytes, *, remedy: str) -> dict[str, Any]:
    """Return the data that `to_json` wrote, exactly.

    Raises:
        InputError: If the bytes are of another family or format; it ends with the remedy.
    """
    data: dict[str, Any] = json.loads(content)
    if (data.pop("family", None), data.pop("format", None)) != (family, format_number):
        raise InputError(f"The artifact is not of the family `{family}` in format {format_number}.", remedy=remedy)
    return data

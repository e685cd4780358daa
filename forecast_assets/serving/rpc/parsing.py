"""From messages to questions, through the same names, types and bounds as every protocol's.

What belongs here: what of a message is meant. What does not: bounds, or answering.
"""

from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel

Said = TypeVar("Said", bound=BaseModel)


def parsed(kind: type[Said], message: Any) -> Said:
    """Return what a message says; a field that is not there is left out.

    Raises:
        ValidationError: If a name, type or bound is wrong.
    """
    return kind.model_validate(fields(message))


def fields(message: Any) -> dict[str, Any]:
    """Return the fields of a message that are there, by name, as every protocol has them."""
    said: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    for series in said.get("series", []):
        if "events" in series:
            # A map of protobuf holds no lists, but messages with one.
            series["events"] = {day: names.get("names", []) for day, names in series["events"].items()}
    return said

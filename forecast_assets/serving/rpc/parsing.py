"""From messages to questions, through the same names, types and bounds as every protocol's.

What belongs here: what of a message is meant. What does not: bounds, or answering.
"""

import re
from typing import Any, Final, TypeVar

from google.protobuf.json_format import MessageToDict
from pydantic import BaseModel

Said = TypeVar("Said", bound=BaseModel)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parsed(kind: type[Said], message: Any) -> Said:
    """Return what a message says; a field that is not there is left out.

    Raises:
        ValidationError: If a name, type or bound is wrong.
    """
    return kind.model_validate(fields(message))


def fields(message: Any) -> dict[str, Any]:
    """Return the fields of a message that are there, by name, as every protocol has them."""
    said: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    predictions = (said.get(name, {}) for name in ("first", "second"))
    for inputs in [*said.get("series", []), *(each["inputs"] for each in predictions if "inputs" in each)]:
        _read_inputs(inputs)
    return said


def _read_inputs(inputs: dict[str, Any]) -> None:
    """Read numbers, which are text, and lists in maps, which protobuf holds as messages."""
    for name in ("price_ratios", "sales"):
        if name in inputs:
            inputs[name] = {day: _number(text) for day, text in inputs[name].items()}
    if "on_hand_units" in inputs:
        inputs["on_hand_units"] = _number(inputs["on_hand_units"])
    for order in inputs.get("orders", []):
        if "units" in order:
            order["units"] = _number(order["units"])
    if "events" in inputs:
        inputs["events"] = {day: names.get("names", []) for day, names in inputs["events"].items()}


def _number(text: str) -> float | str:
    """Return the number that a text is; one that is none stays what it is, to be refused as such."""
    return float(text) if _NUMBER.fullmatch(text) else text

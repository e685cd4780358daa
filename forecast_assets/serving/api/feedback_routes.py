"""The route of feedback: records in, what became of each out.

What belongs here: from a body to the texts of its records, and the answer. What does not: which records are good.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from forecast_assets.core.errors import InputError, RefusedError
from forecast_assets.operations.feedback import Receipt, receive
from forecast_assets.operations.feedback_checks import (
    KINDS,
    LABELS,
    MOST_CHARACTERS,
    MOST_RECORDS,
    MOST_UNITS,
    FindEvents,
)
from forecast_assets.serving.access.callers import Caller, Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.api.answers import FeedbackAnswer
from forecast_assets.serving.api.document import WITH_BODY, outcomes
from forecast_assets.serving.api.problems import answer
from forecast_assets.serving.api.rights import allowed
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.problems import Problem
from resources.operational.dead_letters import Sender
from resources.operational.feedback import FeedbackStore

LINES: Final = "application/x-ndjson"
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_EXAMPLE_ID: Final = "daily/2025-06-30/stat-1/14/r0/FOOD-0001/S-01/1"
# Documents what each record may say; what breaks it is a dead letter, so that the framework must not refuse it.
_RECORD: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["kind"],
    "additionalProperties": False,
    "properties": {
        "kind": {"enum": [*KINDS], "description": "what is said"},
        "prediction_id": {"type": "string", "description": "the published row that it is about; or `event_id`"},
        "event_id": {"type": "string", "format": "uuid", "description": "the prediction event that it is about"},
        "units": {"type": "number", "minimum": 0, "maximum": MOST_UNITS, "description": "of a correction"},
        "label": {"enum": [*LABELS], "description": "of a label"},
        "finding": {
            "type": "string", "maxLength": MOST_CHARACTERS, "description": "of quality: what is wrong with the data",
        },
        "comment": {"type": "string", "maxLength": MOST_CHARACTERS, "description": "besides"},
    },
}  # fmt: skip
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "minItems": 1, "maxItems": MOST_RECORDS, "items": _RECORD},
                "example": [{"prediction_id": _EXAMPLE_ID, "kind": "correction", "units": 3, "comment": "counted"}],
            },
            LINES: {
                "schema": {"type": "string", "description": "a record a line"},
                "example": f'{{"prediction_id": "{_EXAMPLE_ID}", "kind": "label", "label": "useful"}}',
            },
        },
    }
}


def add_feedback(
    app: FastAPI, plane: DataPlane, callers: Callers, store: FeedbackStore, find_events: FindEvents | None = None
) -> None:
    """Add the route of feedback to an application.

    Args:
        app: The application.
        plane: Where predictions are looked up, what the time is, and whether this is a sandbox.
        callers: Who may.
        store: Where feedback is kept.
        find_events: Tells which of some ids are prediction events; None where no events are kept.
    """

    @app.post(
        "/v1/feedback",
        tags=["feedback"],
        summary="Corrections, labels and findings on predictions; what cannot be used is kept as dead letters",
        openapi_extra=_BODY,
        responses=outcomes(FeedbackAnswer, "What became of each record", *WITH_BODY),
    )
    def feedback(
        request: Request,
        caller: Annotated[Caller, allowed(callers, Right.FEEDBACK)],
        body: Annotated[bytes, Depends(_body)],
    ) -> Response:
        if plane.is_sandbox:
            raise RefusedError(
                "A sandbox takes no feedback: nobody acted on what it answers.",
                remedy="Send it to the service that answers for the same home without --sandbox.",
            )
        request_id = str(request.scope.get("request_id", ""))
        now = plane.clock().isoformat(timespec="seconds")
        texts = texts_of(body, request.headers.get("content-type", ""))
        receipt = receive(plane.stores, store, Sender(caller.key_id, caller.name, request_id, now), texts, find_events)
        return _answer(receipt, request)


def texts_of(body: bytes, content_type: str) -> Sequence[str]:
    """Return the records of a body, each as it was sent.

    A list is cut up by its own syntax, so that it has to be JSON as a whole; of lines each stands for itself.

    Args:
        body: Of the request.
        content_type: Its media type.

    Raises:
        InputError: If it is no UTF-8, or no list in JSON.
    """
    try:
        text = body.decode()
        is_lines = content_type.partition(";")[0].strip().lower() == LINES
        return [line for line in text.split("\n") if line.strip()] if is_lines else _items(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"The body is no list of records in JSON: {error}.",
            remedy=f"Send `[{{...}}, {{...}}]`, or a record a line as {LINES}. Nothing of it was kept.",
        ) from error


def _items(text: str) -> Sequence[str]:
    """Return the items of a list in JSON as they are written."""
    decoder = json.JSONDecoder()
    items: list[str] = []
    at = _past_space(text, 0)
    if not text.startswith("[", at):
        raise ValueError("it does not begin with [")
    end = _past_space(text, at + 1)
    while not text.startswith("]", end):
        if items and not text.startswith(",", end):
            raise ValueError(f"neither comma nor ] at character {end}")
        begin = _past_space(text, end + 1) if items else end
        _, after = decoder.raw_decode(text, begin)
        items.append(text[begin:after])
        end = _past_space(text, after)
    if _past_space(text, end + 1) != len(text):
        raise ValueError(f"something follows the list at character {end + 1}")
    return items


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _answer(receipt: Receipt, request: Request) -> Response:
    told = {
        "accepted": receipt.accepted,
        "dead_lettered": receipt.dead_lettered,
        "is_repeated": receipt.is_repeated,
        "records": [{k: v for k, v in asdict(each).items() if v is not None} for each in receipt.outcomes],
    }
    if receipt.accepted:
        return JSONResponse({"request_id": str(request.scope.get("request_id", "")), **told})
    what = Problem(
        "no-usable-record",
        f"None of the {receipt.dead_lettered} records can be used; the first: {receipt.outcomes[0].reason}.",
        "They are kept as dead letters: an operator can mend and replay them, or send them correctly under another id.",
        told,
    )
    return answer(request.scope, HTTPStatus.UNPROCESSABLE_ENTITY, what)


async def _body(request: Request) -> bytes:
    return await request.body()

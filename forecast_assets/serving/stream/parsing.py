"""From messages to requests.

What belongs here: what a message has to have to be a request. What does not: names, types and bounds of a question,
which every protocol shares (`messages.queries`), or answering.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from forecast_assets.serving.messages.ids import LARGEST_REQUEST_BYTES, request_id_of, trace_of
from forecast_assets.serving.messages.problem_documents import too_large_problem
from forecast_assets.serving.messages.problems import Problem
from forecast_assets.serving.stream.topics import KEY, QUESTION, REQUEST_ID, TRACE
from resources.broker.broker import ReceivedMessage

QUESTIONS: Final = (
    "forecasts", "risks", "explanations", "explain", "history", "predict", "compare", "versions",
)  # fmt: skip
# What a broker takes in a message is for the answer.
_LONGEST_KEY: Final = 4_000


@dataclass(frozen=True)
class StreamRequest:
    """A request.

    Attributes:
        request_id: The caller's own.
        trace: W3C trace context, the caller's own or one that was made.
        question: One of `QUESTIONS`.
        authorization: As HTTP has it.
        body: What is asked.
    """

    request_id: str
    trace: str
    question: str
    authorization: str
    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """What is asked, as a hash: equal where it is the same, however it is written."""
        said = json.dumps([self.question, self.body], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


def id_of(message: ReceivedMessage) -> str | None:
    """Return the id that a caller gave a message; None where there is none that can be sent back."""
    said = _header(message, REQUEST_ID)
    return said if request_id_of(said) == said and len(message.key.encode()) <= _LONGEST_KEY else None


def trace_of_message(message: ReceivedMessage) -> str:
    """Return the trace that a message is part of, or a new one."""
    return trace_of(_header(message, TRACE))


def request_of(message: ReceivedMessage, trace: str) -> StreamRequest | Problem:
    """Return what a message asks, or why it is no request at all.

    Args:
        message: As it was read.
        trace: That it is part of.
    """
    request_id, question = id_of(message), _header(message, QUESTION)
    if request_id is None:
        return _malformed(
            f"The message has no header `{REQUEST_ID}` that an answer could carry.",
            "Give each request an id of its own: up to 128 letters, digits and any of . _ : - ; and a key of at "
            f"most {_LONGEST_KEY:,} bytes.",
        )
    if question not in QUESTIONS:
        return _malformed(
            f"The header `{QUESTION}` says `{question[:100]}`, which is no question.",
            f"Use one of {', '.join(QUESTIONS)}.",
        )
    body = _body(message.value)
    if isinstance(body, Problem):
        return body
    return StreamRequest(request_id, trace, question, _header(message, KEY), body)


def _body(value: bytes) -> Mapping[str, Any] | Problem:
    if len(value) > LARGEST_REQUEST_BYTES:
        return too_large_problem(LARGEST_REQUEST_BYTES)
    remedy = "Send what HTTP takes as its body, or its arguments, as an object."
    try:
        body = json.loads(value.decode()) if value else {}
    except (ValueError, RecursionError) as error:
        return _malformed(f"The message is no JSON in UTF-8: {str(error)[:200]}.", remedy)
    if not isinstance(body, dict):
        return _malformed(f"The message is no JSON object but {type(body).__name__}.", remedy)
    return body


def _malformed(detail: str, remedy: str) -> Problem:
    return Problem("malformed-message", detail, remedy)


def _header(message: ReceivedMessage, name: str) -> str:
    return next((value for said, value in message.headers.items() if said.lower() == name), "")

"""Questions on a topic: who may ask which, and what each asks the data plane.

What belongs here: from a message to its answer. What does not: reading topics, keeping answers, or trying again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecast_assets.core.errors import ForecastAssetsError, RefusedError, TooManyRequestsError
from forecast_assets.serving.access.callers import Caller, Callers, viewer_of
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.dataplane.answered import is_event_id
from forecast_assets.serving.dataplane.events import RequestContext
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.documents import (
    JSON,
    compact,
    compared_document,
    explained_document,
    history_document,
    predicted_document,
    stored_document,
    versions_document,
)
from forecast_assets.serving.messages.ids import bearer_of
from forecast_assets.serving.messages.problem_documents import PROBLEM, problem_document, status_of
from forecast_assets.serving.messages.problems import Problem, failure_of, malformed, problem_of
from forecast_assets.serving.messages.queries import CompareBody, HistoryQuery, PredictBody, StoredQuery
from forecast_assets.serving.stream.parsing import (
    StreamRequest,
    id_of,
    request_of,
    trace_of_message,
)
from resources.broker.broker import MOST_MESSAGE_BYTES, ReceivedMessage
from resources.operational.stream_answers import KeptAnswer, StreamAnswers

_DOCUMENTED: Final = "/openapi.json of a service says what each question takes"
# An answer has headers, and a key, besides its body.
MOST_ANSWER_BYTES: Final = MOST_MESSAGE_BYTES - 10_000
_MALFORMED: Final = {"too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamAnswer:
    """An answer, or what is wrong.

    Attributes:
        status: As of HTTP.
        content_type: Of the body.
        body: What HTTP would have answered.
        retry_after_seconds: When to ask again, where that is known.
    """

    status: int
    content_type: str
    body: bytes
    retry_after_seconds: int | None = None


@dataclass(frozen=True)
class Worked:
    """What came of a message.

    Attributes:
        request_id: The caller's own; None where there is none, and nobody can be answered.
        trace: That it is part of.
        question: As asked.
        answer: What is answered; None where nobody can be.
        keep: To be kept before it is handed over; None where there is nothing to be kept, or it is already.
        letter: Why the message is a dead letter; None if it is none.
        is_passing: Whether the same may be answered a little later.
    """

    request_id: str | None
    trace: str
    question: str
    answer: StreamAnswer | None = None
    keep: KeptAnswer | None = None
    letter: str | None = None
    is_passing: bool = False


class _ExplainBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prediction_id: str = Field(min_length=1, max_length=1_000)


class _VersionsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamDoor:
    """Answers messages; safe to share between threads.

    Args:
        plane: What answers.
        callers: Who may ask.
        answers: What was answered before.
    """

    def __init__(self, plane: DataPlane, callers: Callers, answers: StreamAnswers) -> None:
        self._plane, self._callers, self._answers = plane, callers, answers
        self._ask: Mapping[str, tuple[Right, Callable[[StreamRequest, Caller], str]]] = {
            **dict.fromkeys(("forecasts", "risks", "explanations"), (Right.READ, self._stored)),
            "explain": (Right.READ, self._explain),
            "history": (Right.READ, self._history),
            "predict": (Right.PREDICT, self._predict),
            "compare": (Right.SUPPORT, self._compare),
            "versions": (Right.READ, self._versions),
        }

    def work(self, message: ReceivedMessage) -> Worked:
        """Answer a message, whatever is in it; never raises."""
        began, key_id = perf_counter(), "-"
        request_id, trace, question = id_of(message), trace_of_message(message), "-"
        request = request_of(message, trace)
        if isinstance(request, Problem):
            status = _MALFORMED.get(request.code, HTTPStatus.UNPROCESSABLE_ENTITY)
            return Worked(request_id, trace, question, _refusal(status, request, request_id), letter=request.detail)
        question = request.question
        try:
            right, ask = self._ask[question]
            caller = self._callers.identify(bearer_of(request.authorization))
            key_id = caller.key_id
            self._callers.require(caller, right)
            worked = self._once(request, caller, ask)
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller is told that it failed
            worked = self._failed(error, request_id, trace, question)
        ended = "-" if worked.answer is None else int(worked.answer.status)
        _log.info(
            "stream %s %s in %.1f ms (request %s, key %s)",
            question, ended, 1_000.0 * (perf_counter() - began), request_id, key_id,
            extra={"request_id": request_id, "traceparent": trace, "status": ended, "key_id": key_id},
        )  # fmt: skip
        return worked

    def held(self, worked: Worked, kept: KeptAnswer) -> Worked:
        """Return what is answered where something is kept under the id, perhaps by another process meanwhile."""
        assert worked.keep is not None
        if kept.digest != worked.keep.digest:
            return self._failed(_taken(kept.request_id), worked.request_id, worked.trace, worked.question)
        return _again(kept, worked.request_id, worked.trace, worked.question)

    def _once(self, request: StreamRequest, caller: Caller, ask: Callable[[StreamRequest, Caller], str]) -> Worked:
        """Answer a request as it was answered before, or by the data plane."""
        digest = request.digest
        kept = self._answers.find(caller.key_id, request.request_id)
        if kept is not None:
            if kept.digest != digest:
                raise _taken(request.request_id)
            return _again(kept, request.request_id, request.trace, request.question)
        status, content_type, body = HTTPStatus.OK, JSON, b""
        try:
            body = ask(request, caller).encode()
            if len(body) > MOST_ANSWER_BYTES:
                status, problem = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large_answer(len(body))
        except (ForecastAssetsError, ValidationError) as error:
            status, problem = _told(error)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
        if status is not HTTPStatus.OK:
            content_type, body = PROBLEM, _problem(status, problem, request.request_id)
        keep = KeptAnswer(caller.key_id, request.request_id, digest, status, content_type, body)
        answer = StreamAnswer(status, content_type, body)
        return Worked(request.request_id, request.trace, request.question, answer, keep)

    def _failed(self, error: Exception, request_id: str | None, trace: str, question: str) -> Worked:
        status, problem = _told(error)
        is_defect = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if is_defect:
            _log.error("stream failed (request %s)", request_id, exc_info=error)
        retry = error.facts.get("retry_after_seconds") if isinstance(error, TooManyRequestsError) else None
        answer = _refusal(status, problem, request_id, retry)
        letter = problem.detail if is_defect else None
        is_passing = status == HTTPStatus.SERVICE_UNAVAILABLE
        return Worked(request_id, trace, question, answer, letter=letter, is_passing=is_passing)

    def _stored(self, request: StreamRequest, _: Caller) -> str:
        asked = StoredQuery.model_validate(request.body)
        return stored_document(self._plane.stored(asked.question(request.question)))

    def _explain(self, request: StreamRequest, caller: Caller) -> str:
        asked = _ExplainBody.model_validate(request.body)
        if is_event_id(asked.prediction_id):
            return compact(self._plane.event(asked.prediction_id, viewer_of(caller)))
        return explained_document(self._plane.explain(asked.prediction_id))

    def _history(self, request: StreamRequest, caller: Caller) -> str:
        asked = HistoryQuery.model_validate(request.body)
        found = self._plane.history(asked.question())
        told = self._plane.told(asked.store_id, asked.sku_id, asked.target_date, viewer_of(caller))
        return history_document(found, told)

    def _predict(self, request: StreamRequest, caller: Caller) -> str:
        asked = PredictBody.model_validate(request.body)
        context = RequestContext(
            caller.key_id, caller.name, caller.role, request.request_id, is_id_given=True, trace=request.trace,
            body=asked.model_dump(mode="json", exclude_unset=True),
        )  # fmt: skip
        return predicted_document(self._plane.predict(asked.question(), context))

    def _compare(self, request: StreamRequest, _: Caller) -> str:
        asked = CompareBody.model_validate(request.body)
        return compared_document(self._plane.compare(asked.question()))

    def _versions(self, request: StreamRequest, _: Caller) -> str:
        _VersionsBody.model_validate(request.body)
        return versions_document(self._plane.versions(), self._plane.channels())


def _again(kept: KeptAnswer, request_id: str | None, trace: str, question: str) -> Worked:
    return Worked(request_id, trace, question, StreamAnswer(kept.status, kept.content_type, kept.body))


def _told(error: Exception) -> tuple[HTTPStatus, Problem]:
    if isinstance(error, ForecastAssetsError):
        return status_of(type(error)), problem_of(error)
    if isinstance(error, ValidationError):
        return HTTPStatus.UNPROCESSABLE_ENTITY, malformed(error.errors(), _DOCUMENTED)
    kind, problem = failure_of(error)
    return status_of(kind), problem


def _refusal(
    status: HTTPStatus, problem: Problem, request_id: str | None, retry: int | None = None
) -> StreamAnswer | None:
    return None if request_id is None else StreamAnswer(status, PROBLEM, _problem(status, problem, request_id), retry)


def _problem(status: HTTPStatus, problem: Problem, request_id: str) -> bytes:
    return compact(problem_document(status, problem, request_id)).encode()


def _taken(request_id: str) -> RefusedError:
    return RefusedError(
        f"The id {request_id} was another question's.",
        remedy="Give each question an id of its own; the same question again has the same id.",
        request_id=request_id,
    )


def _too_large_answer(size: int) -> Problem:
    return Problem(
        "answer-too-large",
        f"The answer has {size:,} bytes; a message has at most {MOST_ANSWER_BYTES:,}.",
        "Ask for fewer rows or columns at a time, and for the rest by `page`.",
        {"bytes": size, "largest_bytes": MOST_ANSWER_BYTES},
    )

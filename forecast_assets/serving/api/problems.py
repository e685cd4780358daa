"""Errors as problem details (RFC 9457): what is wrong, what to do, and facts for programs.

What belongs here: which status an error has, and its document. What does not: raising any.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import (
    FIRST,
    ForecastAssetsError,
    InputError,
    IntegrityError,
    NotAllowedError,
    NotAuthenticatedError,
    NotPublishedError,
    NotReadyError,
    RefusedError,
    StorageError,
    TooManyRequestsError,
    UnknownProductError,
    UnknownVersionError,
)

MEDIA_TYPE: Final = "application/problem+json"
# What kinds of errors are to HTTP; the nearest class above an error's own counts.
_STATUS: Final[Mapping[type[ForecastAssetsError], HTTPStatus]] = {
    NotAuthenticatedError: HTTPStatus.UNAUTHORIZED,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    TooManyRequestsError: HTTPStatus.TOO_MANY_REQUESTS,
    UnknownVersionError: HTTPStatus.NOT_FOUND,
    UnknownProductError: HTTPStatus.NOT_FOUND,
    NotPublishedError: HTTPStatus.NOT_FOUND,
    InputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotReadyError: HTTPStatus.CONFLICT,
    RefusedError: HTTPStatus.CONFLICT,
    IntegrityError: HTTPStatus.INTERNAL_SERVER_ERROR,
    StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    ForecastAssetsError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(kind: type[ForecastAssetsError]) -> HTTPStatus:
    """Return the status of a kind of errors: that of the nearest class above it."""
    return next(_STATUS[above] for above in kind.__mro__ if above in _STATUS)


class TooLargeError(HTTPException):
    """A body beyond its bound; of the framework's own kind, which reading a body lets pass.

    Args:
        largest: Bytes that a request may have.
    """

    def __init__(self, largest: int) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self.largest = largest


def problem(
    request_id: str,
    status: HTTPStatus,
    code: str,
    detail: str,
    remedy: str,
    *,
    facts: Mapping[str, Any] = MappingProxyType({}),
    actions: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer that says what is wrong.

    Args:
        request_id: Of the request.
        status: Of the answer.
        code: What kind of error it is, for programs; it never changes.
        detail: What is wrong, and which.
        remedy: What to do.
        facts: What a program needs of it.
        actions: What to do as use cases with arguments.
        headers: Of the answer.
    """
    document = {
        "type": f"about:blank#{code}",
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "remedy": remedy,
        "actions": list(actions),
        "facts": dict(facts),
        "request_id": request_id,
    }
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def too_large(request_id: str, largest: int) -> JSONResponse:
    """Return the answer to a body beyond its bound, in bytes."""
    return problem(
        request_id,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        f"A request has at most {largest:,} bytes.",
        "Ask for fewer series at a time.",
        facts={"largest_bytes": largest},
    )


def defect(request_id: str) -> JSONResponse:
    """Return the answer where the service failed; what it was stands in the log under the same id, and nowhere else."""
    return problem(
        request_id,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "defect",
        "The service failed on this request.",
        "Tell an operator the request's id.",
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""

    @app.exception_handler(ForecastAssetsError)
    async def own(request: Request, error: ForecastAssetsError) -> JSONResponse:
        headers = {}
        if isinstance(error, NotAuthenticatedError):
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, TooManyRequestsError):
            headers["Retry-After"] = str(error.facts["retry_after_seconds"])
        return problem(
            _request_id(request),
            status_of(type(error)),
            error.code,
            str(error.message),
            str(error.remedy),
            facts=error.facts,
            actions=_actions(error.remedy),
            headers=headers,
        )

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [
            {"where": ".".join(map(str, each["loc"])), "what": each["msg"], "kind": each["type"]}
            for each in error.errors()[:FIRST]
        ]
        return problem(
            _request_id(request),
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "malformed-request",
            "; ".join(f"{each['where']}: {each['what']}" for each in wrong),
            "Correct what is named; /openapi.json says what each route takes.",
            facts={"errors": wrong},
        )

    @app.exception_handler(TooLargeError)
    async def over_its_bound(request: Request, error: TooLargeError) -> JSONResponse:
        return too_large(_request_id(request), error.largest)

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        code = status.phrase.lower().replace(" ", "-")
        return problem(
            _request_id(request), status, code, str(error.detail), "See /openapi.json.", headers=error.headers
        )


def _request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def _actions(remedy: str | Sentence) -> list[dict[str, Any]]:
    if isinstance(remedy, str):
        return []
    return [
        {
            "name": part.name,
            "on": [str(each) for each in part.on],
            "arguments": {k: str(v) for k, v in part.arguments.items()},
        }
        for part in remedy.parts
        if isinstance(part, Action)
    ]

"""Errors as problem details (RFC 9457): what is wrong, what to do, and facts for programs.

What belongs here: which status an error has, and its document. What does not: raising any.
"""

from collections.abc import Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from forecast_assets.core.errors import (
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
from forecast_assets.serving.messages.problems import Problem, failure_of, malformed, problem_of

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


def answer(
    scope: MutableMapping[str, Any], status: HTTPStatus, problem: Problem, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that says what is wrong, and have the log of the request say which it was.

    Args:
        scope: Of the request.
        status: Of the answer.
        problem: What is wrong.
        headers: Of the answer.
    """
    scope["problem"] = problem.code
    document = {
        "type": f"about:blank#{problem.code}",
        "title": status.phrase,
        "status": int(status),
        "code": problem.code,
        "detail": problem.detail,
        "remedy": problem.remedy,
        "actions": list(problem.actions),
        "facts": dict(problem.facts),
        "request_id": str(scope.get("request_id", "")),
    }
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def too_large(scope: MutableMapping[str, Any], largest: int) -> JSONResponse:
    """Return the answer to a body beyond its bound, in bytes."""
    what = Problem(
        "too-large",
        f"A request has at most {largest:,} bytes.",
        "Ask for fewer series at a time.",
        {"largest_bytes": largest},
    )
    return answer(scope, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)


def failed(scope: MutableMapping[str, Any], error: Exception) -> JSONResponse:
    """Return the answer where the service failed: by a disk or a stored file, or by a defect."""
    kind, what = failure_of(error)
    return answer(scope, status_of(kind), what)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""

    @app.exception_handler(ForecastAssetsError)
    async def own(request: Request, error: ForecastAssetsError) -> JSONResponse:
        headers = {}
        if isinstance(error, NotAuthenticatedError):
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, TooManyRequestsError):
            headers["Retry-After"] = str(error.facts["retry_after_seconds"])
        return answer(request.scope, status_of(type(error)), problem_of(error), headers)

    @app.exception_handler(RequestValidationError)
    async def of_names_and_types(request: Request, error: RequestValidationError) -> JSONResponse:
        what = malformed(error.errors(), "/openapi.json says what each route takes")
        return answer(request.scope, HTTPStatus.UNPROCESSABLE_ENTITY, what)

    @app.exception_handler(TooLargeError)
    async def over_its_bound(request: Request, error: TooLargeError) -> JSONResponse:
        return too_large(request.scope, error.largest)

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        what = Problem(status.phrase.lower().replace(" ", "-"), str(error.detail), "See /openapi.json.")
        headers = {"Allow": _methods_of(app, request)} if status is HTTPStatus.METHOD_NOT_ALLOWED else error.headers
        return answer(request.scope, status, what, headers)


def _methods_of(app: FastAPI, request: Request) -> str:
    """Return the methods of an address; the framework names those of the first of its routes alone."""
    routes = [
        each for each in app.routes if isinstance(each, Route) and each.matches(request.scope)[0] is not Match.NONE
    ]
    return ", ".join(sorted({method for each in routes for method in each.methods or ()}))

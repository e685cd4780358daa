"""Errors as problem details (RFC 9457): what is wrong, what to do, and facts for programs.

What belongs here: answering with a problem. What does not: its status or document (`messages`), or raising any.
"""

from collections.abc import Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from forecast_assets.core.errors import ForecastAssetsError, NotAuthenticatedError, TooManyRequestsError
from forecast_assets.serving.messages.problem_documents import PROBLEM, problem_document, status_of, too_large_problem
from forecast_assets.serving.messages.problems import Problem, failure_of, malformed, problem_of


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
    document = problem_document(status, problem, str(scope.get("request_id", "")))
    return JSONResponse(document, status, headers, PROBLEM)


def too_large(scope: MutableMapping[str, Any], largest: int) -> JSONResponse:
    """Return the answer to a body beyond its bound, in bytes."""
    return answer(scope, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_problem(largest))


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

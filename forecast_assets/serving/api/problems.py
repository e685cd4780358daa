"""Errors as problem details (RFC 9457): what is wrong, what to do, and facts for programs.

What belongs here: which status an error has, and its document. What does not: raising any.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from forecast_assets.core.actions import Action, Sentence
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


def problem(error: ForecastAssetsError, request_id: str) -> dict[str, Any]:
    """Return the document of an error."""
    status = status_of(type(error))
    return {
        "type": f"about:blank#{error.code}",
        "title": status.phrase,
        "status": int(status),
        "code": error.code,
        "detail": str(error.message),
        "remedy": _words(error.remedy),
        "actions": _actions(error.remedy),
        "facts": dict(error.facts),
        "request_id": request_id,
    }


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an application with a problem."""

    @app.exception_handler(ForecastAssetsError)
    async def own(request: Request, error: ForecastAssetsError) -> JSONResponse:
        headers = {}
        if isinstance(error, NotAuthenticatedError):
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, TooManyRequestsError):
            headers["Retry-After"] = str(error.facts["retry_after_seconds"])
        document = problem(error, _request_id(request))
        return JSONResponse(document, document["status"], headers, MEDIA_TYPE)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [
            {"where": ".".join(map(str, each["loc"])), "what": each["msg"], "kind": each["type"]}
            for each in error.errors()
        ]
        return _plain(
            request,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "malformed-request",
            "; ".join(f"{each['where']}: {each['what']}" for each in wrong[:10]),
            "Correct what is named; /openapi.json says what each route takes.",
            {"errors": wrong[:10]},
        )

    @app.exception_handler(HTTPException)
    async def of_framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        answer = _plain(
            request, status, status.phrase.lower().replace(" ", "-"), str(error.detail), "See /openapi.json.", {}
        )
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        # What it is stands in the service's log, under the same id; a caller learns nothing of the inside.
        del error
        return _plain(
            request,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "defect",
            "The service failed on this request.",
            "Tell an operator the request's id.",
            {},
        )


def _plain(
    request: Request, status: HTTPStatus, code: str, detail: str, remedy: str, facts: Mapping[str, Any]
) -> JSONResponse:
    document = {
        "type": f"about:blank#{code}",
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "remedy": remedy,
        "actions": [],
        "facts": dict(facts),
        "request_id": _request_id(request),
    }
    return JSONResponse(document, status, media_type=MEDIA_TYPE)


def _request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def _words(remedy: str | Sentence) -> str:
    return remedy if isinstance(remedy, str) else str(remedy)


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

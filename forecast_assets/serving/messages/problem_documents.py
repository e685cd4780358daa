"""Problems as documents (RFC 9457), and the statuses of HTTP that errors have there and on topics.

What belongs here: which status an error has, and its document. What does not: a protocol's headers, or raising any.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

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
from forecast_assets.serving.messages.problems import Problem

PROBLEM: Final = "application/problem+json"
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


def problem_document(status: HTTPStatus, problem: Problem, request_id: str) -> dict[str, Any]:
    """Return what is wrong with a request as a document.

    Args:
        status: Of the answer.
        problem: What is wrong.
        request_id: Of the request.
    """
    return {
        "type": f"about:blank#{problem.code}",
        "title": status.phrase,
        "status": int(status),
        "code": problem.code,
        "detail": problem.detail,
        "remedy": problem.remedy,
        "actions": list(problem.actions),
        "facts": dict(problem.facts),
        "request_id": request_id,
    }


def too_large_problem(largest: int) -> Problem:
    """Return what is wrong with a request beyond its bound, in bytes."""
    return Problem(
        "too-large",
        f"A request has at most {largest:,} bytes.",
        "Ask for fewer series at a time.",
        {"largest_bytes": largest},
    )

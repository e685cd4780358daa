"""Errors as statuses of calls, with a problem as their detail.

What belongs here: which status code an error has, and how a problem travels. What does not: raising any.

A problem travels as the first detail of a status of google.rpc, in the metadata that clients of every language read it
from. Metadata is bounded: what of a problem is too long for it is left out, and said to be.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as Packed

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
from forecast_assets.serving.rpc import forecast_assets_pb2 as pb

DETAILS: Final = "grpc-status-details-bin"
# Clients take 8 KB of metadata: the status in base 64, and its message a second time, where a byte takes up to three.
_MOST_BYTES: Final = 3_000
_MOST_OF_TEXT: Final = 1_200
_MOST_OF_MESSAGE: Final = 500
# What kinds of errors are to gRPC; the nearest class above an error's own counts.
_CODES: Final[Mapping[type[ForecastAssetsError], grpc.StatusCode]] = {
    NotAuthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    NotAllowedError: grpc.StatusCode.PERMISSION_DENIED,
    TooManyRequestsError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnknownVersionError: grpc.StatusCode.NOT_FOUND,
    UnknownProductError: grpc.StatusCode.NOT_FOUND,
    NotPublishedError: grpc.StatusCode.NOT_FOUND,
    InputError: grpc.StatusCode.INVALID_ARGUMENT,
    NotReadyError: grpc.StatusCode.FAILED_PRECONDITION,
    RefusedError: grpc.StatusCode.FAILED_PRECONDITION,
    IntegrityError: grpc.StatusCode.DATA_LOSS,
    StorageError: grpc.StatusCode.UNAVAILABLE,
    ForecastAssetsError: grpc.StatusCode.INTERNAL,
}


def code_of(kind: type[ForecastAssetsError]) -> grpc.StatusCode:
    """Return the status code of a kind of errors: that of the nearest class above it."""
    return next(_CODES[above] for above in kind.__mro__ if above in _CODES)


def refuse(context: Any, code: grpc.StatusCode, problem: Problem, request_id: str) -> NoReturn:
    """End a call with what is wrong.

    Args:
        context: Of the call.
        code: Of its status.
        problem: What is wrong.
        request_id: Of the call.
    """
    message = shortened(problem.detail, _MOST_OF_MESSAGE)
    detail = Packed()
    detail.Pack(told(problem, request_id))
    status = pb.Status(code=code.value[0], message=message, details=[detail])
    context.set_trailing_metadata(((DETAILS, status.SerializeToString()),))
    context.abort(code, message)
    raise AssertionError  # abort raises


def told(problem: Problem, request_id: str) -> Any:
    """Return a problem as a message that metadata can carry."""
    whole = pb.Problem(
        code=problem.code,
        detail=problem.detail,
        remedy=problem.remedy,
        facts_json=json.dumps(dict(problem.facts), ensure_ascii=False),
        actions_json=json.dumps(list(problem.actions), ensure_ascii=False),
        request_id=request_id,
    )
    if whole.ByteSize() <= _MOST_BYTES:
        return whole
    return pb.Problem(
        code=problem.code,
        detail=shortened(problem.detail, _MOST_OF_TEXT),
        remedy=shortened(problem.remedy, _MOST_OF_TEXT),
        facts_json="{}",
        actions_json="[]",
        request_id=request_id,
        is_shortened=True,
    )


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many bytes.

    Example:
        >>> shortened("abcdef", 6), shortened("abcdefg", 6)
        ('abcdef', 'abc...')
    """
    written = text.encode()
    return text if len(written) <= most else f"{written[: most - 3].decode(errors='ignore')}..."

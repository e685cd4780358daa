"""The document of routes (OpenAPI): what each route answers, in which statuses, with examples.

What belongs here: what the framework does not know of answers, problems and headers. What does not: models of answers
(`answers`), or any route.
"""

from collections.abc import Mapping
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from forecast_assets.serving.api.answer_examples import EXAMPLES
from forecast_assets.serving.api.answers import ProblemDocument
from forecast_assets.serving.messages.problem_documents import PROBLEM

_JSON: Final = "application/json"
_REQUEST_ID: Final = "7b1c6f0e-visit-17"
_TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# Of each status: when it is answered, and as an example code, detail, remedy and facts.
_PROBLEMS: Final[Mapping[int, tuple[str, str, str, str, Mapping[str, Any]]]] = {
    400: ("The body cannot be read as text", "bad-request", "There was an error parsing the body",
          "See /openapi.json.", {}),
    401: ("No key, or one that is nobody's, revoked or expired", "not-authenticated", "The request has no key.",
          "Send `Authorization: Bearer KEY`; an operator makes one: `keys create --name NAME --role reader`.", {}),
    403: ("The role of the key, or the policy, does not allow it", "not-allowed",
          "The role reader may not ask for predictions in real time.",
          "Ask with a key of the role planner or support or operator.", {"role": "reader", "right": "predict"}),
    404: ("There is no such version, or nothing is published there", "unknown-version",
          "There is no model version stat-9.", "See which there are: `/v1/versions`.", {"model_version": "stat-9"}),
    409: ("Something has to come first, or would break a promise", "not-ready",
          "daily/2025-06-30/stat-1/28/r0 is still being prepared, and a prediction in real time rests on it.",
          "Ask again in a moment.", {"run": "daily/2025-06-30/stat-1/28/r0"}),
    413: ("The body is over its bound", "too-large", "A request has at most 1,048,576 bytes.",
          "Ask for fewer series at a time.", {"largest_bytes": 1_048_576}),
    422: ("It cannot be asked", "input",
          "Name either a model version or a channel: a number is never of an implied version.",
          "Add `model_version`, or `channel`, such as champion.", {}),
    429: ("The key asked too often", "too-many-requests",
          "The key 9f2c41d07be3 has asked 1,200 times within a minute, as often as its role may.", "Ask again in 12 s.",
          {"retry_after_seconds": 12}),
    500: ("A defect, or stored bytes that are not what was recorded", "defect", "The service failed on this request.",
          "Tell an operator the id of the request.", {}),
    503: ("A disk, a bucket or a database does not answer", "storage", "The event store does not answer.",
          "Ask again in a moment.", {}),
}  # fmt: skip
# What any route with a key may answer, and what any that reads a body.
WITH_KEY: Final = (401, 403, 429, 500, 503)
WITH_BODY: Final = (*WITH_KEY, 400, 409, 413, 422)
_SAID: Final[Mapping[str, Mapping[str, Any]]] = {
    "X-Request-Id": {
        "description": "The caller's own id of the request: up to 128 letters, digits and `._:-`; else one is made. "
        "The same again by the same key is the same request.",
        "schema": {"type": "string"},
        "example": _REQUEST_ID,
    },
    "traceparent": {
        "description": "W3C trace context, version 00; else one is made.",
        "schema": {"type": "string"},
        "example": _TRACE,
    },
}
_TOLD: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {"description": "As in the request, or made.", "required": True, **said}
    for name, said in {
        name: {k: v for k, v in each.items() if k != "description"} for name, each in _SAID.items()
    }.items()
}
_OF_STATUS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`", "required": True, "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}},
}


def outcomes(model: type[BaseModel], description: str, *problems: int, **more: Any) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer, for its `responses`.

    Args:
        model: Of the answer.
        description: What the answer is.
        problems: Statuses of problems.
        more: Other media types of the answer, as `content`, and its `headers`.
    """
    answered: dict[str, Any] = {"model": model, "description": description, **more}
    return {200: answered, **{status: {"description": _PROBLEMS[status][0]} for status in sorted(problems)}}


class DocumentedApi(FastAPI):
    """An application whose document is complete."""

    def openapi(self) -> dict[str, Any]:
        """Return the document of routes."""
        if self.openapi_schema is None:
            self.openapi_schema = _completed(super().openapi())
        return self.openapi_schema


def name_of(route: APIRoute) -> str:
    """Return what the document calls a route: as the code does."""
    return route.name


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"].setdefault("schemas", {})
    schemas[ProblemDocument.__name__] = ProblemDocument.model_json_schema()
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            # Left out is not null: what a model says instead of a field that is not there is no default of the answer.
            if "default" in field and field["default"] is None:
                del field["default"]
    document["components"]["parameters"] = {
        name: {"name": name, "in": "header", "required": False, **said} for name, said in _SAID.items()
    }
    for path in document["paths"].values():
        for operation in path.values():
            _complete(operation)
    return document


def _complete(operation: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    for each in parameters:
        _without_null(each)
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in _SAID]
    for status, response in operation["responses"].items():
        headers = {**_TOLD, **_OF_STATUS.get(int(status), {}), **response.get("headers", {})}
        response["headers"] = deepcopy(headers)
        # The framework leaves nulls out of examples that it is given.
        examples = EXAMPLES.get((operation["operationId"], int(status)), ())
        if examples:
            named = {f"example-{at}": {"value": example} for at, example in enumerate(examples, 1)}
            response["content"][_JSON]["examples"] = named
        if int(status) in _PROBLEMS and "content" not in response:
            response["content"] = {PROBLEM: _problem(int(status))}


def _without_null(parameter: dict[str, Any]) -> None:
    """Say of what may be left out of a link what it is if it is there: a link has no null."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
    if schema.get("examples"):
        parameter["example"] = schema.pop("examples")[0]


def _problem(status: int) -> dict[str, Any]:
    _, code, detail, remedy, facts = _PROBLEMS[status]
    example = ProblemDocument(
        type=f"about:blank#{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        remedy=remedy,
        actions=[],
        facts=dict(facts),
        request_id=_REQUEST_ID,
    )
    return {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}, "example": example.model_dump()}

"""The methods of the service: who may call which, and what each asks the data plane.

What belongs here: one method a call. What does not: any answer, or what messages look like (`parsing`, `replies`).
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import grpc
from pydantic import ValidationError

from forecast_assets.core import spans
from forecast_assets.core.errors import ForecastAssetsError
from forecast_assets.core.log_context import bound
from forecast_assets.serving.access.callers import Caller, Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.dataplane.events import RequestContext
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.ids import bearer_of, request_id_of, trace_of
from forecast_assets.serving.messages.problems import Problem, failure_of, malformed, problem_of
from forecast_assets.serving.messages.queries import CompareBody, HistoryQuery, PredictBody, StoredQuery
from forecast_assets.serving.rpc.errors import code_of, refuse
from forecast_assets.serving.rpc.parsing import parsed
from forecast_assets.serving.rpc.replies import (
    compare_reply,
    explain_reply,
    history_reply,
    predict_reply,
    stored_reply,
    versions_reply,
)
from forecast_assets.telemetry.request_metrics import RequestMetrics

_DOCUMENTED: Final = "forecast_assets.proto says what each method takes"
_GONE: Final = (
    grpc.StatusCode.CANCELLED,
    Problem("cancelled", "Nobody waits for the answer any more.", "Ask again, with more time."),
)
_DOOR: Final = "grpc"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RpcCall:
    """Who calls, and what their call is known by.

    Attributes:
        caller: Who.
        request_id: The caller's own, or one that was made.
        is_id_given: Whether it is the caller's own.
        trace: W3C trace context, likewise.
    """

    caller: Caller
    request_id: str
    is_id_given: bool
    trace: str

    def context(self, body: Mapping[str, Any]) -> RequestContext:
        """Return what an event keeps of the call.

        Args:
            body: What was asked, ready for JSON.
        """
        caller = self.caller
        return RequestContext(
            caller.key_id, caller.name, caller.role, self.request_id, is_id_given=self.is_id_given, trace=self.trace,
            body=body,
        )  # fmt: skip


class ForecastAssetsDoor:
    """Answers the service of `forecast_assets.proto`; safe to share between threads.

    Args:
        plane: What answers.
        callers: Who may ask.
        counts: Of calls; None for nowhere.
    """

    def __init__(self, plane: DataPlane, callers: Callers, counts: RequestMetrics | None = None) -> None:
        self._plane, self._callers, self._counts = plane, callers, counts
        self._marks = (("x-sandbox", "true"),) if plane.is_sandbox else ()

    def Forecasts(self, request: Any, context: Any) -> Any:
        """Answer a page of published forecasts."""
        return self._stored("forecasts", request, context)

    def Risks(self, request: Any, context: Any) -> Any:
        """Answer a page of published stock-out risks."""
        return self._stored("risks", request, context)

    def Explanations(self, request: Any, context: Any) -> Any:
        """Answer a page of published explanations."""
        return self._stored("explanations", request, context)

    def _stored(self, product: str, request: Any, context: Any) -> Any:
        def ask(_: RpcCall) -> Any:
            return stored_reply(product, self._plane.stored(parsed(StoredQuery, request).question(product)))

        return self._answer(product, Right.READ, context, ask)

    def Explain(self, request: Any, context: Any) -> Any:
        """Answer all that is published of one row."""

        def ask(_: RpcCall) -> Any:
            return explain_reply(self._plane.explain(request.prediction_id))

        return self._answer("explain", Right.READ, context, ask)

    def History(self, request: Any, context: Any) -> Any:
        """Answer every vintage of a day."""

        def ask(_: RpcCall) -> Any:
            return history_reply(self._plane.history(parsed(HistoryQuery, request).question()))

        return self._answer("history", Right.READ, context, ask)

    def Predict(self, request: Any, context: Any) -> Any:
        """Answer what series would be with other inputs."""

        def ask(call: RpcCall) -> Any:
            asked = parsed(PredictBody, request)
            recorded = self._plane.predict(
                asked.question(), call.context(asked.model_dump(mode="json", exclude_unset=True))
            )
            event = recorded.event
            context.set_trailing_metadata((("x-event-id", event.event_id), ("x-event-status", event.status)))
            return predict_reply(recorded.predicted)

        return self._answer("predict", Right.PREDICT, context, ask)

    def Compare(self, request: Any, context: Any) -> Any:
        """Answer what differs between two predictions, and why."""

        def ask(_: RpcCall) -> Any:
            return compare_reply(self._plane.compare(parsed(CompareBody, request).question()))

        return self._answer("compare", Right.SUPPORT, context, ask)

    def Versions(self, _: Any, context: Any) -> Any:
        """Answer the model versions and channels."""

        def ask(_: RpcCall) -> Any:
            return versions_reply(self._plane.versions(), self._plane.channels())

        return self._answer("versions", Right.READ, context, ask)

    def _answer(self, name: str, right: Right, context: Any, ask: Callable[[RpcCall], Any]) -> Any:
        """Return the answer to a call, or end it with what is wrong.

        Args:
            name: Of the method, for the log.
            right: What its caller needs.
            context: Of the call.
            ask: Makes the answer.
        """
        said: dict[str, Any] = dict(context.invocation_metadata())
        given, around = _text(said, "x-request-id"), _text(said, "traceparent")
        request_id, trace = request_id_of(given), trace_of(around)
        context.send_initial_metadata((("x-request-id", request_id), ("traceparent", trace), *self._marks))
        began, key_id = perf_counter(), "-"

        def allowed() -> RpcCall:
            nonlocal key_id
            caller = self._callers.identify(bearer_of(_text(said, "authorization")))
            key_id = caller.key_id
            self._callers.require(caller, right)
            return RpcCall(caller, request_id, given == request_id, trace)

        counted = nullcontext() if self._counts is None else self._counts.under_way(_DOOR)
        with counted, bound(request_id=request_id), spans.request(trace, is_given=trace == around):
            code, made = _outcome(lambda: ask(allowed()), request_id) if _is_waited_for(context) else _GONE
        took = (perf_counter() - began) * 1_000
        if self._counts is not None:
            self._counts.answered(_DOOR, name, "", code.name, took / 1_000)
        problem = made.code if isinstance(made, Problem) else "-"
        marks = {"request_id": request_id, "traceparent": trace, "status": code.name, "key_id": key_id}
        _log.info(
            "rpc %s %s in %.1f ms (request %s, key %s, problem %s)",
            name, code.name, took, request_id, key_id, problem, extra={**marks, "problem": problem},
        )  # fmt: skip
        if isinstance(made, Problem):
            refuse(context, code, made, request_id)
        return made


def _outcome(ask: Callable[[], Any], request_id: str) -> tuple[grpc.StatusCode, Any]:
    """Return an answer, or what is wrong, with its status code."""
    try:
        return grpc.StatusCode.OK, ask()
    except ForecastAssetsError as error:
        return code_of(type(error)), problem_of(error)
    except ValidationError as error:
        return grpc.StatusCode.INVALID_ARGUMENT, malformed(error.errors(), _DOCUMENTED)
    except Exception as error:  # noqa: BLE001 - whatever it was, the caller is told that it failed, and which request
        _log.exception("rpc failed (request %s)", request_id)
        kind, what = failure_of(error)
        return code_of(kind), what


def _is_waited_for(context: Any) -> bool:
    """Whether a call that waited for its turn is still wanted: not cancelled, and within its deadline."""
    remaining = context.time_remaining()
    return bool(context.is_active()) and (remaining is None or remaining > 0)


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, "")
    return value if isinstance(value, str) else ""

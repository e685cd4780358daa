"""The application: routes put together.

What belongs here: assembly, and who may call which route. What does not: any route's work.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from forecast_assets import __version__
from forecast_assets.serving.access.callers import Caller, Callers, viewer_of
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.api import answers
from forecast_assets.serving.api.document import WITH_BODY, WITH_KEY, DocumentedApi, name_of, outcomes
from forecast_assets.serving.api.guards import Guards
from forecast_assets.serving.api.problems import add_problem_handlers
from forecast_assets.serving.api.rendering import (
    MEDIA_TYPES,
    NEXT_PAGE,
    Format,
    document_response,
    rows_response,
)
from forecast_assets.serving.api.rights import allowed
from forecast_assets.serving.dataplane.answered import is_event_id
from forecast_assets.serving.dataplane.events import RequestContext
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.documents import (
    compared_document,
    explained_document,
    history_document,
    predicted_document,
    stored_told,
    versions_document,
)
from forecast_assets.serving.messages.queries import CompareBody, EventsQuery, HistoryQuery, PredictBody, StoredQuery
from forecast_assets.telemetry.request_metrics import RequestMetrics

_DESCRIPTION: Final = (
    "Published forecasts, risks and explanations by explicit model version, and urgent questions beside the batch. "
    "Real time is supplementary: the ledger decides what is true. Errors are problem details (RFC 9457) with a code, "
    "facts and a remedy."
)

_MARKS: Final = {"X-Sandbox": "true"}
_OTHER_FORMATS: Final[Mapping[str, Any]] = {
    "content": {
        MEDIA_TYPES[Format.CSV]: {"schema": {"type": "string"}},
        MEDIA_TYPES[Format.ARROW]: {"schema": {"type": "string", "format": "binary"}},
    },
    "headers": {
        "X-Answer": {"description": "Of CSV and Arrow: `runs` in JSON", "schema": {"type": "string"}},
        NEXT_PAGE: {"description": "Of CSV and Arrow: `next_page`", "schema": {"type": "string"}},
    },
}
_ROW_OR_EVENT: Final = Path(
    description="of a published row, or the id of a prediction event",
    examples=["daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/1"],
)


class FormattedQuery(StoredQuery):
    """A page of published rows, and how they are written."""

    format: Format = Field(Format.JSON, description="of the rows")


def create_app(plane: DataPlane, callers: Callers, counts: RequestMetrics | None = None) -> FastAPI:
    """Build the application.

    Args:
        plane: What answers.
        callers: Who may ask.
        counts: Of requests; None for nowhere.
    """
    app = DocumentedApi(
        title="forecast-assets",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_closing(plane),
        generate_unique_id_function=name_of,
    )
    app.add_middleware(Guards, marks=_MARKS if plane.is_sandbox else {}, counts=counts)
    add_problem_handlers(app)
    _add_health(app, plane)
    _add_stored(app, plane, callers)
    _add_told(app, plane, callers)
    _add_predicted(app, plane, callers)
    _add_events(app, plane, callers)
    _add_compared(app, plane, callers)
    return app


def _closing(plane: DataPlane) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        # Events that were taken are handed over, which waits for disks.
        await run_in_threadpool(plane.close)

    return lifespan


def _add_health(app: FastAPI, plane: DataPlane) -> None:
    @app.get(
        "/health/live",
        tags=["health"],
        summary="Whether the process answers",
        responses=outcomes(answers.LiveAnswer, "It does"),
    )
    def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get(
        "/health/ready",
        tags=["health"],
        summary="Whether questions can be answered, and what is degraded",
        responses={
            **outcomes(answers.ReadyAnswer, "They can"),
            503: {
                "model": answers.ReadyAnswer,
                "description": "They cannot; `reasons` say why",
            },
        },
    )
    def ready() -> Response:
        found = plane.readiness()
        return JSONResponse(
            {"status": "ready" if found.is_ready else "not ready", **asdict(found)}, 200 if found.is_ready else 503
        )


def _add_stored(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    reader = allowed(callers, Right.READ)

    def stored(product: str, summary: str, model: type[BaseModel]) -> None:
        @app.get(
            f"/v1/{product}",
            tags=["stored"],
            summary=summary,
            name=product,
            dependencies=[reader],
            responses=outcomes(model, "A page of rows", *WITH_KEY, 404, 422, **_OTHER_FORMATS),
        )
        def read(asked: Annotated[FormattedQuery, Query()]) -> Response:
            answer = plane.stored(asked.question(product))
            return rows_response(answer.rows, stored_told(answer), asked.format)

    stored(
        "forecasts",
        "Published forecasts of a version or channel, page by page",
        answers.ForecastsAnswer,
    )
    stored(
        "risks",
        "Published stock-out risks of a version or channel, page by page",
        answers.RisksAnswer,
    )
    stored(
        "explanations",
        "Published explanations of a version or channel, page by page",
        answers.ExplanationsAnswer,
    )

    @app.get(
        "/v1/versions",
        tags=["stored"],
        summary="Model versions, and the channels that point at them",
        dependencies=[reader],
        responses=outcomes(answers.VersionsAnswer, "All of them", *WITH_KEY),
    )
    def versions() -> Response:
        return document_response(versions_document(plane.versions(), plane.channels()))


def _add_told(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    reader = allowed(callers, Right.READ)

    @app.get(
        "/v1/explain/{prediction_id:path}",
        tags=["told"],
        summary="All that is published of one row, and why; or all of a prediction event",
        responses=outcomes(answers.ExplainedOrEvent, "All of it", *WITH_KEY, 404, 422),
    )
    def explain(prediction_id: Annotated[str, _ROW_OR_EVENT], caller: Annotated[Caller, reader]) -> Response:
        if is_event_id(prediction_id):
            return JSONResponse(plane.event(prediction_id, viewer_of(caller)))
        return document_response(explained_document(plane.explain(prediction_id)))

    @app.get(
        "/v1/history",
        tags=["told"],
        summary="Every published forecast of one day of a series, what callers were told in real time, and what came",
        responses=outcomes(answers.HistoryAnswer, "Every forecast of the day", *WITH_KEY, 404, 422),
    )
    def history(asked: Annotated[HistoryQuery, Query()], caller: Annotated[Caller, reader]) -> Response:
        found = plane.history(asked.question())
        told = plane.told(asked.store_id, asked.sku_id, asked.target_date, viewer_of(caller))
        return document_response(history_document(found, told))


def _add_predicted(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    planner = allowed(callers, Right.PREDICT)

    @app.post(
        "/v1/predict",
        tags=["real time"],
        summary="Series of a run forecast again with other inputs",
        responses=outcomes(answers.PredictedAnswer, "What they would be", *WITH_BODY, 404),
    )
    def predict(asked: PredictBody, request: Request, caller: Annotated[Caller, planner]) -> Response:
        recorded = plane.predict(asked.question(), _context(request, caller, asked))
        # Of few values: approved ones, but where anything may be tried.
        request.scope["use"] = "sandbox" if plane.is_sandbox else recorded.predicted.use
        return document_response(predicted_document(recorded))


def _context(request: Request, caller: Caller, asked: PredictBody) -> RequestContext:
    return RequestContext(
        caller.key_id,
        caller.name,
        caller.role,
        request.scope.get("request_id", ""),
        is_id_given=request.scope.get("is_request_id_given", False),
        trace=request.scope.get("traceparent", ""),
        body=asked.model_dump(mode="json", exclude_unset=True),
    )


def _add_events(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    support = allowed(callers, Right.SUPPORT)

    @app.get(
        "/v1/events",
        tags=["told"],
        summary="What was answered in real time, by caller, series and time, the newest first",
        dependencies=[support],
        responses=outcomes(answers.EventsAnswer, "A page of events", *WITH_KEY, 404, 422),
    )
    def events(asked: Annotated[EventsQuery, Query()]) -> Response:
        found = plane.event_page(asked.question())
        return JSONResponse({"events": list(found.events), "next_page": found.next_page})


def _add_compared(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    support = allowed(callers, Right.SUPPORT)

    @app.post(
        "/v1/compare",
        tags=["told"],
        summary="Two predictions of one series and day: what differs, and the whole difference by cause",
        dependencies=[support],
        responses=outcomes(answers.ComparedAnswer, "Both side by side", *WITH_BODY, 404),
    )
    def compare(asked: CompareBody) -> Response:
        return document_response(compared_document(plane.compare(asked.question())))

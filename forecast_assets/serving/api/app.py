"""The application: routes put together.

What belongs here: assembly, and who may call which route. What does not: any route's work.
"""

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field

from forecast_assets import __version__
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.api.guards import Guards
from forecast_assets.serving.api.problems import add_problem_handlers
from forecast_assets.serving.api.rendering import Format, rows_response, tables_response
from forecast_assets.serving.dataplane.plane import DataPlane
from forecast_assets.serving.messages.queries import HistoryQuery, PredictBody, StoredQuery

_BEARER: Final = HTTPBearer(auto_error=False, description="a key that an operator made")
_DESCRIPTION: Final = (
    "Published forecasts, risks and explanations by explicit model version, and urgent questions beside the batch. "
    "Real time is supplementary: the ledger decides what is true. Errors are problem details (RFC 9457) with a code, "
    "facts and a remedy."
)

_MARKS: Final = {"X-Sandbox": "true"}


class FormattedQuery(StoredQuery):
    """A page of published rows, and how they are written."""

    format: Format = Field(Format.JSON, description="of the rows")


def create_app(plane: DataPlane, callers: Callers) -> FastAPI:
    """Build the application.

    Args:
        plane: What answers.
        callers: Who may ask.
    """
    app = FastAPI(title="forecast-assets", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    app.add_middleware(Guards, marks=_MARKS if plane.is_sandbox else {})
    add_problem_handlers(app)
    _add_health(app, plane)
    _add_stored(app, plane, callers)
    _add_told(app, plane, callers)
    _add_predicted(app, plane, callers)
    return app


def _allowed(callers: Callers, right: Right) -> Any:
    def require(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        callers.require(callers.identify(None if credentials is None else credentials.credentials), right)

    return Depends(require)


def _add_health(app: FastAPI, plane: DataPlane) -> None:
    @app.get("/health/live", tags=["health"], summary="Whether the process answers")
    def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"], summary="Whether questions can be answered, and what is degraded")
    def ready() -> Response:
        found = plane.readiness()
        return JSONResponse(
            {"status": "ready" if found.is_ready else "not ready", **asdict(found)}, 200 if found.is_ready else 503
        )


def _add_stored(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    reader = _allowed(callers, Right.READ)

    def stored(product: str, summary: str) -> None:
        @app.get(f"/v1/{product}", tags=["stored"], summary=summary, name=product, dependencies=[reader])
        def read(asked: Annotated[FormattedQuery, Query()]) -> Response:
            answer = plane.stored(asked.question(product))
            told = {"runs": [asdict(run) for run in answer.runs], "next_page": answer.next_page}
            return rows_response(answer.rows, told, asked.format)

    stored("forecasts", "Published forecasts of a version or channel, page by page")
    stored("risks", "Published stock-out risks of a version or channel, page by page")
    stored("explanations", "Published explanations of a version or channel, page by page")

    @app.get(
        "/v1/versions",
        tags=["stored"],
        summary="Model versions, and the channels that point at them",
        dependencies=[reader],
    )
    def versions() -> dict[str, Any]:
        return {"versions": [asdict(each) for each in plane.versions()], "channels": plane.channels()}


def _add_told(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    reader = _allowed(callers, Right.READ)

    @app.get(
        "/v1/explain/{prediction_id:path}",
        tags=["told"],
        summary="All that is published of one row, and why",
        dependencies=[reader],
    )
    def explain(prediction_id: str) -> Response:
        return JSONResponse(jsonable_encoder(asdict(plane.explain(prediction_id))))

    @app.get(
        "/v1/history",
        tags=["told"],
        summary="Every published forecast of one day of a series, and what came",
        dependencies=[reader],
    )
    def history(asked: Annotated[HistoryQuery, Query()]) -> Response:
        found = plane.history(asked.question())
        told = {"sales_units": found.sales_units, "out_of_stock_share": found.out_of_stock_share}
        return rows_response(found.rows, jsonable_encoder(told), Format.JSON)


def _add_predicted(app: FastAPI, plane: DataPlane, callers: Callers) -> None:
    planner = _allowed(callers, Right.PREDICT)

    @app.post(
        "/v1/predict",
        tags=["real time"],
        summary="Series of a run forecast again with other inputs",
        dependencies=[planner],
    )
    def predict(asked: PredictBody) -> Response:
        found = plane.predict(asked.question())
        told = {
            "use": found.use,
            "run": asdict(found.run),
            "degraded": found.is_degraded,
            "held": list(found.held),
            "warnings": list(found.warnings),
        }
        return tables_response(
            told, {"forecasts": found.forecasts, "risks": found.risks, "explanations": found.explanations}
        )

"""Routes of overrides: what they would do, recording them, and deciding about them.

What belongs here: from a body to a question of the planning desk, and its answer as a document. What does not: what
overrides do, or the pages of planners.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse

from forecast_assets.core.overrides import override_id
from forecast_assets.operations.overrides import OverridePreview
from forecast_assets.serving.access.callers import Caller, Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.api.answers import OverridesAnswer, OverridesRecordedAnswer
from forecast_assets.serving.api.document import WITH_BODY, WITH_KEY, outcomes
from forecast_assets.serving.api.rights import allowed
from forecast_assets.serving.dataplane.planning import PlanningDesk
from forecast_assets.serving.messages.queries import DecisionBody, OverridesBody, OverridesQuery
from resources.ledger.entries.override import PENDING, RECORDED, OverrideRecord, PlannedOverride

_DECISIONS: Final = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}
_ID: Final = Path(description="of an override, or of all of an entry, as o412", examples=["o412-1"], max_length=40)


def add_overrides(app: FastAPI, desk: PlanningDesk, callers: Callers) -> None:
    """Add the routes of overrides to an application.

    Args:
        app: The application.
        desk: What answers.
        callers: Who may ask.
    """
    planner, reader = allowed(callers, Right.OVERRIDE), allowed(callers, Right.READ)

    @app.post(
        "/v1/overrides",
        tags=["overrides"],
        summary="Overrides of forecasts: what they would do, or record them, all or none",
        responses=outcomes(OverridesRecordedAnswer, "What they do, and their ids", *WITH_BODY, 404),
    )
    def override(asked: OverridesBody, request: Request, caller: Annotated[Caller, planner]) -> Response:
        given = [each.override() for each in asked.overrides]
        if asked.dry_run:
            return JSONResponse(_document(desk.preview(given), None))
        is_given = request.scope.get("is_request_id_given", False)
        done = desk.record(
            given,
            by=caller.name,
            confirmed=asked.confirm,
            needs_approval=asked.needs_approval,
            seen=asked.seen,
            request=f"{caller.key_id}/{request.scope['request_id']}" if is_given else "",
        )
        return JSONResponse(_document(done.preview, done.record, is_repeated=done.is_repeated))

    @app.get(
        "/v1/overrides",
        tags=["overrides"],
        summary="Overrides as they stand, the newest first",
        dependencies=[reader],
        responses=outcomes(OverridesAnswer, "Overrides", *WITH_KEY, 422),
    )
    def overrides(asked: Annotated[OverridesQuery, Query()]) -> Response:
        found = [
            each for each in desk.overrides() if asked.status in (None, each.status) and asked.by in (None, each.by)
        ]
        return _listed(found[: asked.limit])

    def decision(name: str, status: str) -> None:
        @app.post(
            f"/v1/overrides/{{override_id}}/{name}",
            tags=["overrides"],
            name=f"{name}_override",
            summary=f"{name.capitalize()} an override"
            + (": by a second person, never by who asks for it" if name == "approve" else ""),
            responses=outcomes(OverridesAnswer, "How it stands now", *WITH_BODY),
        )
        def decide(
            override_id: Annotated[str, _ID], asked: DecisionBody, caller: Annotated[Caller, planner]
        ) -> Response:
            return _listed(desk.decide([override_id], status, by=caller.name, reason=asked.reason))

    for name, status in _DECISIONS.items():
        decision(name, status)


def _listed(found: Sequence[PlannedOverride]) -> Response:
    return JSONResponse(jsonable_encoder({"overrides": [_told(each) for each in found]}))


def _told(each: PlannedOverride) -> dict[str, Any]:
    said = asdict(each.override)
    rest = {name: value for name, value in vars(each).items() if name not in ("override", "sequence")}
    return {"id": each.id, **said.pop("scope"), **said, **rest}


def _document(
    preview: OverridePreview | None, record: OverrideRecord | None, *, is_repeated: bool = False
) -> dict[str, Any]:
    ids = () if record is None else range(1, len(record.overrides) + 1)
    effects: list[dict[str, Any]] = []
    if preview is not None:
        effects = [
            {**vars(each), "override": str(each.override), "is_unusual": at in preview.unusual}
            for at, each in enumerate(preview.effects)
        ]
    told = {
        "run": None if preview is None else str(preview.key),
        "seen": None if preview is None else preview.seen,
        "is_recorded": record is not None,
        "is_repeated": is_repeated,
        "ids": [override_id(record.sequence, number) for number in ids] if record is not None else [],
        "status": None if record is None else PENDING if record.needs_approval else RECORDED,
        "largest_percent": None if preview is None else preview.largest_percent,
        "effects": effects,
        "levels": [] if preview is None else _levels(preview),
    }
    document: dict[str, Any] = jsonable_encoder(told)
    return document


def _levels(preview: OverridePreview) -> list[dict[str, Any]]:
    return [
        {name: float(value) if name.endswith("_units") else value for name, value in row.items()}
        for row in preview.levels.iter_rows(named=True)
    ]

"""The page of operators and monitors: how everything does.

What belongs here: who may see it. What does not: looking, or what stands on it.
"""

from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from forecast_assets.presentation.operations import OPERATIONS, operations_sections
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.dataplane.overview import OverviewDesk
from forecast_assets.serving.pages.door import answer_page

_TITLE: Final = "How everything does"


def add_operations(app: FastAPI, desk: OverviewDesk, callers: Callers) -> None:
    """Add the page to an application.

    Args:
        app: The application.
        desk: What looks.
        callers: Who may ask.
    """

    @app.get(OPERATIONS, include_in_schema=False)
    def operations(request: Request) -> HTMLResponse:
        return answer_page(request, callers, Right.OPERATE, _TITLE, lambda _: operations_sections(desk.overview()))

"""What holds for every page: who may see it, errors as pages, and what a browser may load.

What belongs here: the frame around a page. What does not: any page.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from forecast_assets.core.errors import ForecastAssetsError, NotAuthenticatedError
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.pages import page_style
from forecast_assets.presentation.planning import PLANNING_STYLE, Signed, planning_page
from forecast_assets.presentation.support import FORM_STYLE, asking_page, warning
from forecast_assets.serving.access.callers import Caller, Callers
from forecast_assets.serving.access.roles import Right, may
from forecast_assets.serving.messages.ids import bearer_of
from forecast_assets.serving.messages.problem_documents import status_of
from forecast_assets.serving.pages.signing import Sent, form_token


def _policy(style: str) -> str:
    """Return what a browser may load: no script at all, pictures that pages carry themselves, and their one style."""
    of_style = base64.b64encode(hashlib.sha256(page_style(style).encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{of_style}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )


_POLICY: Final = _policy(FORM_STYLE)
_PLANNING_POLICY: Final = _policy(PLANNING_STYLE)
_SIGN_IN: Final = 'Basic realm="forecast-assets: any name, and your key as the password", charset="UTF-8"'


def answer_page(
    request: Request, callers: Callers, right: Right, title: str, body: Callable[[Mapping[str, str]], list[str]]
) -> HTMLResponse:
    """Answer with a page, or with what is wrong on one.

    Args:
        request: A browser's; it signs in with a key as the password.
        callers: Who may ask.
        right: What the caller needs.
        title: Of the page.
        body: Makes the parts of the page from the fields of the link.
    """
    try:
        _admitted(request, callers, right)
    except ForecastAssetsError as error:
        return _page(title, [warning(error_text(error))], status_of(type(error)), _signing_in(error))
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    return _page(title, body(asked))


def _page(
    title: str, parts: list[str], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    return HTMLResponse(asking_page(title, *parts), status, {"Content-Security-Policy": _POLICY, **(headers or {})})


def _admitted(request: Request, callers: Callers, right: Right) -> Caller:
    """Return who sends a request, if they have a right."""
    caller = callers.identify(_key_of(request))
    request.scope["key_id"] = caller.key_id
    callers.require(caller, right)
    return caller


def _signing_in(error: ForecastAssetsError) -> Mapping[str, str]:
    return {"WWW-Authenticate": _SIGN_IN} if isinstance(error, NotAuthenticatedError) else {}


@dataclass(frozen=True)
class Shown:
    """What stands on a page of planners.

    Attributes:
        parts: As HTML.
        status: Of the answer.
        title: Of the page, where it is another one than usual.
    """

    parts: list[str]
    status: HTTPStatus = HTTPStatus.OK
    title: str = ""


@dataclass(frozen=True)
class PlannersDoor:
    """What all pages of planners have in common.

    Attributes:
        callers: Who may ask.
        takes_overrides: Whether the service records overrides.
        dagster_url: Address of the Dagster UI; None where nobody set one.
    """

    callers: Callers
    takes_overrides: bool
    dagster_url: str | None = None

    def answer(
        self,
        request: Request,
        title: str,
        place: str,
        page: Callable[[Signed, Sent], Shown | Response],
        form: bytes | None = None,
        sends: Right = Right.OVERRIDE,
    ) -> Response:
        """Answer with a page, with what is wrong on one, or with what the page returns.

        Args:
            request: A browser's.
            title: Of the page.
            place: Where in the navigation it is.
            page: Makes it, from who asks and the fields of the link or form.
            form: Body of a form; None where a link asks.
            sends: What a caller needs who sends the form.
        """
        signed = None
        try:
            caller = _admitted(request, self.callers, Right.READ if form is None else sends)
            key = _key_of(request) or ""
            may_override = self.takes_overrides and may(caller.role, Right.OVERRIDE)
            signed = Signed(caller.name, caller.role, form_token(key), may_override, self.dagster_url)
            if form is None:
                sent = Sent.of(request.query_params.multi_items())
            else:
                sent = Sent.of_form(form, request.headers.get("content-type", ""), key)
            shown = page(signed, sent)
        except ForecastAssetsError as error:
            status = status_of(type(error))
            return self._page(title, place, signed, Shown([warning(error_text(error))], status), _signing_in(error))
        return shown if isinstance(shown, Response) else self._page(shown.title or title, place, signed, shown, {})

    def _page(
        self, title: str, place: str, signed: Signed | None, shown: Shown, headers: Mapping[str, str]
    ) -> HTMLResponse:
        return HTMLResponse(
            planning_page(title, signed, place, *shown.parts),
            shown.status,
            {"Content-Security-Policy": _PLANNING_POLICY, **headers},
        )


def _key_of(request: Request) -> str | None:
    """Return the key of a request: the password of a browser, or a bearer token."""
    said = request.headers.get("authorization", "")
    scheme, _, text = said.partition(" ")
    if scheme.lower() != "basic":
        return bearer_of(said)
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""

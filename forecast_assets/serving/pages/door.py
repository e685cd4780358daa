"""What holds for every page: who may see it, errors as pages, and what a browser may load.

What belongs here: the frame around a page. What does not: any page.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse

from forecast_assets.core.errors import ForecastAssetsError, NotAuthenticatedError
from forecast_assets.presentation.actions import error_text
from forecast_assets.presentation.pages import page_style
from forecast_assets.presentation.support import FORM_STYLE, asking_page, warning
from forecast_assets.serving.access.callers import Callers
from forecast_assets.serving.access.roles import Right
from forecast_assets.serving.api.problems import status_of
from forecast_assets.serving.messages.ids import bearer_of

# No script at all, pictures that pages carry themselves, and the one style that they have.
_STYLE_HASH = base64.b64encode(hashlib.sha256(page_style(FORM_STYLE).encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_SIGN_IN = 'Basic realm="forecast-assets: any name, and your key as the password", charset="UTF-8"'


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
        caller = callers.identify(_key_of(request))
        request.scope["key_id"] = caller.key_id
        callers.require(caller, right)
    except NotAuthenticatedError as error:
        return _page(title, [warning(error_text(error))], HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": _SIGN_IN})
    except ForecastAssetsError as error:
        return _page(title, [warning(error_text(error))], status_of(type(error)))
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    return _page(title, body(asked))


def _page(
    title: str, parts: list[str], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    return HTMLResponse(asking_page(title, *parts), status, {"Content-Security-Policy": _POLICY, **(headers or {})})


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

"""Who may call a route: the key that a request carries, and the right that the route needs.

What belongs here: from a request's header to a caller. What does not: who has which right (`access`).
"""

from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from forecast_assets.serving.access.callers import Caller, Callers
from forecast_assets.serving.access.roles import Right

_BEARER: Final = HTTPBearer(auto_error=False, description="a key that an operator made")


def allowed(callers: Callers, right: Right) -> Any:
    """Return what a route depends on so that only callers with a right get there: it gives the caller.

    Args:
        callers: Who may ask.
        right: What the route needs.
    """

    def require(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> Caller:
        caller = callers.identify(None if credentials is None else credentials.credentials)
        request.scope["key_id"] = caller.key_id
        callers.require(caller, right)
        return caller

    return Depends(require)

"""Who may call a route: the key that a request carries, and the right that the route needs.

What belongs here: from a request's header to a caller. What does not: who has which right (`access`).
"""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
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

    async def require(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> Caller:
        text = None if credentials is None else credentials.credentials
        decide = partial(_decided, callers, right, request, text)
        # A thread takes longer to come than most keys to be found.
        return decide() if callers.decide_at_once(text) else await run_in_threadpool(decide)

    return Depends(require)


def _decided(callers: Callers, right: Right, request: Request, text: str | None) -> Caller:
    caller = callers.identify(text)
    request.scope["key_id"] = caller.key_id
    callers.require(caller, right)
    return caller

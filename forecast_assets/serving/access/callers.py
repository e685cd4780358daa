"""Callers: from the text of a key to who asks, within its rights and its limits.

What belongs here: the decision, and remembering keys for a moment. What does not: any protocol's headers.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import NotAllowedError, NotAuthenticatedError, TooManyRequestsError
from forecast_assets.serving.access.request_counts import RequestCounts
from forecast_assets.serving.access.roles import Right, may, roles_with
from forecast_assets.serving.dataplane.answered import Viewer
from resources.operational.api_keys import ApiKey, ApiKeys

# A key that is revoked is refused after so long at the latest: no request waits for a database that often.
_REMEMBERED_SECONDS: Final = 5.0
_MOST_REMEMBERED: Final = 10_000
REQUESTS_PER_MINUTE: Final = {"reader": 3_000, "planner": 1_200, "support": 1_200, "operator": 6_000}
_CREATE: Final = Action("keys create", {"name": "NAME", "role": "reader"})


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        key_id: Of the key.
        name: Whose key it is.
        role: What it may do.
    """

    key_id: str
    name: str
    role: str


def viewer_of(caller: Caller) -> Viewer:
    """Return which prediction events a caller may see: its own, or with the right of support all."""
    return Viewer(caller.key_id, sees_all=may(caller.role, Right.SUPPORT))


class Callers:
    """Decides who asks, and whether they may.

    Args:
        keys: The keys of the home.
        clock: Returns the present moment.
        counts: Where requests are counted; in this process if left out.
        per_minute: Requests a minute by role.
    """

    def __init__(
        self,
        keys: ApiKeys,
        clock: Callable[[], datetime],
        *,
        counts: RequestCounts | None = None,
        per_minute: dict[str, int] | None = None,
    ) -> None:
        self._keys, self._clock = keys, clock
        self._per_minute = REQUESTS_PER_MINUTE if per_minute is None else per_minute
        self._counts = counts or RequestCounts()
        self._known: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()
        self._lock = Lock()

    def decide_at_once(self, text: str | None) -> bool:
        """Whether it takes no database and no server to decide about a key: nobody has to wait for that."""
        return not self._counts.are_common and (not text or self._remembered(text) is not None)

    def identify(self, text: str | None) -> Caller:
        """Return who a key is of.

        Raises:
            NotAuthenticatedError: If there is no key, or it is nobody's, revoked or expired.
        """
        if not text:
            raise NotAuthenticatedError(
                "The request has no key.",
                remedy=Sentence("Send `Authorization: Bearer KEY`; an operator makes one: ", _CREATE, "."),
            )
        key = self._find(text)
        if key is None:
            raise NotAuthenticatedError("The key is nobody's.", remedy="Check that it was copied whole.")
        if not key.is_valid(self._clock()):
            what = "revoked" if key.revoked_at else "expired"
            raise NotAuthenticatedError(
                f"The key {key.key_id} is {what}.",
                remedy=Sentence("Ask an operator for another one: ", _CREATE, "."),
                key_id=key.key_id,
            )
        return Caller(key.key_id, key.name, key.role)

    def require(self, caller: Caller, right: Right) -> None:
        """Refuse what a caller's role may not do, or a caller who asks too often.

        Raises:
            NotAllowedError: If the role lacks the right.
            TooManyRequestsError: If its requests of the last minute are used up.
        """
        if not may(caller.role, right):
            raise NotAllowedError(
                f"The role {caller.role} may not {right.value}.",
                remedy=f"Ask with a key of the role {' or '.join(roles_with(right))}.",
                role=caller.role,
                right=right.name.lower(),
            )
        per_minute = self._per_minute.get(caller.role, min(self._per_minute.values()))
        wait = self._counts.wait_seconds(caller.key_id, per_minute)
        if wait:
            raise TooManyRequestsError(
                f"The key {caller.key_id} has asked {per_minute:,} times within a minute, as often as its role may.",
                remedy=f"Ask again in {wait} s.",
                retry_after_seconds=wait,
            )

    def _find(self, text: str) -> ApiKey | None:
        known = self._remembered(text)
        if known is not None:
            return known[1]
        now, found = monotonic(), self._keys.find(text)
        with self._lock:
            self._known[_name_of(text)] = (now, found)
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _remembered(self, text: str) -> tuple[float, ApiKey | None] | None:
        """Return since when it is known whose a key is, and whose; None if that has to be looked up."""
        with self._lock:
            known = self._known.get(_name_of(text))
        return known if known is not None and monotonic() - known[0] < _REMEMBERED_SECONDS else None


def _name_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

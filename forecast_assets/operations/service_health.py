"""How a running service does, as it says itself.

What belongs here: asking it. What does not: what a service looks at (`serving.dataplane`).
"""

from collections.abc import Mapping
from typing import Any, Final

import requests

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import InputError, StorageError

_PATH: Final = "/health/ready"
_SECONDS: Final = 10.0
# Of an answer of the service, whether it is ready or not.
_ANSWERED: Final = (200, 503)
_NEEDED: Final = frozenset({"is_ready", "reasons", "degraded", "ledger_sequence", "newest_prediction_date"})


def told_state(url: str) -> Mapping[str, Any]:
    """Return what a service says of itself.

    Args:
        url: Where it listens, such as `http://127.0.0.1:8000`.

    Raises:
        InputError: If that is no address of HTTP.
        StorageError: If nobody answers there, or something that is no such service.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"`{url}` is no address of a service.", remedy="Write it as http://127.0.0.1:8000.", url=url)
    try:
        answer = requests.get(f"{url.rstrip('/')}{_PATH}", timeout=_SECONDS)
        state = answer.json() if answer.status_code in _ANSWERED else {}
    except requests.RequestException as error:
        raise StorageError(
            f"Nobody answers at {url} ({type(error).__name__}).",
            remedy=Sentence("Start the service: ", Action("serve"), ", or name where it listens."),
            url=url,
        ) from error
    if not isinstance(state, dict) or not state.keys() >= _NEEDED:
        raise StorageError(
            f"What answers at {url} is no service of this kind (status {answer.status_code}).",
            remedy="Name where `serve` listens, without a path.",
            url=url,
        )
    return state

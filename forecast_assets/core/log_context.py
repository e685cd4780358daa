"""What lines of the log are about: the request that is answered, the run that is made.

What belongs here: binding names to values while a block goes on. What does not: lines, or how they look
(`forecast_assets.telemetry.logs`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_BOUND: Final[ContextVar[Mapping[str, str]]] = ContextVar("log context", default=_NOTHING)


@contextmanager
def bound(**names: str) -> Iterator[None]:
    """Bind names in the block, and in what it starts in other threads with this context.

    Example:
        >>> with bound(run="daily/2025-06-30/stat-1/28/r0"), bound(stage="forecasts"):
        ...     sorted(bound_now())
        ['run', 'stage']
    """
    token = _BOUND.set({**_BOUND.get(), **names})
    try:
        yield
    finally:
        _BOUND.reset(token)


def bound_now() -> Mapping[str, str]:
    """Return what is bound."""
    return _BOUND.get()

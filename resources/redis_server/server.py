"""One use of a Redis: short waits, and left alone while it does not answer.

What belongs here: connections, what counts as no answer, and telling of it. What does not: what is kept there.

Nothing that a service promises depends on it. So a call that fails is not tried again, as the library would for four
seconds: whoever asked goes on without it at once, and so does everybody else for the next seconds.
"""

import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final, TypeVar

from forecast_assets.core.addresses import without_password
from forecast_assets.core.breaker import Breaker
from forecast_assets.core.errors import InputError

Answer = TypeVar("Answer")
Otherwise = TypeVar("Otherwise")

# Of connecting, and of each read and write: a server of the same network answers within a millisecond.
WAIT_SECONDS: Final = 0.2
LEFT_ALONE_SECONDS: Final = 5.0
# What it refused, such as to write since it is full, is told for so long.
_TOLD_SECONDS: Final = 60.0
_log: Final = logging.getLogger(__name__)


class RedisServer:
    """A Redis as one part of a service uses it; safe to share between threads.

    Args:
        url: As `redis://:password@host:6379/0`, or `rediss://` with TLS.
        left_alone_seconds: For so long it is not asked after it did not answer; then one call tries.

    Attributes:
        client: Of the library, which waits shortly and tries once.

    Raises:
        InputError: If the library is not installed, or the address is none.
    """

    def __init__(self, url: str, *, left_alone_seconds: float = LEFT_ALONE_SECONDS) -> None:
        try:
            from redis import Redis, RedisError
            from redis.backoff import NoBackoff
            from redis.exceptions import ResponseError
            from redis.retry import Retry
        except ImportError as error:
            raise InputError(
                "The setting FORECAST_ASSETS_REDIS needs the library `redis`, and it is not installed.",
                remedy="Install it into this environment: pip install redis. Or leave the setting out: then every "
                "process counts requests and prepares runs by itself.",
                library="redis",
            ) from error
        self._url = url
        self._errors, self._refusals = (RedisError, OSError), ResponseError
        self._breaker = Breaker(1, left_alone_seconds)
        self._trouble: str | None = None
        self._refused = -inf, ""
        try:
            self.client: Redis = Redis.from_url(
                url,
                socket_connect_timeout=WAIT_SECONDS,
                socket_timeout=WAIT_SECONDS,
                retry=Retry(NoBackoff(), 0),
                client_name="forecast-assets",
            )
        except ValueError as error:
            raise InputError(
                f"FORECAST_ASSETS_REDIS is no address of a Redis: {self.place}.",
                remedy="Name it as redis://:PASSWORD@HOST:6379/0; without a password as redis://HOST:6379/0.",
            ) from error

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        return without_password(self._url)

    def ask(self, call: Callable[[], Answer], otherwise: Otherwise) -> Answer | Otherwise:
        """Return what a call to the server gives.

        Args:
            call: Asks by `client`.
            otherwise: Is returned where the server does not answer, or refuses; at once if it did so just now.
        """
        if not self._breaker.allows():
            return otherwise
        try:
            found = call()
        except self._refusals as error:
            # It answers, so that asking it again makes nobody wait.
            self._breaker.succeeded()
            self._refused = monotonic(), type(error).__name__
            return otherwise
        except self._errors as error:
            self._breaker.failed()
            self._tell(type(error).__name__)
            return otherwise
        self._breaker.succeeded()
        self._tell(None)
        return found

    def trouble(self) -> str | None:
        """Ask whether it answers; return why not, or why it refused something lately; else None."""
        self.ask(self.client.ping, otherwise=False)
        refused_at, what = self._refused
        return self._trouble or (what if monotonic() - refused_at < _TOLD_SECONDS else None)

    def close(self) -> None:
        """Let go of its connections."""
        self.client.close()

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and self._trouble is None:
            _log.warning("Redis at %s does not answer (%s): going on without it", self.place, trouble)
        if trouble is None and self._trouble is not None:
            _log.warning("Redis at %s answers again", self.place)
        self._trouble = trouble

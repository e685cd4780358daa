"""How often each key has asked within the last minute: in this process, or by several together in Redis.

What belongs here: counting, and what is counted where Redis does not answer. What does not: how often a role may ask.

Where processes count together, each counts besides what it has let pass itself. So nobody is refused since Redis is
gone, and nobody may ask without bound: while it does not answer, or has lost what it counted, every process holds a key
to the same number by itself, from what it has counted already.
"""

from math import ceil
from time import time
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from resources.redis_server.server import RedisServer

_PREFIX: Final = "forecast-assets:limits"
_NOT_ASKED: Final = 0


class RequestCounts:
    """Counts requests by key; safe to share between threads.

    Args:
        url: Of the Redis in which several processes count together; None for this process alone.

    Raises:
        InputError: If the library for Redis is not installed, or the address is none.
    """

    def __init__(self, url: str | None = None) -> None:
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._server = None if url is None else RedisServer(url)
        if self._server is not None:
            pool = self._server.client.connection_pool
            self._common = MovingWindowRateLimiter(RedisStorage(str(url), connection_pool=pool, key_prefix=_PREFIX))

    @property
    def are_common(self) -> bool:
        """Whether processes count together, by a server that has to answer."""
        return self._server is not None

    def wait_seconds(self, key_id: str, per_minute: int) -> int:
        """Count a request of a key.

        Args:
            key_id: Of the key.
            per_minute: How often it may ask.

        Returns:
            0 if it may ask; else after how many seconds it may again, and nothing is counted.
        """
        limit = RateLimitItemPerMinute(per_minute)
        if self._server is not None:
            wait = self._server.ask(lambda: _wait(self._common, limit, key_id), _NOT_ASKED)
            if wait:
                return wait
        return _wait(self._own, limit, key_id)

    def degraded(self) -> tuple[str, ...]:
        """Return what is worse than usual, in sentences."""
        trouble = None if self._server is None else self._server.trouble()
        return () if trouble is None else (f"requests are counted in this process alone: Redis fails ({trouble})",)

    def close(self) -> None:
        """Let go of connections."""
        if self._server is not None:
            self._server.close()


def _wait(limiter: MovingWindowRateLimiter, limit: RateLimitItemPerMinute, key_id: str) -> int:
    if limiter.hit(limit, key_id):
        return 0
    return max(ceil(limiter.get_window_stats(limit, key_id).reset_time - time()), 1)

"""Features kept in Redis, where several processes find them.

What belongs here: putting and getting many at once, and that what comes back is what was put. What does not: what is
kept, or how a server that fails is left alone (`redis_server`).

Redis is not asked to be right: entries are sealed (`sealed`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from resources.feature_cache.sealed import opened, seal
from resources.redis_server.server import RedisServer

PREFIX: Final = "forecast-assets:features:"


class RedisCache:
    """Bytes in a Redis.

    Args:
        url: As `RedisServer` takes it.

    Raises:
        InputError: As `RedisServer`.
    """

    def __init__(self, url: str) -> None:
        self._url, self._server = url, RedisServer(url)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be opened anew in another process."""
        return RedisCache, (self._url,)

    @property
    def what(self) -> str:
        """What it is, for people."""
        return "Redis"

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        return self._server.place

    @property
    def is_shared(self) -> bool:
        """Other processes find what is put here."""
        return True

    @property
    def is_lasting(self) -> bool:
        """It may be gone at any time, and forgets everything when it is started again."""
        return False

    def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what is there: see `FeatureCache.get`."""
        if not names:
            return []
        keys = [PREFIX + name for name in names]
        found = self._server.ask(lambda: self._server.client.mget(keys), otherwise=None)
        if found is None:
            return [None] * len(names)
        return [
            opened(name, sealed if isinstance(sealed, bytes) else None)
            for name, sealed in zip(names, found, strict=True)
        ]

    def put(self, entries: Mapping[str, bytes], seconds: float) -> bool:
        """Keep entries: see `FeatureCache.put`."""
        milliseconds = int(1_000 * seconds)
        if milliseconds <= 0 or not entries:
            return True
        sealed = {PREFIX + name: seal(name, content) for name, content in entries.items()}

        def send() -> bool:
            pipeline = self._server.client.pipeline(transaction=False)
            for key, content in sealed.items():
                pipeline.set(key, content, px=milliseconds)
            return all(pipeline.execute())

        return bool(self._server.ask(send, otherwise=False))

    def trouble(self) -> str | None:
        """Ask whether the server answers: see `FeatureCache.trouble`."""
        return self._server.trouble()

    def close(self) -> None:
        """Let go of connections."""
        self._server.close()

"""Features kept in Redis, where several processes find them.

What belongs here: putting and getting many at once, and that what comes back is what was put. What does not: what is
kept, or how a server that fails is left alone (`redis_server`).

Redis is not asked to be right. Each entry is sealed: compressed, with a digest of its content and its name. What was
torn, is of another format, or was put under another name does not open, and counts as not there. Nothing is ever read
as code. The digest shows accidents; whoever may write to the Redis is trusted, as with the store.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from resources.redis_server.server import RedisServer

PREFIX: Final = "forecast-assets:features:"
# Says that the bytes are an entry, of this form.
_MARK: Final = b"FAF1"
_DIGEST_BYTES: Final = 32
_HEAD_BYTES: Final = len(_MARK) + _DIGEST_BYTES
# Opened, an entry has no more bytes: what says otherwise is not read.
_LARGEST: Final = 512 << 20
# Most of an entry is zeros and repeated values: more effort makes it hardly smaller.
_EFFORT: Final = 1


class RedisCache:
    """Bytes in a Redis.

    Args:
        url: As `RedisServer` takes it.

    Raises:
        InputError: As `RedisServer`.
    """

    def __init__(self, url: str) -> None:
        self._server = RedisServer(url)

    @property
    def place(self) -> str:
        """Where it is, for people: without a password."""
        return self._server.place

    @property
    def is_shared(self) -> bool:
        """Other processes find what is put here."""
        return True

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


def seal(name: str, content: bytes) -> bytes:
    """Return an entry as it is stored under a name."""
    packed = zlib.compress(content, _EFFORT)
    return _MARK + _digest(name, packed) + packed


def opened(name: str, sealed: bytes | None) -> bytes | None:
    """Return the content of an entry that is stored under a name; None if it is not what was put there.

    Example:
        >>> opened("a", seal("a", b"content")), opened("b", seal("a", b"content")), opened("a", None)
        (b'content', None, None)
    """
    if sealed is None or not sealed.startswith(_MARK):
        return None
    packed = sealed[_HEAD_BYTES:]
    if sealed[len(_MARK) : _HEAD_BYTES] != _digest(name, packed):
        return None
    reader = zlib.decompressobj()
    try:
        content = reader.decompress(packed, _LARGEST)
    except zlib.error:
        return None
    return content if reader.eof and not reader.unused_data else None


def _digest(name: str, packed: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(packed)
    return digest.digest()

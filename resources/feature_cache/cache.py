"""What every cache of features can do, wherever it is.

What belongs here: the protocol, and which cache a service has. What does not: any implementation.

A cache may lose anything at any time, and says so of nothing. It gives back what was put under a name, whole and no
older than it may be, or None.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class FeatureCache(Protocol):
    """Bytes by name, for a while; safe to share between threads."""

    @property
    def what(self) -> str:
        """What it is, for people."""
        ...

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes find what this one puts; then it can be pickled, to be opened in one."""
        ...

    @property
    def is_lasting(self) -> bool:
        """Whether what is there is there when all processes end, so that none has to hold it in memory too."""
        ...

    def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what is there under some names, in their order; None for what is not, or may not be used."""
        ...

    def put(self, entries: Mapping[str, bytes], seconds: float) -> bool:
        """Keep entries, none of them for longer than so many seconds; return whether that could be tried.

        It is not said that any of them is there later.
        """
        ...

    def trouble(self) -> str | None:
        """Return why the cache does not answer; None if it does."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def feature_cache(url: str | None, path: Path | None = None, most_bytes: int = 0) -> FeatureCache:
    """Return the cache of a service.

    Args:
        url: Of a Redis; it comes before a file. None for none.
        path: Of a file on this machine's disk; None for memory of this process.
        most_bytes: That the file may have; none if 0.

    Raises:
        InputError: If the library for Redis is not installed, or the address is none.
    """
    if url is not None:
        from resources.feature_cache.redis_cache import RedisCache

        return RedisCache(url)
    if path is not None and most_bytes:
        from resources.feature_cache.on_disk import OnDiskCache

        return OnDiskCache(path, most_bytes)
    from resources.feature_cache.in_process import InProcessCache

    return InProcessCache()

"""Threads of this process, for work that array libraries do without holding Python's lock.

What belongs here: handing parts of a piece of work to threads. What does not: other processes, or what the work is.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Part = TypeVar("_Part")
_Made = TypeVar("_Made")


def thread_count(workers: int | None) -> int:
    """Return how many work at once: so many as are allowed, or as there are processors."""
    return workers or os.cpu_count() or 1


def in_threads(
    function: Callable[[_Part], _Made], parts: Sequence[_Part], workers: int | None = None
) -> Iterator[tuple[_Part, _Made]]:
    """Call a function for each part, several at a time, and yield what it made in the order of the parts.

    At most one part more than there are threads is worked on or waits to be taken, so that what was made does not pile
    up.

    Args:
        function: Reads what parts share and writes nothing that they share, so that what it makes of a part does not
            depend on how many threads there are.
        parts: What it is called with.
        workers: Threads; as many as processors if left out.

    Yields:
        A part, and what the function made of it.

    Example:
        >>> list(in_threads(abs, [-1, 2], workers=2))
        [(-1, 1), (2, 2)]
    """
    threads = thread_count(workers)
    if min(threads, len(parts)) <= 1:
        yield from ((part, function(part)) for part in parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[_Part, Future[_Made]]] = deque()
        try:
            for part in parts:
                waiting.append((part, pool.submit(function, part)))
                if len(waiting) > threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()

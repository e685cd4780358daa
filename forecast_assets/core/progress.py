"""How far long work is.

What belongs here: the one form in which work tells it. What does not: showing it: a terminal, Dagster's log and traces
each listen in their own way.
"""

from collections.abc import Callable
from threading import Lock
from typing import Protocol


class Progress(Protocol):
    """Called while long work goes on."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take in how far a stage is.

        Args:
            stage: What is being done.
            done: Steps that are done.
            total: Steps in all, as far as is known by then.
        """


def silent(stage: str, done: int, total: int, /) -> None:
    """Listen to nothing."""
    del stage, done, total


class Together:
    """One count of work whose parts go on at the same time, each of which tells how far it is itself.

    Args:
        report: Called with steps done and steps in all, never by two threads at once, and never with fewer than before.
        total: Steps of all parts.

    Example:
        >>> told = []
        >>> together = Together(lambda done, total: told.append((done, total)), 5)
        >>> one, other = together.part(), together.part()
        >>> one(2), other(1), one(3)
        (None, None, None)
        >>> told
        [(2, 5), (3, 5), (4, 5)]
    """

    def __init__(self, report: Callable[[int, int], None], total: int) -> None:
        self._report, self._total = report, total
        self._done = 0
        self._lock = Lock()

    def part(self) -> Callable[[int], None]:
        """Return what a part calls with its own steps done."""
        before = 0

        def told(done: int) -> None:
            nonlocal before
            with self._lock:
                self._done, before = self._done + done - before, done
                self._report(self._done, self._total)

        return told

"""How far long work is.

What belongs here: the one form in which work tells it. What does not: showing it: a terminal, Dagster's log and traces
each listen in their own way.
"""

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

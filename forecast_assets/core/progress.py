"""Progress of long work, as whoever waits for it hears of it.

What belongs here: the one signature by which work says how far it is. What does not: showing it.
"""

from typing import Protocol


class Progress(Protocol):
    """Is told how far a stage of long work is."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Hear of a stage.

        Args:
            stage: What is being done, in a person's words.
            done: Steps done.
            total: Steps in all.
        """


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""
    del stage, done, total

"""What each step of an answer takes.

What belongs here: names of steps, and a clock for them. What does not: the steps.
"""

from time import perf_counter
from typing import Final

FEATURES: Final = "features"
BASE: Final = "base"
ADJUSTMENT: Final = "adjustment"
RISK: Final = "risk"
EXPLANATION: Final = "explanation"


class Laps:
    """Adds up what steps take, from when it is made.

    Attributes:
        milliseconds: By step, in the order in which they came first.
    """

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, step: str) -> None:
        """Note that what went on since the lap before was this step."""
        now = perf_counter()
        self.milliseconds[step] = self.milliseconds.get(step, 0.0) + 1_000.0 * (now - self._last)
        self._last = now

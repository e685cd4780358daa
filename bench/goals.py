"""What was reached beside what was promised: one row per figure, as a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from forecast_assets.presentation.text import table

FORMATS = {
    "times": "{:.3f}",
    "share": "{:+.2%}",
    "added": "{:+.2%}",
    "seconds": "{:.0f} s",
    "tenths": "{:.1f} s",
    "ms": "{:.0f} ms",
    "tenths of ms": "{:.1f} ms",
    "rows/s": "{:,.0f} rows/s",
    "GB": "{:.2f} GB",
    "plain": "{:.4f}",
    "count": "{:.0f}",
}


@dataclass(frozen=True)
class Goal:
    """One figure; what is better is smaller, of a share its size, of a rate larger, of what is added less than nothing.

    Attributes:
        what: What was measured.
        reached: The figure; NaN where it could not be measured, which meets no bound.
        at_least: What has to be reached; None for a figure that is told and not judged.
        aim: What is hoped for.
        unit: One of `FORMATS`.
    """

    what: str
    reached: float
    at_least: float | None = None
    aim: float | None = None
    unit: str = "times"

    @property
    def is_missed(self) -> bool:
        return self.at_least is not None and not self._meets(self.at_least)

    @property
    def verdict(self) -> str:
        if self.at_least is None:
            return ""
        if self.is_missed:
            return "MISSED"
        return "aim reached" if self.aim is not None and self._meets(self.aim) else "reached"

    def _meets(self, bound: float) -> bool:
        if self.unit == "rows/s":
            return self.reached >= bound
        return (self.reached if self.unit == "added" else abs(self.reached)) <= bound

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        return self.what, _text(self.reached, self.unit), *(_bound(x, self.unit) for x in self.bounds), self.verdict

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return self.at_least, self.aim


def goals_table(goals: Sequence[Goal], title: str) -> str:
    return table(("what", "reached", "at least", "aim", ""), [goal.row for goal in goals], title=title)


def any_missed(goals: Sequence[Goal]) -> bool:
    return any(goal.is_missed for goal in goals)


def _text(value: float, unit: str) -> str:
    return "not measured" if math.isnan(value) else FORMATS[unit].format(value)


def _bound(value: float | None, unit: str) -> str:
    return "-" if value is None else FORMATS[unit].format(value).lstrip("+")

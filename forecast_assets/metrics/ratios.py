"""Metrics as ratios of sums, so that those of several cutoffs are pooled by adding.

What belongs here: the ratio, its name, pooling. What does not: which sums a metric is made of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class MetricKey(NamedTuple):
    """What a metric is of.

    Attributes:
        method: `version` or whom it is compared with.
        segment_kind: What the rows are divided by.
        segment: Which part of them.
        metric: Name of the metric.
    """

    method: str
    segment_kind: str
    segment: str
    metric: str


@dataclass(frozen=True)
class Ratio:
    """One metric.

    Attributes:
        numerator: Sum of what is measured, as of absolute errors in units.
        denominator: Sum of what it is measured by, as of units sold.
        rows: Rows, nodes or days that entered.
    """

    numerator: float
    denominator: float
    rows: int

    @property
    def value(self) -> float | None:
        """Numerator over denominator; None where there is nothing to measure by, as where nothing was sold."""
        return self.numerator / self.denominator if self.denominator > 0 else None

    def __add__(self, other: "Ratio") -> "Ratio":
        return Ratio(self.numerator + other.numerator, self.denominator + other.denominator, self.rows + other.rows)


Ratios = dict[MetricKey, Ratio]


def pooled(parts: Iterable[Ratios]) -> Ratios:
    """Add up the ratios of several cutoffs, name by name, in the order of the cutoffs.

    Example:
        >>> wape = MetricKey("version", "all", "all", "wape")
        >>> pooled([{wape: Ratio(1.0, 4.0, 2)}, {wape: Ratio(2.0, 4.0, 2)}])[wape].value
        0.375
    """
    found: Ratios = {}
    for part in parts:
        for key, ratio in part.items():
            found[key] = found[key] + ratio if key in found else ratio
    return found

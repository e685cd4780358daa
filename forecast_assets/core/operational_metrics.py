"""Figures of how the product does, as monitoring asks for them.

What belongs here: what such a figure is, and one reading of it. What does not: where it comes from, or the format that
it is asked for in (`forecast_assets.telemetry.exposition`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "forecast_assets_"


@dataclass(frozen=True)
class OperationalMetric:
    """A figure that is read again and again.

    Attributes:
        name: Without the prefix that all share; ends with its unit, of what only grows with `_total`.
        kind: `gauge` for what goes up and down, `counter` for what only grows, `histogram` for counts by size.
        unit: Of a value: `seconds`, `bytes`, `rows`, `share` (0 to 1), and so on.
        meaning: In one sentence.
        labels: Names of what it is divided by: each has few values, and never a SKU, a store, a key or a path.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()

    def __call__(self, value: float, *labels: str) -> "Reading":
        """Return a reading of it.

        Args:
            value: What it is now.
            *labels: A value for each of its labels, in their order.

        Example:
            >>> OperationalMetric("spool_bytes", "gauge", "bytes", "Waiting.", ("sink",))(3, "store").labels
            ('store',)
        """
        if len(labels) != len(self.labels):
            raise ValueError(f"`{self.name}` has the labels {self.labels}, not {labels}")
        return Reading(self, float(value), labels)


@dataclass(frozen=True)
class Reading:
    """What a figure is now.

    Attributes:
        metric: The figure.
        value: In its unit.
        labels: A value for each of its labels.
    """

    metric: OperationalMetric
    value: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collector:
    """What reads some figures; the seam for modules that have some of their own.

    Attributes:
        name: What is read, such as `ledger`.
        metrics: All that it may read.
        read: Reads them now.
    """

    name: str
    metrics: tuple[OperationalMetric, ...]
    read: Callable[[], Iterable[Reading]]

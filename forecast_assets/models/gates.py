"""Gates: what a version has to show in its evaluation report.

What belongs here: the conditions that families trained here share, and their limits. What does not: measuring, or what
a gate that is not met forbids (registry and preconditions).
"""

from typing import Final

import polars as pl

LARGEST_BIAS: Final = 0.1
COVERAGE_TOLERANCE: Final = 0.1
_MEASURED: Final = ("wape", "bias", "coverage_80")


class OverallMetrics:
    """What a report says of all rows together.

    Args:
        report: Contract `evaluation_reports`.
    """

    def __init__(self, report: pl.DataFrame) -> None:
        overall = report.filter(pl.col("segment_kind") == "all")
        self.value: dict[str, float | None] = dict(overall.select("metric", "value").iter_rows())
        self._naive: dict[str, float | None] = dict(overall.select("metric", "baseline_value").iter_rows())

    def value_of(self, metric: str) -> float:
        """Return a metric that the report has; NaN, which passes no gate, where it has none."""
        value = self.value.get(metric)
        return float("nan") if value is None else value

    @property
    def saw_sales(self) -> bool:
        """Whether backtests saw anything sold, so that something was shown."""
        return all(self.value.get(name) is not None for name in _MEASURED) and self._naive.get("wape") is not None

    @property
    def beats_seasonal_naive(self) -> bool:
        """Whether expected sales came closer than seasonal naive."""
        naive = self._naive.get("wape")
        return naive is not None and self.value_of("wape") < naive

    @property
    def has_small_bias(self) -> bool:
        """Whether expected sales are within 10% of what was sold."""
        return abs(self.value_of("bias")) <= LARGEST_BIAS

    @property
    def covers(self) -> bool:
        """Whether the central 80% interval covers 70% to 90% of the days."""
        return abs(self.value_of("coverage_80") - 0.8) <= COVERAGE_TOLERANCE


def backtest_gates(report: pl.DataFrame) -> dict[str, bool]:
    """Return which conditions of serving a version meets that was judged by backtests.

    There is none on the bias of levels: over all nodes of a level it is the bias of the rows, which has one, and single
    nodes are off by chance where little is sold. The report has both.

    Args:
        report: Contract `evaluation_reports`.
    """
    overall = OverallMetrics(report)
    if not overall.saw_sales:
        # Nothing was sold in the backtests, so nothing was shown.
        return {"backtests_saw_sales": False}
    return {
        "wape_beats_seasonal_naive": overall.beats_seasonal_naive,
        "bias_within_10_percent": overall.has_small_bias,
        "coverage_of_80_percent_interval_within_10_points": overall.covers,
    }

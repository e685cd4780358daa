"""Gates: what a version has to show in its evaluation report.

What belongs here: the demands of families that are judged by backtests, their limits, and what a report says to each.
What does not: measuring, or what a gate that is not met forbids (registry and preconditions).

Backtests are a sample: the true forecast of a small shop may miss its total by a fifth. So a demand is not met only
where a figure lies beyond its limit by more than chance explains, in a one-sided test at 5%: figure less margin above
the highest that is allowed, or figure plus margin below the lowest. The margin is measured with the figure
(`metrics.sampling`). The one exception is asked of channels: there a version has to have come closer than seasonal
naive, not only no further off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import polars as pl

LARGEST_BIAS: Final = 0.1
COVERAGE: Final = 0.8
COVERAGE_TOLERANCE: Final = 0.1
# A total that is off by more than this factor is no forecast of it. WAPE alone would let it pass: of slow movers
# nothing at all, said of every day, has a WAPE of 100%, and seasonal naive one of up to 200%.
SOUND_FACTOR: Final = 2.0
_MEASURED: Final = ("wape", "bias", "coverage_80")
_NAN: Final = float("nan")


class OverallMetrics:
    """What a report says of all rows together.

    Args:
        report: Contract `evaluation_reports`; margins may be missing in those of earlier releases, and are none then.
    """

    def __init__(self, report: pl.DataFrame) -> None:
        overall = report.filter(pl.col("segment_kind") == "all")
        self.value: dict[str, float | None] = dict(overall.select("metric", "value").iter_rows())
        self._naive: dict[str, float | None] = dict(overall.select("metric", "baseline_value").iter_rows())
        said = overall.select("metric", "gate_margin").iter_rows() if "gate_margin" in overall.columns else ()
        self._margin: dict[str, float | None] = dict(said)

    def value_of(self, metric: str) -> float:
        """Return a metric that the report has; NaN, which passes no gate, where it has none."""
        value = self.value.get(metric)
        return _NAN if value is None else value

    def margin_of(self, metric: str) -> float:
        """Return how far chance may move what a gate asks of a metric; 0 where nobody can tell."""
        return self._margin.get(metric) or 0.0

    @property
    def saw_sales(self) -> bool:
        """Whether backtests saw anything sold, so that something was shown."""
        return all(self.value.get(name) is not None for name in _MEASURED) and self._naive.get("wape") is not None

    @property
    def wape_less_naive(self) -> float:
        """WAPE less that of seasonal naive; below 0 is closer to what was sold."""
        naive = self._naive.get("wape")
        return _NAN if naive is None else self.value_of("wape") - naive


@dataclass(frozen=True)
class GateResult:
    """What a report says to one gate.

    Attributes:
        name: Of the gate.
        title: What it looks at, in words.
        value: Figure; NaN where it was not measured.
        margin: How far chance may move it; 0 where the gate allows for none.
        lowest: Least that is allowed.
        highest: Most that is allowed.
        is_met: Whether the figure, or chance, is within.
    """

    name: str
    title: str
    value: float
    margin: float
    lowest: float
    highest: float
    is_met: bool


@dataclass(frozen=True)
class Gate:
    """A demand on one figure of a report.

    Attributes:
        name: As the ledger records it. A demand that changes gets another name.
        title: What it looks at, in words.
        figure: Reads the figure.
        metric: Whose margin is that of the figure.
        lowest: Least that is allowed.
        highest: Most that is allowed.
        is_strict: Whether the figure has to lie within its limits, chance or not.
    """

    name: str
    title: str
    figure: Callable[[OverallMetrics], float]
    metric: str
    lowest: float = -inf
    highest: float = inf
    is_strict: bool = False

    def judge(self, overall: OverallMetrics) -> GateResult:
        """Hold the report's figure against the limits."""
        value, margin = self.figure(overall), overall.margin_of(self.metric)
        is_within = self.lowest < value < self.highest
        is_near = self.lowest <= value + margin and value - margin <= self.highest
        is_met = is_within if self.is_strict else is_near
        allowed = 0.0 if self.is_strict else margin
        return GateResult(self.name, self.title, value, allowed, self.lowest, self.highest, is_met)


def _wape_less_naive(overall: OverallMetrics) -> float:
    return overall.wape_less_naive


def _bias(overall: OverallMetrics) -> float:
    return overall.value_of("bias")


def _coverage(overall: OverallMetrics) -> float:
    return overall.value_of("coverage_80")


_CLOSER: Final = "WAPE less that of seasonal naive"
# What makes a version valid, so that it may serve under its own name.
SERVING_GATES: Final = (
    Gate("backtest_not_worse_than_seasonal_naive", _CLOSER, _wape_less_naive, "wape", highest=0.0),
    Gate(
        "backtest_total_not_beyond_factor_2",
        "bias",
        _bias,
        "bias",
        lowest=1.0 / SOUND_FACTOR - 1.0,
        highest=SOUND_FACTOR - 1.0,
    ),
)
# What a channel asks for besides; `resources.ledger` knows them by their names.
PROMOTION_GATES: Final = (
    # Strictly: as far off as seasonal naive is no reason to follow.
    Gate("backtest_beats_seasonal_naive", _CLOSER, _wape_less_naive, "wape", highest=0.0, is_strict=True),
    Gate("backtest_bias_not_beyond_10_percent", "bias", _bias, "bias", lowest=-LARGEST_BIAS, highest=LARGEST_BIAS),
    Gate(
        "backtest_coverage_of_80_percent_interval_not_beyond_10_points",
        "coverage of the 80% interval",
        _coverage,
        "coverage_80",
        lowest=COVERAGE - COVERAGE_TOLERANCE,
        highest=COVERAGE + COVERAGE_TOLERANCE,
    ),
)


def judged(report: pl.DataFrame, gates: Sequence[Gate] = (*SERVING_GATES, *PROMOTION_GATES)) -> list[GateResult]:
    """Return what a report says to gates, in their order.

    Args:
        report: Contract `evaluation_reports`.
        gates: What is asked.
    """
    overall = OverallMetrics(report)
    return [gate.judge(overall) for gate in gates]


def backtest_gates(report: pl.DataFrame) -> dict[str, bool]:
    """Return which conditions of serving and of being promoted a version meets that was judged by backtests.

    There is none on the bias of levels: over all nodes of a level it is the bias of the rows, which has one, and single
    nodes are off by chance where little is sold. The report has both.

    Args:
        report: Contract `evaluation_reports`.
    """
    if not OverallMetrics(report).saw_sales:
        # Nothing was sold in the backtests, so nothing was shown.
        return {"backtests_saw_sales": False}
    return {result.name: result.is_met for result in judged(report)}

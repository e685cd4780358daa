"""Gates of merit that reports tell of: skill, bias, coverage, the champion on the same days, and stock-out risk.

What belongs here: from a version's evaluation and calibration reports to verdicts. What does not: published runs
(published), or whether what is recorded of the version holds (soundness).
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, sqrt
from typing import Final

import polars as pl

from forecast_assets.core.policy import Policy
from forecast_assets.models.gates import Gate, OverallMetrics
from forecast_assets.promotion.champion import ComparedWape
from forecast_assets.promotion.verdicts import FAILED, MET, GateVerdict, within

EVALUATION: Final = "the evaluation report"
# Names under which versions of this and of earlier releases were registered with what the policy asks now.
_REGISTERED: Final[Mapping[str, Sequence[str]]] = {
    "beats_seasonal_naive": ("backtest_beats_seasonal_naive", "wape_beats_seasonal_naive"),
    "bias_is_small": (
        "backtest_bias_not_beyond_10_percent", "backtest_bias_within_10_percent", "bias_within_10_percent",
    ),
    "coverage_is_right": (
        "backtest_coverage_of_80_percent_interval_not_beyond_10_points",
        "backtest_coverage_of_80_percent_interval_within_10_points",
        "coverage_of_80_percent_interval_within_10_points",
    ),
}  # fmt: skip


def report_verdicts(
    report: pl.DataFrame | None, registered: Mapping[str, bool], policy: Policy
) -> Iterator[GateVerdict]:
    """Yield what an evaluation report says to skill, bias and coverage; what it does not say was said at registration.

    Args:
        report: Contract `evaluation_reports`; None where there is none that can be read.
        registered: Gates that the version was registered with.
        policy: The bounds.
    """
    overall = None if report is None else OverallMetrics(report)
    for gate in _overall_gates(policy):
        result = None if overall is None else gate.judge(overall)
        if result is None or isnan(result.value):
            yield _as_registered(gate, registered)
        else:
            verdict = MET if result.is_met else FAILED
            yield GateVerdict(
                gate.name, verdict, EVALUATION, result.value, result.margin, result.lowest, result.highest
            )
    if report is not None and overall is not None:
        yield from _biases_of_levels(report, overall, policy)


def _overall_gates(policy: Policy) -> Sequence[Gate]:
    bounds, target = policy.gates, policy.calibration.coverage_80
    return (
        Gate(
            "beats_seasonal_naive", "WAPE less that of seasonal naive", lambda overall: overall.wape_less_naive, "wape",
            highest=bounds.largest_wape_less_naive, is_strict=True,
        ),
        Gate(
            "bias_is_small", "bias", lambda overall: overall.value_of("bias"), "bias",
            lowest=-bounds.largest_bias, highest=bounds.largest_bias,
        ),
        Gate(
            "coverage_is_right", "coverage of the 80% interval", lambda overall: overall.value_of("coverage_80"),
            "coverage_80", lowest=target - bounds.largest_coverage_miss, highest=target + bounds.largest_coverage_miss,
        ),
    )  # fmt: skip


def _as_registered(gate: Gate, registered: Mapping[str, bool]) -> GateVerdict:
    said = [registered[name] for name in _REGISTERED[gate.name] if name in registered]
    if not said:
        return within(gate.name, None, "its report does not say", lowest=gate.lowest, highest=gate.highest)
    verdict = MET if all(said) else FAILED
    return GateVerdict(gate.name, verdict, "its registration", lowest=gate.lowest, highest=gate.highest)


def _biases_of_levels(report: pl.DataFrame, overall: OverallMetrics, policy: Policy) -> Iterator[GateVerdict]:
    """Yield the largest bias of any level, and that of each important node of the widest product and store level.

    Over all of its nodes a level has the bias of the rows below it, and so its margin. That of a node was not measured:
    it is taken to grow as the root of its share of rows falls, as of independent rows.
    """
    gate, bounds, margin = "bias_of_levels_is_small", policy.gates, overall.margin_of("bias")
    highest = bounds.largest_level_bias
    yield within(gate, overall.value.get("largest_level_bias"), EVALUATION, margin=margin, highest=highest)
    biases = report.filter(pl.col("metric") == "bias")
    whole = int(biases.filter(pl.col("segment_kind") == "all")["rows"].sum())
    nodes = biases.filter(
        pl.col("segment_kind").is_in(["product_node", "store_node"]),
        pl.col("rows") >= bounds.important_segment_share * whole,
    )
    for kind, node, value, rows in nodes.select("segment_kind", "segment", "value", "rows").iter_rows():
        yield within(
            gate, value, EVALUATION, margin=margin * sqrt(whole / rows), lowest=-highest, highest=highest,
            segment_kind=kind, segment=node,
        )  # fmt: skip


def champion_verdicts(compared: ComparedWape, policy: Policy) -> Iterator[GateVerdict]:
    """Yield how a version does beside the champion on the same days, overall and of each important segment."""
    bounds, gate = policy.gates, "not_worse_than_champion"
    if compared.rows.is_empty():
        yield within(gate, None, compared.measured_on, highest=bounds.largest_wape_over_champion)
        return
    whole = compared.rows.filter(pl.col("segment_kind") == "all")
    least = bounds.important_segment_share * int(whole["rows"].sum())
    for kind, segment, ours, theirs, count in compared.rows.iter_rows():
        is_whole = kind == "all"
        if is_whole or count >= least:
            yield within(
                gate, ours / theirs - 1.0 if theirs else None, compared.measured_on,
                highest=bounds.largest_wape_over_champion if is_whole else bounds.largest_segment_wape_over_champion,
                segment_kind=kind, segment=segment,
            )  # fmt: skip


def risk_verdict(calibration: pl.DataFrame | None, policy: Policy) -> GateVerdict:
    """Return how far stock-out probabilities were from what came.

    Args:
        calibration: Contract `calibration`; None where the version has no such report.
        policy: The bounds.
    """
    gate, highest = "risk_is_reliable", policy.gates.largest_risk_calibration_error
    if calibration is None:
        return within(gate, None, "it has no calibration report", highest=highest)
    found = calibration.filter(pl.col("segment_kind") == "all", pl.col("metric") == "calibration_error")["value"]
    if found.is_empty():
        return within(gate, None, "no past cutoff judged its stock-out probabilities", highest=highest)
    return within(gate, found[0], "the calibration report", highest=highest)

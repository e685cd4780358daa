"""Gates in words: what a version's report says to each, and what it may do for it.

What belongs here: one sentence for each gate, and one for all. What does not: limits, or who may serve.
"""

from math import isinf

import polars as pl

from forecast_assets.models.gates import GateResult, judged
from resources.ledger.entries.register import VersionRecord


def gates_text(record: VersionRecord, report: pl.DataFrame) -> str:
    """Say of each gate that was asked of a version whether it was met and why, and what the version may do.

    Args:
        record: The version; what its gates said when it was registered stands.
        report: Contract `evaluation_reports`, for the figures.
    """
    results = {result.name: result for result in judged(report)}
    blocking = record.failed_gates(for_channel=False)
    lines = [
        f"{gate}: {_sentence(_verdict(is_met=passed, is_blocking=gate in blocking), results.get(gate))}"
        for gate, passed in record.gates.items()
    ]
    return "\n".join(("Gates", *lines, _serving_sentence(record)))


def _serving_sentence(record: VersionRecord) -> str:
    name = f"`{record.model_version}`"
    if record.failed_gates(for_channel=False):
        return f"{name} may serve nothing: it is not validated."
    if record.failed_gates(for_channel=True):
        return f"{name} may serve under its own name; channels stay closed to it."
    return f"{name} may serve under its own name, and a channel may point at it."


def _verdict(*, is_met: bool, is_blocking: bool) -> str:
    if is_met:
        return "passed"
    return "FAILED" if is_blocking else "not met: serves under its own name only"


def _sentence(verdict: str, result: GateResult | None) -> str:
    """The verdict with figure, margin and limits; alone where a gate has no figure."""
    if result is None:
        return verdict
    chance = f", {_percent(result.margin)} more or less by chance" if result.margin else ""
    return f"{verdict}; {result.title} is {_percent(result.value)}{chance}, and {_limits(result)} is asked for"


def _limits(result: GateResult) -> str:
    """The limits in words.

    Example:
        >>> _limits(GateResult("g", "bias", 0.2, 0.0, -0.1, 0.1, is_met=False))
        '-10.0% to 10.0%'
    """
    if isinf(result.lowest):
        return f"at most {_percent(result.highest)}"
    return f"{_percent(result.lowest)} to {_percent(result.highest)}"


def _percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}%"

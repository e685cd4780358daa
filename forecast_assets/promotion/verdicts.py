"""Verdicts: what a version shows at one gate, and all of them as rows of `promotion_gates`.

What belongs here: holding one figure against its bounds. What does not: where figures come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan
from typing import Final

import polars as pl

from forecast_assets.contracts import GATE_KINDS, GATE_VERDICTS, PROMOTION_GATES
from forecast_assets.core.policy import MERIT_GATES

SOUNDNESS, MERIT = GATE_KINDS
MET, FAILED, NOT_MEASURED = GATE_VERDICTS
ALL: Final = "all"
_NAN: Final = float("nan")


@dataclass(frozen=True)
class GateVerdict:
    """What a version shows at one gate, of one segment.

    Attributes:
        gate: A sentence that is true where it is met.
        verdict: `met`, `failed` or `not_measured`.
        measured_on: What the figure is of, or why there is none.
        figure: What was measured; NaN where nothing was.
        margin: How far chance may move it; NaN where that is not told.
        lowest: Least that is allowed.
        highest: Most that is allowed.
        segment_kind: What is judged.
        segment: Which one.
    """

    gate: str
    verdict: str
    measured_on: str
    figure: float = _NAN
    margin: float = _NAN
    lowest: float = -inf
    highest: float = inf
    segment_kind: str = ALL
    segment: str = ALL

    @property
    def kind(self) -> str:
        """`soundness` or `merit`."""
        return MERIT if self.gate in MERIT_GATES else SOUNDNESS


def within(
    gate: str,
    figure: float | None,
    measured_on: str,
    *,
    margin: float | None = None,
    lowest: float = -inf,
    highest: float = inf,
    segment_kind: str = ALL,
    segment: str = ALL,
) -> GateVerdict:
    """Hold a figure against its bounds: it fails where it lies beyond one by more than the margin.

    Args:
        gate: The gate.
        figure: What was measured; None or NaN where nothing was.
        measured_on: What the figure is of, or why there is none.
        margin: How far chance may move it; None where that is not told.
        lowest: Least that is allowed.
        highest: Most that is allowed.
        segment_kind: What is judged.
        segment: Which one.

    Example:
        >>> within("bias_is_small", 0.12, "the report", margin=0.03, lowest=-0.1, highest=0.1).verdict
        'met'
        >>> within("bias_is_small", 0.12, "the report", margin=0.01, lowest=-0.1, highest=0.1).verdict
        'failed'
        >>> within("bias_is_small", None, "nothing was sold", lowest=-0.1, highest=0.1).verdict
        'not_measured'
    """
    value, chance = _NAN if figure is None else figure, margin or 0.0
    is_met = lowest <= value + chance and value - chance <= highest
    verdict = NOT_MEASURED if isnan(value) else MET if is_met else FAILED
    told = _NAN if margin is None else margin
    return GateVerdict(gate, verdict, measured_on, value, told, lowest, highest, segment_kind, segment)


def failed_gates(verdicts: Sequence[GateVerdict], kind: str) -> tuple[str, ...]:
    """Return the gates of a kind that fail at any segment, in their order."""
    return tuple(dict.fromkeys(each.gate for each in verdicts if (each.kind, each.verdict) == (kind, FAILED)))


def gates_frame(
    verdicts: Sequence[GateVerdict], *, model_version: str, cadence: str, policy: str, overridable: Sequence[str]
) -> pl.DataFrame:
    """Return verdicts as rows of contract `promotion_gates`, in their order.

    Args:
        verdicts: One for each gate and segment.
        model_version: The version.
        cadence: Rhythm of the runs whose channel it is judged for.
        policy: Version of the policy.
        overridable: Gates that the policy allows to override.
    """
    rows = [
        {
            **vars(each),
            **{name: _finite(getattr(each, name)) for name in ("figure", "margin", "lowest", "highest")},
            "kind": each.kind,
            "model_version": model_version,
            "cadence": cadence,
            "policy": policy,
            "is_overridable": each.gate in overridable,
        }
        for each in verdicts
    ]
    return PROMOTION_GATES.conform(pl.DataFrame(rows, schema=PROMOTION_GATES.schema))


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None

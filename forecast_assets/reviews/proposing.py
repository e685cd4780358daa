"""What a review proposes to change of the policy, by three rules.

What belongs here: the rules. What does not: reading anything, or applying what they say.

None of them makes a channel easier to reach: bands move to where probabilities proved right, bounds are only tightened.
Where rules disagree about a value nothing is proposed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import isclose
from typing import Any, Final

import polars as pl

from forecast_assets.contracts import CHAMPION, WEEKS_BEFORE
from forecast_assets.core.errors import InputError
from forecast_assets.core.policy import Policy
from forecast_assets.reviews.figures import band_edges
from resources.ledger.entries.review import ProposedChange

# The week and the three before have to agree.
WEEKS_IN_A_ROW: Final = 4
# As many versions in a row a bound may have had no part in before it is tightened.
VERSIONS_UNBOUND: Final = 5
_DIGITS: Final = 4
# Which gate each bound is of, where the bound is a distance that may be halved.
_BOUNDS: Final = {
    "bias_is_small": "largest_bias",
    "bias_of_levels_is_small": "largest_level_bias",
    "coverage_is_right": "largest_coverage_miss",
    "stable_between_runs": "largest_instability",
    "inputs_are_familiar": "largest_out_of_distribution_share",
    "risk_is_reliable": "largest_risk_calibration_error",
}


def proposals(
    rows: pl.DataFrame, gates: Sequence[pl.DataFrame], policy: Policy, *, are_bands_settled: bool = True
) -> tuple[ProposedChange, ...]:
    """Return what is proposed after a week, in the order of the policy.

    Args:
        rows: Contract `business_reviews` of the week.
        gates: Contract `promotion_gates` of the newest judgement of each version, newest first.
        policy: The one in force.
        are_bands_settled: Whether the runs of the four weeks have the risk bands of this policy.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    rules = (*(_bands(rows, policy) if are_bands_settled else ()), *_coverage(rows, policy), *_unbound(gates, policy))
    for key, after, reason in rules:
        found.setdefault(key, []).append((round(after, _DIGITS), reason))
    agreed = {key: said for key, said in found.items() if len({after for after, _ in said}) == 1}
    before: Mapping[str, Any] = policy.values
    made = [
        ProposedChange(key, before[key], agreed[key][0][0], "; ".join(reason for _, reason in agreed[key]))
        for key in before
        if key in agreed
    ]
    return tuple(each for each in made if _is_possible(policy, each))


def _is_possible(policy: Policy, proposed: ProposedChange) -> bool:
    try:
        return policy.with_changes({proposed.key: proposed.after}) != policy
    except InputError:
        return False


def _bands(rows: pl.DataFrame, policy: Policy) -> Iterator[tuple[str, float, str]]:
    """A band whose stock-out rate is beyond an edge week after week gives half of its width to that neighbour."""
    edges = band_edges(policy)
    above = dict(pairwise(edges))
    for band, (lowest, highest) in edges.items():
        rates = _weeks(rows, "stockout_rate", "risk_band", band)
        middle = (lowest + highest) / 2
        if rates and min(rates) > highest and band in above:
            yield f"risk_bands.{above[band]}", middle, _band_words(band, "above", highest, rates[0])
        if rates and max(rates) < lowest:
            yield f"risk_bands.{band}", middle, _band_words(band, "below", lowest, rates[0])


def _band_words(band: str, side: str, edge: float, last: float) -> str:
    return f"stock-outs of band {band} were {side} {edge:g} in each of {WEEKS_IN_A_ROW} weeks, last {last:.3f}"


def _coverage(rows: pl.DataFrame, policy: Policy) -> Iterator[tuple[str, float, str]]:
    """Coverage that misses its target on one side week after week, by more than half of the bound, halves the bound.

    Where every week is beyond the bound, that keeps such a version from a channel as it is.
    """
    target, bound = policy.calibration.coverage_80, policy.gates.largest_coverage_miss
    misses = [covered - target for covered in _weeks(rows, "coverage_80", "all", "all")]
    for side, sign in (("above", 1), ("below", -1)):
        if misses and bound / 2 < min(sign * miss for miss in misses) <= bound:
            reason = (
                f"coverage was {side} its target {target:g} by more than {bound / 2:g} in each of {WEEKS_IN_A_ROW} "
                f"weeks, last {target + misses[0]:.3f}"
            )
            yield "gates.largest_coverage_miss", bound / 2, reason


def _weeks(rows: pl.DataFrame, kpi: str, segment_kind: str, segment: str) -> list[float]:
    """Figures of the champion, newest week first; none unless all are known."""
    found = rows.filter(
        pl.col("role") == CHAMPION,
        pl.col("kpi") == kpi,
        pl.col("segment_kind") == segment_kind,
        pl.col("segment") == segment,
    )
    columns = ("figure", *(f"figure_{back}_before" for back in range(1, min(WEEKS_IN_A_ROW, WEEKS_BEFORE + 1))))
    figures = [found[name][0] for name in columns] if found.height else []
    return [] if None in figures else figures


def _unbound(gates: Sequence[pl.DataFrame], policy: Policy) -> Iterator[tuple[str, float, str]]:
    """A bound of which no version in a row came as near as half is halved: none of them would have failed by it."""
    newest = gates[:VERSIONS_UNBOUND]
    if len(newest) < VERSIONS_UNBOUND:
        return
    for gate, key in _BOUNDS.items():
        bound = float(getattr(policy.gates, key))
        distances = [_distance(judged.filter(pl.col("gate") == gate), bound) for judged in newest]
        known = [each for each in distances if each is not None]
        if len(known) == len(distances) and max(known) < bound / 2:
            reason = f"none of the newest {VERSIONS_UNBOUND} versions came nearer than {max(known):.3g} to {bound:g}"
            yield f"gates.{key}", bound / 2, reason


def _distance(rows: pl.DataFrame, bound: float) -> float | None:
    """How far a version was from what a gate wants, chance against it; None if it was not measured by this bound."""
    parts = [_apart(row, bound) for row in rows.iter_rows(named=True)]
    known = [part for part in parts if part is not None]
    return max(known) if known and len(known) == len(parts) else None


def _apart(row: Mapping[str, Any], bound: float) -> float | None:
    if row["figure"] is None or row["highest"] is None:
        return None
    middle = 0.0 if row["lowest"] is None else (row["lowest"] + row["highest"]) / 2
    is_this_bound = isclose(row["highest"] - middle, bound)
    return abs(row["figure"] - middle) + (row["margin"] or 0.0) if is_this_bound else None

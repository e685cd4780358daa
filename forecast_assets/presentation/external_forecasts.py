"""External forecasts in words: what their file holds, and what became of each date.

What belongs here: what `ingest forecasts` prints. What does not: reading or publishing.
"""

from collections.abc import Sequence

from forecast_assets.contracts import QUANTILES
from forecast_assets.core.errors import first_ten
from forecast_assets.operations.external_forecasts import ExternalForecastsPlan
from forecast_assets.operations.use_cases import RunOutcome
from forecast_assets.sources.external_fit import COHERENT_WITHIN, Coherence
from forecast_assets.sources.notations import notation_words


def external_plan_text(plan: ExternalForecastsPlan) -> str:
    """Say what a file holds, what it leaves out, and what takes its place."""
    file, keys = plan.file, [planned.key for planned in plan.dates]
    days = first_ten(key.prediction_date for key in keys)
    rows = f"{file.rows.height:,} rows, {keys[0].forecast_horizon} days ahead of {days}"
    lines = [f"{file.name} (SHA-256 {file.sha256[:12]}): {rows}.", _quantiles_text(file.levels)]
    if file.found:
        lines.append(f"Taken as {notation_words(file.found)}.")
    filled = sum(planned.filled for planned in plan.dates)
    if filled:
        lines.append(f"{filled} series of the snapshots are not in the file: published as zero, is_fallback is true.")
    return "\n".join(lines)


def _quantiles_text(levels: Sequence[float]) -> str:
    given = ", ".join(f"{level:g}" for level in levels)
    if not levels:
        return f"No quantiles: all {len(QUANTILES)} follow from how demand of the series varied lately."
    left = len(QUANTILES) - len(levels)
    follow = f"; the other {left} are interpolated or, beyond these, follow from how demand of the series varied lately"
    return f"Quantiles given: {given}{follow if left else ''}."


def external_outcome_text(outcome: RunOutcome, coherence: Coherence | None) -> str:
    """Say what became of one prediction date."""
    publication = outcome.publication
    if not outcome.is_new:
        return f"{publication.key} is already published (ledger entry {publication.sequence}); nothing changed."
    done = f"Published {publication.key} as ledger entry {publication.sequence}; {outcome.checks_passed} checks passed."
    return f"{done} {_coherence_text(coherence)}".strip()


def _coherence_text(found: Coherence | None) -> str:
    if found is None or not found.upper_nodes:
        return ""
    unknown = f", {found.unknown_upper_nodes:,} are of unknown nodes" if found.unknown_upper_nodes else ""
    widest = (
        f" The widest gap is {found.largest_gap_share:.1%}, at {found.largest_gap_at}."
        if found.coherent_upper_nodes < found.upper_nodes - found.unknown_upper_nodes
        else ""
    )
    return (
        f"Of {found.upper_nodes:,} upper rows {found.coherent_upper_nodes:,} are within {COHERENT_WITHIN:.1%} of the "
        f"sum of their series{unknown}; what is published is the sums.{widest}"
    )

"""Demand of a part of a run with its quantiles, in words and as a document.

What belongs here: how an answer reads. What does not: finding it (operations).
"""

from typing import Any

from forecast_assets.operations.demand_sums import DemandSum
from forecast_assets.presentation.text import table


def demand_sum_text(found: DemandSum) -> str:
    """Return the answer as text: what it is of, the mean, and a line for each quantile."""
    days = (found.last - found.first).days + 1
    when = f"on {found.first}" if days == 1 else f"from {found.first} to {found.last} ({days} days)"
    rows = [(f"{100 * level:g}%", f"{units:,.1f}") for level, units in found.quantiles.items()]
    return "\n".join(
        (
            f"{found.publication.key}: demand of {found.series:,} series {when}, all together",
            f"expected: {found.mean:,.1f} units",
            table(("probability", "at most, units"), rows),
            f"By {found.paths} sample paths.",
        )
    )


def demand_sum_document(found: DemandSum) -> dict[str, Any]:
    """Return the answer for programs."""
    return {
        "run": str(found.publication.key),
        "series": found.series,
        "first": found.first.isoformat(),
        "last": found.last.isoformat(),
        "forecast_units": found.mean,
        "quantiles": {str(level): units for level, units in found.quantiles.items()},
        "paths": found.paths,
    }

"""The operational copy in words.

What belongs here: what people read of it. What does not: copying or comparing.
"""

from collections.abc import Sequence
from typing import Final

from forecast_assets.core.actions import Action, Sentence
from forecast_assets.core.errors import ForecastAssetsError, first_ten
from forecast_assets.core.wording import counted, moment_text
from forecast_assets.operations.copying import CopyComparison, CopyDelay, CopyOutcome
from forecast_assets.presentation.actions import error_text, sentence_text
from forecast_assets.presentation.text import table
from resources.operational_copy.databases import COPY
from resources.operational_copy.layout import CopiedRun
from resources.postgresql.connecting import error_line

CATCH_UP: Final = Action("copy sync")
MAKE_ANEW: Final = Action("copy sync", {"again": True})


def copy_text(outcome: CopyOutcome) -> str:
    """Say what a copy took over."""
    if not outcome.runs:
        return f"Nothing to copy: no run is published yet. {COPY} would be at {outcome.place}."
    said = [
        f"copied: {first_ten(outcome.written)}" if outcome.written else "",
        f"dropped: {first_ten(outcome.dropped)}" if outcome.dropped else "",
        f"removed {counted(outcome.strays, 'row')} of no run" if outcome.strays else "",
    ]
    what = "; ".join(filter(None, said)) or "nothing had changed"
    return (
        f"{COPY} at {outcome.place} has {counted(outcome.runs, 'run')} up to ledger entry {outcome.sequence}; {what}."
    )


def copy_delay_text(delay: CopyDelay) -> str:
    """Say why a copy is late, that nothing depends on it, and what to do."""
    error = delay.error
    if isinstance(error, ForecastAssetsError):
        why = error_text(error)
    else:
        again = sentence_text(Sentence("Catch up when that is mended: ", CATCH_UP, "."))
        why = f"{type(error).__name__}: {error_line(error)}. {again}"
    return f"warning: {COPY.lower()} is late, and what was published stays so. {why}"


def copy_comparison_text(comparison: CopyComparison) -> str:
    """Say whether a copy agrees with the ledger."""
    place = f"{COPY} at {comparison.place}"
    if comparison.differences:
        return "\n".join((f"{place} does not agree with ledger entry {comparison.sequence}:", *comparison.differences))
    how = "the same content" if comparison.is_deep else "the right products and as many rows"
    what = f"{counted(comparison.runs, 'run')} and {comparison.rows:,} rows"
    return f"{place} has {what}, {how} as were published up to ledger entry {comparison.sequence}."


def copied_runs_text(place: str, runs: Sequence[CopiedRun]) -> str:
    """Return the runs of a copy as a table."""
    if not runs:
        return f"{COPY} at {place} has no run yet."
    rows = [
        (str(run.key), run.ledger_sequence, run.rows, moment_text(run.published_at.isoformat()),
         moment_text(run.copied_at.isoformat()))
        for run in runs
    ]  # fmt: skip
    return table(["run", "ledger entry", "rows", "published at", "copied at"], rows)
